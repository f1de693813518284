"""Several runs of one set, each with other pictures held out, judged as one: grouped k-fold for sets that are too small
to spare four moments.

Not for what a LoRA draws: that is a single run's evaluation (`run.py`). Not for the formulas: `loss_gap.pool` has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from diversity import workspace
from diversity.errors import InputError, WorkspaceError
from training import lora
from training.config import TrainConfig
from training.evaluate import sources, store
from training.evaluate.estimate import Estimate, mean
from training.evaluate.lora import Tools, loss_gaps
from training.evaluate.loss_gap import LEAST_GROUPS, LossGap, judged, pool, words_of
from training.evaluate.rows import Rows
from training.evaluate.sets import EvaluationSets
from training.evaluate.settings import EvaluateSettings

if TYPE_CHECKING:
    from diversity.progress import Progress
    from training.base import Base
    from training.runs import Run

HELD_OUT = "held_out"
VERDICTS = {
    "overfit": "Overfitted",
    "gap": "Fitted to its pictures, but held-out ones gain too",
    "no gap": "No sign of overfitting",
    "too few groups": f"No verdict, with fewer than {LEAST_GROUPS} moments held out in all",
}


@dataclass(frozen=True)
class Folded:
    """The answer, for a terminal or as JSON.

    Attributes:
        runs: Their ids.
        folder: The tables.
        verdict: "overfit", "gap", "no gap" or "too few groups".
        headline: One sentence.
        groups: Moments that were held out by a run and trained on by another.
        notes: What a person should know.
        scores: The rows of `scores.parquet`.
    """

    runs: tuple[str, ...]
    folder: str
    verdict: str
    headline: str
    groups: int
    notes: tuple[str, ...]
    scores: list[dict[str, Any]]

    def text(self) -> str:
        """For a terminal."""
        lines = [self.headline, *(f"  - {note}" for note in self.notes), "", f"tables {self.folder}"]
        return "\n".join(lines)


def evaluate_folds(found: Sequence[Run], base: Base, settings: EvaluateSettings, progress: Progress) -> Folded:
    """The loss gap over several runs: every moment's loss while held out against its loss while trained on.

    All pictures are measured, whatever `settings.pictures` says: a moment must be known from both sides.

    Args:
        found: Runs of one set on one base, each with other pictures held out.
        base: That base.
        settings: Of the loss grid.
        progress: Of the losses.

    Raises:
        InputError: the runs are of different sets or settings, or one held nothing out.
        WorkspaceError: one has no LoRA.
    """
    _check(found)
    gaps = [_gap(run, base, settings, progress) for run in found]
    names = sorted({name for gap in gaps for name in gap.held_out_groups})
    both = [name for name in names if any(name in gap.train_groups for gap in gaps)]
    held = mean(np.array([_mean(gaps, name, "held_out_groups") for name in both]), "groups")
    trained = mean(np.array([_mean(gaps, name, "train_groups") for name in both]), "groups")
    between = pool(gaps)
    verdict = judged(between, held)
    rows = Rows()
    for name, value in (("train", trained), ("held_out", held), ("gap", between)):
        rows.add(f"loss.{name}", value, set="folds", runs=[run.id for run in found])
    folder = found[0].folder.parents[1] / "evaluations" / _name(found)
    frame = rows.frame()
    store.table(folder, "scores", frame)
    workspace.write_text(folder / "scores.csv", frame.write_csv())
    notes = list(rows.notes)
    if len(both) < len(names):
        notes.append(f"{len(names) - len(both)} moments were held out by every run that knows them: left out.")
    headline = f"{VERDICTS[verdict]}: {_sentence(trained, held)} ({len(both)} moments, {len(found)} LoRAs)."
    return Folded(
        tuple(run.id for run in found), str(folder), verdict, headline, len(both), tuple(notes), frame.to_dicts()
    )


def _check(found: Sequence[Run]) -> None:
    for run in found:
        if not run.lora.is_file():
            raise WorkspaceError(f"{run.id} has no LoRA yet.", f"There is no {run.lora.name} in it.", "Let it finish.")
    asked = [_asked(run) for run in found]
    if len({run.folder.parents[1] for run in found}) > 1 or any(one != asked[0] for one in asked):
        raise InputError(
            "These runs are not folds of one set.",
            "They must be of one set, selection and base, with equal settings but for what is held out and the seed.",
            "`diversity train PICTURES --folds 4` makes them; to compare other runs: `diversity report --runs A B`.",
        )


def _asked(run: Run) -> dict[str, Any]:
    """What must be the same in all of them."""
    config = TrainConfig.of(run.record.get("settings", {}))
    data = config.data.model_copy(update={"fold": None, "held_out": 0.0})
    shape = config.lora.model_copy(update={"seed": 0})
    same = config.model_copy(update={"data": data, "lora": shape, "seed": 0, "device": "auto", "memory_gb": None})
    base = run.record.get("base", {})
    return {"settings": same.model_dump(mode="json"), "base": (base.get("fingerprint"), base.get("schedule"))}


def _gap(run: Run, base: Base, settings: EvaluateSettings, progress: Progress) -> LossGap:
    pictures = sources.of_run(run, base)
    if pictures.held_out is None:
        raise InputError(f"{run.id} held no pictures out.", "", "Train it with --folds, or with data.held_out above 0.")
    sets = EvaluationSets(pictures.train, {HELD_OUT: pictures.held_out}, None, (), pictures.trigger)
    adapter = lora.load(base, run.lora, name=f"fold-{run.id}")
    every = settings.model_copy(update={"pictures": max(len(pictures.train), len(pictures.held_out))})
    tools = Tools(cache=pictures.dataset.folder / "cache" / "evaluation", progress=progress)
    return loss_gaps(base, adapter, sets, every, tools)[HELD_OUT]


def _mean(gaps: Sequence[LossGap], name: str, side: str) -> float:
    return float(np.mean([getattr(gap, side)[name] for gap in gaps if name in getattr(gap, side)]))


def _sentence(trained: Estimate, held: Estimate) -> str:
    return f"{words_of(trained.value)} on pictures while trained on, {words_of(held.value)} on the same while held out"


def _name(found: Sequence[Run]) -> str:
    digest = hashlib.blake2b("\n".join(sorted(run.id for run in found)).encode(), digest_size=4)
    return f"folds-{digest.hexdigest()}"
