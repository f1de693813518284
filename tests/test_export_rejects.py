"""Rejects leave the user's folder only on request, whole, with their sidecars, and come back as they were."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from diversity import tables, workspace
from diversity.config import Config
from diversity.dataset import Dataset
from diversity.errors import ExportError
from diversity.export import MANIFEST, rejects
from diversity.ingest import list_sources

DROPPED = ("a/1.png", "2.jpg", "shard.tar/0.png", "3.png")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Six files, of which three are dropped; one of those shares its caption with a picture that stays."""
    root = tmp_path / "10_mia"
    for number, path in enumerate(("a/1.png", "2.jpg", "3.png", "3.jpg", "kept.png")):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 40, 0, 0)).save(root / path)
    for path in ("a/1.txt", "2.jpg.json", "3.txt", "kept.txt"):
        (root / path).write_text(path)
    dataset = Dataset.open(root)
    workspace.prepare(dataset.folder, root)
    rows = []
    for path in (*sorted({"3.jpg", "kept.png", *DROPPED}),):
        stat = (root / path).stat() if (root / path).is_file() else None
        seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns} if stat else {}
        rows.append({**dict.fromkeys(tables.IMAGES), "key": f"key {path}", "path": path, **seen})
    dataset.write("images", pl.DataFrame(rows, schema=tables.IMAGES))
    gone = [{"key": f"key {path}", "keeper": None, "reason": "a copy"} for path in DROPPED]
    dataset.write("dropped", pl.DataFrame(gone, schema=tables.DROPPED))
    return dataset


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_rejects_move_with_their_own_sidecars_and_come_back_byte_for_byte(dataset: Dataset) -> None:
    before = tree(dataset.root)
    moved = rejects.move(dataset)
    assert set(moved.paths) == {"a/1.png", "a/1.txt", "2.jpg", "2.jpg.json", "3.png"}
    assert moved.left == {"shard.tar/0.png": "it lies in a tar, or is gone"}
    assert set(tree(dataset.root)) == {"3.jpg", "3.txt", "kept.png", "kept.txt"}, "3.jpg still needs 3.txt"
    assert set(tree(Path(moved.folder))) == {*moved.paths, MANIFEST}
    back = rejects.undo(dataset)
    assert set(back.paths) == set(moved.paths)
    assert tree(dataset.root) == before
    assert not Path(moved.folder).exists()


def test_rejects_are_neither_read_again_nor_a_concept_to_kohya(dataset: Dataset) -> None:
    moved = rejects.move(dataset)
    found = [source.path for source in list_sources(dataset.root.parent, Config().scan)]
    assert found == ["10_mia/3.jpg", "10_mia/kept.png"]
    assert not Path(moved.folder).relative_to(dataset.root.parent).parts[0].split("_")[0].isdigit()


def test_a_second_move_adds_to_the_first_and_one_undo_brings_all_back(dataset: Dataset) -> None:
    before = tree(dataset.root)
    rejects.move(dataset)
    gone = pl.DataFrame([{"key": "key kept.png", "keeper": None, "reason": "dropped by hand"}], schema=tables.DROPPED)
    dataset.write("dropped", gone)
    assert set(rejects.move(dataset).paths) == {"kept.png", "kept.txt"}
    rejects.undo(dataset)
    assert tree(dataset.root) == before


def test_what_changed_since_the_scan_stays(dataset: Dataset) -> None:
    (dataset.root / "2.jpg").write_bytes(b"retouched")
    moved = rejects.move(dataset)
    assert moved.left["2.jpg"] == "it changed since the scan"
    assert (dataset.root / "2.jpg").read_bytes() == b"retouched"


def test_undo_never_overwrites_and_keeps_what_it_could_not_bring_back(dataset: Dataset) -> None:
    moved = rejects.move(dataset)
    (dataset.root / "2.jpg").write_bytes(b"new")
    back = rejects.undo(dataset)
    assert back.left == {"2.jpg": "another file has its place by now"}
    assert (dataset.root / "2.jpg").read_bytes() == b"new"
    assert (Path(moved.folder) / "2.jpg").is_file()
    (dataset.root / "2.jpg").unlink()
    assert rejects.undo(dataset).paths == ("2.jpg",)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_move_that_is_cut_short_can_be_undone(after: int, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    before, done, bring = tree(dataset.root), [], rejects._bring

    def fail(source: Path, target: Path) -> None:
        if len(done) == after:
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(source)
        bring(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(rejects, "_bring", fail)
        with pytest.raises(ExportError, match="--undo-rejects"):
            rejects.move(dataset)
    rejects.undo(dataset)
    assert tree(dataset.root) == before


def test_another_disk_gets_a_whole_copy_first(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rename = tree(dataset.root), Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "2.jpg":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    rejects.move(dataset)
    assert not (dataset.root / "2.jpg").exists()
    rejects.undo(dataset)
    assert tree(dataset.root) == before


@pytest.mark.parametrize("place", [".", "inside", ".."])
def test_the_pictures_folder_never_holds_its_rejects(place: str, dataset: Dataset) -> None:
    with pytest.raises(ExportError, match="Rejects cannot go"):
        rejects.move(dataset, dataset.root / place)


def test_a_folder_of_other_things_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="another origin"):
        rejects.move(dataset, tmp_path / "mine")
    (tmp_path / "mine" / MANIFEST).write_text(json.dumps({"files": {}}))  # an export
    with pytest.raises(ExportError, match="another origin"):
        rejects.move(dataset, tmp_path / "mine")
    with pytest.raises(ExportError, match="There are no rejects"):
        rejects.undo(dataset, tmp_path / "none")
