"""The perceptual hash is the published one, stays under mild change, and is absent where it would mean nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from diversity.hashing import bits, phash


def scene(seed: int = 0, side: int = 160) -> NDArray[np.uint8]:
    """A smooth random picture with structure at many scales, grey."""
    noise = np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)
    layers = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma**1.5 for sigma in (2, 5, 12, 25))
    return cv2.normalize(layers, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def distance(a: int | None, b: int | None) -> int:
    assert a is not None
    assert b is not None
    return (a ^ b).bit_count()


@pytest.mark.parametrize("seed", range(8))
def test_the_hash_is_that_of_the_imagehash_package(seed: int) -> None:
    grey = scene(seed)
    assert distance(phash(grey), int(str(imagehash.phash(Image.fromarray(grey))), 16)) <= 4


@pytest.mark.shared
def test_the_hash_is_that_of_the_imagehash_package_on_photos(shared_data: Path) -> None:
    apart = []
    for path in sorted((shared_data / "imagededup_testdata" / "base_images").glob("*.jpg")):
        picture = Image.open(path).convert("L")
        apart.append(distance(phash(np.asarray(picture)), int(str(imagehash.phash(picture)), 16)))
    assert max(apart) <= 4
    assert np.mean(apart) <= 1.5


@pytest.mark.parametrize("seed", range(5))
def test_resizing_recompressing_and_brightening_move_few_bits(seed: int) -> None:
    grey = scene(seed)
    small = cv2.resize(grey, (90, 80), interpolation=cv2.INTER_AREA)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE)
    for copy in (small, jpeg, cv2.convertScaleAbs(grey, alpha=0.8, beta=10)):
        assert distance(phash(grey), phash(copy)) <= 6
    assert distance(phash(grey), phash(scene(seed + 50))) >= 16


def test_flat_and_graded_pictures_have_no_hash() -> None:
    flat = np.full((100, 100), 90, np.uint8)
    ramp = np.add.outer(np.linspace(0, 90, 100), np.linspace(0, 60, 100)).astype(np.uint8)
    noise = np.clip(flat + np.random.default_rng(0).normal(0, 3, flat.shape), 0, 255).astype(np.uint8)
    for picture in (flat, ramp, noise, np.zeros((1, 1), np.uint8), np.full((1, 500), 3, np.uint8)):
        assert phash(picture) is None


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_rows_of_bits_have_the_distances_of_the_hashes(hashes: list[int]) -> None:
    rows = bits(np.array(hashes, dtype=np.uint64))
    assert rows.shape == (len(hashes), 8)
    assert rows.dtype == np.uint8
    assert rows.flags.c_contiguous
    for value, row in zip(hashes, rows, strict=True):
        assert int.from_bytes(row.tobytes(), "big") == value
