"""Exporting where something already is, and exports that were killed half-way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from exports import (
    FOLDERS,
    READERS,
    WRITERS,
    manifest,
    picture,
    read_kohya,
)

from diversity.errors import ExportError
from diversity.export import MANIFEST, ExportOptions, repeats
from diversity.export import folder as folder_module

# what is already there ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_its_own_unchanged_export_is_replaced(name, three, tmp_path):
    three.write(name, tmp_path / "out")
    three.rows.pop()
    report = three.write(name, tmp_path / "out")
    assert len(READERS[name](report)[0]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pictures"]


@pytest.mark.parametrize("name", WRITERS)
def test_foreign_files_stop_an_export_and_are_put_aside_with_force(name, three, tmp_path):
    out = tmp_path / "out"
    three.write(name, out)
    (out / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ExportError, match=r"notes\.txt"):
        three.write(name, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    report = three.write(name, out, force=True)
    assert (tmp_path / "out.before-1/notes.txt").read_text() == "mine"
    assert any("out.before-1" in warning for warning in report.warnings)
    READERS[name](report)


def test_a_folder_that_was_never_an_export_stops_one(three, tmp_path):
    (tmp_path / "out").mkdir()
    for number in range(5):
        (tmp_path / f"out/{number}.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"0\.txt, 1\.txt, 2\.txt and 2 more"):
        three.write("kohya", tmp_path / "out")


@pytest.mark.parametrize("content", ["", "[]", '{"files": 3}', '{"files": {}, "pictures": []}'])
def test_a_broken_manifest_counts_as_a_foreign_file(content, three, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text(content)
    with pytest.raises(ExportError, match=MANIFEST):
        three.write("kohya", tmp_path / "out")


def test_an_edited_caption_stops_an_export_and_survives_force(three, tmp_path):
    report = three.write("kohya", tmp_path / "out")
    caption = next(report.folder.rglob("1.txt"))
    caption.write_text("my own words")
    with pytest.raises(ExportError, match=r"1\.txt \(edited\)"):
        three.write("kohya", tmp_path / "out")
    three.write("kohya", tmp_path / "out", force=True)
    assert next((tmp_path / "out.before-1").rglob("1.txt")).read_text() == "my own words"


def test_an_edited_copy_of_a_picture_stops_an_export(three, tmp_path):
    report = three.write("kohya", tmp_path / "out", link="copy")
    next(report.folder.rglob("1.png")).write_bytes(picture(77))
    with pytest.raises(ExportError, match=r"1\.png \(edited\)"):
        three.write("kohya", tmp_path / "out")


@pytest.mark.parametrize("link", ["auto", "copy"])
def test_an_original_retouched_since_does_not_stop_an_export(link, three, tmp_path):
    three.write("kohya", tmp_path / "out", link=link)
    (three.root / "1.png").write_bytes(picture(77))  # in place: a hard link changes with it
    report = three.write("kohya", tmp_path / "out", link=link)
    assert next(report.folder.rglob("1.png")).read_bytes() == picture(77)


def test_a_file_browsers_litter_does_not_stop_an_export(three, tmp_path):
    three.write("kohya", tmp_path / "out")
    (tmp_path / "out/.DS_Store").write_bytes(b"x")
    three.write("kohya", tmp_path / "out")


def test_files_deleted_from_an_export_come_back_with_a_word(three, tmp_path):
    report = three.write("kohya", tmp_path / "out")
    next(report.folder.rglob("1.png")).unlink()
    report = three.write("kohya", tmp_path / "out")
    assert any("1 deleted file of the earlier export" in warning for warning in report.warnings)


@pytest.mark.parametrize("force", [False, True])
def test_the_pictures_a_workspace_and_a_file_are_never_written_over(force, three, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work/diversity-workspace.json").write_text("{}")
    (tmp_path / "file").write_text("mine")
    before = three.snapshot()
    for place in (three.root, tmp_path, tmp_path / "work", tmp_path / "file"):
        with pytest.raises(ExportError, match="Give a folder of its own"):
            three.write("kohya", place, force=force)
    assert three.snapshot() == before


# killed half-way ---------------------------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), RuntimeError()])
@pytest.mark.parametrize("name", FOLDERS)
def test_an_export_that_ends_half_way_leaves_the_old_one(name, error, three, tmp_path, monkeypatch):
    three.write(name, tmp_path / "out")
    before, placed = content(tmp_path / "out"), []
    place = folder_module.Pictures.place

    def fail_at_the_second(self, item, where):
        placed.append(item)
        if len(placed) == 2:
            raise error
        return place(self, item, where)

    monkeypatch.setattr(folder_module.Pictures, "place", fail_at_the_second)
    expected = ExportError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected, match="disk is full" if isinstance(error, OSError) else None):
        three.write(name, tmp_path / "out")
    assert content(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pictures"]


@pytest.mark.parametrize("moment", ["writing", "between", "after"])
def test_what_a_killed_export_left_is_tidied_up_by_the_next(moment, three, tmp_path):
    three.write("kohya", tmp_path / "out")
    new, old = tmp_path / ".out.diversity-new", tmp_path / ".out.diversity-old"
    if moment == "after":
        shutil.copytree(tmp_path / "out", old)
    else:
        shutil.copytree(tmp_path / "out", new)
        next(new.rglob("1.png")).unlink()
    if moment == "between":
        (tmp_path / "out").rename(old)
    report = three.write("kohya", tmp_path / "out")
    assert len(read_kohya(report)[0]) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pictures"]


def test_a_swap_that_fails_puts_the_old_export_back(three, tmp_path, monkeypatch):
    three.write("kohya", tmp_path / "out")
    before, rename = content(tmp_path / "out"), Path.rename

    def refuse_new(self, target):
        if self.name.endswith("-new"):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(ExportError, match="could not be written"):
        three.write("kohya", tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_an_export_in_the_making_is_marked_for_ingest_to_skip(three, tmp_path):
    with folder_module.staging(tmp_path / "out", ExportOptions(root=three.root)) as stage:
        assert (stage.folder / MANIFEST).is_file()
        stage.text("a.txt", "x")
        stage.finish("kohya", [], {}, repeats.RepeatsError(), ExportOptions(root=three.root))


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname == "Darwin", reason="names are Unicode there")
def test_a_file_whose_name_is_no_unicode_is_found_as_the_scan_found_it(pictures, tmp_path):
    location = os.fsencode(pictures.root) + b"/a\xff.png"
    Path(os.fsdecode(location)).write_bytes(picture(5))
    pictures.add("b.png")
    pictures.rows[0][0].update(path="a\\xff.png")
    report = pictures.write("kohya", tmp_path / "out")
    assert (report.folder / manifest(report)["pictures"][0]["target"]).read_bytes() == picture(5)


def test_ingest_skips_an_export_inside_the_pictures_folder(three, tmp_path):
    from diversity.config import Config
    from diversity.ingest.scan import list_sources

    three.write("kohya", three.root / "export/kohya")
    assert [source.path for source in list_sources(three.root, Config().scan)] == ["0.png", "1.png", "2.png"]
