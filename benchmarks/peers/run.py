"""Compare speed, memory and answers with installed peers, side by side in one run.

    python -m benchmarks.peers [--task hash …] [--peer apricot …] [--repeats 3]
    python -m benchmarks.peers --check        small inputs, once, nothing timed and nothing written

Every run is a fresh process; ours and the peer's alternate; wall seconds leave imports out on both sides and report
them. A row is kept in benchmarks/out/peers.jsonl as soon as it is done, and taken from there when the benchmark goes
on after a stop (`--fresh` forgets them). Writes benchmarks/results/peers.json. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.peers import protocol
from benchmarks.peers.environments import PEERS, Absent, cache_folder, python_of
from benchmarks.peers.tasks import TASKS, Floor, Job, Task
from diversity import record

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "peers.json"
ROWS = HERE.parent / "out" / "peers.jsonl"
REPEATS = 3
PAPER = "paper"  # a rule written from its paper, which runs beside us
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How runs are made.

    Attributes:
        cache: Folder of the peers' environments.
        repeats: Runs of each side.
        fastdup: An interpreter that has it.
        timed: Whether seconds and memory are reported.
    """

    cache: Path
    repeats: int = REPEATS
    fastdup: Path | None = None
    timed: bool = True


def one_row(name: str, job: Job, peer: str, settings: Settings) -> Row:
    """Both sides on one input, alternating; a row that says why where the peer cannot answer."""
    task = TASKS[name]
    row: Row = {"task": name, "peer": peer, "input": job.label, "absent": None}
    try:
        python = (
            None if peer == PAPER else python_of(peer, settings.cache, settings.fastdup if peer == "fastdup" else None)
        )
        sides = alternate(task, job, peer, python, settings.repeats)
    except Absent as reason:
        return {**row, "absent": str(reason)}
    ours, theirs = sides
    found = task.compare(job, ours[0].found, theirs[0].found)
    row |= {"version": theirs[0].version, "answers": found}
    floor = task.floors.get(peer)
    if settings.timed:
        row |= {"repeats": len(ours), "ours": summary(ours), "theirs": summary(theirs)}
        row["faster"] = row["theirs"]["seconds"]["median"] / max(row["ours"]["seconds"]["median"], 1e-9)
    return {**row, **promise(floor, row)}


def alternate(
    task: Task, job: Job, peer: str, python: Path | None, repeats: int
) -> tuple[list[protocol.Answer], list[protocol.Answer]]:
    """`repeats` runs of each side in turn; the peer first, so that one that cannot answer costs nothing else.

    Raises:
        Absent: the peer fails, or ours does.
    """
    ours, theirs = [], []
    for _ in range(repeats):
        theirs.append(protocol.run(task.peers[peer], job.asked, python))
        ours.append(_ours(task, job))
    return ours, theirs


def _ours(task: Task, job: Job) -> protocol.Answer:
    try:
        return protocol.run(task.ours, job.asked)
    except Absent as reason:  # never the peer's fault
        raise RuntimeError(f"{task.ours} on {job.label}: {reason}") from None


def summary(answers: Sequence[protocol.Answer]) -> dict[str, Any]:
    """Median, least and largest of seconds, processor seconds, imports and memory."""
    found: dict[str, Any] = {}
    for name in ("seconds", "cpu", "imports", "peak_mb"):
        values = [value for answer in answers if (value := getattr(answer, name)) is not None]
        if values:
            found[name] = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return found


def promise(floor: Floor | None, row: Mapping[str, Any]) -> dict[str, Any]:
    """The floor in words and whether it is kept; speed counts only where it was measured."""
    if floor is None:
        return {"floor": None, "kept": None}
    fast = floor.faster is None or "faster" not in row or row["faster"] >= floor.faster
    return {"floor": floor.words, "kept": fast and floor.answer(row["answers"])}


def rows(tasks: Sequence[str], peers: Sequence[str], settings: Settings, done: dict[str, Row]) -> Iterator[Row]:
    """Every row that is asked for, from `done` where it is there."""
    made = settings.cache.parent / "inputs"
    made.mkdir(parents=True, exist_ok=True)
    for name in tasks:
        for job in TASKS[name].jobs(made, not settings.timed):
            for peer in TASKS[name].peers:
                if peer not in peers:
                    continue
                key = record.digest([name, peer, job.label, settings.repeats, settings.timed, _versions()])
                if key not in done:
                    done[key] = {"key": key, **one_row(name, job, peer, settings)}
                yield done[key]


def line(row: Mapping[str, Any]) -> str:
    """One row for people."""
    head = f"{row['task']:<9} {row['peer']:<15} {row['input']:<42}"
    if row["absent"]:
        return f"{head} absent: {row['absent']}"
    told = ", ".join(f"{name} {_plain(value)}" for name, value in row["answers"].items())
    speed = f"{row['faster']:.1f} × as fast; " if "faster" in row else ""
    kept = {True: " [kept]", False: " [not kept]", None: ""}[row["kept"]]
    return f"{head} {speed}{told}{kept}"


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value)


def _versions() -> object:
    """Changes with what is compared: pinned peers, and our own code."""
    code = [record.file_hash(file) for file in sorted((HERE.parents[1] / "diversity").rglob("*.py"))]
    return [{name: peer.requirements for name, peer in PEERS.items()}, code]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", action="append", choices=TASKS, help="default: all")
    parser.add_argument("--peer", action="append", choices=[*PEERS, PAPER], help="default: all")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="where environments are kept")
    parser.add_argument("--fastdup", type=Path, help="an interpreter that has fastdup")
    parser.add_argument("--check", action="store_true", help="small inputs, once; nothing is timed or written")
    parser.add_argument("--fresh", action="store_true", help="forget the rows of a stopped benchmark")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print every row, keep the figures; 1 where a promise is not kept."""
    options = _parser().parse_args(arguments)
    settings = Settings(options.cache, max(options.repeats, 1), options.fastdup)
    if options.check:
        settings = Settings(options.cache, 1, options.fastdup, timed=False)
    stored = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.is_file() and not options.fresh else []
    done = {row["key"]: row for row in map(json.loads, filter(lambda text: text.endswith("}"), stored))}
    found: list[Row] = []
    for row in rows(options.task or list(TASKS), options.peer or [*PEERS, PAPER], settings, done):
        print(line(row), flush=True)
        found.append(row)
        if settings.timed:
            ROWS.parent.mkdir(parents=True, exist_ok=True)
            ROWS.write_text("".join(json.dumps(kept) + "\n" for kept in done.values()), encoding="utf-8")
    if settings.timed:
        write(found)
    missed = [row for row in found if row.get("kept") is False]
    if missed:
        print(f"{len(missed)} of {len(found)} promises are not kept.", file=sys.stderr)
    return 1 if missed else 0


def write(found: Sequence[Row]) -> None:
    """Keep the figures; rows of tasks and peers that were not run now stay as they were."""
    earlier: list[Row] = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.is_file() else []
    new = {(row["task"], row["peer"], row["input"]): row for row in found}
    kept = [new.pop((row["task"], row["peer"], row["input"]), row) for row in earlier]
    result = {"machine": machine(), "rows": [*kept, *new.values()]}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(RESULTS)
