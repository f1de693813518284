"""Grouped k-fold: one run per fold, each with another part of the pictures held out; what is finished is kept.

Not for one run (`train.py`), for who is held out (`split.py`), or for what the runs say together
(`evaluate/folded.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from diversity.dataset import Dataset
from diversity.progress import Progress, Silent
from training import base as bases
from training import runs, samples, session
from training.config import TrainConfig
from training.data import gather
from training.plan import decide
from training.runs import Run
from training.train import train


def train_folds(
    dataset: Dataset | str | Path,
    config: TrainConfig,
    count: int,
    *,
    fresh: bool = False,
    progress: Progress | None = None,
) -> tuple[Run, ...]:
    """Train `count` LoRAs, so that each picture is held out by one of them and trained on by the others.

    The same call after an interruption keeps the folds that are finished and goes on with the one that is not.

    Args:
        dataset: The pictures, curated.
        config: Of every run; its `data.fold` is set here.
        count: Folds, 2 or more.
        fresh: Train every fold anew.
        progress: Where to say what is done.

    Returns:
        The finished runs, first fold first.

    Raises:
        DiversityError: as `train`; or there are fewer groups of pictures than folds.
        KeyboardInterrupt: interrupted; finished folds are kept, and the present one's checkpoint.
    """
    dataset, report = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset), progress or Silent()
    parts = [
        config.model_copy(update={"data": config.data.model_copy(update={"fold": (number, count)})})
        for number in range(1, count + 1)
    ]
    known = [None] * count if fresh else list(_finished(dataset, parts))
    made = []
    for number, (part, done) in enumerate(zip(parts, known, strict=True), 1):
        report.note(f"Fold {number} of {count}{f': {done.id} is finished and kept' if done else ''}.")
        made.append(done or train(dataset, part, fresh=fresh, progress=progress))
    return tuple(made)


def _finished(dataset: Dataset, parts: list[TrainConfig]) -> Iterator[Run | None]:
    """For each fold the newest run of its identity, where that is finished and its LoRA is still there."""
    if not any(run.record.get("state") == "finished" for run in runs.every(dataset.folder)):
        yield from [None] * len(parts)
        return
    first, dtype = parts[0], session.precision_of(parts[0])
    base = bases.load(first.base, device=first.device, dtype=dtype, allow_download=first.allow_download)
    for part in parts:
        settled = samples.settled(part, base)
        data = gather(dataset, base, settled)
        identity = session.fingerprint(base, data, decide(data, settled))
        found = runs.newest(dataset.folder, identity)
        yield found if found and found.record.get("state") == "finished" and found.lora.is_file() else None
