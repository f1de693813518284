"""What a trainer will see: enlarged and cut pictures, buckets short of a batch, subjects and faces in pixels."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from diversity import tables
from diversity.commands import trainer as command
from diversity.errors import EncoderError
from diversity.sizes import Faces, Sizes, sizes
from diversity.trainer_stage import seen
from diversity.trainer_summary import CROPPED, ENLARGED, summarise
from diversity.trainer_view import BucketRules

SIDES = st.integers(1, 5000)
SHARES = st.none() | st.floats(0, 1)


@settings(deadline=None)
@given(SIDES, SIDES, st.tuples(SHARES, SHARES, SHARES), st.sampled_from([256, 512, 768, 1024]))
def test_nothing_is_larger_than_its_bucket(
    width: int, height: int, shares: tuple[float | None, ...], resolution: int
) -> None:
    row = seen(width, height, Sizes(*shares), BucketRules(resolution))
    longer = max(row["bucket_width"], row["bucket_height"])
    assert row["subject"] is None or 0 <= row["subject"] <= longer
    assert row["face"] is None or 0 <= row["face"] <= row["bucket_height"]
    assert (row["subject"] is None) == (shares[0] is shares[1] is None)
    assert 0 <= row["lost"] < 1


def test_a_figure_on_plain_ground_is_measured_and_one_in_a_crowd_is_not_known() -> None:
    picture = Image.new("RGB", (200, 200), "lightblue")
    ImageDraw.Draw(picture).rectangle((70, 40, 129, 159), fill="brown")
    found = sizes(picture)
    assert found.width == pytest.approx(0.3, abs=0.03)
    assert found.height == pytest.approx(0.6, abs=0.03)
    assert found.face is None
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
    assert sizes(noise) == Sizes()
    assert sizes(Image.new("RGB", (1, 1))) == Sizes()


def rows(pictures: list[tuple[int, int]], resolution: int = 512) -> pl.DataFrame:
    found = [
        {"key": f"{i:02}", "resolution": resolution, **seen(*size, Sizes(0.5, 0.5), BucketRules(resolution))}
        for i, size in enumerate(pictures)
    ]
    return pl.DataFrame(found, schema=tables.TRAINER)


VIEWS = pl.DataFrame(
    [("00", "framing", "headshot", 1.0, "user"), ("01", "framing", "unsure", 0.1, "prompt")],
    schema=tables.VIEWS,
    orient="row",
)


def test_enlarged_cut_and_lonely_pictures_are_counted() -> None:
    pictures = [(1024, 1024), (256, 256), (512, 512), (3000, 500), (500, 3000)]
    (one,) = summarise(rows(pictures), VIEWS, {"03": "wide.png", "04": "tall.png"}, (1, 4))
    assert (one.pictures, one.buckets, one.enlarged, one.much) == (5, 3, 1, 1)
    assert one.largest == pytest.approx(2)
    assert {path for path, lost in one.cropped if lost > CROPPED} == {"wide.png", "tall.png"}
    assert [(batch.size, len(batch.short), batch.pictures) for batch in one.batches] == [(1, 0, 0), (4, 3, 5)]
    assert [(span.framing, span.n, span.of) for span in one.spans] == [("headshot", 1, 1), ("", 4, 4)]
    assert one.spans[0].middle == pytest.approx(256)
    assert any("hold fewer pictures" in line for line in one.lines())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(64, 4000), st.integers(64, 4000)), min_size=1, max_size=30), st.integers(1, 9))
def test_short_buckets_hold_what_does_not_fill_a_batch_and_all_counts_agree(
    pictures: list[tuple[int, int]], batch: int
) -> None:
    frame = rows(pictures)
    (one,) = summarise(frame, VIEWS, {}, (batch,))
    assert one.pictures == len(pictures)
    assert all(0 < n < batch for *_, n in one.batches[0].short)
    assert one.batches[0].pictures == sum(n for *_, n in one.batches[0].short)
    assert one.much <= one.enlarged == int((frame["scale"] > ENLARGED).sum())
    assert 0 <= one.lost <= max(frame["lost"].to_list()) + 1e-9
    (again,) = summarise(frame.reverse(), VIEWS, {}, (batch,))
    assert again.lost == pytest.approx(one.lost)
    assert (again.batches, again.cropped) == (one.batches, one.cropped)


def test_a_detector_from_a_file_measures_the_largest_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    boxes = np.array([[0, 0, 5, 10, *[0] * 11], [0, 0, 20, 40, *[0] * 11]], np.float32)
    detector = SimpleNamespace(setInputSize=lambda _: None, detect=lambda pixels: (1, boxes))
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: detector)
    (tmp_path / "yunet.onnx").write_bytes(b"model")
    assert sizes(Image.new("RGB", (100, 200)), Faces(tmp_path / "yunet.onnx")).face == pytest.approx(0.2)
    boxes = None  # type: ignore[assignment]
    assert sizes(Image.new("RGB", (100, 200)), Faces(tmp_path / "yunet.onnx")).face is None


def test_a_file_that_is_no_detector_is_a_plain_message(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model")
    for name in ("x.onnx", "absent.onnx"):
        with pytest.raises(EncoderError, match="face detector"):
            Faces(tmp_path / name)


def test_the_command_prints_every_resolution_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    from test_pipeline import picture

    root = tmp_path / "set"
    root.mkdir()
    for i, size in enumerate((96, 300, 400)):
        picture(i, size).save(root / f"{i}.png")
    parser = argparse.ArgumentParser()
    command.arguments(parser, "trainer")
    words = [str(root), "--model", "toon", "--quiet", "--workspace", str(tmp_path / "w"), "--resolution", "256", "512"]
    assert command.run("trainer", parser.parse_args(words)) == 0
    said = capsys.readouterr().out
    assert "At 256: 3 pictures" in said
    assert "At 512: 3 pictures" in said
    assert command.run("trainer", parser.parse_args([*words, "--json", "--batch", "2"])) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["resolution"] for one in found] == [256, 512]
    assert [batch["size"] for batch in found[0]["batches"]] == [2]
