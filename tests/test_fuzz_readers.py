"""Readers of captions, TOML, metadata, records, lists: whatever is in the file, text or a user's error, never more."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diversity import record, taxonomy, views, workspace
from diversity.config import Config, ScanConfig
from diversity.errors import ConfigError, DiversityError, WorkspaceError
from diversity.ingest import list_sources
from diversity.ingest.text import decode_text, read_text

FUZZ = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SECTIONS = st.sampled_from([*Config.model_fields, "targets.cells", "axes", "prompts", "extends", "version"])
KEYS = (
    st.sampled_from(["preset", "axes", "emphasis", "keep", "alpha", "taxonomy", "control", "resolutions", "labels"])
    | TEXT
)
DEEP = b"x = " + b"[" * 100_000
LONG = b"x = " + b"9" * 5_000


def toml(value: object) -> str:
    """A value as TOML, as far as it has one; a nan or a quote are what people write too."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str) else str(value)


@FUZZ
@given(st.binary(max_size=400))
def test_a_caption_of_any_bytes_is_text_without_nul_and_with_one_kind_of_line_end(tmp_path: Path, data: bytes) -> None:
    text = decode_text(data)
    assert "\0" not in text
    assert "\r" not in text
    (tmp_path / "1.txt").write_bytes(data)
    found = read_text(tmp_path / "1.txt")
    assert found is None or found == found.strip() != ""
    text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")


@FUZZ
@given(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]), st.text("abcdef, ()1", min_size=4, max_size=40))
def test_what_was_written_in_a_common_encoding_is_read_back(encoding: str, text: str) -> None:
    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize("data", [DEEP, LONG, b"\xff\xfe", b"x = 1\nx = 2"], ids=["deep", "long", "bytes", "twice"])
def test_toml_that_breaks_parsers_is_a_users_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(data)
    for load in (Config.load, taxonomy.load):
        with pytest.raises(ConfigError):
            load(tmp_path / "x.toml")


@FUZZ
@given(
    st.binary(max_size=200)
    | st.builds(
        lambda s, k, v: f"[{s}]\n{json.dumps(k)} = {toml(v)}".encode("utf-8", "replace"), SECTIONS, KEYS, VALUES
    )
)
def test_any_settings_file_is_understood_or_a_users_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.toml").write_bytes(data)
    for load in (Config.load, taxonomy.load):
        with contextlib.suppress(ConfigError):
            load(tmp_path / "x.toml")


@FUZZ
@given(st.dictionaries(st.sampled_from([*Config.model_fields]), st.dictionaries(KEYS, VALUES, max_size=3), max_size=3))
def test_any_overrides_are_understood_or_a_users_error(overrides: dict[str, dict[str, object]]) -> None:
    with contextlib.suppress(ConfigError):
        Config.load(None, overrides)


ROWS = st.lists(st.dictionaries(st.sampled_from(["file_name", "text", "caption", "x"]), VALUES, max_size=4), max_size=5)


@FUZZ
@given(
    st.sampled_from(
        ["metadata.jsonl", "metadata.csv", "metadata.parquet", "1.json", "1.png.json", "1.txt", "1.caption"]
    ),
    st.binary(max_size=300) | ROWS.map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
)
def test_any_metadata_file_gives_captions_or_none(tmp_path: Path, name: str, data: bytes) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    (tmp_path / "1.png").write_bytes(b"no picture, and it does not matter")
    (tmp_path / name).write_bytes(data)
    (source,) = list_sources(tmp_path, ScanConfig())
    assert source.caption is None or source.caption == source.caption.strip() != ""
    assert source.path == "1.png"


def test_metadata_nested_without_end_gives_none(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    for name in ("metadata.jsonl", "1.json"):
        (tmp_path / name).write_bytes(b"[" * 200_000)
    (source,) = list_sources(tmp_path, ScanConfig())
    assert source.caption is None


@FUZZ
@given(st.binary(max_size=120) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_record_is_read_or_a_users_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / record.FILE).write_bytes(data)
    with contextlib.suppress(WorkspaceError):
        assert isinstance(record.load(tmp_path)["stages"], dict)
    assert record.preset(tmp_path) is None or isinstance(record.preset(tmp_path), str)


@FUZZ
@given(st.binary(max_size=120) | VALUES.map(lambda value: json.dumps({"version": 1, "pictures": value}).encode()))
def test_any_marker_is_ours_or_a_users_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / workspace.MARKER).write_bytes(data)
    with contextlib.suppress(WorkspaceError):
        assert workspace.check(tmp_path, tmp_path)


@FUZZ
@given(st.binary(max_size=200) | st.text("file,axislbde\n\"'12.png=", max_size=80).map(str.encode))
def test_any_list_of_labels_is_read_or_a_users_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "labels.csv").write_bytes(data)
    images = pl.DataFrame({"key": ["k"], "path": ["1.png"]}, schema={"key": pl.String, "path": pl.String})
    with contextlib.suppress(DiversityError):
        assert views.read_labels(tmp_path / "labels.csv", images, taxonomy.load()).columns
