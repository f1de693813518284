"""Measures drift on what the ladder's LoRAs drew: ``python -m benchmarks.richness.drifted --work DIR``.

For rows that are older than the measure (`training/evaluate/drift.py`), from the drawings that are kept. One line for
each LoRA, beside the rows of the ladder; a line that is there is not made again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.richness import asked, sets
from benchmarks.richness.run import DRIFT, RESULTS, append, done, mend
from benchmarks.richness.table import Row
from diversity.errors import DiversityError
from training.evaluate import ladder
from training.evaluate.drift import drift
from training.evaluate.rows import Rows


def measure(drawn: Path, richness: sets.Richness) -> dict[str, Any]:
    """`drift.*` at LoRA weight 1 of the unrelated pictures of one reading.

    Args:
        drawn: What `pictures.keep` wrote.
        richness: Its encoder sees them.
    """
    with np.load(drawn) as kept:
        places = {key: row for row, key in enumerate(zip(kept["text"], kept["seed"], kept["weight"], strict=True))}
        pixels = kept["pixels"]
    texts = [prompt.text for prompt in asked.unrelated()]
    seeds = sorted({seed for text, seed, weight in places if weight == 1 and text in texts})

    def seen(weight: float) -> NDArray[np.float32]:
        rows = [places[text, seed, weight] for text in texts for seed in seeds]
        vectors = richness.encoder.encode_images([Image.fromarray(pixels[row]) for row in rows])
        return vectors.reshape(len(texts), len(seeds), -1)

    rows, found = Rows(), drift(seen(1.0), seen(0.0), richness.centre)
    for name in ("share", "change", "chance"):
        rows.add(f"drift.{name}", getattr(found, name), features=richness.encoder.id, weight=1.0)
    return ladder.row(rows.frame())


def drawings(folder: Path, row: Row) -> Path:
    """What the LoRA of a row drew after its last step."""
    return folder / "pictures" / row["id"] / f"step-{row['steps']:06d}.npz"


def main(argv: list[str] | None = None) -> int:
    """Command line entry; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.richness.drifted", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="of the ladder: its drawings")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    try:
        richness, file = sets.Richness(), args.results / DRIFT
        mend(file.parent)
        known = {row["id"] for row in ladder.read(file)}
        for row in done(args.results).values():
            if row["id"] in known or "problem" in row or not drawings(args.work, row).is_file():
                continue
            append(file, {"id": row["id"], **measure(drawings(args.work, row), richness)})
    except DiversityError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
