"""Exported pictures: nothing private comes along, originals stay as they are, fitting follows the trainer's buckets."""

from __future__ import annotations

import io
import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from exports import Pictures, manifest, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from diversity.export import private
from diversity.trainer_view import BucketRules, fitted, place, sizes

SECRET = "somewhere secret 52.5, 13.4"


def pixels(seed: int = 0, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


@cache  # a colour profile holds the time when it was made
def private_file(kind: str) -> bytes:
    """A picture with a place, an artist, a comment, a colour profile, and something behind its end."""
    exif = Image.Exif()
    exif[0x013B], exif[0x0112] = SECRET, 1
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    buffer, more = io.BytesIO(), {}
    if kind == "PNG":
        more["pnginfo"] = text = PngImagePlugin.PngInfo()
        text.add_text("parameters", SECRET)
        text.add_itxt("prompt", SECRET, zip=True)
    if kind == "JPEG":
        more |= {"comment": SECRET, "progressive": True, "xmp": f"<x:xmpmeta>{SECRET}</x:xmpmeta>".encode()}
    if kind == "WEBP":
        more |= {"xmp": SECRET.encode(), "lossless": True}
    pixels().save(buffer, kind, exif=exif, icc_profile=profile, **more)
    return buffer.getvalue() + (b"" if kind == "WEBP" else SECRET.encode())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_private_metadata_go_and_pixels_and_colour_profile_stay(kind: str) -> None:
    data = private_file(kind)
    kept = private.stripped(data)
    assert kept is not None
    before, after = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(kept))
    assert np.array_equal(np.asarray(before), np.asarray(after))
    assert after.info["icc_profile"] == before.info["icc_profile"]
    assert not after.getexif()
    assert SECRET.encode() not in kept
    assert not {"parameters", "prompt", "comment", "xmp"} & set(after.info)
    assert private.stripped(kept) is None, "nothing is left to take away"


@pytest.mark.parametrize(
    ("kind", "mode"),
    [*itertools.product(("PNG", "WEBP"), ("RGB", "L", "P", "RGBA")), ("JPEG", "RGB"), ("JPEG", "L")],
)
def test_a_file_without_private_metadata_is_linked_as_it_is(kind: str, mode: str) -> None:
    buffer = io.BytesIO()
    pixels().convert(mode).save(buffer, kind)
    assert private.stripped(buffer.getvalue()) is None


def test_animation_and_transparency_survive() -> None:
    for kind in ("PNG", "WEBP"):
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[0x013B] = SECRET
        frames = [pixels(seed).convert("RGBA") for seed in range(3)]
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], exif=exif, lossless=True)
        kept = private.stripped(buffer.getvalue())
        assert kept is not None
        with Image.open(io.BytesIO(kept)) as image:
            assert image.n_frames == 3
            image.seek(2)
            assert np.array_equal(np.asarray(image.convert("RGBA")), np.asarray(frames[2]))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.data())
def test_a_damaged_file_is_stripped_or_refused_and_never_hangs(kind: str, data: st.DataObject) -> None:
    raw = bytearray(private_file(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(2, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    for file in (bytes(raw), cut):
        try:
            kept = private.stripped(file)
        except ValueError:
            continue
        assert kept is None or len(kept) <= len(file)


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.webp", "WEBP")])
@pytest.mark.parametrize("format_", ["kohya", "huggingface", "onetrainer"])
def test_exports_hold_no_private_metadata_and_originals_keep_theirs(
    format_: str, name: str, kind: str, pictures: Pictures, tmp_path: Path
) -> None:
    pictures.add(name, data=private_file(kind))
    before = pictures.snapshot()
    report = pictures.write(format_, tmp_path / "out")
    (row,) = manifest(report)["pictures"]
    target = report.folder / row["target"]
    assert row["how"] == "copied without private metadata"
    assert SECRET.encode() not in target.read_bytes()
    assert not target.samefile(pictures.root / name)
    assert pictures.snapshot() == before


def test_a_turned_picture_with_a_place_is_upright_and_without_it(pictures: Pictures, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, SECRET
    buffer = io.BytesIO()
    pixels().save(buffer, "JPEG", exif=exif, quality=95)
    pictures.add("a.jpg", data=buffer.getvalue())
    report = pictures.write("kohya", tmp_path / "out")
    target = report.folder / manifest(report)["pictures"][0]["target"]
    with Image.open(target) as image:
        assert image.size == (30, 40)
    assert SECRET.encode() not in target.read_bytes()


def test_a_bmp_becomes_a_png_because_not_every_trainer_reads_it(pictures: Pictures, tmp_path: Path) -> None:
    pictures.add("a.bmp", data=picture(1, "BMP"))
    report = pictures.write("kohya", tmp_path / "out")
    (row,) = manifest(report)["pictures"]
    assert row["target"].endswith(".png")
    with Image.open(report.folder / row["target"]) as image, Image.open(pictures.root / "a.bmp") as original:
        assert np.array_equal(np.asarray(image), np.asarray(original))


# buckets ----------------------------------------------------------------------------------------------------

SIDES = st.integers(1, 5000)
RULES = st.builds(BucketRules, st.sampled_from([64, 200, 512, 640, 1024]), st.sampled_from([8, 16, 32, 64]))


def test_buckets_are_those_of_kohya() -> None:
    """What its rule gives for 512 × 512, sides 256 to 1024, steps of 64."""
    narrow = ((256, 1024), (256, 960), (256, 896), (256, 832), (320, 768), (320, 704), (384, 640), (448, 576))
    wide = tuple((height, width) for width, height in reversed(narrow))
    assert set(sizes(BucketRules(512, smallest=256, largest=1024))) == {*narrow, (512, 512), *wide}


@settings(deadline=None)
@given(RULES)
def test_every_bucket_is_a_multiple_within_the_area_and_has_its_twin(rules: BucketRules) -> None:
    found = sizes(rules)
    for width, height in found:
        assert width % rules.step == height % rules.step == 0
        assert width * height <= rules.resolution**2 or width == height == rules.step
        assert (height, width) in found


@settings(deadline=None)
@given(SIDES, SIDES, RULES)
def test_a_picture_covers_its_bucket_and_loses_only_what_hangs_over(
    width: int, height: int, rules: BucketRules
) -> None:
    placed = place(width, height, rules)
    assert placed.bucket in sizes(rules)
    assert width * placed.scale >= placed.bucket[0] - 1e-6
    assert height * placed.scale >= placed.bucket[1] - 1e-6
    assert 0 <= placed.lost < 1
    if width * placed.bucket[1] == height * placed.bucket[0]:
        assert placed.lost == pytest.approx(0, abs=1e-9)


@settings(deadline=None)
@given(SIDES, SIDES, RULES, st.booleans())
def test_fitting_never_enlarges_and_stays_inside(width: int, height: int, rules: BucketRules, cut: bool) -> None:
    scaled, (left, top, right, bottom) = fitted(width, height, rules, cut=cut)
    assert scaled[0] <= width
    assert scaled[1] <= height
    assert 0 <= left < right <= scaled[0]
    assert 0 <= top < bottom <= scaled[1]
    bucket = place(width, height, rules)
    if bucket.scale <= 1:
        assert scaled[0] >= bucket.bucket[0]
        assert scaled[1] >= bucket.bucket[1]
        if cut:
            assert (right - left, bottom - top) == bucket.bucket


@pytest.mark.parametrize("size", [(3000, 2000), (700, 1400), (300, 200)])
def test_fitted_exports_have_the_size_of_their_bucket(
    size: tuple[int, int], pictures: Pictures, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 99, 199)).save(buffer, "PNG")
    pictures.add("a.png", data=buffer.getvalue())
    bucket = place(*size, BucketRules(512)).bucket
    for fit in ("none", "resize", "crop"):
        report = pictures.write("kohya-sd15", tmp_path / fit, fit=fit)
        with Image.open(report.folder / manifest(report)["pictures"][0]["target"]) as image:
            assert image.getpixel((0, 0)) == (9, 99, 199)
            if fit == "none":
                assert image.size == size
            elif size[0] > 512 and fit == "crop":
                assert image.size == bucket
            elif size[0] > 512:
                assert min(image.width - bucket[0], image.height - bucket[1]) == 0
                assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.01)
            else:
                assert max(image.size) <= max(size), "small pictures are never enlarged"


@pytest.mark.parametrize("mode", ["P", "L", "LA", "RGBA", "CMYK", "I;16"])
def test_fitting_works_in_every_mode(mode: str, pictures: Pictures, tmp_path: Path) -> None:
    image = Image.new("RGBA", (900, 700), (200, 30, 30, 128))
    image = Image.new("I;16", (900, 700), 30_000) if mode == "I;16" else image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if mode == "CMYK" else "PNG")
    pictures.add("a.jpg" if mode == "CMYK" else "a.png", data=buffer.getvalue())
    report = pictures.write("kohya-sd15", tmp_path / "out", fit="crop")
    with Image.open(report.folder / manifest(report)["pictures"][0]["target"]) as got:
        assert got.size == place(900, 700, BucketRules(512)).bucket


@pytest.mark.parametrize("kind", ["png", "bmp"])
@pytest.mark.parametrize("fit", ["none", "resize", "crop"])
def test_what_the_scan_accepts_is_exported_however_large_pillow_finds_it(
    fit: str, kind: str, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures.add(f"large.{kind}")
    pixels(size=(700, 600)).save(pictures.root / f"large.{kind}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)  # Pillow refuses twice that; in earnest 179 megapixels
    report = pictures.write("kohya", tmp_path / "out", fit=fit, resolution=128)
    data = next(report.folder.rglob("large.png")).read_bytes()
    size = PngImagePlugin.PngImageFile(io.BytesIO(data)).size
    assert size == (700, 600) if fit == "none" else max(size) < 200
