"""Pixels and mask go the same way: turned, scaled, mirrored, cut."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diversity.decode import Decoded, decode
from training.buckets import BucketRules, place
from training.pixels import render

RULES = BucketRules(64 * 64, 16)


def saved(image: Image.Image, form: str = "PNG", **options: object) -> Decoded:
    data = BytesIO()
    image.save(data, form, **options)
    return decode(data.getvalue(), max_pixels=10**8)


def ramp(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8))


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 300), st.integers(20, 300), st.booleans())
def test_the_mask_is_cut_exactly_like_the_picture(width: int, height: int, flipped: bool) -> None:
    picture = ramp(width, height)
    placement = place(width, height, RULES)
    placement = placement.mirrored() if flipped else placement
    found = render(saved(picture), placement, "white", picture.getchannel("R"), scale=8)
    assert found.mask is not None
    across, down = placement.size
    assert found.pixels.shape == (3, down, across)
    assert found.mask.shape == (1, down // 8, across // 8)
    red = (found.pixels[0] + 1) / 2
    means = red.reshape(down // 8, 8, across // 8, 8).mean(dim=(1, 3))
    assert float((means - found.mask[0]).abs().max()) < 1e-5
    rising = bool((found.pixels[0, 0, -1] > found.pixels[0, 0, 0]).item())
    assert rising is not flipped


def test_mirroring_the_placement_mirrors_the_pixels() -> None:
    picture = saved(ramp(200, 90))
    placement = place(200, 90, RULES)
    one, other = (render(picture, p, "white").pixels for p in (placement, placement.mirrored()))
    assert float((one.flip(-1) - other).abs().max()) <= 2 / 127.5


def test_an_orientation_in_the_file_is_applied_before_anything_is_cut() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    picture = saved(ramp(120, 60), "JPEG", exif=exif, quality=95)
    assert (picture.width, picture.height) == (60, 120)
    found = render(picture, place(picture.width, picture.height, RULES), "white").pixels
    assert float(found[0, -1].mean()) > float(found[0, 0].mean()) + 1  # red now grows downwards


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "I;16", "L"])
def test_every_kind_of_file_becomes_three_channels_in_range(mode: str) -> None:
    if mode == "I;16":
        deep = np.linspace(0, 65535, 80 * 60).reshape(60, 80).astype(np.uint16)
        picture = saved(Image.fromarray(deep))
    else:
        picture = saved(ramp(80, 60).convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    pixels = render(picture, place(80, 60, RULES), "white").pixels
    assert pixels.shape[0] == 3
    assert -1 <= float(pixels.min()) < float(pixels.max()) <= 1


@pytest.mark.parametrize(("background", "level"), [("white", 1.0), ("grey", 128 / 127.5 - 1), ("black", -1.0)])
def test_transparent_parts_get_the_wanted_background_and_opaque_ones_keep_their_colour(
    background: str, level: float
) -> None:
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    picture.paste((0, 255, 0, 0), (0, 0, 32, 64))
    decoded = saved(picture)
    assert decoded.alpha is not None
    found = render(decoded, place(64, 64, RULES), background, decoded.alpha)
    assert float((found.pixels[:, :, :24] - level).abs().max()) < 0.02
    assert float(found.pixels[0, :, 40:].min()) > 0.98
    assert found.mask is not None
    assert found.mask[0, 0].tolist()[:3] == [0, 0, 0]
    assert found.mask[0, 0].tolist()[-3:] == [1, 1, 1]
