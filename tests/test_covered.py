"""A copy that is censored, marked, subtitled, smaller or recompressed loses to the clean one; variants do not."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scenes import images_of, scene, with_another_expression

from diversity.config import DuplicatesConfig, ScanConfig
from diversity.covered import hidden
from diversity.duplicates import find
from diversity.measure import measure

Change = Callable[[Image.Image], Image.Image]
LINES = DuplicatesConfig(threshold=0.5)  # the made encoder is coarse: propose generously, pictures decide


def decided(pictures: dict[str, Image.Image], **columns: dict[str, object]) -> dict[str, dict[str, object]]:
    """Key → its row of `duplicates`; two other scenes are around; so few take the usual lines."""
    around = {f"other{seed}": scene(100 + seed) for seed in range(2)}
    images, vectors, evidence = images_of(pictures | around, **columns)
    rows = find(images, vectors, evidence, LINES, pins=()).frame
    return {row["key"]: row for row in rows.filter(pl.col("key").is_in(list(pictures))).to_dicts()}


def with_bar(picture: Image.Image, colour: str = "black") -> Image.Image:
    changed = picture.copy()
    ImageDraw.Draw(changed).rectangle((46, 70, 112, 92), fill=colour)
    return changed


def with_mark(picture: Image.Image) -> Image.Image:
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    font = ImageFont.load_default(18)
    ImageDraw.Draw(layer).text((80, 80), "SAMPLE.COM", fill=(255, 255, 255, 120), font=font, anchor="mm")
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


@pytest.mark.parametrize("colour", ["black", "white"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_censored_copy_is_a_copy_and_loses_whatever_its_quality(seed: int, colour: str) -> None:
    clean = scene(seed)
    rows = decided({"a-bar": with_bar(clean, colour), "b-clean": clean}, quality={"a-bar": 0.9, "b-clean": 0.5})
    assert (rows["b-clean"]["kind"], rows["a-bar"]["kind"]) == ("keeper", "copy")
    assert "a bar does not cover" in str(rows["a-bar"]["reason"])


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_another_expression_beside_a_censored_copy_stays_a_variant(seed: int) -> None:
    clean = scene(seed)
    rows = decided({"bar": with_bar(clean), "clean": clean, "smile": with_another_expression(clean)})
    assert rows["bar"]["kind"] == "copy"
    assert rows["smile"]["kind"] != "copy"
    assert rows["clean"]["kind"] != "copy"


def test_what_is_kept_by_hand_wins_though_censored() -> None:
    clean = scene(0)
    images, vectors, evidence = images_of({"bar": with_bar(clean), "clean": clean})
    rows = {r["key"]: r for r in find(images, vectors, evidence, LINES, pins={"bar"}).frame.to_dicts()}
    assert rows["bar"]["keeper"] == "bar"


def test_two_equally_censored_pictures_decide_by_quality() -> None:
    one = with_bar(scene(0))
    rows = decided({"a": one.filter(ImageFilter.GaussianBlur(0.6)), "b": one}, quality={"a": 0.4, "b": 0.5})
    assert rows["a"]["keeper"] == rows["b"]["keeper"] == "b"


@pytest.mark.parametrize("seed", [0, 4])
def test_a_watermarked_copy_loses_though_it_looks_sharper(seed: int) -> None:
    clean = scene(seed)
    rows = decided({"mark": with_mark(clean), "clean": clean}, quality={"mark": 0.6, "clean": 0.5})
    assert rows["clean"]["kind"] != "copy"
    if rows["mark"]["kind"] == "copy":
        assert rows["mark"]["keeper"] == "clean"


def test_a_watermark_is_seen_as_a_mark_on_most_scenes() -> None:
    seen = 0
    for seed in range(6):
        rows = decided({"mark": with_mark(scene(seed)), "clean": scene(seed)}, quality={"mark": 0.6, "clean": 0.5})
        seen += rows["mark"]["kind"] == "copy" and "a mark does not cover" in str(rows["mark"]["reason"])
    assert seen >= 3


def test_a_subtitled_copy_loses_by_the_flag_of_the_scan() -> None:
    clean = scene(1)
    lined = clean.copy()
    ImageDraw.Draw(lined).text((80, 140), "And so it was.", fill="white", font=ImageFont.load_default(15), anchor="mm")
    flags: dict[str, object] = {"lined": ["overlay"], "clean": []}
    rows = decided({"lined": lined, "clean": clean}, quality={"lined": 0.6, "clean": 0.5}, flags=flags)
    assert (rows["lined"]["kind"], rows["lined"]["keeper"]) == ("copy", "clean")
    assert "line of text does not cover" in str(rows["lined"]["reason"])


def _saved(picture: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "change", "options"),
    [
        ("JPEG", lambda p: p, {"quality": 30}),
        ("JPEG", lambda p: p.resize((256, 256), Image.Resampling.LANCZOS), {"quality": 95}),
    ],
    ids=["recompressed", "smaller"],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_recompressed_or_smaller_copy_scores_below_its_original(
    seed: int, kind: str, change: Change, options: dict[str, int]
) -> None:
    noise = np.random.default_rng(seed).normal(0, 6, (512, 512, 3))
    picture = scene(seed).resize((512, 512), Image.Resampling.BICUBIC)
    picture = Image.fromarray(np.clip(np.asarray(picture, float) + noise, 0, 255).astype(np.uint8))
    clean = measure(_saved(picture, "JPEG", quality=95), ScanConfig())
    copy = measure(_saved(change(picture), kind, **options), ScanConfig())
    assert copy.columns["quality"] < clean.columns["quality"]


def test_the_order_of_rows_does_not_matter() -> None:
    clean = scene(2)
    pictures = {
        "bar": with_bar(clean),
        "clean": clean,
        "mark": with_mark(clean),
        "smile": with_another_expression(clean),
    }
    first = decided(pictures)
    names = list(pictures)
    random.Random(1).shuffle(names)
    assert decided({name: pictures[name] for name in names}) == first


@pytest.mark.parametrize(("setting", "kind"), [("keep", "variant"), ("drop", "copy")])
def test_variants_of_a_scene_stay_or_go_as_the_settings_say(setting: str, kind: str) -> None:
    pictures = {"first": scene(3), "smile": with_another_expression(scene(3))}
    images, vectors, evidence = images_of(pictures, quality={"first": 0.9, "smile": 0.5})
    config = DuplicatesConfig(threshold=0.5, variants=setting)  # type: ignore[arg-type]
    rows = {r["key"]: r for r in find(images, vectors, evidence, config).frame.to_dicts()}
    assert rows["smile"]["kind"] == kind
    assert rows["smile"]["similarity"] >= rows["smile"]["threshold"]
    if kind == "copy":
        assert rows["smile"]["reason"].startswith("Another pose, expression or detail in the scene of first")


def test_an_opened_mouth_is_not_taken_for_a_mark() -> None:
    rng = np.random.default_rng(0)
    shut = np.dstack([70 + rng.normal(0, 0.3, (96, 96)), np.full((96, 96), 8.0), np.full((96, 96), 12.0)])
    opened = shut.copy()
    down, across = np.mgrid[:96, :96]
    opened[((down - 60) / 5) ** 2 + ((across - 48) / 8) ** 2 < 1] = (38.0, 24.0, 15.0)
    inside = np.ones((96, 96), bool)
    assert hidden(shut.astype(np.float32), opened.astype(np.float32), inside) is None
    strokes = shut.copy()
    strokes[40:44, 12:84:6, 0] += 15
    found = hidden(shut.astype(np.float32), strokes.astype(np.float32), inside)
    assert found is not None
    assert (found.which, found.by) == (1, "a mark")
