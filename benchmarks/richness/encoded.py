"""Looks at the ladder's sets with the encoder that ships now: ``python -m benchmarks.richness.encoded --work DIR``.

LoRAs, losses and judges are of no encoder; richness is. One line for each row, in ``results/richness/ENCODER.jsonl``;
a line that is there is not made again. Reports that ship with the package take richness from there (`report.py`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import torch

from benchmarks.richness import sets
from benchmarks.richness.arms import ARMS, Job
from benchmarks.richness.bench import Bench
from benchmarks.richness.run import RESULTS, WORK, append, done, mend
from benchmarks.richness.table import Row
from diversity.encoders import load_encoder
from diversity.errors import DiversityError
from training import judges
from training.evaluate import ladder

FOLDER = "richness"


def file_of(results: Path, encoder: str) -> Path:
    """Where the richness of one encoder is kept."""
    return results / FOLDER / f"{encoder}.jsonl"


def files(results: Path) -> list[Path]:
    """Of all encoders, by name."""
    return sorted((results / FOLDER).glob("*.jsonl"))


def shipped() -> str:
    """Id of the encoder that ships."""
    return load_encoder(sets.ENCODER).id


def look(bench: Bench, job: Job) -> dict[str, Any]:
    """`richness.*` of the set that one LoRA was trained on, to the encoder of `bench`."""
    cast = bench.cast(job.character)
    return ladder.row(bench.richness.rows(ARMS[job.arm].make(cast.pool, cast.others)), id=job.id)


def missing(rows: Iterable[Row], known: Container[str], encoder: str) -> list[Row]:
    """Rows that `encoder` has not seen: it neither measured them nor looked since."""
    others = [row for row in rows if row["arm"] in ARMS and row["experiment"]["encoder"] != encoder]
    return [row for row in others if row["id"] not in known]


def main(argv: list[str] | None = None) -> int:
    """Command line entry; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.richness.encoded", description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK, help="of the ladder: its pools")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--threads", type=int, help="torch threads")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        bench = Bench("toon", judges.load(judges.FOLDER), args.work)
        encoder = bench.richness.encoder.id
        file = file_of(args.results, encoder)
        mend(file.parent)
        known = {row["id"] for row in ladder.read(file)}
        for row in missing(done(args.results).values(), known, encoder):
            append(file, look(bench, Job(row["id"], row["block"], row["arm"], row["character"])))
            print(row["id"], flush=True)
    except DiversityError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
