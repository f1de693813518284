"""Grouped k-fold: every picture is held out once, and nothing that is finished is trained twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from sets import small_set
from test_train import Hook, same, settings, weights

from diversity import Dataset
from training import runs
from training.config import TrainConfig
from training.folds import train_folds
from training.runs import Run

STEPS = 3


@pytest.fixture
def config(sd1_folder: Path) -> TrainConfig:
    return settings(sd1_folder, steps=STEPS, save_every=1)


def interrupted(dataset: Dataset, config: TrainConfig, after: int) -> Hook:
    """Train three folds and stop after that many steps in all; the hook that counted them."""

    def stop(step: int) -> None:
        if step == after:
            raise KeyboardInterrupt

    hook = Hook(stop)
    with pytest.raises(KeyboardInterrupt):
        train_folds(dataset, config, 3, progress=hook)
    return hook


def held_out(run: Run) -> set[str]:
    table = run.read("pictures")
    return set(table.filter(table["role"] == "held_out")["key"])


def test_interrupted_folds_go_on_where_they_were_and_finished_ones_are_kept(
    tmp_path: Path, config: TrainConfig
) -> None:
    dataset = small_set(tmp_path / "stopped", 6)
    interrupted(dataset, config, after=STEPS + 2)  # in the second fold
    first, second = runs.every(dataset.folder)
    assert [run.record["state"] for run in (first, second)] == ["finished", "interrupted"]
    before = first.lora.stat().st_mtime_ns
    hook = Hook()
    made = train_folds(dataset, config, 3, progress=hook)
    assert [run.id for run in made[:2]] == [first.id, second.id]
    assert first.lora.stat().st_mtime_ns == before
    assert hook.step == (STEPS - 1) + STEPS  # the last checkpoint of the second was after its first step
    assert f"Fold 1 of 3: {first.id} is finished and kept." in hook.said
    assert [run.record["state"] for run in made] == ["finished"] * 3
    whole = train_folds(small_set(tmp_path / "whole", 6), config, 3)
    assert all(same(weights(one), weights(other)) for one, other in zip(made, whole, strict=True))
    parts = [held_out(run) for run in made]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 6


def test_finished_folds_are_trained_again_only_if_gone_or_asked_for(tmp_path: Path, config: TrainConfig) -> None:
    dataset, config = small_set(tmp_path, 4), config.model_copy(update={"steps": 1})
    made = train_folds(dataset, config, 2)

    def steps(config: TrainConfig, *, fresh: bool = False) -> int:
        hook = Hook()
        train_folds(dataset, config, 2, fresh=fresh, progress=hook)
        return hook.step

    assert steps(config) == 0
    made[1].lora.unlink()  # what is not there any more cannot be kept
    assert steps(config) == 1
    assert steps(config, fresh=True) == 2
