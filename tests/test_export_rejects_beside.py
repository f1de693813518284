"""What belongs to a reject goes with it: masks, captions of any suffix, its control; a journal is one set's only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from diversity import tables, workspace
from diversity.dataset import Dataset
from diversity.errors import ExportError
from diversity.export import MANIFEST, rejects
from diversity.export.journal import CONTROLS


def made(root: Path, files: Sequence[str], dropped: Sequence[str], **settings: dict[str, object]) -> Dataset:
    """A scanned set of `files`, of which those without "-" and named like pictures are its pictures."""
    for number, path in enumerate(files):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith((".png", ".jpg")):
            Image.new("RGB", (8, 8), (number * 9, 0, 0)).save(root / path)
        else:
            (root / path).write_text(path)
    dataset = Dataset.open(root, overrides=settings)
    workspace.prepare(dataset.folder, root)
    rows = []
    for path in (path for path in files if path.endswith((".png", ".jpg")) and not set("-/") & set(path)):
        stat = (root / path).stat()
        seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        rows.append({**dict.fromkeys(tables.IMAGES), "key": f"key {path}", "path": path, **seen})
    dataset.write("images", pl.DataFrame(rows, schema=tables.IMAGES))
    gone = [{"key": f"key {path}", "keeper": None, "reason": "a copy"} for path in dropped]
    dataset.write("dropped", pl.DataFrame(gone, schema=tables.DROPPED))
    return dataset


def tree(*roots: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()}


def test_masks_labels_and_captions_of_any_suffix_go_with_their_picture(tmp_path: Path) -> None:
    own = ["1.png", "1-masklabel.png", "1-condlabel.png", "1.TXT", "1.Tags"]
    shared = ["2.png", "2.jpg", "2-masklabel.png", "2.png.txt"]  # 2.jpg stays, and its mask with it
    scan: dict[str, object] = {"caption_extensions": (".tags",)}
    dataset = made(tmp_path / "set", [*own, *shared], ["1.png", "2.png"], scan=scan)
    before = tree(dataset.root)
    moved = rejects.move(dataset)
    assert set(moved.paths) == {*own, "2.png", "2.png.txt"}
    assert rejects.undo(dataset).left == {}
    assert tree(dataset.root) == before


@pytest.mark.parametrize("inside", [True, False])
def test_the_control_of_a_reject_goes_with_it_and_comes_back(inside: bool, tmp_path: Path) -> None:
    root = tmp_path / "set"
    control = root / "control" if inside else tmp_path / "sketches"
    control.mkdir(parents=True)
    for name in ("1.png", "2.png", "both.png"):
        Image.new("RGB", (8, 8)).save(control / name)
    (root / "both").mkdir(parents=True, exist_ok=True)
    dataset = made(root, ["1.png", "2.png", "both.png", "both.jpg"], ["1.png", "both.png"], export={"control": control})
    before = tree(root, control)
    moved = rejects.move(dataset)
    assert set(moved.paths) == {"1.png", "both.png", "control/1.png" if inside else f"{CONTROLS}1.png"}
    assert sorted(file.name for file in control.iterdir()) == ["2.png", "both.png"], "both.jpg still needs its control"
    rejects.undo(dataset)
    assert tree(root, control) == before
    assert not Path(moved.folder).exists()


def test_rejects_of_another_set_are_neither_mixed_in_nor_taken_back(tmp_path: Path) -> None:
    one = made(tmp_path / "one", ["1.png", "2.png"], ["1.png"])
    other = made(tmp_path / "other", ["3.png", "4.png"], ["3.png"])
    rejects.move(one, tmp_path / "bin")
    with pytest.raises(ExportError, match="holds rejects of"):
        rejects.move(other, tmp_path / "bin")
    with pytest.raises(ExportError, match="holds rejects of"):
        rejects.undo(other, tmp_path / "bin")
    assert not (other.root / "1.png").exists()
    assert rejects.undo(one, tmp_path / "bin").paths == ("1.png",)


def test_a_set_that_moved_with_its_rejects_still_gets_them_back(tmp_path: Path) -> None:
    dataset = made(tmp_path / "here" / "set", ["1.png", "2.png"], ["1.png"])
    rejects.move(dataset)
    (tmp_path / "here").rename(tmp_path / "there")
    assert rejects.undo(Dataset.open(tmp_path / "there" / "set")).paths == ("1.png",)


@pytest.mark.parametrize("name", ["../../x.png", "/etc/x.png", "a/../../x.png", ""])
def test_a_journal_that_names_places_outside_is_refused(name: str, tmp_path: Path) -> None:
    dataset = made(tmp_path / "set", ["1.png", "2.png"], ["1.png"])
    folder = Path(rejects.move(dataset).folder)
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**said, "rejects": ["1.png", name]}))
    with pytest.raises(ExportError, match="lies outside"):
        rejects.undo(dataset)
    assert not (dataset.root / "1.png").exists()


def test_one_file_is_one_file(tmp_path: Path) -> None:
    dataset = made(tmp_path / "set", ["1.png", "2.png"], ["1.png"])
    assert rejects.move(dataset).text("moved").startswith("1 file moved: ")
