"""Runs the ladder: ``python -m benchmarks.richness [--limit N]``, job after job, one line of results for each LoRA.

Not for what a job does (`bench.py`). A call goes on where the last one stopped; a line that is there is not made again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.richness import people
from benchmarks.richness.arms import Job, jobs
from diversity import workspace
from diversity.errors import DiversityError, InputError
from training import judges
from training.errors import NotANumberError, TrainingError
from training.evaluate import ladder

HERE = Path(__file__).parent
RESULTS = HERE / "results"
AGAIN = Path("again") / "lost.jsonl"  # of `again.py`; not beside the blocks' files: no rows of the ladder
DRIFT = Path("drift") / "unrelated.jsonl"  # of `drifted.py`
WORK = HERE.parent / "out" / "ladder"


class Bench(Protocol):
    """Makes rows.

    Attributes:
        experiment: What all rows must share, beside the base.
    """

    experiment: dict[str, Any]

    def row(self, job: Job) -> dict[str, Any]:
        """The row of one LoRA."""
        ...

    def train(self, job: Job) -> None:
        """What `row` does first, and finds done."""
        ...


def planned() -> list[Job]:
    """All jobs in order, of the characters that are here."""
    return jobs([toon.name for toon in people.toons()], [model.name for model in people.kaykit()])


def share(todo: list[Job], part: str) -> list[Job]:
    """Every n-th job from the k-th on, for part "k/n": parts are as balanced as the whole.

    Raises:
        InputError: `part` is not so written.
    """
    try:
        k, n = map(int, part.split("/"))
    except ValueError:
        k = n = 0
    if not 1 <= k <= n:
        raise InputError(f"There is no part '{part}'.", "", "Write 1/2 and 2/2 for two halves.")
    return todo[k - 1 :: n]


def done(results: Path) -> dict[str, dict[str, Any]]:
    """Rows by id, of every block's file.

    Raises:
        WorkspaceError: a line cannot be read.
    """
    return {row["id"]: row for file in sorted(results.glob("*.jsonl")) for row in ladder.read(file)}


def run(bench: Bench, todo: list[Job], results: Path, limit: int | None = None) -> int:
    """Make the rows that are missing, at most `limit` of them; how many were made.

    A LoRA that cannot be trained or drawn with gets a row that says so, and is excluded by the protocol.
    """
    mend(results)
    known, made = done(results), 0
    one_experiment([*known.values(), {"experiment": bench.experiment}])
    for job in todo:
        if job.id in known:
            continue
        if made == limit:
            break
        began = time.perf_counter()
        try:
            row = bench.row(job)
        except (TrainingError, NotANumberError) as error:
            about = {"id": job.id, "block": job.block, "character": job.character, "arm": job.arm}
            row = {**about, "problem": str(error), "scores": []}
        one_experiment([*known.values(), row])
        append(results / f"{job.block}.jsonl", row)
        known[job.id] = row
        made += 1
        print(f"{len(known)} of {len(todo)}  {job.id}  {time.perf_counter() - began:.0f} s", flush=True)
    return made


def ahead(bench: Bench, todo: list[Job], results: Path, limit: int | None = None) -> int:
    """Train the LoRAs of at most `limit` missing rows, and measure none; how many there are."""
    known = done(results)
    missing = [job for job in todo if job.id not in known][:limit]
    for number, job in enumerate(missing, start=1):
        began = time.perf_counter()
        with contextlib.suppress(TrainingError):  # its row will say so
            bench.train(job)
        print(f"{number} of {len(missing)}  {job.id}  {time.perf_counter() - began:.0f} s", flush=True)
    return len(missing)


def append(file: Path, row: dict[str, Any]) -> None:
    """Add one line, so that it is there after a power cut."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8", newline="\n") as handle:
        handle.write(json.dumps(row, ensure_ascii=False) + "\n")
        handle.flush()
        os.fsync(handle.fileno())


def mend(results: Path) -> None:
    """Drop a last line that a power cut left half written: its row is made again."""
    for file in results.glob("*.jsonl"):
        text = file.read_bytes()
        if text and not text.endswith(b"\n"):
            file.write_bytes(text[: text.rfind(b"\n") + 1])


def one_experiment(rows: Iterable[dict[str, Any]]) -> None:
    """See that all rows are of one base model, judges, encoder, settings and pools; threads may differ.

    Raises:
        InputError: they are of several: those are two experiments.
    """
    kinds: dict[str, set[object]] = {}
    for row in rows:
        for name, value in {"base model": row.get("base"), **row.get("experiment", {})}.items():
            if value and name != "threads":
                kinds.setdefault(name, set()).add(value)
    for name, values in kinds.items():
        if len(values) > 1:
            raise InputError(
                f"These results are of another {name}.",
                "LoRAs that were measured differently cannot be compared.",
                "Move the older results away, or pass another --results and --work.",
            )


def main(argv: list[str] | None = None) -> int:
    """Command line entry; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.richness", description=__doc__)
    parser.add_argument("--base", default="toon", help="base model: toon, or a folder")
    parser.add_argument("--judges", type=Path, default=judges.FOLDER)
    parser.add_argument("--limit", type=int, help="most LoRAs to make in this call")
    parser.add_argument("--work", type=Path, default=WORK, help="pictures, LoRAs and caches")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--threads", type=int, help="torch threads")
    parser.add_argument("--train-only", action="store_true", help="train, and leave measuring to a later call")
    parser.add_argument(
        "--part", default="1/1", help="k/n: every n-th LoRA; one call for each part, each with a --work of its own"
    )
    parser.add_argument("--plan", action="store_true", help="print what is missing, and stop")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        todo = share(planned(), args.part)
        if args.plan:
            known = done(args.results)
            print("\n".join(job.id for job in todo if job.id not in known))
            return 0
        args.work.mkdir(parents=True, exist_ok=True)
        with workspace.locked(args.work):
            from benchmarks.richness.bench import Bench as Real

            if args.train_only:
                trained = ahead(Real(args.base, None, args.work), todo, args.results, args.limit)
                print(f"{trained} LoRAs are trained and not yet measured, in {args.work}")
                return 0
            made = run(Real(args.base, judges.load(args.judges), args.work), todo, args.results, args.limit)
        print(f"{made} new rows in {args.results}")
    except DiversityError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
