"""Any bytes become upright RGB pixels or one plain sentence; nothing else ever comes out."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from diversity.config import ScanConfig
from diversity.decode import BACKGROUND, BadPicture, decode
from diversity.ingest import Source
from diversity.measure import measure, measure_source

LIMIT = 10_000_000
LOSSLESS = ["PNG", "BMP", "TIFF", "PPM", "QOI", "ICO"]


def scene(width: int = 48, height: int = 32) -> NDArray[np.uint8]:
    """Four coloured quarters, the top left one red: any turn or flip shows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = 230, 20, 20
    pixels[: height // 2, width // 2 :] = 20, 200, 20
    pixels[height // 2 :, : width // 2] = 20, 20, 220
    pixels[height // 2 :, width // 2 :] = 240, 240, 30
    return pixels


def encoded(picture: Image.Image | NDArray[np.uint8], kind: str, **options: object) -> bytes:
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    if kind == "HEIF":
        import pillow_heif

        file = io.BytesIO()
        pillow_heif.from_pillow(picture).save(file, quality=90)
        return file.getvalue()
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    return decode(data, max_pixels=LIMIT).pixels


def problem(data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(BadPicture) as caught:
        decode(data, max_pixels=limit)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_same_pixels_and_content(kind: str) -> None:
    pixels = scene(32, 32)
    options = {"sizes": [(32, 32)]} if kind == "ICO" else {}
    decoded = decode(encoded(pixels, kind, **options), max_pixels=LIMIT)
    assert np.array_equal(decoded.pixels, pixels)
    assert np.array_equal(np.asarray(decoded.picture), pixels)
    assert decoded.content == decode(encoded(pixels, "PNG"), max_pixels=LIMIT).content
    assert (decoded.format, decoded.width, decoded.height, decoded.frames, decoded.alpha) == (kind, 32, 32, 1, None)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "HEIF", "JPEG2000", "GIF"])
def test_other_formats_give_nearly_the_same_pixels(kind: str) -> None:
    decoded = decode(encoded(scene(64, 64), kind), max_pixels=LIMIT)
    assert decoded.format == kind
    assert np.abs(decoded.pixels.astype(int) - scene(64, 64)).mean() < 6


def test_content_tells_what_lies_in_transparent_parts() -> None:
    """On grey the two look the same."""
    pictures = [np.full((4, 5, 4), level, np.uint8) for level in (10, 20)]
    for picture in pictures:
        picture[..., 3] = 0
    one, two = (decode(encoded(picture, "PNG"), max_pixels=LIMIT) for picture in pictures)
    assert np.array_equal(one.pixels, two.pixels)
    assert one.content != two.content


def test_content_tells_pixels_and_shape_apart() -> None:
    row, column = np.zeros((1, 6, 3), np.uint8), np.zeros((6, 1, 3), np.uint8)
    contents = [decode(encoded(pixels, "PNG"), max_pixels=LIMIT).content for pixels in (row, column, scene())]
    assert len(set(contents)) == 3
    assert all(len(content) == 32 for content in contents)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_exif_orientation_is_turned_upright(kind: str, orientation: int) -> None:
    stored = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }[orientation](scene(64, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(np.ascontiguousarray(stored), kind, exif=exif), max_pixels=LIMIT)
    assert (decoded.width, decoded.height) == (64, 32)
    assert np.abs(decoded.pixels.astype(int) - scene(64, 32)).mean() < 6


def test_broken_exif_does_not_spoil_a_sound_picture() -> None:
    data = encoded(scene(), "JPEG")
    exif = b"Exif\0\0II*\0" + b"\xff" * 40
    assert pixels_of(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]).shape == (32, 48, 3)


def test_transparent_parts_lie_on_mid_grey_and_are_told() -> None:
    rgba = np.dstack([scene(), np.full((32, 48), 255, np.uint8)])
    assert decode(encoded(rgba, "PNG"), max_pixels=LIMIT).alpha is None
    rgba[:, 24:, 3] = 0
    decoded = decode(encoded(rgba, "PNG"), max_pixels=LIMIT)
    assert np.array_equal(decoded.pixels[:, :24], scene()[:, :24])
    assert (decoded.pixels[:, 24:] == BACKGROUND).all()
    assert decoded.alpha is not None
    assert decoded.alpha.getextrema() == (0, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    grey = np.linspace(0, 255, 48).astype(np.uint8)[None].repeat(32, 0)
    picture = Image.fromarray(grey)
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "F":
        picture = Image.fromarray(grey.astype(np.float32) / 255)
    elif mode == "I":
        picture = Image.fromarray(grey.astype(np.int32) * 257)
    elif mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        picture = ImageCms.profileToProfile(picture.convert("RGB"), srgb, lab, outputMode="LAB")
    else:
        picture = picture.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr") else picture.convert(mode)
    kind = "JPEG" if mode == "YCbCr" else "PNG" if mode == "PA" else "TIFF"
    decoded = decode(encoded(picture if mode != "PA" else picture.convert("P"), kind), max_pixels=LIMIT)
    columns = decoded.pixels.astype(float).mean(axis=(0, 2))
    assert decoded.picture.mode == "RGB"
    assert columns[0] < 20
    assert columns[-1] > 235
    if mode not in ("1", "CMYK"):
        assert np.abs(columns - grey[0]).mean() < 4


def test_sixteen_bits_are_scaled_and_not_clipped_and_the_dark_stay_dark() -> None:
    deep = np.linspace(0, 20_000, 64).astype(np.uint16)[None].repeat(8, 0)
    for kind in ("PNG", "TIFF"):
        shown = pixels_of(encoded(Image.fromarray(deep), kind))
        assert np.abs(shown[..., 0].astype(float) - deep / 257).max() <= 1
    floats = np.array([[-5.0, np.nan, 1000.0, np.inf]], np.float32)
    assert pixels_of(encoded(Image.fromarray(floats), "TIFF"))[..., 0].tolist() == [[0, 1, 255, 1]]


def test_palettes_with_transparency_keep_it() -> None:
    palette = Image.fromarray(scene()).quantize(8)
    decoded = decode(encoded(palette, "PNG", transparency=palette.getpixel((0, 0))), max_pixels=LIMIT)
    assert decoded.mode == "P"
    assert decoded.alpha is not None
    assert (decoded.pixels[:16, :24] == BACKGROUND).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_the_first_frame_of_an_animation_is_used_and_frames_are_counted(kind: str) -> None:
    frames = [Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (10, 120, 240)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    decoded = decode(data, max_pixels=LIMIT)
    assert decoded.frames == 3
    assert np.abs(decoded.pixels.astype(int) - 10).max() <= 4
    assert "animated" in measure(data, ScanConfig()).columns["flags"]


def test_ten_thousand_frames_are_counted_not_decoded() -> None:
    frame = (
        b"!\xf9\x04\0\x05\0\0\0,\0\0\0\0\x10\0\x10\0\0\x02\x0e\x84\x8f\xa9\xcb\xed\x0f\xa3\x9c\xb4\xda\x8b\xb3>\x05\0"
    )
    data = b"GIF89a\x10\0\x10\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 10_000 + b";"
    assert decode(data, max_pixels=LIMIT).frames == 10_000


def test_bombs_are_refused_by_their_header_without_a_warning() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    body = b"IDAT" + zlib.compress(b"\0" * 1000)
    data += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "60000 × 60000 pixels" in problem(data, 200_000_000)
    assert "limit of 1535" in problem(encoded(scene(), "PNG"), 48 * 32 - 1)
    assert decode(encoded(scene(), "PNG"), max_pixels=48 * 32).width == 48


def test_a_picture_hidden_in_an_icon_obeys_the_limit() -> None:
    inner = encoded(Image.new("L", (3000, 3000)), "PNG")
    data = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    assert "pixels" in problem(data, 1_000_000)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_pictures_are_problems(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    data = encoded(noise, kind)
    problem(data[: max(4, int(len(data) * share))])


def test_a_jpeg_whose_end_was_never_written_is_a_problem() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    data = encoded(noise, "JPEG")
    half = len(data) // 2
    assert "zeros" in problem(data[:half] + bytes(len(data) - half))
    assert decode(data + bytes(4096), max_pixels=LIMIT).width == 96


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (bytes(5000), "zeros"),
        (b"hello", "not a picture"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"<?xml version='1.0'?>\n<svg xmlns='...'/>", "SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"\xff\x0a" + bytes(30), "JPEG XL"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"\0\0\0\x18ftypmp42" + bytes(30), "not a picture"),
    ],
)
def test_what_is_no_picture_says_what_it_is(data: bytes, words: str) -> None:
    assert words in problem(data)


def test_names_do_not_matter_and_neighbours_do_not_disturb() -> None:
    kinds = ["PNG", "JPEG", "WEBP", "AVIF", "HEIF", "GIF", "TIFF"] * 6
    files = [encoded(scene(64, 64), kind) for kind in kinds]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decode(data, max_pixels=LIMIT).content, files))
    assert together == [decode(data, max_pixels=LIMIT).content for data in files]


SEEDS = [
    encoded(scene(24, 16), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "PPM")
] + [encoded(scene(24, 16), kind) for kind in ("QOI", "ICO", "JPEG2000", "TGA")]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_bytes_are_pictures_or_problems_and_nothing_else(data: st.DataObject) -> None:
    mutated = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        mutated[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=5))
        mutated = mutated or bytearray(b"\0")
    columns = measure(bytes(mutated), ScanConfig(max_pixels=1_000_000)).columns
    assert columns["problem"] is None or str(columns["problem"]).endswith(".")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_problems(data: bytes) -> None:
    assert measure(data, ScanConfig()).columns["problem"]


def test_a_file_that_cannot_be_read_is_a_row_with_a_problem(tmp_path: Path) -> None:
    gone = measure_source(Source("x.png", tmp_path / "x.png", 10, 0), ScanConfig())
    assert "cannot be read" in str(gone.columns["problem"])
    huge = measure_source(Source("x.png", tmp_path / "x.png", 10**12, 0), ScanConfig())
    assert "bytes" in str(huge.columns["problem"])


@pytest.mark.shared
def test_the_shared_exotic_files_are_read_and_the_corrupt_one_is_a_problem(shared_data: Path) -> None:
    folder = shared_data / "imagededup_testdata"
    for path in [*(folder / "formats_images").iterdir(), folder / "alpha_channel_image.png"]:
        assert decode(path.read_bytes(), max_pixels=LIMIT).width > 0  # the .svg there is a JPEG
    problem((folder / "mixed_images" / "ukbench09268_corrupt.jpg").read_bytes())
