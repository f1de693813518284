"""How often subtitles put on photos are found, how often other photos are flagged: ``python -m benchmarks.overlay``.

Every fourth Caltech-101 photo gets a line of text (white or yellow with a dark edge, several sizes and places, JPEG).
Some photos came with text of their own, so those flagged without ours are listed by name, to be looked at.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.machine import machine
from diversity.config import ScanConfig
from diversity.measure import measure

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = Path(__file__).parent / "results"
LINES = (
    "Wait for me at the harbour!",
    "I told you not to come here",
    "What are we going to do now?",
    "(laughing) No, never",
    "Episode 12: The last stand",
    "www.someplace.example.org",
)


def flagged(data: bytes) -> bool:
    """Whether the scan would flag this file."""
    return "overlay" in (measure(data, ScanConfig()).columns.get("flags") or [])


def subtitled(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """JPEG of `picture` with a line of text on it."""
    picture = picture.copy()
    size = max(12.0, picture.height * rng.uniform(0.05, 0.08))
    low = rng.random() < 0.8
    ImageDraw.Draw(picture).text(
        (picture.width / 2, picture.height * (rng.uniform(0.86, 0.94) if low else 0.08)),
        str(rng.choice(LINES)),
        font=ImageFont.load_default(size=size),
        fill="white" if rng.random() < 0.75 else "#ffee33",
        stroke_width=int(rng.integers(1, 3)),
        stroke_fill="black",
        anchor="mm",
    )
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def main() -> None:
    """Measure, print, keep benchmarks/results/overlay.json."""
    rng = np.random.default_rng(0)
    files = sorted((DATA / "caltech101").rglob("*.jpg"))
    clean = [str(file.relative_to(DATA / "caltech101").as_posix()) for file in files if flagged(file.read_bytes())]
    spoilt = [flagged(subtitled(Image.open(file).convert("RGB"), rng)) for file in files[::4]]
    others = {
        name: sum(flagged(file.read_bytes()) for file in sorted((DATA / name).rglob("*.jpg")))
        for name in ("kaykit_views", "dreambooth_dev")
    }
    result = {
        "machine": machine(),
        "photos": len(files),
        "flagged_clean": clean,
        "subtitled": len(spoilt),
        "found": int(sum(spoilt)),
        "flagged_elsewhere": others,
    }
    print(json.dumps(result, indent=1))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "overlay.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
