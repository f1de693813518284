"""Captions from downloaders' JSON and from inside picture files; what is no caption never becomes one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from diversity import captions, taxonomy
from diversity.config import ScanConfig
from diversity.ingest import Source, embedded, list_sources, records

CONFIG = ScanConfig()


def png(**texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text) if not text.isascii() else info.add_text(name, text, zip=len(text) > 200)
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (9, 9, 9)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def with_exif(kind: str, fields: dict[int, Any], user: bytes | None = None, xmp: str = "") -> bytes:
    exif = Image.Exif()
    exif.update(fields)
    if user is not None:
        exif.get_ifd(0x8769)[0x9286] = user
    file = io.BytesIO()
    more: dict[str, Any] = {"xmp": xmp.encode()} if xmp else {}
    Image.new("RGB", (8, 6), (9, 9, 9)).save(file, kind, exif=exif, **more)
    return file.getvalue()


def listed(root: Path) -> dict[str, Source]:
    return {source.path: source for source in list_sources(root, CONFIG)}


# records ------------------------------------------------------------------------------------------------------------

DANBOORU = {
    "id": 1,
    "rating": "s",
    "tag_string": "1girl absurdres from_behind kantoku mia_(series) series smile ^_^",
    "tag_string_general": "1girl from_behind smile ^_^",
    "tag_string_character": "mia_(series)",
    "tag_string_copyright": "series",
    "tag_string_artist": "kantoku",
    "tag_string_meta": "absurdres translated",
}
GALLERY_DL = {
    "category": "gelbooru",
    "subcategory": "tag",
    "caption": "please follow me!",
    "rating": "explicit",
    "tags": ["1girl", "kantoku", "mia", "smile", "highres"],
    "tags_general": ["1girl", "smile"],
    "tags_character": "mia",
    "tags_artist": ["kantoku"],
    "tags_metadata": ["highres"],
}


def gallery_dl(site: str) -> dict[str, Any]:
    return {"category": site, "subcategory": "post", "rating": "s"}


E621 = {
    "rating": "q",
    "tags": {"general": ["smile", "long_hair"], "species": ["fox"], "artist": ["kantoku"], "meta": []},
}


@pytest.mark.parametrize(
    ("record", "caption", "apart"),
    [
        (
            DANBOORU,
            "mia (series), series, 1girl, from behind, smile, ^_^",
            {("artist", "kantoku"), ("quality", "absurdres"), ("meta", "translated"), ("rating", "sensitive")},
        ),
        (GALLERY_DL, "mia, 1girl, smile", {("artist", "kantoku"), ("quality", "highres"), ("rating", "explicit")}),
        (E621, "fox, smile, long hair", {("artist", "kantoku"), ("rating", "questionable")}),
        ({"tags": "1girl smile highres"}, "1girl, smile", {("quality", "highres")}),
        (
            {"tags": ["artist:kantoku", "1girl", "rating:safe"]},
            "1girl",
            {("artist", "kantoku"), ("rating", "rating:safe")},
        ),
        ({"tags": [{"name": "1girl"}, {"name": "red_hair"}]}, "1girl, red hair", set()),
        ({"caption": "a girl", "tags": ["1girl"]}, "a girl", set()),
        ({"text": "a girl"}, "a girl", set()),
        ({"rating": "e"}, None, {("rating", "explicit")}),
        ({"rating": "s", "tags": "1girl"}, "1girl", {("rating", "safe")}),
        (gallery_dl("danbooru"), None, {("rating", "sensitive")}),
        (gallery_dl("yandere"), None, {("rating", "safe")}),
    ],
)
def test_records_give_what_is_shown_and_set_the_rest_apart(
    record: dict[str, Any], caption: str | None, apart: set[tuple[str, str]]
) -> None:
    said = records.parse(json.dumps(record))
    assert said is not None
    assert said.caption == caption
    assert set(said.apart) == apart


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", '{"a": 1}', '{"tags": 7}', '{"tags": {"general": {}}}', "[" * 9999]
)
def test_other_json_says_nothing(text: str) -> None:
    assert records.parse(text) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "general", "artist", "x"]), inner)
    ),
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*DANBOORU, *GALLERY_DL, "text"]), JSON))
def test_no_record_whatever_is_in_it_breaks_the_reader(record: dict[str, Any]) -> None:
    said = records.parse(json.dumps(record))
    if said is not None:
        assert said.caption is None or said.caption.strip()
        assert all(group in captions.APART and tag for group, tag in said.apart)


def test_sidecars_of_downloaders_are_found_by_both_names_and_yield_to_texts(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.png", "3.png", "4.png"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "1.jpg.json").write_text(json.dumps(DANBOORU))
    (tmp_path / "2.json").write_text(json.dumps(E621))
    (tmp_path / "3.json").write_text(json.dumps(DANBOORU))
    (tmp_path / "3.txt").write_text("by hand")
    (tmp_path / "info.json").write_text("{}")
    found = listed(tmp_path)
    assert {path: (s.caption or "")[:8] for path, s in found.items()} == {
        "1.jpg": "mia (ser",
        "2.png": "fox, smi",
        "3.png": "by hand",
        "4.png": "",
    }
    assert found["1.jpg"].caption_path == "1.jpg.json"
    assert ("artist", "kantoku") in found["3.png"].apart, "what is set apart holds beside any caption"


# inside pictures ----------------------------------------------------------------------------------------------------

A1111 = "mia, (smile:1.2), <lora:x:0.8>, [red hair], name \\(series\\)\nboots\nNegative prompt: bad\nSteps: 20, Seed: 1"
COMFY = {
    "3": {"class_type": "KSampler", "inputs": {"positive": ["9", 0], "negative": ["7", 0], "model": ["4", 0]}},
    "9": {"class_type": "ConditioningCombine", "inputs": {"a": ["9", 0], "b": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "mia, (smile:1.1)", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "bad", "clip": ["4", 1]}},
}


@pytest.mark.parametrize(
    ("data", "caption"),
    [
        (png(parameters=A1111), "mia, smile, red hair, name (series) boots"),
        (png(prompt=json.dumps(COMFY), workflow="{}"), "mia, smile"),
        (png(Comment=json.dumps({"prompt": "{{mia}}, smile", "uc": "bad"}), Software="NovelAI"), "mia, smile"),
        (png(Description="米娅 smiles"), "米娅 smiles"),
        (png(Software="GIMP", Comment="Created with GIMP"), None),
        (png(prompt="{broken"), None),
        (png(prompt=json.dumps({"1": {"inputs": {"positive": ["1", 0]}}})), None),
        (png(), None),
        (with_exif("JPEG", {0x010E: "A girl smiles"}), "A girl smiles"),
        (with_exif("JPEG", {0x010E: "OLYMPUS DIGITAL CAMERA         "}), None),
        (with_exif("JPEG", {}, b"ASCII\0\0\0Screenshot"), None),
        (with_exif("JPEG", {}, b"UNICODE\0" + A1111.encode("utf-16-be")), "mia, smile, red hair, name (series) boots"),
        (with_exif("WEBP", {}, b"UNICODE\0" + A1111.encode("utf-16-le")), "mia, smile, red hair, name (series) boots"),
        (with_exif("JPEG", {0x9C9E: "mia;smile\0".encode("utf-16-le")}), "mia, smile"),
        (
            with_exif(
                "JPEG",
                {},
                xmp="<x><dc:subject><rdf:Bag><rdf:li>mia</rdf:li><rdf:li>a &amp; b</rdf:li></rdf:Bag></dc:subject></x>",
            ),
            "mia, a & b",
        ),
        (b"", None),
        (b"GIF89a" + b"\0" * 40, None),
    ],
)
def test_what_is_written_inside_a_picture_is_its_last_resort(data: bytes, caption: str | None, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(data)
    assert embedded.of(io.BytesIO(data)) == caption
    source = listed(tmp_path)["1.png"]
    assert (source.caption, source.caption_path) == ((caption, "1.png") if caption else (None, None))
    (tmp_path / "1.txt").write_text("by hand")
    assert listed(tmp_path)["1.png"].caption == "by hand"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([png(parameters=A1111), png(prompt=json.dumps(COMFY) * 9), with_exif("JPEG", {0x010E: "x"}),
                        with_exif("WEBP", {0x010E: "x"}, b"UNICODE\0a")]), st.data())  # fmt: skip
def test_damaged_files_give_a_text_or_none(data: bytes, draw: st.DataObject) -> None:
    raw = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(st.integers(0, 255))
    for file in (bytes(raw), bytes(raw[: draw.draw(st.integers(0, len(raw)))])):
        found = embedded.of(io.BytesIO(file))
        assert found is None or found.strip() == found != ""


@settings(deadline=None)
@given(st.text(alphabet="ab,()[]{}<>:1.\\ ", max_size=40))
def test_a_prompt_becomes_plain_once_and_for_all(prompt: str) -> None:
    once = embedded.plain_prompt(prompt)
    assert once is None or once == " ".join(once.split())


def test_a_packed_text_never_unpacks_to_more_than_a_caption(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png(Description="x" * (3 << 20)))
    assert len(listed(tmp_path)["1.png"].caption or "") <= embedded.MOST


# groups -------------------------------------------------------------------------------------------------------------


def test_tags_that_do_not_say_what_is_shown_are_grouped_apart() -> None:
    images = pl.DataFrame(
        {
            "key": ["a"],
            "path": ["a.png"],
            "caption": [
                "masterpiece, best quality, score_9, rating:safe, artist:kantoku, from behind, high shoes, safe"
            ],
        }
    )
    table = captions.tag_table(
        images, taxonomy.load(None), {"a.png": (("artist", "Kantoku_2"), ("quality", "highres"))}
    )
    assert dict(table.select("tag", "group").iter_rows()) == {
        "masterpiece": "quality",
        "best quality": "quality",
        "score 9": "quality",
        "rating:safe": "rating",
        "artist:kantoku": "artist",
        "from behind": "side",
        "high shoes": None,
        "safe": "rating",
        "kantoku 2": "artist",
        "highres": "quality",
    }
