"""Lists that people bring: any spreadsheet's CSV, any way of writing a path, and only what a line can mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_decisions import Set

from diversity import decision_lists, decisions, taxonomy, views
from diversity.cli import main
from diversity.listed import Finder, read_csv

PINNED = {("a.png", "pin", ""), ("sub/c.png", "label", "side=back")}


@pytest.fixture
def some(tmp_path: Path) -> Set:
    return Set(tmp_path / "set", {"a.png": "A", "b.png": "B", "sub/c.png": "C", "side=back.jpg": "D"})


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("first", ["", "sep={}\n"])
def test_a_list_may_come_from_any_spreadsheet(
    first: str, encoding: str, separator: str, some: Set, tmp_path: Path
) -> None:
    lines = ["Path, What ,VALUE", "a.png,pin,", ",,", "sub/c.png ,Label, side=back "]
    text = first.format(separator) + "\r\n".join(line.replace(",", separator) for line in lines)
    (tmp_path / "list.csv").write_bytes(text.encode(encoding))
    assert decision_lists.read(some.dataset, tmp_path / "list.csv").added == 2
    assert some.stands() == PINNED


def test_a_list_may_hold_whole_paths_other_slashes_and_spaces(some: Set, tmp_path: Path) -> None:
    root = some.dataset.root
    (tmp_path / "list.csv").write_text(f"path,what,value\n {root}/a.png ,pin,\nsub\\c.png,label,side=back\n")
    decision_lists.read(some.dataset, tmp_path / "list.csv")
    assert some.stands() == PINNED
    (tmp_path / "link").symlink_to(root)
    assert Finder(["a.png"], root).path(f"{tmp_path}/link/a.png") == "a.png"
    assert Finder(["a.png"], root).path("/elsewhere/a.png") is None


@pytest.mark.parametrize(
    "text",
    [
        "file;Framing;Side\nc.png;full_body;back\na.png;;\n",
        "file,axis,label\nc.png,Side,back\nc.png,framing,full_body\n",
    ],
)
def test_labels_are_read_alike_by_decisions_and_by_the_setting(text: str, some: Set, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    rules = taxonomy.load(None)
    found = views.read_labels(file, some.dataset.images, rules, some.dataset.root)
    assert set(found.select("axis", "label").iter_rows()) == {("framing", "full_body"), ("side", "back")}
    decision_lists.read(some.dataset, file)
    assert some.stands() == {("sub/c.png", "label", value) for value in ("framing=full_body", "side=back")}


def test_undo_in_a_list_takes_back_and_says_nothing_twice(some: Set, tmp_path: Path) -> None:
    decisions.add(some.dataset, "pin", ["a.png", "b.png"])
    (tmp_path / "list.csv").write_text("path,what,value\na.png,pin,undo\nsub/c.png,pin,undo\n")
    taken = decision_lists.read(some.dataset, tmp_path / "list.csv")
    assert (taken.added, taken.known) == (1, 1)
    assert taken.text() == "1 decision taken in, 1 stood already."
    assert some.stands() == {("b.png", "pin", "")}


def test_a_list_of_names_alone_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path;what")
    assert read_csv(tmp_path / "list.csv").shape == (0, 2)


# the commands --------------------------------------------------------------------------------------------------------


def test_decisions_do_not_go_into_a_folder(some: Set, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decisions", str(some.dataset.root), "--out", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["pin", "drop", "label"])
def test_taking_back_what_was_never_decided_says_so(name: str, some: Set, capsys: pytest.CaptureFixture[str]) -> None:
    value = "side=back" if name == "label" else ""
    decisions.add(some.dataset, name, ["a.png"], value=value)
    assert main([name, str(some.dataset.root), "a.png", "b.png", "--undo"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(("no longer", "a.png: no label"))
    assert second.startswith("b.png was not" if name != "label" else "b.png had no label")
    assert some.stands() == set()
    assert len(decisions.load(some.dataset)) == 2


def test_a_picture_that_is_called_like_a_label_can_be_labelled(some: Set) -> None:
    assert main(["label", str(some.dataset.root), "side=back.jpg", "side=front"]) == 0
    assert some.stands() == {("side=back.jpg", "label", "side=front")}


def test_a_pattern_that_no_shell_filled_in_is_explained(some: Set, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drop", str(some.dataset.root), "*.jpg"]) == 2
    assert f"write {some.dataset.root}/*.jpg" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["pin", "{}", "a.png"], ["drop", "{}", "a.png"], ["label", "{}", "a.png", "side=back"], ["decisions", "{}"]],
)
def test_before_a_scan_a_scan_is_asked_for(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").mkdir()
    assert main([word.format(tmp_path / "set") for word in words]) == 2
    assert "Run `diversity scan" in capsys.readouterr().err
