"""A copy that is censored, marked, subtitled, smaller or recompressed loses to the clean one; variants do not."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scenes import images_of, scene, with_another_expression

from diversity.alignment import laid_over, shot
from diversity.config import DuplicatesConfig, ScanConfig
from diversity.covered import Covered, hidden
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


def with_mosaic(picture: Image.Image, block: int, corner: tuple[int, int] = (30, 40)) -> Image.Image:
    """Blocks of `block` pixels over about 70 × 48, each of the mean of what it hides."""
    across, down = -(-70 // block), -(-48 // block)
    box = (*corner, corner[0] + across * block, corner[1] + down * block)
    small = picture.crop(box).resize((across, down), Image.Resampling.BOX)
    changed = picture.copy()
    changed.paste(small.resize((across * block, down * block), Image.Resampling.NEAREST), box[:2])
    return changed


def seen(one: Image.Image, other: Image.Image) -> Covered | None:
    """What the rule says of two pictures, as thumbnails keep them."""
    shots = [shot(Image.open(io.BytesIO(_saved(picture, "WEBP", quality=80)))) for picture in (one, other)]
    laid = laid_over(*shots)
    return None if laid is None else hidden(*laid)


@pytest.mark.parametrize("block", [10, 12, 16, 20, 24])
def test_a_mosaic_is_seen_for_what_it_is(block: int) -> None:
    """Blocks of a sixteenth to a seventh of the side; where two that touch differ little, they are no blocks."""
    clean = [scene(seed) for seed in (0, 2, 3, 5)]
    found = [seen(picture, with_mosaic(picture, block)) for picture in clean]
    assert sum(one == Covered(1, "a mosaic") for one in found) >= 3
    assert set(found) <= {Covered(1, "a mosaic"), None}
    assert seen(with_mosaic(clean[1], block), clean[1]) == Covered(0, "a mosaic")


def test_a_mosaic_is_seen_beside_a_recompressed_clean_picture_and_in_other_light() -> None:
    clean = scene(3)
    again = Image.open(io.BytesIO(_saved(clean, "JPEG", quality=90)))
    assert seen(again, with_mosaic(clean, 16)) == Covered(1, "a mosaic")
    assert seen(clean, with_mosaic(clean, 16).point(lambda value: int(value * 0.94))) == Covered(1, "a mosaic")


NO_MOSAICS: dict[str, Change] = {
    "recompressed": lambda p: Image.open(io.BytesIO(_saved(p, "JPEG", quality=20))),
    "recompressed to blocks": lambda p: Image.open(io.BytesIO(_saved(p, "JPEG", quality=5))),
    "smaller": lambda p: p.resize((64, 64), Image.Resampling.BOX),
    "enlarged without smoothing": lambda p: p.resize((40, 40), Image.Resampling.BOX).resize(p.size, 0),
    "a blurred spot": lambda p: _pasted(p, p.crop((30, 40, 110, 100)).filter(ImageFilter.GaussianBlur(4)), (30, 40)),
    "another expression": with_another_expression,
    "a plain patch": lambda p: _pasted(p, Image.new("RGB", (40, 40), (120, 100, 90)), (50, 50)),
}


def _pasted(picture: Image.Image, patch: Image.Image, at: tuple[int, int]) -> Image.Image:
    changed = picture.copy()
    changed.paste(patch, at)
    return changed


@pytest.mark.parametrize("change", NO_MOSAICS.values(), ids=NO_MOSAICS)
def test_what_is_soft_or_blocky_for_other_reasons_is_no_mosaic(change: Change) -> None:
    for seed in (0, 2, 3):
        for found in (seen(scene(seed), change(scene(seed))), seen(change(scene(seed)), scene(seed))):
            assert found is None or found.by != "a mosaic"
    assert (found := seen(scene(2, shift=6), scene(2))) is None or found.by != "a mosaic"


@pytest.mark.parametrize("seed", [2, 3])
def test_a_copy_with_a_mosaic_loses_though_it_looks_sharper(seed: int) -> None:
    clean = scene(seed)
    rows = decided({"mosaic": with_mosaic(clean, 12), "clean": clean}, quality={"mosaic": 0.6, "clean": 0.5})
    assert rows["clean"]["kind"] != "copy"
    assert (rows["mosaic"]["kind"], rows["mosaic"]["keeper"]) == ("copy", "clean")
    assert "a mosaic does not cover" in str(rows["mosaic"]["reason"])


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


DRAWN = Path(__file__).parents[1] / "diversity" / "assets" / "sample_set" / "10_mira"


def drawn() -> list[Image.Image]:
    """Drawings before light grounds, where pale marks take more contrast than they add."""
    files = sorted(DRAWN.glob("*.jpg"))[3:132:16]
    return [Image.open(file).convert("RGB").resize((256, 256)) for file in files]


def written(picture: Image.Image, words: str, at: list[tuple[float, float]], size: float, alpha: int) -> Image.Image:
    """The picture with pale words around places, as shares of its side."""
    layer = Image.new("RGBA", picture.size, (255, 255, 255, 0))
    draw, side = ImageDraw.Draw(layer), picture.width
    for x, y in at:
        font = ImageFont.load_default(int(size * side))
        draw.text((x * side, y * side), words, fill=(255, 255, 255, alpha), font=font, anchor="mm")
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


MARKS: dict[str, Change] = {
    "one": lambda p: written(p, "SAMPLE.COM", [(0.5, 0.5)], 0.11, 120),
    "many": lambda p: written(p, "sample", [(x / 10, y / 10) for x in (2, 5, 8) for y in (1, 3, 5, 7, 9)], 0.06, 90),
    "an address along an edge": lambda p: written(p, "artist.example", [(0.75, 0.95)], 0.05, 200),
}


@pytest.mark.parametrize("change", MARKS.values(), ids=MARKS)
def test_a_pale_mark_is_seen_on_drawings_and_never_on_the_clean_one(change: Change) -> None:
    found = [seen(picture, change(picture)) for picture in drawn()]
    assert set(found) <= {Covered(1, "a mark"), None}
    assert found.count(Covered(1, "a mark")) >= 8


BRIGHTER: Change = lambda p: p.point(lambda value: min(255, int(value * 1.12 + 6)))  # noqa: E731


@pytest.mark.parametrize("change", [NO_MOSAICS["recompressed"], NO_MOSAICS["smaller"], BRIGHTER])
def test_another_compression_size_or_exposure_is_no_cover(change: Change) -> None:
    assert {seen(picture, change(picture)) for picture in drawn()} == {None}
    assert {seen(change(picture), picture) for picture in drawn()} == {None}


def test_a_mouth_that_opens_in_a_burst_is_no_mark() -> None:
    burst = [Image.open(DRAWN / f"{number:03}.jpg") for number in range(25, 37)]
    assert {seen(one, other) for one, other in itertools.combinations(burst, 2)} == {None}


def test_a_blurred_spot_loses_though_its_picture_is_sharper() -> None:
    for seed in (2, 3, 4):
        clean = scene(seed)
        box = (40, 40, 104, 96)
        spot = _pasted(clean, clean.crop(box).filter(ImageFilter.GaussianBlur(6)), box[:2])
        rows = decided({"spot": spot, "clean": clean}, quality={"spot": 0.6, "clean": 0.5})
        assert rows["clean"]["kind"] != "copy"
        assert (rows["spot"]["kind"], rows["spot"]["keeper"]) == ("copy", "clean")
        assert "a blurred spot does not cover" in str(rows["spot"]["reason"])


def test_what_lies_only_on_the_other_is_no_reason_to_call_a_picture_blurred() -> None:
    """A mole, and strokes on a plain ground: a blur would explain that they are missing."""
    plain = Image.new("RGB", (160, 160), (200, 150, 140))
    ImageDraw.Draw(plain).rectangle((0, 110, 160, 160), fill=(60, 60, 120))
    mole = plain.copy()
    ImageDraw.Draw(mole).ellipse((40, 40, 62, 62), fill=(110, 60, 90))
    assert seen(mole, plain) is None
    words = written(plain, "SAMPLE", [(0.5, 0.4)], 0.15, 200)
    assert seen(words, plain) == Covered(0, "a mark")


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
    strokes[40:48, 12:84:6, 0] += 15
    found = hidden(shut.astype(np.float32), strokes.astype(np.float32), inside)
    assert found is not None
    assert (found.which, found.by) == (1, "a mark")
