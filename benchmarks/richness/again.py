"""Asks the ground truth once more: every LoRA that is kept draws the same prompts with other seeds.

``python -m benchmarks.richness.again --work DIR``. How far `truth.lost` repeats is how far any measure could tell it.
One line for each LoRA, beside the rows of the ladder; a line that is there is not made again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import torch

from benchmarks.richness import asked, sets, truth
from benchmarks.richness.arms import OTHER_PROMPTS
from benchmarks.richness.bench import Bench
from benchmarks.richness.run import AGAIN, RESULTS, append, done, mend
from benchmarks.richness.table import Row
from diversity.errors import DiversityError
from diversity.progress import Silent
from training import base as bases
from training import judges, lora
from training.evaluate import drawing, ladder
from training.evaluate.sets import EvaluationSets, Material

FIRST_SEEDS = (91_000, 92_000)
PARTS = ("truth.lost", "truth.control", "truth.unrelated")
NOTHING = Material((), (), (), (), (), (), (), ())


def draw(bench: Bench, row: Row) -> dict[str, Any]:
    """`PARTS` at LoRA weight 1 after the last step, one value for each of `FIRST_SEEDS`.

    Args:
        bench: In whose folder the LoRA is kept.
        row: Of the LoRA.

    Raises:
        InputError: the LoRA is not there, or the character is not.
    """
    base, looks = bases.load(bench.base, device="cpu"), sets.looks_of(bench.cast(row["character"]), bench.judges)
    adapter = lora.load(base, kept(bench.folder, row), name="again")
    prompts = [*asked.subject(asked.views(looks.by_view)), *asked.novel(looks.own), *asked.unrelated()]
    on = EvaluationSets(NOTHING, {}, None, tuple(one for one in prompts if one.asks), asked.TRIGGER)
    found: dict[str, list[float]] = {name: [] for name in PARTS}
    for seed in FIRST_SEEDS:
        settings = bench.settings.model_copy(update={"first_seed": seed, "weights": ()})
        places = {place: count for place, count in drawing.wanted(on, settings).items() if not place.bare}
        gallery = drawing.draw(base, adapter, places, on, settings, (bench.folder / "cache", Silent()))
        told = truth.rows(truth.look(gallery.pictures, bench.judges), settings.weight, looks.own)
        values = dict(told.select("measure", "value").iter_rows())
        for name in PARTS:
            found[name].append(float(f"{values[name]:.6g}"))
    about = {name: row[name] for name in ("id", "character", "arm", "base")}
    return {**about, "experiment": bench.experiment, "first_seeds": FIRST_SEEDS, "scores": found}


def missing(rows: Iterable[Row], known: Container[str], folder: Path) -> list[Row]:
    """Rows whose LoRA is kept in `folder` and was not asked again; not those that are asked for more than others."""
    counted = [row for row in rows if "problem" not in row and row["arm"] not in OTHER_PROMPTS]
    return [row for row in counted if row["id"] not in known and kept(folder, row).is_file()]


def kept(folder: Path, row: Row) -> Path:
    """The LoRA of a row after its last step, as `Bench` keeps it."""
    return folder / "loras" / row["id"] / f"step-{row['steps']:06d}.safetensors"


def main(argv: list[str] | None = None) -> int:
    """Command line entry; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.richness.again", description=__doc__)
    parser.add_argument("--base", default="toon", help="base model: toon, or a folder")
    parser.add_argument("--judges", type=Path, default=judges.FOLDER)
    parser.add_argument("--work", type=Path, required=True, help="of the ladder: its LoRAs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--threads", type=int, help="torch threads")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    file = args.results / AGAIN
    try:
        bench = Bench(args.base, judges.load(args.judges), args.work)
        mend(file.parent)
        known = {row["id"] for row in ladder.read(file)}
        for row in missing(done(args.results).values(), known, args.work):
            append(file, draw(bench, row))
            print(row["id"], flush=True)
    except DiversityError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
