"""What a LoRA learns from each strategy's subset: ``python -m benchmarks.strategies --downstream [--limit N]``.

One row per LoRA is appended to results/downstream.jsonl in this folder; a call goes on where the last one stopped. All
strategies of one character come one after another, so that every stop leaves whole comparisons. Training, measuring and
ground truth are those of the richness ladder (`benchmarks.richness.bench`). Not for what the rows say:
`downstream_summary.py`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.richness import pool as pools
from benchmarks.richness import run as ladder
from benchmarks.richness.arms import Arm, Job, Material
from benchmarks.richness.bench import Bench
from benchmarks.richness.people import Toon
from benchmarks.richness.sets import Cast
from benchmarks.strategies import downstream_sets as sets
from benchmarks.strategies import suites
from benchmarks.strategies.run import LORAS
from diversity import workspace
from diversity.errors import SelectionError
from training import base as bases
from training import judges
from training.errors import TrainingError

WORK = suites.CACHE / "downstream"
BLOCK = "downstream"  # name of the file of rows


@dataclass(frozen=True)
class Downstream:
    """Makes rows: chooses, trains, measures.

    Attributes:
        bench: What all LoRAs are trained and measured with.
    """

    bench: Bench

    @cached_property
    def people(self) -> dict[str, tuple[int, Toon]]:
        """Name → number, which is the seed of draws and of training, and character."""
        return {who.name: (number, who) for number, who in enumerate(sets.characters())}

    def row(self, job: Job) -> dict[str, Any]:
        """The row of one LoRA, with what its subset is worth by labels.

        Raises:
            TrainingError: the strategy has no answer at this budget, or training fails.
        """
        number, who = self.people[job.character]
        folder = self.bench.folder
        pool = sets.pool_of(who, folder / "pools")
        items = sets.candidates(pool)
        ready = sets.prepared(who.name, items, folder / "pictures" / who.name)
        try:
            kept = sets.subset(ready, items, job.arm, number)
        except SelectionError as error:
            raise TrainingError(str(error)) from None
        sets.keep_only(kept, self.bench.set_folder(job))
        arm = Arm(job.arm, "subset", lambda own, _: Material(kept.items, sets.held_out(own), []))
        row = self.bench.made(job, arm, Cast(who, pool, pools.others(folder / "pools"), number))
        about = {"pool": sets.STRATEGIES[job.arm], "candidates": len(items), "judged": self.bench.judges is not None}
        return {**row, **about, "subset": kept.scores}

    @property
    def experiment(self) -> dict[str, Any]:
        """See `Bench.experiment`."""
        return self.bench.experiment


def planned() -> list[Job]:
    """All LoRAs in order: every strategy for one character, then for the next."""
    return [
        Job(f"{strategy}-{who.name}", BLOCK, strategy, who.name)
        for who in sets.characters()
        for strategy in sets.STRATEGIES
    ]


def rows() -> list[dict[str, Any]]:
    """All rows that are there, in the order of the plan.

    Raises:
        WorkspaceError: a line cannot be read.
    """
    known = ladder.done(LORAS)
    return [known[job.id] for job in planned() if job.id in known]


def judges_of(folder: Path | None) -> judges.Judges | None:
    """Those of `folder`; by default the embedded ones, None where there are none.

    Raises:
        JudgesError: `folder` was named and has none, or files are broken.
    """
    if folder is None and not (judges.FOLDER / judges.CONFIG).is_file():
        return None
    return judges.load(folder or judges.FOLDER)


def run(options: argparse.Namespace) -> None:
    """Make at most `options.limit` of the missing rows, or with `options.plan` tell which they are.

    Raises:
        DiversityError: there is no base model, or rows are of another one.
    """
    known = ladder.done(LORAS)
    if options.plan:
        print("\n".join(job.id for job in planned() if job.id not in known))
        return
    bases.load(options.base, device="cpu")  # a base that is not there is told before anything is drawn
    told = judges_of(options.judges)
    if told is None:
        print("There are no judges: of ground truth only the copies by pixels are told.")
    WORK.mkdir(parents=True, exist_ok=True)
    with workspace.locked(WORK):
        made = ladder.run(Downstream(Bench(options.base, told, WORK)), planned(), LORAS, options.limit)
    print(f"{made} new rows in {LORAS}")
