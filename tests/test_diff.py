"""`diversity diff` says what came, went and changed, by pixels rather than names, and never compares unlike numbers."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pipeline import picture

from diversity import diff, record, tables, workspace
from diversity.cli import main
from diversity.dataset import Dataset
from diversity.scan import key_of

CAPTIONS = dict[str, str]


def state(
    folder: Path,
    pictures: dict[str, str],
    *,
    captions: CAPTIONS | None = None,
    selected: tuple[str, ...] | None = None,
    scores: dict[str, tuple[float, float | None, float | None]] | None = None,
    encoder: str = "toon",
) -> Dataset:
    """A workspace whose tables say that a set holds `pictures`: path → content."""
    (folder / "set").mkdir(parents=True)
    dataset = Dataset.open(folder / "set", workspace_folder=folder / "work")
    workspace.prepare(dataset.folder, dataset.root)
    record.save(dataset.folder, {"stages": {}, "encoder": {"id": encoder}})
    rows = [
        {**dict.fromkeys(tables.IMAGES), "key": key_of(p), "path": p, "content": c, "caption": (captions or {}).get(p)}
        for p, c in pictures.items()
    ]
    dataset.write("images", pl.DataFrame(rows, schema=tables.IMAGES))
    if selected is not None:
        chosen = [
            {"key": key_of(p), "rank": n, "gain": 0.0, "weight": 1.0, "reason": ""} for n, p in enumerate(selected)
        ]
        dataset.write("selection", pl.DataFrame(chosen, schema=tables.SELECTION))
    if scores is not None:
        settings = json.dumps({"encoder": encoder})
        table = [
            {"measure": name, "value": value, "low": low, "high": high, "n": len(pictures), "settings": settings}
            for name, (value, low, high) in scores.items()
        ]
        dataset.write("scores", pl.DataFrame(table, schema=tables.SCORES))
    return dataset


def test_every_kind_of_change_is_named_once(tmp_path: Path) -> None:
    before = state(
        tmp_path / "1",
        {"same.png": "S", "old name.png": "R", "edited.png": "E1", "gone.png": "G", "text.png": "T"},
        captions={"text.png": "a", "old name.png": "x"},
        selected=("same.png", "old name.png", "gone.png"),
    )
    after = state(
        tmp_path / "2",
        {"same.png": "S", "new name.png": "R", "edited.png": "E2", "fresh.png": "F", "text.png": "T"},
        captions={"text.png": "b", "new name.png": "x"},
        selected=("new name.png", "edited.png", "fresh.png"),
    )
    found = diff.compare(before, after)
    assert (found.came, found.went) == (("fresh.png",), ("gone.png",))
    assert found.renamed == {"old name.png": "new name.png"}
    assert (found.retouched, found.captions) == (("edited.png",), ("text.png",))
    assert (found.selected, found.unselected) == (("edited.png",), ("same.png",))


PICTURES = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("12345"), max_size=8)


@settings(deadline=None)
@given(PICTURES, PICTURES)
def test_every_picture_of_both_states_is_accounted_for(one: dict[str, str], two: dict[str, str]) -> None:
    class Fake:
        folder = ""

        def __init__(self, pictures: dict[str, str]) -> None:
            rows = [{"path": p, "content": c, "bytes_hash": None, "caption": None} for p, c in pictures.items()]
            self.images = pl.DataFrame(
                rows, schema=dict.fromkeys(("path", "content", "bytes_hash", "caption"), pl.String)
            )

        def has(self, table: str) -> bool:
            return False

    found = diff.compare(Fake(one), Fake(two))  # type: ignore[arg-type]
    stayed = {p for p in one if two.get(p) == one[p]}
    assert set(one) == stayed | set(found.retouched) | set(found.went) | set(found.renamed)
    assert set(two) == stayed | set(found.retouched) | set(found.came) | set(found.renamed.values())
    assert len(set(found.renamed.values())) == len(found.renamed)
    assert all(one[a] == two[b] for a, b in found.renamed.items())
    back = diff.compare(Fake(two), Fake(one))  # type: ignore[arg-type]
    assert (len(back.came), len(back.went), len(back.renamed)) == (len(found.went), len(found.came), len(found.renamed))


@pytest.mark.parametrize(
    ("after", "word"),
    [((9.0, 8.0, 10.0), "more"), ((3.0, 2.0, 4.0), "less"), ((6.5, 5.5, 8.0), "no clear change")],
)
def test_richness_changed_only_where_intervals_do_not_meet(
    after: tuple[float, float, float], word: str, tmp_path: Path
) -> None:
    name = "set.effective_rank"
    before = state(tmp_path / "1", {"a": "A"}, scores={name: (6.0, 5.0, 7.0), "set.distinct": (1, None, None)})
    later = state(tmp_path / "2", {"a": "A"}, scores={name: after, "set.distinct": (2, None, None)})
    found = {change.measure: change for change in diff.compare(before, later).richness}
    assert f": {word};" in found[name].verdict
    assert "1 → 2" in found["set.distinct"].verdict


def test_numbers_of_different_encoders_are_not_compared(tmp_path: Path) -> None:
    scores = {"set.effective_rank": (6.0, 5.0, 7.0)}
    one = state(tmp_path / "1", {"a": "A"}, scores=scores)
    two = state(tmp_path / "2", {"a": "A"}, scores={"set.effective_rank": (60.0, 50.0, 70.0)}, encoder="clip")
    (change,) = diff.compare(one, two).richness
    assert not change.comparable
    assert "not comparable" in change.verdict


def test_the_command_compares_two_workspaces_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = state(tmp_path / "1", {"a.png": "A", "b.png": "B"})
    two = state(tmp_path / "2", {"a.png": "A"})
    assert main(["diff", str(one.folder), str(two.folder)]) == 0
    assert capsys.readouterr().out.startswith("1 went: b.png\n")
    assert main(["diff", str(one.folder), str(one.folder)]) == 0
    assert capsys.readouterr().out.startswith("The pictures are the same.\n")
    assert main(["diff", str(one.folder), str(two.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["went"] == ["b.png"]
    (one.folder / workspace.MARKER).write_text("{")
    assert main(["diff", str(one.folder), str(two.folder)]) == 2


def test_a_state_that_was_never_scored_is_named(tmp_path: Path) -> None:
    scores = {"set.effective_rank": (6.0, 5.0, 7.0)}
    scored = state(tmp_path / "1", {"a": "A"}, scores=scores)
    bare = state(tmp_path / "2", {"a": "A"})
    found = diff.compare(scored, bare)
    assert found.unscored == (str(bare.folder),)
    assert f"Richness cannot be compared: never scored (`diversity score`): {bare.folder}." in found.text()
    assert "cannot be compared" not in diff.compare(scored, scored).text()


def test_a_workspace_of_another_version_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (state(tmp_path / name, {"a.png": "A"}) for name in "12")
    marker = two.folder / workspace.MARKER
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "version": workspace.VERSION + 1}))
    assert main(["diff", str(one.folder), str(two.folder)]) == 2
    assert "is of version" in capsys.readouterr().err


def test_a_folder_is_brought_up_to_date_with_its_own_selection(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    for i in range(6):
        picture(i).save(root / f"{i}.png")
    (root / "diversity.toml").write_text('[encoder]\nmodel = "toon"\n')
    assert main(["select", str(root), "--keep", "3", "--quiet"]) == 0
    chosen = Dataset.open(root).read("selection")
    assert main(["diff", str(root), str(root), "--quiet"]) == 0
    assert Dataset.open(root).read("selection").equals(chosen)
