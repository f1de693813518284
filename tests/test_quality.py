"""Quality falls with every way of spoiling a picture, and flags mean what they say."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from diversity import tables
from diversity.config import ScanConfig
from diversity.measure import Measured, measure
from diversity.quality import FLAGS, Content, Reduced, assess, colourfulness, content_box, light_and_blur
from diversity.sharpness import block_means, edge_spread

CONFIG = ScanConfig()
Pixels = NDArray[np.uint8]


def encoded(pixels: Pixels, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def columns(pixels: Pixels, kind: str = "PNG", **options: object) -> dict:
    found = measure(encoded(pixels, kind, **options), CONFIG).columns
    assert found["problem"] is None
    return found


def toon(seed: int = 0, side: int = 384) -> Pixels:
    """A cartoon-like picture: coloured shapes with hard, anti-aliased edges on one plain background."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), rng.integers(120, 220, 3), np.uint8)
    for _ in range(14):
        centre = tuple(int(v) for v in rng.integers(side * 0.3, side * 0.7, 2) * 16)
        axes = tuple(int(v) for v in rng.integers(side * 0.03, side * 0.2, 2) * 16)
        colour = tuple(int(v) for v in rng.integers(0, 255, 3))
        cv2.ellipse(pixels, centre, axes, float(rng.integers(180)), 0, 360, colour, -1, cv2.LINE_AA, 4)
    return pixels


def photo(seed: int = 0, side: int = 384) -> Pixels:
    """A photo-like picture: colour noise whose energy falls with frequency, as in nature."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) + 1 / side
    planes = [np.fft.irfft2(np.fft.rfft2(rng.normal(size=(side, side))) / frequency**1.1) for _ in range(3)]
    plane = np.stack(planes, -1) + planes[0][..., None] * 2
    return np.clip(128 + 45 * (plane - plane.mean()) / plane.std(), 0, 255).astype(np.uint8)


def blurred(pixels: Pixels, radius: float) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), radius) if radius else pixels


SCENES = [toon(0), toon(1), photo(0), photo(1)]


@pytest.mark.parametrize("pixels", SCENES)
def test_sharpness_falls_with_every_further_blur(pixels: Pixels) -> None:
    values = [columns(blurred(pixels, radius))["sharpness"] for radius in (0, 0.8, 1.6, 3.2, 6.4)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 5


@pytest.mark.parametrize("radius", [1.0, 2.0, 4.0])
def test_edge_spread_is_the_radius_of_the_blur(radius: float) -> None:
    pixels = blurred(toon(3, 512), radius)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    measured = edge_spread(pixels, cv2.resize(grey, (256, 256), interpolation=cv2.INTER_AREA))
    assert measured == pytest.approx(radius, rel=0.35)


def test_a_plain_background_or_soft_surroundings_are_not_blur() -> None:
    pixels = toon(2, 400)
    assert "blurred" not in columns(pixels)["flags"]
    lonely = np.full((900, 900, 3), pixels[0, 0], np.uint8)
    lonely[250:650, 250:650] = pixels
    assert "blurred" not in columns(lonely)["flags"]
    shallow = blurred(photo(2, 800), 8)
    shallow[200:600, 200:600] = photo(2, 800)[200:600, 200:600]
    assert "blurred" not in columns(shallow)["flags"]
    assert "blurred" in columns(blurred(photo(2, 800), 8))["flags"]


def test_sensor_noise_does_not_hide_blur() -> None:
    pixels = blurred(toon(4, 640), 6).astype(float)
    noisy = np.clip(pixels + np.random.default_rng(0).normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
    assert "blurred" in columns(noisy)["flags"]


@pytest.mark.parametrize("pixels", SCENES)
def test_darkening_raises_the_dark_share_and_lowers_brightness(pixels: Pixels) -> None:
    steps = [columns((pixels * share).astype(np.uint8)) for share in (1, 0.7, 0.4, 0.2, 0.05)]
    assert [c["brightness"] for c in steps] == sorted((c["brightness"] for c in steps), reverse=True)
    assert [c["dark_share"] for c in steps] == sorted(c["dark_share"] for c in steps)
    assert "dark" in steps[3]["flags"]
    assert "dark" not in steps[0]["flags"]


@pytest.mark.parametrize("pixels", SCENES)
def test_every_spoilt_copy_scores_below_its_original(pixels: Pixels) -> None:
    best = columns(pixels, "JPEG", quality=92)["quality"]
    side = len(pixels)
    smaller = [cv2.resize(pixels, None, fx=f, fy=f, interpolation=cv2.INTER_AREA) for f in (0.8, 0.5, 0.25)]
    spoilt = {
        **{f"smaller {len(p)}": columns(p, "JPEG", quality=92) for p in smaller},
        **{f"blurred {r}": columns(blurred(pixels, r), "JPEG", quality=92) for r in (0.8, 1.5, 3)},
        **{f"darker {s}": columns((pixels * s).astype(np.uint8), "JPEG", quality=92) for s in (0.7, 0.4)},
        **{f"recompressed {q}": columns(pixels, "JPEG", quality=q) for q in (75, 50, 20)},
        "as webp": columns(pixels, "WEBP", quality=50),
        "letterboxed": columns(cv2.copyMakeBorder(pixels, side // 8, side // 8, 0, 0, cv2.BORDER_CONSTANT), "JPEG"),
    }
    assert [name for name, spoiled in spoilt.items() if spoiled["quality"] >= best] == []
    assert 0 < best < 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 1000))
def test_every_value_is_in_its_range_whatever_the_size(width: int, height: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    found = columns(pixels)
    for name in ("brightness", "dark_share", "bright_share", "contrast", "background_flat", "border_share", "quality"):
        assert 0 <= found[name] <= 1, name
    assert found["alpha_share"] == 0
    assert found["colourfulness"] >= 0
    assert "small" in found["flags"]


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 5000), (40_000, 3)])
def test_thin_pictures_are_measured(size: tuple[int, int]) -> None:
    measured = measure(encoded(np.full((*size, 3), 77, np.uint8)), CONFIG)
    assert measured.columns["problem"] is None
    assert measured.columns["sharpness"] is None
    assert measured.columns["phash"] is None


def test_colourfulness_is_that_of_the_paper() -> None:
    pixels = photo(5, 64)
    red, green, blue = (pixels[..., i].astype(float) for i in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert colourfulness(pixels) == pytest.approx(expected, rel=1e-3)
    assert colourfulness(np.full((8, 8, 3), 90, np.uint8)) == 0


def test_plain_graded_and_photographic_backgrounds_are_told_apart() -> None:
    graded = toon(0).astype(int) + np.linspace(-60, 60, 384).astype(int)[:, None, None]
    assert columns(toon(0))["background_flat"] > 0.99
    assert columns(toon(0), "JPEG", quality=40)["background_flat"] > 0.95
    assert columns(np.clip(graded, 0, 255).astype(np.uint8))["background_flat"] < 0.4
    assert columns(photo(0))["background_flat"] < 0.4
    assert "flat_background" in columns(toon(0))["flags"]


def test_cut_outs_are_told_and_judged_by_what_is_opaque() -> None:
    pixels = photo(1)
    alpha = np.zeros(pixels.shape[:2], np.uint8)
    alpha[80:300, 80:300] = 255
    cut = columns(np.dstack([pixels, alpha]))
    inside = columns(np.ascontiguousarray(pixels[80:300, 80:300]))
    assert cut["alpha_share"] == pytest.approx(1 - 220**2 / 384**2, abs=0.01)
    assert {"cut_out", "flat_background"} <= set(cut["flags"])
    for name in ("brightness", "contrast", "colourfulness"):
        assert cut[name] == pytest.approx(inside[name], rel=0.1)  # fine grain is averaged at another scale
    empty = columns(np.dstack([pixels, np.zeros_like(alpha)]))
    assert empty["alpha_share"] == 1


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (20, 30, 90)])
def test_letterboxes_and_frames_are_measured_and_plain_backgrounds_are_not_bars(colour: tuple[int, int, int]) -> None:
    pixels = photo(3, 300)
    for top, left in ((40, 0), (0, 50), (30, 30)):
        framed = cv2.copyMakeBorder(pixels, top, top, left, left, cv2.BORDER_CONSTANT, value=colour)
        found = columns(framed, "JPEG", quality=85)
        assert found["border_share"] == pytest.approx(1 - 300 * 300 / (framed.shape[0] * framed.shape[1]), abs=0.02)
        assert "borders" in found["flags"]
    horizon = np.full((300, 300, 3), (140, 190, 240), np.uint8)
    horizon[180:] = 90, 160, 80
    for clean in (*SCENES, horizon, np.full((60, 60, 3), 5, np.uint8)):
        assert columns(clean)["border_share"] == 0
    assert content_box(np.full((60, 60), 5, np.uint8)) == (0, 60, 0, 60)


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("bars", [0, 40])
def test_light_and_blur_alone_are_those_of_the_whole_judgement(bars: int, transparent: bool) -> None:
    for pixels in (photo(3), blurred(photo(4), 8), (photo(5) * 0.25).astype(np.uint8), toon()):
        pixels = np.pad(pixels, ((bars, bars), (0, 0), (0, 0)))
        opacity = np.full(pixels.shape[:2], 255, np.uint8)
        opacity[:, :100] = 0
        small = Reduced.of(block_means(pixels, 2), block_means(opacity, 2) if transparent else None)
        alone, whole = light_and_blur(Content.of(pixels, small)), assess(pixels, small)
        assert (alone.light.mean, alone.light.contrast) == (whole.brightness, whole.contrast)
        assert alone.sharpness == whole.sharpness
        assert {flag for flag, is_so in alone.flags().items() if is_so} == set(whole.flags) & alone.flags().keys()
        assert ("borders" in whole.flags) == (bars > 0)


def test_thumbnails_are_small_upright_jpeg_on_white() -> None:
    rgba = np.dstack([photo(0, 400)[:200], np.zeros((200, 400), np.uint8)])
    rgba[:, 200:, 3] = 255
    measured = measure(encoded(rgba), CONFIG)
    assert measured.thumbnail is not None
    thumbnail = Image.open(io.BytesIO(measured.thumbnail))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (192, 96))
    shown = np.asarray(thumbnail.convert("RGB")).astype(int)
    assert shown[:, :90].min() > 245
    expected = cv2.resize(photo(0, 400)[:200], (192, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(shown[:, 100:] - expected[:, 100:]).mean() < 12
    assert measured.pixels is not None
    assert measured.pixels[0, 0].tolist() == [128, 128, 128]


def test_columns_fit_the_table() -> None:
    def row(measured: Measured) -> dict:
        return {name: measured.columns.get(name) for name in tables.IMAGES}

    good, bad = measure(encoded(toon()), CONFIG), measure(b"nothing", CONFIG)
    frame = pl.DataFrame([row(good), row(bad)], schema=tables.IMAGES)
    assert set(good.columns) <= set(tables.IMAGES)
    assert frame["content"].null_count() == 1
    assert frame["problem"].null_count() == 1
    assert set(good.columns["flags"]) <= set(FLAGS)
    assert (bad.thumbnail, bad.pixels) == (None, None)


def test_measuring_twice_gives_the_same() -> None:
    data = encoded(photo(7), "JPEG")
    assert measure(data, CONFIG).columns == measure(data, CONFIG).columns


@pytest.mark.shared
def test_cleanvision_issues_are_flagged_and_sound_pictures_are_not(shared_data: Path) -> None:
    folder = shared_data / "cleanvision_testdata"
    flags = {path.stem: set(measure(path.read_bytes(), CONFIG).columns["flags"]) for path in folder.glob("*.png")}
    assert "blurred" in flags["image_601"]
    assert {"dark", "low_contrast"} <= flags["image_417"]
    assert "bright" in flags["image_588"]
    assert "low_contrast" in flags["image_604"]
    for sound in ("image_101", "image_103", "image_408"):
        assert flags[sound] == set()


@pytest.mark.shared
def test_few_sound_photos_are_called_blurred_and_most_blurred_ones_are(shared_data: Path) -> None:
    sound, spoilt = [], []
    for path in sorted((shared_data / "dreambooth_dev").rglob("*.jpg"))[::6]:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        sound.append("blurred" in columns(pixels, "JPEG")["flags"])
        spoilt.append("blurred" in columns(blurred(pixels, 3 * max(pixels.shape) / 512), "JPEG")["flags"])
    assert np.mean(sound) <= 0.1
    assert np.mean(spoilt) >= 0.95
