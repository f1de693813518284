"""Held-out pictures from a folder of one's own: measured on for any LoRA, never those that were trained on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import toys
from sets import curated, picture, small_set

from diversity.dataset import Dataset
from diversity.errors import InputError
from diversity.progress import Silent
from training.config import TrainConfig
from training.evaluate import apart, features
from training.evaluate.run import Evaluated, Options, evaluate_file, evaluate_run
from training.runs import Run
from training.train import train

World = tuple[Dataset, Run]
SETTINGS = toys.QUICK.model_copy(update={"weights": (), "keyword_weights": (), "checkpoints": 1})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sd1_folder: Path) -> World:
    """A run that held nothing out."""
    dataset = small_set(tmp_path_factory.mktemp("set"), 6)
    settings = {"base": str(sd1_folder), "steps": 1, "batch_size": 2, "device": "cpu", "lora.rank": 2, "resolution": 64}
    settings |= {"data.held_out": 0.0, "data.bucket_step": 16, "captions.variants": 1, "captions.trigger": "girl"}
    return dataset, train(dataset, TrainConfig.load(None, settings))


@pytest.fixture
def evaluate(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Evaluated]:
    """Evaluate the run, or its file, with a toy encoder and tables that take no scan."""
    dataset, run = world
    monkeypatch.setattr(features, "in_use", lambda config: toys.Toy())

    def tables(self: Dataset, *stages: str, **more: object) -> Dataset:
        if self.root != dataset.root:
            curated(self.root, self.folder)
        return self

    monkeypatch.setattr(Dataset, "run", tables)

    def call(held_out: Path | None, *, as_file: bool = False) -> Evaluated:
        options = Options(settings=SETTINGS, held_out=held_out)
        if as_file:
            asked = replace(options, base=run.record["base"]["name"], trigger="girl")
            return evaluate_file(run.lora, dataset, asked, Silent())
        return evaluate_run(run, options, Silent())

    return call


@pytest.fixture
def unseen(tmp_path: Path, world: World) -> Path:
    """Five pictures that were not trained on, under names that the set has too, and one that was."""
    folder = tmp_path / "unseen"
    folder.mkdir()
    for i in range(30, 35):
        path = picture(i, (64, 64), folder)
        path.with_suffix(".txt").write_text("the girl, smile")
        path.rename(folder / f"{i - 30:03d}.png")
        path.with_suffix(".txt").rename(folder / f"{i - 30:03d}.txt")
    shutil.copyfile(world[0].root / "000.png", folder / "copy.png")
    return folder


def groups(found: Evaluated, measure: str) -> set[int]:
    return {row["n"] for row in found.scores if row["measure"] == measure}


@pytest.mark.parametrize("as_file", [False, True])
def test_a_lora_is_measured_on_the_pictures_of_the_folder(
    evaluate: Callable[..., Evaluated], unseen: Path, as_file: bool
) -> None:
    assert "loss.gap" not in {row["measure"] for row in evaluate(None, as_file=as_file).scores}
    found = evaluate(unseen, as_file=as_file)
    assert groups(found, "loss.held_out") == {5}
    real = pl.read_parquet(Path(found.folder) / "real.parquet").filter(pl.col("role") == "held_out")
    assert sorted(real["name"]) == [f"{i:03d}.png" for i in range(5)]
    assert all(caption == "girl, the girl, smile" or as_file for caption in real["caption"])


def test_pictures_that_were_trained_on_are_left_out_and_said(
    world: World, evaluate: Callable[..., Evaluated], unseen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="is what was trained on"):
        evaluate(world[0].root)
    only = tmp_path / "only"
    only.mkdir()
    shutil.copyfile(world[0].root / "001.png", only / "x.png")
    with pytest.raises(InputError, match="was trained on"):
        evaluate(only)


def test_a_near_copy_by_hash_counts_as_seen() -> None:
    trained = np.array([0b1111_0000, 2**63], np.uint64)
    assert apart._near(0b1111_0011, trained)
    assert not apart._near(0b0000_1111, trained)
    assert not apart._near(5, np.array([], np.uint64))
