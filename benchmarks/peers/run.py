"""Compare speed, memory and answers with installed peers, side by side in one run.

    python -m benchmarks.peers [--task hash …] [--peer apricot …] [--repeats 3]
    python -m benchmarks.peers --quick        pictures of the sample set alone, fewer repeats of what is slow
    python -m benchmarks.peers --check        small inputs, once, nothing timed and nothing written

Every run is a fresh process; files are read once before any; ours and the peer's alternate, and so does who begins.
Wall seconds leave imports and reading of vectors out on both sides and report them; loading a model is in them. A row
is kept in benchmarks/out/peers.jsonl as soon as it is done, and taken from there when the benchmark goes on after a
stop (`--fresh` forgets them); what was absent is asked again. Writes benchmarks/results/peers.json. See
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.peers import protocol
from benchmarks.peers.environments import PEERS, Absent, cache_folder, interpreters
from benchmarks.peers.inputs import Job
from benchmarks.peers.tasks import ALONE, DECODE, PAPER, TASKS, Floor, Task
from diversity import record

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "peers.json"
ROWS = HERE.parent / "out" / "peers.jsonl"
REPEATS = 3
PATIENCE = 60.0  # seconds of both sides after which --quick repeats no more
INSTALLING = 360.0  # seconds that --quick gives to all installations together
BESIDE = (PAPER, DECODE)  # what runs in this interpreter
COMPARED = ("duplicates.py", "machine.py", "strategies/rivals.py")  # besides what lies here
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How runs are made.

    Attributes:
        cache: Folder of the peers' environments.
        repeats: Runs of each side.
        pythons: Peer → its interpreter, or why there is none.
        timed: Whether seconds and memory are reported.
        quick: Whether pictures are the sample set's alone, and slow runs are repeated less.
        only: Inputs whose label holds this are run.
    """

    cache: Path
    repeats: int = REPEATS
    pythons: Mapping[str, Path | Absent] = field(default_factory=dict)
    timed: bool = True
    quick: bool = False
    only: str = ""

    @property
    def patience(self) -> float:
        """Seconds after which nothing is repeated."""
        return PATIENCE if self.quick else math.inf


def one_row(name: str, job: Job, peer: str, settings: Settings) -> Row:
    """Both sides on one input, alternating; a row that says why where the peer cannot answer."""
    task = TASKS[name]
    row: Row = {"task": name, "words": task.words, "peer": peer, "input": job.label, "machine": machine()}
    row["absent"] = task.absent.get(peer)
    if row["absent"]:
        return row
    if peer == ALONE:
        return alone_row(task, job, row, settings)
    python = None if peer in BESIDE else settings.pythons[peer]
    if isinstance(python, Absent):
        return {**row, "absent": str(python)}
    try:
        sides = alternate(task, job, peer, python, settings)
    except Absent as reason:
        return {**row, "absent": str(reason)}
    ours, theirs = sides
    found = task.compare(job, ours[0].found, theirs[0].found)
    row |= {"version": theirs[0].version, "answers": found}
    floor = task.floors.get(peer)
    if settings.timed:
        row |= {"repeats": len(ours), "ours": summary(ours), "theirs": summary(theirs)}
        row["faster"] = row["theirs"]["seconds"]["median"] / max(row["ours"]["seconds"]["median"], 1e-9)
        row["parts"] = parts(ours, theirs)
    return {**row, **promise(floor, row)}


def alone_row(task: Task, job: Job, row: Row, settings: Settings) -> Row:
    """Ours by itself; `row` says which task and input."""
    ours: list[protocol.Answer] = []
    protocol.warm(job.asked)
    while len(ours) < settings.repeats and sum(one.seconds for one in ours) < settings.patience:
        ours.append(_ours(task, job))
    found = {**row, "version": None, "answers": task.compare(job, ours[0].found, {})}
    if settings.timed:
        found |= {"repeats": len(ours), "ours": summary(ours), "parts": parts(ours, [])}
    return {**found, **promise(task.floors.get(ALONE), found)}


def alternate(
    task: Task, job: Job, peer: str, python: Path | None, settings: Settings
) -> tuple[list[protocol.Answer], list[protocol.Answer]]:
    """Runs of each side in turn, on files that were read before; every round another side begins.

    The peer begins the first, so that one that cannot answer costs nothing else.

    Raises:
        Absent: the peer fails, or ours does.
    """
    ours: list[protocol.Answer] = []
    theirs: list[protocol.Answer] = []
    protocol.warm(job.asked)
    while len(ours) < settings.repeats and sum(one.seconds for one in (*ours, *theirs)) < settings.patience:
        if len(ours) % 2:
            ours.append(_ours(task, job))
        theirs.append(protocol.run(task.peers[peer], job.asked, python))
        if len(ours) < len(theirs):
            ours.append(_ours(task, job))
    return ours, theirs


def _ours(task: Task, job: Job) -> protocol.Answer:
    try:
        return protocol.run(task.ours, job.asked)
    except Absent as reason:  # never the peer's fault
        raise RuntimeError(f"{task.ours} on {job.label}: {reason}") from None


def summary(answers: Sequence[protocol.Answer]) -> dict[str, Any]:
    """Median, least, largest and number of seconds, processor seconds, imports, reading and memory."""
    found: dict[str, Any] = {}
    for name in ("seconds", "cpu", "imports", "reading", "peak_mb"):
        values = [value for answer in answers if (value := getattr(answer, name)) is not None]
        if values:
            spread = {"median": statistics.median(values), "low": min(values), "high": max(values)}
            found[name] = {**spread, "n": len(values)}
    return found


def parts(ours: Sequence[protocol.Answer], theirs: Sequence[protocol.Answer]) -> dict[str, dict[str, float]]:
    """Part of the work that both time → median seconds of each side, and how many times as fast ours is."""
    found: dict[str, dict[str, float]] = {}
    for name in ours[0].found.get("parts", {}):
        sides = [[one.found["parts"][name] for one in side] for side in (ours, theirs) if side]
        medians = [statistics.median(side) for side in sides]
        found[name] = dict(zip(("ours", "theirs"), medians, strict=False))
        if theirs:
            found[name]["faster"] = medians[1] / max(medians[0], 1e-9)
    return found


def promise(floor: Floor | None, row: Mapping[str, Any]) -> dict[str, Any]:
    """The floor in words and whether it is kept; speed counts only where it was measured."""
    if floor is None:
        return {"floor": None, "kept": None}
    fast = floor.faster is None or "faster" not in row or row["faster"] >= floor.faster
    fast = fast and all("parts" not in row or row["parts"][name]["faster"] >= x for name, x in floor.parts.items())
    quick = floor.seconds is None or "ours" not in row or row["ours"]["seconds"]["median"] <= floor.seconds
    return {"floor": floor.words, "kept": fast and quick and floor.answer(row["answers"])}


def rows(tasks: Sequence[str], peers: Sequence[str], settings: Settings, done: dict[str, Row]) -> Iterator[Row]:
    """Every row that is asked for, from `done` where it is there and was answered."""
    made = settings.cache.parent / "inputs"
    made.mkdir(parents=True, exist_ok=True)
    for name in tasks:
        for job in TASKS[name].jobs(made, not settings.timed or (settings.quick and TASKS[name].pictures)):
            for peer in [*(TASKS[name].peers or [ALONE]), *TASKS[name].absent]:
                if peer not in peers or settings.only not in job.label:
                    continue
                how = [settings.repeats, settings.timed, settings.quick, str(settings.pythons.get(peer))]
                key = record.digest([name, peer, job.label, how, _versions()])
                if key not in done or done[key]["absent"]:
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


@cache
def _versions() -> object:
    """Changes with what is compared and where: pinned peers, adapters, inputs, our own code, machine, interpreter."""
    files = [*(HERE.parents[1] / "diversity").rglob("*.py"), *(HERE / "adapters").glob("*.py")]
    files += [*HERE.glob("*.py"), *(HERE.parent / name for name in COMPARED)]
    code = [record.file_hash(file) for file in sorted(files)]
    return [{name: peer.requirements for name, peer in PEERS.items()}, code, machine(), sys.executable]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", action="append", choices=TASKS, help="default: all")
    parser.add_argument("--peer", action="append", choices=[*PEERS, *BESIDE, ALONE], help="default: all")
    parser.add_argument("--input", default="", help="only inputs whose name holds this")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="where environments are kept")
    parser.add_argument("--fastdup", type=Path, help="an interpreter that has fastdup")
    parser.add_argument("--quick", action="store_true", help="the sample set alone, fewer repeats of what is slow")
    parser.add_argument("--check", action="store_true", help="small inputs, once; nothing is timed or written")
    parser.add_argument("--fresh", action="store_true", help="forget the rows of a stopped benchmark")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print every row, keep the figures; 1 where a promise is not kept."""
    options = _parser().parse_args(arguments)
    names, peers = options.task or list(TASKS), options.peer or [*PEERS, *BESIDE, ALONE]
    asked = [name for name in PEERS if name in peers and any(name in TASKS[task].peers for task in names)]
    pythons = interpreters(asked, options.cache, options.fastdup, INSTALLING if options.quick else math.inf)
    repeats = 1 if options.check else max(options.repeats, 1)
    settings = Settings(
        options.cache, repeats, pythons, timed=not options.check, quick=options.quick, only=options.input
    )
    stored = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.is_file() and not options.fresh else []
    done = {row["key"]: row for row in map(json.loads, filter(lambda text: text.endswith("}"), stored))}
    found: list[Row] = []
    for row in rows(names, peers, settings, done):
        print(line(row), flush=True)
        found.append(row)
        if settings.timed:
            ROWS.parent.mkdir(parents=True, exist_ok=True)
            answered = [json.dumps(kept) + "\n" for kept in done.values() if not kept["absent"]]
            ROWS.write_text("".join(answered), encoding="utf-8")
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
