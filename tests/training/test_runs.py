"""Runs are found, listed, shown and compared."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sets import small_set

from diversity.errors import InputError
from training import runs
from training.commands import runs as command
from training.config import TrainConfig
from training.data import TrainingData
from training.errors import TrainingError
from training.plan import Plan
from training.runs import Run
from training.session import open_run


def made(parent: Path, name: str = "default", **record: object) -> Run:
    return Run.create(parent, name, {"fingerprint": "f", "settings": {"steps": 10, "seed": 0}, **record})


def test_a_run_is_found_by_folder_by_file_by_id_and_by_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(tmp_path / "_diversity" / "pictures")
    monkeypatch.chdir(tmp_path)
    for text in (run.folder, run.folder / "run.json", run.id, run.id[:12]):
        assert runs.find(text).folder == run.folder
    made(tmp_path / "_diversity" / "others")
    with pytest.raises(InputError, match="2 runs begin"):
        runs.find(run.id[:8])
    with pytest.raises(InputError, match="no run 'nothing'"):
        runs.find("nothing")


def test_two_runs_of_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    ids = {made(tmp_path).id for _ in range(3)}
    assert len(ids) == 3
    assert {run.id for run in runs.every(tmp_path)} == ids


def test_an_unreadable_record_does_not_hide_the_others(tmp_path: Path) -> None:
    run, other = made(tmp_path), made(tmp_path)
    (other.folder / "run.json").write_text("{")
    assert [one.id for one in runs.every(tmp_path)] == [run.id]


def test_only_an_unfinished_run_with_the_same_fingerprint_goes_on(tmp_path: Path) -> None:
    assert runs.unfinished(tmp_path, "f") is None
    run = made(tmp_path)
    found = runs.unfinished(tmp_path, "f")
    assert found is not None
    assert found.id == run.id
    assert runs.unfinished(tmp_path, "g") is None
    run.update(state="finished")
    assert runs.unfinished(tmp_path, "f") is None


def test_differences_name_what_differs_and_nothing_else(tmp_path: Path) -> None:
    one = made(tmp_path, data={"digest": "a", "train": 8}, result={"loss": 0.5})
    other = made(tmp_path, data={"digest": "a", "train": 9}, result={"loss": 0.25})
    assert runs.differences([one, other]) == {"data.train": [8, 9], "result.loss": [0.5, 0.25]}


def test_the_names_of_people_survive(tmp_path: Path) -> None:
    run = made(tmp_path, "写真/1: a", note="ünïcode ✓")
    assert "写真" in run.id
    assert "/" not in run.id
    assert "写真" in runs.find(run.folder).id
    assert "✓" in (run.folder / "run.json").read_text(encoding="utf-8")


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    parser = argparse.ArgumentParser()
    command.arguments(parser, "runs")
    assert command.run("runs", parser.parse_args(words)) == 0
    return capsys.readouterr().out


def test_the_command_lists_shows_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures, space = tmp_path / "pictures", tmp_path / "_diversity" / "pictures"
    pictures.mkdir()
    assert "No runs yet" in said(["list", str(pictures)], capsys)
    sentence = "33 % better than the base on pictures it saw, 9 % worse than the base on pictures it did not"
    result = {"loss": 0.5, "held_out.loss": 0.125, "sentence": sentence}
    one = made(space, base={"name": "toon"}, reasons=["100 exposures each"], result=result)
    other = made(space, base={"name": "tiny"}, result={"loss": 0.25})
    (space / "diversity-workspace.json").write_text(json.dumps({"version": 1, "pictures": ""}))
    listed = said(["list", str(pictures)], capsys)
    assert one.id in listed
    assert "tiny" in listed
    assert "0.125" in listed  # the loss of held-out pictures
    assert sentence in listed  # the end of it is what matters
    shown = said(["show", str(one.folder)], capsys)
    assert "because   100 exposures each" in shown
    assert sentence in shown
    compared = said(["compare", one.id, other.id, "--pictures", str(pictures)], capsys)
    assert "base.name" in compared
    assert "seed" not in compared
    as_json = json.loads(said(["compare", str(one.folder), str(other.folder), "--json"], capsys))
    assert as_json["result.loss"][one.id] == 0.5
    with pytest.raises(InputError, match="only one run"):
        said(["compare", str(one.folder)], capsys)


def base_of(fingerprint: str = "w", schedule: str = "s") -> Any:
    """What a run remembers of a base model."""
    return SimpleNamespace(
        name="tiny",
        family="sd1",
        prediction_type="epsilon",
        device="cpu",
        fingerprint=fingerprint,
        schedule=schedule,
    )


def test_a_run_goes_on_only_with_its_weights_and_its_noise_schedule(tmp_path: Path) -> None:
    dataset = small_set(tmp_path, 2)
    data, plan = TrainingData((), (), (), 10**6), Plan(TrainConfig(steps=3), ())

    def opened(base: Any, resume: Run | None = None) -> Run:
        return open_run(dataset, base, data, plan, resume=resume, fresh=False)

    run = opened(base_of())
    assert opened(base_of()).id == run.id  # interrupted: the same one goes on
    assert opened(base_of(), run).id == run.id
    for other, told in ((base_of(schedule="v"), "noise schedule"), (base_of(fingerprint="x"), "weights are others")):
        assert runs.other_base(run, other)
        with pytest.raises(TrainingError, match=told):
            opened(other, run)
    assert opened(base_of(schedule="v")).id != run.id  # by itself, a new one begins
    run.update(step=3)
    assert opened(base_of(), run).id == run.id
    run.update(step=4)
    with pytest.raises(TrainingError, match="4 steps already"):
        opened(base_of(), run)
    old = Run(run.folder)
    del old.record["base"]["schedule"]
    assert not runs.other_base(old, base_of(schedule="v"))  # it was not remembered then
    assert runs.other_base(old, base_of(fingerprint="x"))
