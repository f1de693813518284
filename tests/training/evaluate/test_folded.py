"""Grouped k-fold from the command: each moment held out once, trained on otherwise, judged over all runs together."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sets import small_set

from diversity.dataset import Dataset
from diversity.errors import ConfigError, DiversityError, InputError
from training.commands import evaluate as evaluate_command
from training.commands import train as train_command
from training.config import TrainConfig
from training.evaluate.folded import evaluate_folds
from training.evaluate.loss_gap import LossGap, pool
from training.runs import Run, every
from training.split import fold

GROUPS = [0, 0, 2, 3, 4, 5]  # two pictures of one moment, four of moments of their own


@given(st.lists(st.integers(0, 6), min_size=2, max_size=24), st.integers(2, 5))
def test_every_picture_is_held_out_once_and_near_copies_stay_together(labels: list[int], k: int) -> None:
    contents = [f"c{i}" for i in range(len(labels))]
    groups = [(str(label),) for label in labels]
    if len(set(labels)) < k:
        with pytest.raises(ConfigError, match="cannot be made"):
            fold(contents, groups, (1, k))
        return
    parts = [fold(contents, groups, (i, k)) for i in range(1, k + 1)]
    assert sorted(row for part in parts for row in part.held_out) == list(range(len(labels)))
    for part in parts:
        assert part.train
        assert part.held_out
        assert not {labels[row] for row in part.held_out} & {labels[row] for row in part.train}
        assert set(part.twins) <= set(part.train)
    backwards = fold(contents[::-1], groups[::-1], (1, k))
    assert {contents[::-1][row] for row in backwards.held_out} == {contents[row] for row in parts[0].held_out}


@pytest.mark.parametrize("wrong", [(0, 3), (4, 3), (1, 1)])
def test_a_part_that_is_none_is_refused(wrong: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"data\.fold"):
        TrainConfig.load(None, {"data.fold": wrong})


def test_folds_that_cannot_be_are_refused() -> None:
    parser = argparse.ArgumentParser()
    train_command.arguments(parser, "train")
    for words in (["--folds", "1"], ["--folds", "-2"], ["--folds", "3", "--resume", "x"]):
        with pytest.raises(ConfigError, match="--folds takes"):
            train_command._folds(parser.parse_args(["pictures", *words]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, sd1_folder: Path) -> tuple[Dataset, list[Run], Path]:
    """Three folds, trained for a step each by the command."""
    dataset = small_set(tmp_path_factory.mktemp("set"), len(GROUPS), groups=GROUPS)
    parser = argparse.ArgumentParser()
    train_command.arguments(parser, "train")
    words = [str(dataset.root), "--workspace", str(dataset.folder), "--base", str(sd1_folder), "--steps", "1"]
    words += ["--rank", "2", "--batch-size", "2", "--device", "cpu", "--folds", "3", "--quiet", "--json"]
    words += ["--set", "data.bucket_step=16", "--set", "captions.variants=1", "--set", "validation.timesteps=3"]
    assert train_command.run("train", parser.parse_args(words)) == 0
    return dataset, every(dataset.folder), sd1_folder


def test_the_command_trains_one_lora_for_each_fold(trained: tuple[Dataset, list[Run], Path]) -> None:
    _, found, _ = trained
    tables = [run.read("pictures") for run in found]
    held = Counter(row["key"] for table in tables for row in table.iter_rows(named=True) if row["role"] == "held_out")
    assert set(held.values()) == {1}
    assert len(held) == len(GROUPS)
    assert len({run.record["fingerprint"] for run in found}) == 3


def test_evaluate_judges_several_runs_together(
    trained: tuple[Dataset, list[Run], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, found, _ = trained
    parser = argparse.ArgumentParser()
    evaluate_command.arguments(parser, "evaluate")
    words = [*(str(run.folder) for run in found), "--set", "timesteps=3", "--device", "cpu", "--quiet", "--json"]
    assert evaluate_command.run("evaluate", parser.parse_args(words)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["groups"] == 5  # moments, not pictures
    assert told["verdict"] in ("overfit", "gap", "no gap")
    by_name = {row["measure"]: row for row in told["scores"]}
    assert set(by_name) == {"loss.train", "loss.held_out", "loss.gap"}
    difference = by_name["loss.held_out"]["value"] - by_name["loss.train"]["value"]
    assert by_name["loss.gap"]["value"] == pytest.approx(difference, abs=1e-9)
    assert by_name["loss.gap"]["low"] <= by_name["loss.gap"]["value"] <= by_name["loss.gap"]["high"]
    assert (Path(told["folder"]) / "scores.parquet").is_file()
    assert Path(told["folder"]).parent == dataset.folder / "evaluations"
    with pytest.raises(InputError, match="of their own"):
        evaluate_command.run("evaluate", parser.parse_args([*words, "--held-out", str(dataset.root)]))


def test_runs_that_are_no_folds_of_one_set_are_refused(trained: tuple[Dataset, list[Run], Path]) -> None:
    _, found, _ = trained
    other = Run(found[1].folder)
    other.record["settings"]["steps"] = 99
    with pytest.raises(DiversityError, match="not folds of one set"):
        evaluate_folds([found[0], other], None, None, None)  # type: ignore[arg-type] - refused before they are used


def gap_of(held: dict[str, float], train: dict[str, float]) -> LossGap:
    made = LossGap.__new__(LossGap)
    for name, value in (("held_out_groups", held), ("train_groups", train)):
        object.__setattr__(made, name, value)
    return made


def test_a_moment_that_several_runs_held_out_counts_once_with_its_mean() -> None:
    """Runs of several seeds may hold the same moment out."""
    parts = [gap_of({"a": 0.4, "b": 0.1}, {"c": 0.0}), gap_of({"a": 0.2}, {"b": 0.0, "c": 0.0})]
    parts.append(gap_of({"c": 0.3}, {"a": 0.1, "b": -0.1}))
    found = pool(parts)
    assert found.n == 3
    assert found.value == pytest.approx(((0.3 - 0.1) + (0.1 + 0.05) + (0.3 - 0.0)) / 3)
