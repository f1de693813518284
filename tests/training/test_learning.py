"""Sanity: the trainer does learn what it is shown, and the held-out losses see it (T18)."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from sets import curated, picture, select, small_set

from diversity import Dataset
from training.config import TrainConfig
from training.runs import Run
from training.train import train


def last(run: Run, measure: str) -> float:
    rows = run.read("metrics").filter(pl.col("measure") == measure).sort("step")
    return float(rows["value"][-1])


def learn(dataset: Dataset, base: Path) -> Run:
    """Hard enough to learn pictures by heart: many steps for few weights, everywhere in the UNet."""
    return train(
        dataset,
        TrainConfig.of(
            {
                "base": str(base),
                "device": "cpu",
                "steps": 150,
                "batch_size": 4,
                "lora": {"rank": 16, "targets": "all-linear", "conv_rank": 16},
                "optimiser": {"lr": 0.01},
                "loss": {"min_snr_gamma": None},
                "captions": {"dropout": 0, "shuffle": False},
                "data": {"held_out": 0.5},
                "validation": {"timesteps": 5, "noises": 2},
                "validate_every": 150,
                "save_every": 150,
            }
        ),
        fresh=True,
    )


def test_one_picture_is_learnt_and_another_one_is_not(tmp_path: Path, sd1_folder: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    for i in (1, 7):
        picture(i, (64, 64), root)
    dataset = curated(root, tmp_path / "workspace")
    select(dataset, [1.0, 1.0])
    run = learn(dataset, sd1_folder)
    assert last(run, "twins.delta") < -0.1  # at least 10 % better than the base on what it saw
    assert last(run, "gap") > 0.02


@pytest.mark.slow
def test_the_gap_of_a_varied_set_is_smaller(tmp_path: Path, sd1_folder: Path) -> None:
    varied = learn(small_set(tmp_path / "varied", 16, sizes=[(64, 64)]), sd1_folder)
    narrow = learn(small_set(tmp_path / "narrow", 2, sizes=[(64, 64)]), sd1_folder)
    assert last(varied, "gap") < last(narrow, "gap")
