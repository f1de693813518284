"""Names that are one name on other systems: no export collides there, captions follow, and the manifest says so."""

from __future__ import annotations

import json
import re
import tarfile
import unicodedata
from pathlib import Path, PurePosixPath

import exports
import polars as pl
import pytest
import test_export_formats
from exports import Pictures, kohya_config, manifest, picture
from hypothesis import given
from hypothesis import strategies as st

from diversity import tables, workspace
from diversity.config import Config
from diversity.dataset import Dataset
from diversity.export import EXPORTERS, ExportReport, items, names, rejects

READERS = exports.READERS | test_export_formats.READERS
NFC, NFD = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
ALIKE = (  # groups of names, each one name where case and Unicode form are the same
    ("Mia.png", "mia.png", "MIA.jpg"),
    (f"{NFC}t{NFC}.png", f"{NFD}t{NFD}.png", f"{NFD.upper()}T{NFC}.png"),
    ("\u00c5ngström.png", "\u212bngström.png", "ÅNGSTRÖM.png"),  # the letter, the sign of the unit, capitals
    ("straße.png", "STRASSE.png"),
    ("İ.png", "i̇.png"),
    ("ı.png", "I.png", "i.png"),
    ("ΣΑΣ.png", "σας.png"),
    ("multiply.png", "_multiply.png", "MULTIPLY.webp"),  # EveryDream2 would read the first one's caption for all
)
PATHS = [f"{number}/{name}" for group in ALIKE for number, name in enumerate(group)]


def seen_elsewhere(path: str) -> str:
    """A path where case and Unicode form are the same, as NTFS (capitals) and APFS (folded) see it."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).upper().casefold())


def every_path(report: ExportReport) -> list[str]:
    """All files and folders of an export, those in tars included."""
    found = [path.relative_to(report.folder).as_posix() for path in report.folder.rglob("*")]
    for shard in report.folder.glob("*.tar"):
        with tarfile.open(shard) as tar:
            found += [f"{shard.name}/{name}" for name in tar.getnames()]
    return found


def add_all(pictures: Pictures) -> dict[str, str]:
    """Key → caption."""
    kinds, wanted = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}, {}
    for number, path in enumerate(PATHS):
        data = picture(number, kinds[Path(path).suffix])
        key = pictures.add(path, f"caption {number}", weight=1.0 + number % 3, data=data)
        wanted[key] = f"caption {number}"
    return wanted


@pytest.mark.parametrize("name", sorted(EXPORTERS))
def test_no_two_files_of_an_export_are_one_elsewhere_and_captions_follow(name: str, pictures, tmp_path: Path) -> None:
    wanted = add_all(pictures)
    report = pictures.write(name, tmp_path / "out")
    found = every_path(report)
    assert len({seen_elsewhere(path) for path in found}) == len(found)
    assert READERS[name](report)[0] == wanted


@pytest.mark.parametrize("name", sorted(set(EXPORTERS) - {"webdataset", "table"}))
def test_the_manifest_says_which_names_were_changed_and_why(name: str, pictures, tmp_path: Path) -> None:
    add_all(pictures)
    pictures.add("alone.png")
    pictures.add("a/same.png")
    pictures.add("b/same.png")
    pictures.add("c/a:b.png")
    report = pictures.write(name, tmp_path / "out")
    why = {row["source"]: row["renamed"] for row in manifest(report)["pictures"]}
    assert why["alone.png"] is None
    assert why["a/same.png"] == why["b/same.png"] == items.TAKEN
    assert why["c/a:b.png"] == items.REFUSED
    alike = {path for path in PATHS if "multiply" not in path.casefold()}
    assert {path for path in alike if why[path] != items.NEARLY} == set()
    (said,) = [warning for warning in report.warnings if "differ from another's only in case" in warning]
    assert int(said.split()[0]) == sum(reason == items.NEARLY for reason in why.values())
    for row in manifest(report)["pictures"]:
        kept = PurePosixPath(row["target"]).stem == unicodedata.normalize("NFC", PurePosixPath(row["source"]).stem)
        assert kept is (row["renamed"] is None)


@pytest.mark.parametrize("name", ["webdataset", "table"])
def test_formats_that_keep_no_names_say_nothing_of_them(name: str, pictures, tmp_path: Path) -> None:
    add_all(pictures)
    report = pictures.write(name, tmp_path / "out")
    assert {row["renamed"] for row in manifest(report)["pictures"]} == {None}
    assert not [warning for warning in report.warnings if "in case" in warning]


@pytest.mark.parametrize("name", test_export_formats.EDITING)
def test_controls_of_such_names_stay_with_their_targets(name: str, pictures, tmp_path: Path) -> None:
    paths = ["Mia.png", "b/mia.png", f"c/{NFC}.png", f"d/{NFD}.png"]
    for number, path in enumerate(paths):
        pictures.add(path, data=picture(number))
        (tmp_path / "before" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "before" / path).write_bytes(picture(50 + number))
    report = pictures.write(name, tmp_path / "out", control=tmp_path / "before")
    found = every_path(report)
    assert len({seen_elsewhere(path) for path in found}) == len(found)
    if name == "webdataset":
        return  # named by keys
    for row in manifest(report)["pictures"]:
        stem = PurePosixPath(row["target"]).stem
        files = [report.folder / file for file in report.files if file != row["target"]]
        (control,) = [f for f in files if f.suffix == ".png" and f.stem in (stem, f"{stem}-condlabel")]
        assert control.read_bytes() == (tmp_path / "before" / row["source"]).read_bytes()


@pytest.mark.parametrize("name", ["kohya", "kohya-sd15", "kohya-sdxl"])
def test_concepts_that_are_one_elsewhere_get_folders_of_their_own(name: str, pictures, tmp_path: Path) -> None:
    concepts = ["Mia", "mia", f"mi{NFC}", f"mi{NFD}", f"MI{NFD.upper()}"]
    for number, concept in enumerate(concepts):
        pictures.add(f"{number}.png", concept=concept, repeats=2)
    report = pictures.write(name, tmp_path / "out")
    folders = [seen_elsewhere(Path(subset["image_dir"]).name) for subset in kohya_config(report.folder)["subsets"]]
    assert len(set(folders)) == len(folders) == len(concepts)


def test_a_picture_called_like_the_mask_of_another_is_not_taken_for_one(pictures, tmp_path: Path) -> None:
    wanted = {
        pictures.add(path, f"caption {number}"): f"caption {number}"
        for number, path in enumerate(["a/1.png", "b/1-masklabel.png", "b/1-MaskLabel.png", "b/1_masklabel.png"])
    }
    (pictures.root / "a/1-masklabel.png").write_bytes(picture(9))
    report = pictures.write("onetrainer", tmp_path / "out")
    assert (report.folder / "weight-1/1-masklabel.png").read_bytes() == picture(9)
    (report.folder / "weight-1/1-masklabel.png").unlink()  # the reader below takes no masks
    assert not [file for file in report.folder.rglob("*") if re.search("-(mask|cond)label", file.name, re.I)]
    assert READERS["onetrainer"](report)[0] == wanted


@given(st.lists(st.text("aAàÀÀàßsSıİiIσςΣfﬁ._-", max_size=4), max_size=10))
def test_names_are_unique_elsewhere_too(texts: list[str]) -> None:
    given_names = names.unique([(f"{number:016x}", text) for number, text in enumerate(texts)])
    assert len({seen_elsewhere(name) for name in given_names.values()}) == len(texts)


@given(st.text(max_size=6))
def test_what_is_seen_elsewhere_knows_neither_case_nor_form(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert names.folded(unicodedata.normalize(form, text)) == names.folded(text)
    assert names.folded(text.upper()) == names.folded(text)


def test_rejects_that_are_one_file_elsewhere_stay_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that knows no case, simulated: there a name exists where its other spelling does."""
    root = tmp_path / "set"
    root.mkdir()
    paths = ["Mia.png", "kept.png", "mia.png"]
    rows = []
    for number, path in enumerate(paths):
        (root / path).write_bytes(picture(number))
        stat = (root / path).stat()
        row = {"key": path, "path": path, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        rows.append(dict.fromkeys(tables.IMAGES) | row)
    dataset = Dataset(root, tmp_path / "w", Config())
    workspace.prepare(dataset.folder, root)
    dataset.write("images", pl.DataFrame(rows, schema=tables.IMAGES))
    gone = [{"key": path, "keeper": None, "reason": "a copy"} for path in ("Mia.png", "mia.png")]
    dataset.write("dropped", pl.DataFrame(gone, schema=tables.DROPPED))
    before = {path: (root / path).read_bytes() for path in paths}
    plain, to = Path.exists, rejects.place_for(dataset)

    def exists(self: Path) -> bool:
        if self.is_relative_to(to) and plain(self.parent):
            return seen_elsewhere(self.name) in {seen_elsewhere(file.name) for file in self.parent.iterdir()}
        return plain(self)

    monkeypatch.setattr(Path, "exists", exists)
    moved = rejects.move(dataset)
    assert moved.paths == ("Mia.png",)
    assert moved.left == {"mia.png": "another reject has its name there"}
    assert json.loads((to / "diversity-manifest.json").read_text(encoding="utf-8"))["rejects"] == ["Mia.png"]
    rejects.undo(dataset)
    assert {path: (root / path).read_bytes() for path in paths} == before
