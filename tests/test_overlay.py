"""Text on a picture is seen; pictures without any, and what merely resembles it, mostly are not."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scenes import scene

from diversity.config import ScanConfig
from diversity.measure import measure
from diversity.overlay import has_text_line

SAMPLE = Path(__file__).parents[1] / "diversity" / "assets" / "sample_set" / "10_mira"


def picture(seed: int, size: int) -> Image.Image:
    return scene(seed).resize((size, size), Image.Resampling.BICUBIC)


def titled(image: Image.Image, text: str, at: float, fill: str = "white") -> Image.Image:
    image = image.copy()
    font = ImageFont.load_default(size=image.width / 16)
    where = (image.width / 2, image.height * at)
    edge = {"stroke_width": max(2, image.width // 160), "stroke_fill": "black"}
    ImageDraw.Draw(image).text(where, text, font=font, fill=fill, anchor="mm", **edge)
    return image


def seen(image: Image.Image) -> bool:
    pixels = np.asarray(image)
    small = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    while max(small.shape) > 256:
        small = cv2.resize(small, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return has_text_line(pixels, small)


@pytest.mark.parametrize("size", [320, 512, 1200])
@pytest.mark.parametrize("at", [0.08, 0.92])
def test_subtitles_are_seen_at_both_ends_and_all_sizes(size: int, at: float) -> None:
    plain = [picture(seed, size) for seed in range(6)]
    found = [seen(titled(p, "Wait for me at the harbour!", at)) for p in plain]
    assert sum(found) >= 5
    assert not any(seen(p) for p in plain)


def test_the_subtitled_sample_picture_is_listed_and_no_other() -> None:
    flags = {
        file.name: measure(file.read_bytes(), ScanConfig()).columns.get("flags") or [] for file in SAMPLE.glob("*.jpg")
    }
    assert [name for name, found in sorted(flags.items()) if "overlay" in found] == ["084.jpg"]


def test_stripes_noise_and_thin_pictures_are_not_text() -> None:
    y, x = np.mgrid[:400, :400]
    stripes = np.where(x % 12 < 3, 250, 20).astype(np.uint8)
    checks = np.where((x // 6 + y // 6) % 2, 250, 20).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (400, 400)).astype(np.uint8)
    for grey in (stripes, checks, noise, noise[:3], noise[:, :9], noise[:1, :1]):
        assert not seen(Image.fromarray(np.dstack([np.ascontiguousarray(grey)] * 3)))


def test_the_flag_comes_with_any_file_format() -> None:
    file = io.BytesIO()
    titled(picture(1, 400), "Where have you been all day?", 0.9).save(file, "WEBP", quality=80)
    assert "overlay" in measure(file.getvalue(), ScanConfig()).columns["flags"]
