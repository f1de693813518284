"""Every layout that people keep pictures in is read, and nothing hostile in it does harm."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from diversity import workspace
from diversity.config import ScanConfig
from diversity.errors import InputError
from diversity.ingest import Source, list_sources
from diversity.ingest.text import decode_text

CONFIG = ScanConfig()


def png(colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


def put(path: Path, data: bytes | str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png() if data is None else data.encode() if isinstance(data, str) else data)
    return path


def listed(root: Path) -> dict[str, Source]:
    sources = list_sources(root, CONFIG)
    assert [source.path for source in sources] == sorted(source.path for source in sources)
    return {source.path: source for source in sources}


def tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def test_every_file_named_like_a_picture_is_listed_once_in_path_order(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a.WebP", "deep/er/x.heic", "no_picture.png"):
        put(tmp_path / name, "not a picture" if name == "no_picture.png" else None)
    for name in ("notes.txt", "drawing.svg", "film.mp4", ".hidden.png", "._b.jpg", ".git/x.png", "@eaDir/x.jpg"):
        put(tmp_path / name)
    assert list(listed(tmp_path)) == ["a.WebP", "b/1.png", "b/2.JPG", "deep/er/x.heic", "no_picture.png"]


def test_unusual_names_are_kept_as_they_are(tmp_path: Path) -> None:
    names = ["café.png", "cafe\u0301_nfd.png", "猫 🐈.png", "a b#%20.png"]
    if sys.platform != "win32":
        names += ["line\nbreak.png", "<b>bold</b> & 'x'.png", "back\\slash.png"]
    for name in names:
        folder = tmp_path / "x"
        put(folder / name)
    assert sorted(listed(tmp_path)) == sorted(f"x/{name}" for name in names)
    assert all(source.read() == png() for source in listed(tmp_path).values())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not Unicode")
def test_a_name_that_is_not_unicode_becomes_valid_text_and_still_opens(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(place)).write_bytes(png())
    (source,) = list_sources(tmp_path, CONFIG)
    assert source.path == "caf\\xe9.png"
    assert pl.Series([source.path]).to_list() == [source.path]
    assert source.read() == png()


def test_kohya_folders_give_repeats_concept_and_captions(tmp_path: Path) -> None:
    put(tmp_path / "10_my hero/001.jpg")
    put(tmp_path / "10_my hero/001.txt", "\ufeffhero, from behind \r\n")
    put(tmp_path / "10_my hero/002.png")
    put(tmp_path / "10_my hero/002.caption", "hero smiling")
    put(tmp_path / "10_my hero/close/003.png")
    put(tmp_path / "2024_holiday/004.png")
    put(tmp_path / "0_off/005.png")
    found = listed(tmp_path)
    hero = found["10_my hero/001.jpg"]
    assert (hero.repeats, hero.concept, hero.caption, hero.caption_path) == (
        10,
        "my hero",
        "hero, from behind",
        "10_my hero/001.txt",
    )
    assert found["10_my hero/002.png"].caption == "hero smiling"
    assert (found["10_my hero/close/003.png"].repeats, found["10_my hero/close/003.png"].concept) == (10, "my hero")
    assert (found["2024_holiday/004.png"].repeats, found["2024_holiday/004.png"].concept) == (None, "2024_holiday")
    assert found["0_off/005.png"].repeats == 0


def test_the_root_itself_may_be_a_kohya_folder(tmp_path: Path) -> None:
    put(tmp_path / "7_cat/1.png")
    (source,) = list_sources(tmp_path / "7_cat", CONFIG)
    assert (source.path, source.repeats, source.concept) == ("1.png", 7, "cat")


def test_two_pictures_of_one_stem_share_their_sidecar(tmp_path: Path) -> None:
    put(tmp_path / "1.png")
    put(tmp_path / "1.JPG")
    put(tmp_path / "1.TXT", "shared")
    put(tmp_path / "2.png")
    put(tmp_path / "2.png.txt", "by whole name")
    put(tmp_path / "3.png")
    put(tmp_path / "3.txt", " \n ")
    captions = {path: source.caption for path, source in listed(tmp_path).items()}
    assert captions == {"1.JPG": "shared", "1.png": "shared", "2.png": "by whole name", "3.png": None}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("naïve 猫".encode(), "naïve 猫"),
        ("naïve".encode("utf-8-sig"), "naïve"),
        ("naïve".encode("latin-1"), "naïve"),
        ("“quoted”".encode("cp1252"), "“quoted”"),
        ("naïve text".encode("utf-16"), "naïve text"),
        ("naïve text".encode("utf-16-le"), "naïve text"),
        (b"a\r\nb\rc", "a\nb\nc"),
        (b"", ""),
    ],
)
def test_captions_are_read_in_any_common_encoding(data: bytes, text: str) -> None:
    assert decode_text(data) == text


def test_a_caption_that_cannot_be_one_never_stops_anything(tmp_path: Path) -> None:
    put(tmp_path / "1.png")
    put(tmp_path / "1.txt", b"\x81\xff\x00\xfe" * 300_000)
    put(tmp_path / "2.png")
    (tmp_path / "2.txt").mkdir()
    assert [source.caption for source in list_sources(tmp_path, CONFIG)] == [None, None]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_imagefolder_metadata_captions_its_folder(tmp_path: Path, kind: str) -> None:
    put(tmp_path / "train/0.png")
    put(tmp_path / "train/sub/1.png")
    put(tmp_path / "train/2.png")
    rows = {"file_name": ["0.png", "./sub/1.png", "../../etc/passwd"], "text": ['a "quoted", thing', "one\ntwo", "x"]}
    frame, path = pl.DataFrame(rows), tmp_path / f"train/metadata.{kind}"
    if kind == "csv":
        frame.write_csv(path, include_bom=True)
    elif kind == "parquet":
        frame.write_parquet(path)
    else:
        path.write_text("broken line\n" + "\n".join(json.dumps(row) for row in frame.to_dicts()), encoding="utf-8")
    captions = {source.path: source.caption for source in list_sources(tmp_path, CONFIG)}
    assert captions == {"train/0.png": 'a "quoted", thing', "train/2.png": None, "train/sub/1.png": "one\ntwo"}
    assert listed(tmp_path)["train/0.png"].caption_path == f"train/metadata.{kind}"


def test_the_nearest_metadata_wins_and_a_sidecar_wins_over_both(tmp_path: Path) -> None:
    put(tmp_path / "a/1.png")
    put(tmp_path / "a/2.png")
    put(tmp_path / "a/2.txt", "sidecar")
    put(tmp_path / "metadata.csv", "file_name,caption\na/1.png,far\na/2.png,far")
    put(tmp_path / "a/metadata.jsonl", '{"file_name": "1.png", "caption": ["near", "other"]}')
    assert {path: source.caption for path, source in listed(tmp_path).items()} == {
        "a/1.png": "near",
        "a/2.png": "sidecar",
    }


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_broken_metadata_changes_nothing_else(tmp_path: Path, name: str) -> None:
    put(tmp_path / "1.png")
    put(tmp_path / name, b"PAR1\0\xff\xfe{garbage\x00" * 20)
    assert [source.path for source in list_sources(tmp_path, CONFIG)] == ["1.png"]


def test_tar_members_are_read_in_place_with_their_captions(tmp_path: Path) -> None:
    members = {
        "a/000.png": png((1, 2, 3)),
        "a/000.txt": b"from text",
        "a/000.json": b'{"caption": "from json"}',
        "a/001.png": png((4, 5, 6)),
        "a/001.json": b'{"caption": "only json"}',
        "a/002.seg.png": png((7, 8, 9)),
        "a/002.txt": b"by key",
        "a/003_0.5.png": png((9, 9, 9)),
        "a/003_0.5.txt": b"by stem",
        "a/cls.cls": b"3",
    }
    tar(tmp_path / "shard-000.tar", members)
    found = listed(tmp_path)
    assert {path: source.caption for path, source in found.items()} == {
        "shard-000.tar/a/000.png": "from text",
        "shard-000.tar/a/001.png": "only json",
        "shard-000.tar/a/002.seg.png": "by key",
        "shard-000.tar/a/003_0.5.png": "by stem",
    }
    assert found["shard-000.tar/a/001.png"].caption_path == "shard-000.tar/a/001.json"
    for path, source in found.items():
        assert source.read() == members[path.removeprefix("shard-000.tar/")]


def test_hostile_tars_give_harmless_paths_and_no_links(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "x.tar", {"../../evil.png": png(), "/etc/root.png": png(), "..\\up.png": png(), "d.png": png()}
    )
    with tarfile.open(path, "a") as file:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"link{int(kind)}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            file.addfile(info)
        twice = tarfile.TarInfo("d.png")
        twice.size = len(png((0, 0, 255)))
        file.addfile(twice, io.BytesIO(png((0, 0, 255))))
    found = listed(tmp_path)
    assert list(found) == ["x.tar/d.png", "x.tar/etc/root.png", "x.tar/evil.png", "x.tar/up.png"]
    assert found["x.tar/d.png"].read() == png((0, 0, 255))


def test_a_truncated_tar_gives_what_lies_before_the_damage(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {f"{i}.png": png() for i in range(3)})
    path.write_bytes(path.read_bytes()[: 512 + 512 + 512 + 20])  # the first member whole, the second cut in its picture
    put(tmp_path / "not_a_tar.tar", "hello")
    found = listed(tmp_path)
    assert found["x.tar/0.png"].read() == png()
    with pytest.raises(OSError, match="ends before"):
        found["x.tar/1.png"].read()
    assert not any(name.startswith("not_a_tar") for name in found)


def test_workspaces_and_exports_are_never_read(tmp_path: Path) -> None:
    put(tmp_path / "1.png")
    put(tmp_path / "_diversity/set/2.png")
    put(tmp_path / "deep/own" / workspace.MARKER, "{}")
    put(tmp_path / "deep/own/reports/3.png")
    put(tmp_path / "exported/diversity-manifest.json", "{}")
    put(tmp_path / "exported/4.png")
    assert list(listed(tmp_path)) == ["1.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path / "root/real/1.png")
    put(tmp_path / "outside/2.png")
    (tmp_path / "root/a_first_link").symlink_to(tmp_path / "root/real", target_is_directory=True)
    (tmp_path / "root/real/loop").symlink_to(tmp_path / "root", target_is_directory=True)
    (tmp_path / "root/out").symlink_to(tmp_path / "outside", target_is_directory=True)
    (tmp_path / "root/file.png").symlink_to(tmp_path / "outside/2.png")
    (tmp_path / "root/broken.png").symlink_to(tmp_path / "nowhere.png")
    found = listed(tmp_path / "root")
    assert list(found) == ["broken.png", "file.png", "out/2.png", "real/1.png"]
    assert (found["broken.png"].size, found["broken.png"].mtime_ns) == (0, 0)


def test_a_file_that_vanished_is_an_oserror_when_read(tmp_path: Path) -> None:
    path = put(tmp_path / "1.png")
    (source,) = list_sources(tmp_path, CONFIG)
    path.unlink()
    with pytest.raises(OSError, match="gone"):
        source.read()


def test_an_empty_folder_has_no_sources_and_a_missing_one_is_a_clear_error(tmp_path: Path) -> None:
    assert list_sources(tmp_path, CONFIG) == []
    with pytest.raises(InputError, match="not a folder"):
        list_sources(tmp_path / "nowhere", CONFIG)


@pytest.mark.shared
def test_the_shared_kohya_sets_are_read_whole(shared_data: Path) -> None:
    sources = list_sources(shared_data / "kaykit_views" / "longtail", CONFIG)
    assert len(sources) == 3 * 126
    assert {source.concept for source in sources} == {"Barbarian", "Knight", "Rogue"}
    assert all(source.repeats == 10 and source.caption for source in sources)
