"""`diversity report`: a set, a run, or many runs; which one is meant, and plain words where nothing is."""

from __future__ import annotations

import argparse
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from diversity.commands import report, stage
from diversity.errors import InputError
from training import runs


class Point:
    """An entry point that remembers what it was asked."""

    def __init__(self, asked: list[Any]) -> None:
        self.asked = asked

    def load(self) -> Any:
        return lambda what, out: (self.asked.append((what, out)), Path("page.html"))[1]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []

    def points(group: str, name: str) -> list[Point]:
        seen.append((group, name))
        return [Point(seen)]

    monkeypatch.setattr(metadata, "entry_points", points)
    monkeypatch.setattr(stage, "run", lambda name, options: seen.append(("stage", name, options.pictures)) or 0)
    return seen


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    report.arguments(parser, "report")
    return parser.parse_args(words)


def test_a_folder_of_pictures_goes_through_the_stages(tmp_path: Path, asked: list[Any]) -> None:
    assert report.run("report", options(str(tmp_path))) == 0
    assert asked == [("stage", "report", tmp_path)]


def test_a_run_is_its_folder_its_evaluation_or_an_id(
    tmp_path: Path, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text("{}")
    for what in (str(tmp_path), "20261122-id"):
        asked.clear()
        assert report.run("report", options(what, "--json", "--out", "x.html")) == 0
        assert asked == [("diversity.pages", "run"), (Path(what), Path("x.html"))]
        assert json.loads(capsys.readouterr().out) == {"page": "page.html"}
    (tmp_path / "run.json").rename(tmp_path / "evaluation.json")
    assert report.is_run(tmp_path)


def test_runs_need_no_folder_of_pictures(asked: list[Any]) -> None:
    report.run("report", options("--runs", "a", "b"))
    assert asked == [("diversity.pages", "runs"), (["a", "b"], None)]
    asked.clear()
    report.run("report", options("first", "--runs", "a", "b"))
    assert asked[1] == (["first", "a", "b"], None)


def test_a_folder_that_is_not_there_is_not_only_taken_for_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    point = Point([])
    point.load = lambda: lambda what, out: runs.find(str(what))  # what every page of a run begins with
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [point])
    with pytest.raises(InputError, match="neither a folder of pictures nor a run"):
        report.run("report", options("pcitures"))


def test_a_page_of_a_set_is_not_written_elsewhere_silently(tmp_path: Path, asked: list[Any]) -> None:
    with pytest.raises(InputError, match="Leave --out away"):
        report.run("report", options(str(tmp_path), "--out", "x.html"))
    assert asked == []


def test_nothing_is_told_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="nothing to report on"):
        report.run("report", options())
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [])
    with pytest.raises(InputError, match="not installed"):
        report.run("report", options("--runs", "a"))
