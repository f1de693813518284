"""What people decide outlives retouching and renaming, goes to a CSV and comes back, and is never misread."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from diversity import decision_lists, decisions, tables, workspace
from diversity.cli import main
from diversity.dataset import Dataset
from diversity.errors import InputError
from diversity.scan import key_of


class Set:
    """A set whose table of pictures says what a scan would: path → content."""

    def __init__(self, root: Path, pictures: dict[str, str]) -> None:
        root.mkdir()
        self.dataset = Dataset.open(root)
        workspace.prepare(self.dataset.folder, root)
        self.scan(pictures)

    def scan(self, pictures: dict[str, str]) -> None:
        """The end of a scan that found `pictures`."""
        rows = [
            {**dict.fromkeys(tables.IMAGES), "key": key_of(path), "path": path, "content": content}
            for path, content in sorted(pictures.items())
        ]
        self.dataset.write("images", pl.DataFrame(rows, schema=tables.IMAGES))
        decisions.refresh(self.dataset)

    def stands(self) -> set[tuple[str, str, str]]:
        """(path, what, value) of everything that holds."""
        return {row[:3] for row in decision_lists.standing(self.dataset).iter_rows()}


@pytest.fixture
def some(tmp_path: Path) -> Set:
    return Set(tmp_path / "set", {"a.png": "A", "b.png": "B", "sub/c.png": "C"})


def test_a_decision_survives_retouching_renaming_and_both_one_after_another(some: Set) -> None:
    decisions.add(some.dataset, "pin", ["a.png"])
    decisions.add(some.dataset, "label", ["a.png"], value="side=back")
    decided = {("pin", ""), ("label", "side=back")}
    for pictures, path in (
        ({"a.png": "A2", "b.png": "B", "sub/c.png": "C"}, "a.png"),
        ({"new/name.png": "A2", "b.png": "B", "sub/c.png": "C"}, "new/name.png"),
        ({"third.png": "A2", "b.png": "B", "sub/c.png": "C"}, "third.png"),
    ):
        some.scan(pictures)
        assert some.stands() == {(path, *rest) for rest in decided}


def test_a_decision_is_forgotten_with_its_picture_and_remembered_when_it_comes_back(some: Set) -> None:
    decisions.add(some.dataset, "drop", ["a.png"])
    some.scan({"b.png": "B"})
    assert some.stands() == set()
    some.scan({"b.png": "B", "elsewhere.png": "A"})
    assert some.stands() == {("elsewhere.png", "drop", "")}


def test_a_decision_on_one_of_two_equal_pictures_does_not_jump_to_the_other(some: Set) -> None:
    some.scan({"a.png": "A", "copy.png": "A"})
    decisions.add(some.dataset, "drop", ["a.png"])
    some.scan({"copy.png": "A"})
    assert some.stands() == set()


def test_a_picture_that_gained_a_twin_since_does_not_lend_it_its_decision(some: Set) -> None:
    decisions.add(some.dataset, "drop", ["a.png"])
    some.scan({"a.png": "A", "copy.png": "A"})
    some.scan({"copy.png": "A"})
    assert some.stands() == set()


def test_the_newest_decision_holds_and_undo_takes_it_back(some: Set) -> None:
    decisions.add(some.dataset, "pin", ["a.png", "b.png"])
    decisions.add(some.dataset, "drop", ["a.png"])
    decisions.add(some.dataset, "pin", ["b.png"], undo=True)
    assert some.stands() == {("a.png", "drop", "")}


def test_labels_are_taken_back_under_a_new_name(some: Set) -> None:
    decisions.add(some.dataset, "label", ["a.png"], value="side=back")
    some.scan({"new.png": "A", "b.png": "B"})
    assert some.stands() == {("new.png", "label", "side=back")}
    decisions.add(some.dataset, "label", ["new.png"], undo=True)
    assert some.stands() == set()


def test_the_latest_label_wins_whatever_the_picture_was_called(some: Set) -> None:
    decisions.add(some.dataset, "label", ["a.png"], value="side=back")
    some.scan({"new.png": "A", "b.png": "B"})
    decisions.add(some.dataset, "label", ["new.png"], value="side=front")
    some.scan({"a.png": "A", "b.png": "B"})
    assert some.stands() == {("a.png", "label", "side=front")}


# lists -------------------------------------------------------------------------------------------------------------


def decide(some: Set) -> None:
    decisions.add(some.dataset, "pin", ["a.png"])
    decisions.add(some.dataset, "drop", ["sub/c.png"])
    decisions.add(some.dataset, "label", ["a.png", "b.png"], value="side=back")


def test_what_goes_out_comes_in_again_once(some: Set, tmp_path: Path) -> None:
    decide(some)
    file = tmp_path / "decisions.csv"
    assert decision_lists.write(some.dataset, file) == 4
    again = decision_lists.read(some.dataset, file)
    assert (again.added, again.known) == (0, 4)
    other = Set(tmp_path / "other", {"a.png": "other", "renamed.png": "B", "x.png": "X"})
    taken = decision_lists.read(other.dataset, file)
    assert (taken.added, taken.known, taken.missing) == (3, 0, ("sub/c.png",))
    assert other.stands() == {
        ("a.png", "pin", ""),
        ("a.png", "label", "side=back"),
        ("renamed.png", "label", "side=back"),
    }


def test_labels_of_other_tools_are_taken_in(some: Set, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,axis,label\nb.png, side ,back\nsub/c.png,framing,full_body\n")
    decision_lists.read(some.dataset, tmp_path / "labels.csv")
    assert some.stands() == {("b.png", "label", "side=back"), ("sub/c.png", "label", "framing=full_body")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "Decisions need 'path'"),
        ("path,what\na.png,keep\n", "the decision 'keep'"),
        ("path,what,value\na.png,label,side=backwards\n", "no side 'backwards'"),
        ("path,what,value\na.png,label,colour=red\n", "no axis 'colour'"),
        ("", "cannot be read"),
        ("path,what,value\na.png,pin,side=back\n", "Only labels have values"),
        ("path,what,value\na.png,drop,yes\n", "Only labels have values"),
        ("path,what\na,b.png,pin\n", "more cells"),
        ("path,Path\na.png,pin\n", "the same name"),
    ],
)
def test_a_list_that_cannot_be_used_changes_nothing(text: str, says: str, some: Set, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        decision_lists.read(some.dataset, tmp_path / "bad.csv")
    assert some.stands() == set()


# the commands --------------------------------------------------------------------------------------------------------


def test_label_takes_pictures_and_labels_in_one_line(some: Set, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(some.dataset.root)
    assert main(["label", root, "a.png", "c.png", "side=back", "framing=full_body"]) == 0
    assert some.stands() == {
        (path, "label", value) for path in ("a.png", "sub/c.png") for value in ("side=back", "framing=full_body")
    }
    assert main(["label", root, "a.png", "--undo"]) == 0
    assert {path for path, *_ in some.stands()} == {"sub/c.png"}
    capsys.readouterr()
    assert main(["decisions", root]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "label  sub/c.png  framing=full_body",
        "label  sub/c.png  side=back",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.png"], "nothing to label"),
        (["side=back"], "nothing to label"),
        (["a.png", "side=upwards"], "no side 'upwards'"),
        (["a.png", "side=back", "--undo"], "nothing to label"),
        (["z.png", "side=back"], "not in the set"),
    ],
)
def test_a_label_that_makes_no_sense_is_refused(
    words: list[str], says: str, some: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["label", str(some.dataset.root), *words]) == 2
    assert says in capsys.readouterr().err
    assert some.stands() == set()


def test_a_picture_may_have_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    odd = Set(tmp_path / "set", {"seed=3.png": hashlib.md5(b"").hexdigest()})
    assert main(["label", str(odd.dataset.root), "seed=3.png", "side=back"]) == 0
    assert odd.stands() == {("seed=3.png", "label", "side=back")}


def test_decisions_travel_through_a_csv_on_the_command_line(some: Set, tmp_path: Path) -> None:
    decide(some)
    file = tmp_path / "list.csv"
    assert main(["decisions", str(some.dataset.root), "--out", str(file)]) == 0
    other = Set(tmp_path / "other", {"a.png": "A", "b.png": "B", "sub/c.png": "C"})
    assert main(["decisions", str(other.dataset.root), "--in", str(file)]) == 0
    assert other.stands() == some.stands()


def test_taking_in_and_writing_out_at_once_is_one_answer(
    some: Set, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decide(some)
    there, back = tmp_path / "there.csv", tmp_path / "back.csv"
    assert main(["decisions", str(some.dataset.root), "--out", str(there)]) == 0
    capsys.readouterr()
    words = ["decisions", str(some.dataset.root), "--in", str(there), "--out", str(back), "--json"]
    assert main(words) == 0
    taken, written = json.loads(capsys.readouterr().out)
    assert (taken["added"], taken["known"], written["rows"]) == (0, len(some.stands()), len(some.stands()))
    assert back.read_bytes() == there.read_bytes()
