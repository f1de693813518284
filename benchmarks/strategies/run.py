"""Compare curation strategies with labels that none of them sees.

    python -m benchmarks.strategies                          every suite whose data is there
    python -m benchmarks.strategies --suite kaykit           a part: its figures stay below benchmarks/out
    python -m benchmarks.strategies FOLDER [--labels CSV]    your own pictures
    python -m benchmarks.strategies --downstream [--limit N] [--plan]    a LoRA on each subset; hours

One run at a time is appended to benchmarks/out/strategies/<suite>.jsonl, so that a stopped benchmark goes on where it
was; runs are repeated when pictures, labels or code change. Writes benchmarks/results/strategies.json and one page,
benchmarks/out/strategies/strategies.html (for a folder: both under benchmarks/out/strategies/<folder>; for a part of
the benchmark, which must not stand for the whole: under benchmarks/out/strategies/part). See docs/strategies.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.strategies import page, suites
from benchmarks.strategies.prepare import Prepared, prepare
from benchmarks.strategies.summary import LEVEL, summarise
from benchmarks.strategies.table import TABLE
from benchmarks.strategies.truth import read_labels
from diversity import record
from diversity.errors import DiversityError, InputError

RESULTS = Path(__file__).parents[1] / "results" / "strategies.json"
LORAS = Path(__file__).parent / "results"  # a line each
SEEDS = 10
CHOSEN = ("select/*.py", "richness.py", "coverage.py", "rarefaction.py")  # below diversity/: what chooses and scores
SAME = ("only", "budgets", "seeds", "model", "captions")  # options that the committed figures leave as they are
JUDGED = ("rivals.py", "truth.py", "prepare.py", "other_encoder.py")
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What is run.

    Attributes:
        strategies: Names of `TABLE`.
        seeds: Draws of strategies that draw.
        model: Encoder that strategies see.
        captions: Whether captions may tell views.
    """

    strategies: tuple[str, ...]
    seeds: int = SEEDS
    model: str = "toon"
    captions: bool = False


@dataclass
class Log:
    """Runs that were done, in a file of one JSON object a line.

    Attributes:
        file: Where they are appended.
        rows: Key of a run → its row.
        torn: Whether the file ends within a line.
    """

    file: Path
    rows: dict[str, Row] = field(default_factory=dict)
    torn: bool = False

    @classmethod
    def read(cls, file: Path) -> Log:
        """What is there; a last line that a killed run left half-written is passed over, and repeated."""
        log = cls(file)
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            log.torn = bool(text) and not text.endswith("\n")
            for line in text.splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                log.rows[row["key"]] = row
        return log

    def add(self, row: Row) -> None:
        """Append one row and flush it."""
        self.rows[row["key"]] = row
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as handle:
            handle.write("\n" * self.torn + json.dumps(row) + "\n")
        self.torn = False


def runs(prepared: Prepared, budgets: Sequence[int], settings: Settings) -> Iterator[tuple[str, str, int, int]]:
    """(strategy, pool, budget, seed) of everything that is to be run on one set."""
    for name in settings.strategies:
        row = TABLE[name]
        for pool in row.pools:
            for budget in budgets:
                for seed in range(settings.seeds if row.draws else 1):
                    yield name, pool, budget, seed


def one_run(prepared: Prepared, name: str, pool: str, budget: int, seed: int) -> tuple[dict[str, Any], str | None]:
    """Scores of one choice, or why there is none."""
    start = time.process_time()
    try:
        picks = TABLE[name].pick(prepared.pools[pool], budget, seed=seed).order
    except DiversityError as error:
        return {}, str(error)
    seconds = time.process_time() - start
    scores = prepared.judge.scores(prepared.rows[pool][picks], budget)
    return {**scores, "cpu": seconds, "kept": len(picks)}, None


def run_set(one: suites.LabelledSet, suite: str, budgets: Sequence[int], settings: Settings, log: Log) -> list[Row]:
    """Every run of one set, those that `log` has taken from it."""
    prepared = prepare(one, suite, model=settings.model, captions=settings.captions)
    common = {"suite": suite, "set": one.name, "encoder": prepared.encoder, "judged_by": prepared.judged_by}
    code, done, warm = _code(), [], set[str]()
    for name, pool, budget, seed in runs(prepared, budgets, settings):
        key = record.digest([one.name, prepared.digest, code, name, pool, budget, seed])
        if key not in log.rows:
            if name not in warm:  # imports and first calls are not what a strategy costs
                one_run(prepared, name, pool, budget, seed)
                warm.add(name)
            scores, problem = one_run(prepared, name, pool, budget, seed)
            said = {"strategy": name, "pool": pool, "budget": budget, "seed": seed}
            log.add({"key": key, **common, **said, "scores": scores, "problem": problem})
        done.append(log.rows[key])
    return done


def run_suite(name: str, suite: suites.Suite, settings: Settings, place: Path) -> dict[str, Any] | None:
    """The summary of one suite; None where its data is absent."""
    sets = suite.sets()
    if not sets:
        print(f"{name}: absent")
        return None
    log, rows = Log.read(place / f"{name}.jsonl"), list[Row]()
    for one in sets:
        before = len(log.rows)
        found = run_set(one, name, suite.budgets, settings, log)
        rows += found
        print(f"{name}/{one.name}: {len(found)} runs, {len(log.rows) - before} new", flush=True)
    return {
        "name": name,
        "words": suite.words,
        "sets": [one.name for one in sets],
        "budgets": list(suite.budgets),
        "encoder": rows[0]["encoder"],
        "judged_by": rows[0]["judged_by"],
        "captions": settings.captions,
        "seeds": settings.seeds,
        "machine": machine(),
        "rows": summarise(rows),
    }


def write(results: Iterable[dict[str, Any]], file: Path, html: Path, loras: Mapping[str, Any] | None = None) -> None:
    """Keep the figures and the page; suites that were not run now stay as they were.

    Args:
        results: Of `run_suite`.
        file: Of the figures.
        html: The page.
        loras: `downstream_summary.summarise`.
    """
    earlier: list[dict[str, Any]] = []
    if file.is_file():
        earlier = json.loads(file.read_text(encoding="utf-8"))["suites"]
    new = {result["name"]: result for result in results}
    kept = [new.pop(result["name"], result) for result in earlier]
    result: dict[str, Any] = {"level": LEVEL, "suites": [*kept, *new.values()]}
    if loras is not None:
        result["downstream"] = loras
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    page.write(result, html)
    print(f"{file}\n{html}")


def _code() -> str:
    """Changes with the code that chooses and judges."""
    here = Path(__file__).parent
    files = [file for pattern in CHOSEN for file in (here.parents[1] / "diversity").glob(pattern)]
    files += [here / name for name in JUDGED]
    return record.digest([record.file_hash(file) for file in sorted(files)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.strategies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", help="pictures of your own")
    parser.add_argument("--suite", action="append", choices=suites.SUITES, help="default: all")
    parser.add_argument("--labels", type=Path, help="CSV with `file` and the columns below; without it nothing is true")
    parser.add_argument("--view", nargs="+", default=["framing", "side"], help="columns that make a view")
    parser.add_argument("--cell", nargs="*", default=["pose", "background"], help="columns that make a cell besides")
    parser.add_argument("--group", default="dup_group", help="column that near-copies share")
    parser.add_argument("--only", nargs="+", metavar="STRATEGY", default=list(TABLE), help=", ".join(TABLE))
    parser.add_argument("--budgets", type=int, nargs="+", default=[], help="pictures to keep")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--model", default="toon", help="encoder that strategies see")
    parser.add_argument("--captions", action="store_true", help="let captions tell the views")
    loras = parser.add_argument_group("downstream")
    loras.add_argument("--downstream", action="store_true", help="train and measure a LoRA on each subset instead")
    loras.add_argument("--plan", action="store_true", help="print which LoRAs are missing, and stop")
    loras.add_argument("--limit", type=int, help="most LoRAs to make in this call")
    loras.add_argument("--base", default="toon", help="base model: toon, or a folder")
    loras.add_argument("--judges", type=Path, help="folder of judges; default: the embedded ones, where they are")
    return parser


def _wanted(options: argparse.Namespace) -> tuple[dict[str, suites.Suite], Path, Path]:
    """Suites to run, where their rows go, and the file of figures."""
    if options.folder is not None:
        labels = None
        if options.labels is not None:
            labels = read_labels(options.labels, options.view, options.cell, options.group)
        one = suites.of_folder(options.folder, labels, options.budgets)
        place = suites.CACHE / one.words
        return {one.words: one}, place, place / "strategies.json"
    names = options.suite or list(suites.SUITES)
    found = {}
    for name in names:
        suite = suites.SUITES[name]
        found[name] = suites.Suite(suite.words, suite.sets, tuple(options.budgets) or suite.budgets)
    file = suites.CACHE / "part" / "strategies.json" if _is_part(options) else RESULTS
    return found, suites.CACHE, file


def _is_part(options: argparse.Namespace) -> bool:
    """Whether settings differ from those of the committed figures, or suites from those of `python -m benchmarks`."""
    plain = _parser().parse_args([])
    changed = any(getattr(options, name) != getattr(plain, name) for name in SAME)
    return changed or set(options.suite or suites.SUITES) not in ({*suites.SUITES}, {*suites.SHORT})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print where the answers are; 2 on an error that the user can mend."""
    options = _parser().parse_args(arguments)
    try:
        unknown = [name for name in options.only if name not in TABLE]
        if unknown or options.seeds < 1 or min(options.budgets, default=1) < 1:
            raise InputError("These runs cannot be made.", f"Strategies are {', '.join(TABLE)}; numbers start at 1.")
        if options.downstream:
            return _downstream(options)
        chosen, place, file = _wanted(options)
        settings = Settings(tuple(options.only), options.seeds, options.model, options.captions)
        results = [run_suite(name, suite, settings, place) for name, suite in chosen.items()]
    except DiversityError as error:
        print(error, file=sys.stderr)
        return 2
    told = [result for result in results if result]
    if file == RESULTS:
        write(told, file, suites.CACHE / "strategies.html", _loras())
        return 0
    if options.folder is None:
        file.unlink(missing_ok=True)  # parts of other settings are not to be mixed
        print(f"A part of the benchmark: {RESULTS.relative_to(suites.ROOT)} stays as it is.")
    write(told, file, file.with_suffix(".html"))
    return 0


def _downstream(options: argparse.Namespace) -> int:
    from benchmarks.strategies import downstream

    downstream.run(options)
    if not options.plan:
        write([], RESULTS, suites.CACHE / "strategies.html", _loras())
    return 0


def _loras() -> dict[str, Any] | None:
    """What is known of LoRAs; None where none was trained."""
    if not any(LORAS.glob("*.jsonl")):
        return None
    from benchmarks.strategies import downstream
    from benchmarks.strategies.downstream_summary import summarise as summarise_loras

    return summarise_loras(downstream.rows(), len(downstream.planned()))
