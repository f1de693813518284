"""How well a toon base draws what prompts name: ``python -m benchmarks.toonworld.evaluate_base --base FOLDER
[--prompts 500]``.

Combinations that nobody rendered (`prompts.sample_wanted`), one picture each, judged by `training.judges`. Writes
benchmarks/results/toon_base.json after every batch and goes on where it stopped; other weights or settings begin anew.
Not for LoRAs: those are compared with their base at equal seeds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.toonworld import prompts
from training import judges
from training.base import TOON_FOLDER
from training.evaluate import estimate
from training.generate import RESCALE
from training.judges import agrees

RESULTS = Path(__file__).resolve().parents[1] / "results"
STEPS, BATCH, SIZE = 25, 16, 128
FLOORS = {"framing": 0.85, "side": 0.75, "hair_colour": 0.85, "outfit_colour": 0.85, "background": 0.85}  # issue 3
COLUMNS, LINE = 8, 22

Picture = NDArray[np.uint8]


def fingerprint(folder: Path) -> str:
    """Which weights: a hash of all weight files of a pipeline's folder."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(folder.rglob("*.safetensors")):
        digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def load(folder: Path) -> StableDiffusionPipeline:
    """The base in single precision, quiet."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: StableDiffusionPipeline, seeds: list[int], guidance: float) -> Picture:
    """One picture for each seed's prompt, from noise of that seed, guided as `training.generate` guides: uint8
    [n, s, s, 3].
    """
    found = pipeline(
        [prompts.sample_wanted(seed).prompt for seed in seeds],
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        guidance_rescale=RESCALE,
        output_type="np",
    ).images
    return (found * 255).round().astype(np.uint8)


def judged_rows(court: judges.Judges, seeds: list[int], pictures: Picture) -> list[dict[str, Any]]:
    """What the judges saw: one row for each seed."""
    found = court.predict(pictures)
    return [
        {"seed": seed, "judged": {name: each.labels[place] for name, each in found.items()}}
        for place, seed in enumerate(seeds)
    ]


def summarise(rows: list[dict[str, Any]], framings: dict[str, tuple[str, ...]]) -> dict[str, dict[str, float]]:
    """Share of prompts drawn right by attribute, with Wilson's interval.

    Counted are prompts that name the attribute and one of the `framings` that show it: no portrait shows a dress.
    """
    wanted = [prompts.sample_wanted(row["seed"]).values for row in rows]
    found = {}
    for name, shown in framings.items():
        pairs = [
            (row["judged"][name], want[name])
            for row, want in zip(rows, wanted, strict=True)
            if name in want and want["framing"] in shown
        ]
        if not pairs:
            continue
        right = np.array([agrees(said, meant) for said, meant in pairs])
        share = estimate.share(right, np.arange(len(right)), "prompts")
        found[name] = {"accuracy": share.value, "low": share.low, "high": share.high, "n": len(right)}
        if name in FLOORS:
            found[name]["floor"] = FLOORS[name]
    return found


class Record:
    """The results file: settings, a summary, and one row for each prompt."""

    def __init__(self, file: Path, settings: dict[str, Any], framings: dict[str, tuple[str, ...]]) -> None:
        self.file, self.settings, self.framings = file, settings, framings
        self.rows: list[dict[str, Any]] = []
        self.seconds: list[float] = []
        if file.exists():
            kept = json.loads(file.read_text(encoding="utf-8"))
            if kept["settings"] == settings:
                self.rows, self.seconds = kept["rows"], kept["seconds_for_16"]["batches"]

    def missing(self, count: int) -> list[int]:
        """Seeds 0..count-1 that have no row yet."""
        done = {row["seed"] for row in self.rows}
        return [seed for seed in range(count) if seed not in done]

    def summary(self) -> dict[str, dict[str, float]]:
        """Of all rows so far."""
        return summarise(self.rows, self.framings)

    def add(self, rows: list[dict[str, Any]], seconds: float) -> None:
        """Take rows in and write the file, whole or not at all; seconds count for full batches alone."""
        self.rows = sorted([*self.rows, *rows], key=lambda row: row["seed"])
        if len(rows) == BATCH:
            self.seconds.append(round(seconds, 2))
        timing = {"threads": torch.get_num_threads(), "best": min(self.seconds, default=None), "batches": self.seconds}
        body = {"settings": self.settings, "summary": self.summary(), "seconds_for_16": timing}
        lines = ",\n  ".join(json.dumps(row) for row in self.rows)
        text = json.dumps(body, indent=1)[:-2] + ',\n "rows": [\n  ' + lines + "\n ]\n}\n"
        partial = self.file.with_suffix(".part")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.file)


def page(pictures: Picture, seeds: list[int], file: Path) -> None:
    """Pictures in rows of `COLUMNS`, each above the beginning of its prompt in two lines."""
    size, rows = pictures.shape[1], -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * size, rows * (size + LINE)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (picture, seed) in enumerate(zip(pictures, seeds, strict=True)):
        x, y = place % COLUMNS * size, place // COLUMNS * (size + LINE)
        sheet.paste(Image.fromarray(picture), (x, y))
        side, framing, *look = prompts.sample_wanted(seed).prompt.split(", ")
        pen.text((x + 2, y + size), f"{side}, {framing}"[:26], fill="black", font_size=9)
        pen.text((x + 2, y + size + LINE // 2), ", ".join(part for part in look[::2])[:28], fill="black", font_size=9)
    sheet.save(file)


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=TOON_FOLDER)
    parser.add_argument("--judges", type=Path, default=judges.FOLDER)
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--out", type=Path, default=RESULTS / "toon_base.json")
    parser.add_argument("--threads", type=int, help="torch threads")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    court, pipeline = judges.load(args.judges), load(args.base)
    settings = {"weights": fingerprint(args.base), "steps": STEPS, "guidance": args.guidance, "rescale": RESCALE}
    framings = {name: each.framings for name, each in court.attributes.items()}
    record = Record(args.out, {**settings, "judges": fingerprint(args.judges)}, framings)
    missing, shown = record.missing(args.prompts), list(range(4 * COLUMNS))
    for start in range(0, len(missing), BATCH):
        seeds, began = missing[start : start + BATCH], time.perf_counter()
        pictures = draw(pipeline, seeds, args.guidance)
        record.add(judged_rows(court, seeds, pictures), time.perf_counter() - began)
        print(f"{len(record.rows)} of {args.prompts}", flush=True)
    batches = [draw(pipeline, shown[start : start + BATCH], args.guidance) for start in range(0, len(shown), BATCH)]
    page(np.concatenate(batches), shown, args.out.with_suffix(".png"))
    for name, each in record.summary().items():
        floor = f", floor {each['floor']:.2f}" if "floor" in each else ""
        print(f"{name}: {each['accuracy']:.3f} ({each['low']:.3f}–{each['high']:.3f}, n {each['n']}{floor})")


if __name__ == "__main__":
    main()
