"""The quick search for a mosaic's grid leaves over what the plain one does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from diversity import mosaic
from diversity.mosaic import _blocks, _combs, _grids, _left_by_blocks, _longest, is_blur, is_mosaic, softer


def region(seed: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=(height, width, 3)).cumsum(0).cumsum(1)
    return (20 * walk / np.abs(walk).max() + rng.normal(size=walk.shape)).astype(np.float32)


def plain_grids(covered: np.ndarray, clear: np.ndarray, axis: int) -> list[tuple[float, float]]:
    """Every comb of this very size, of mean 0 and length 1, all sorted."""
    size = covered.shape[axis]
    combs, grids = _combs(_longest(size))
    there = grids[:, 0] <= size / mosaic.LEAST_BLOCKS
    combs, known = combs[there, : size - 1], grids[there].tolist()
    combs = combs - combs.mean(1, keepdims=True)
    combs /= np.linalg.norm(combs, axis=1, keepdims=True)
    found: list[tuple[float, float]] = []
    for at in np.argsort(-(combs @ (mosaic._profile(covered, axis) - mosaic._profile(clear, axis)))).tolist():
        if len(found) < mosaic.TRIED and all(abs(known[at][0] / period - 1) > mosaic.DISTINCT for period, _ in found):
            found.append(tuple(known[at]))
    return found


@pytest.mark.parametrize(("height", "width"), [(24, 40), (61, 33), (128, 90), (10, 12)])
def test_the_quick_search_leaves_what_the_plain_one_does(height: int, width: int) -> None:
    for seed in range(3):
        clear, where = region(seed, height, width), np.ones((height, width), bool)
        where[: height // 3, : width // 4] = False
        hidden = _blocks(height, 5.0, 1.2) @ clear.reshape(height, -1)
        hidden = np.einsum("vw,hwc->hvc", _blocks(width, 5.0, 2.0), hidden.reshape(clear.shape))
        for covered in (hidden + 0.2 * region(9, height, width), region(seed + 5, height, width)):
            grids = [plain_grids(covered, clear, axis) for axis in (0, 1)]
            assert grids == [_grids(covered, clear, axis) for axis in (0, 1)]
            left = min(
                float(np.square(covered - np.einsum("vw,uh,hwc->uvc", across, down, clear, optimize=True))[where].sum())
                for down in (_blocks(height, *grid) for grid in grids[0])
                for across in (_blocks(width, *grid) for grid in grids[1])
            )
            assert _left_by_blocks(covered, clear, where, 1.01 * left) == pytest.approx(left, rel=1e-4)
            assert _left_by_blocks(covered, clear, where, 0.99 * left) is None


def test_a_region_too_small_for_blocks_is_no_mosaic() -> None:
    clear = region(0, 6, 6)
    assert _left_by_blocks(clear * 0.5, clear, np.ones((6, 6), bool), np.inf) is None


def test_the_softer_of_two_regions_is_the_one_that_was_blurred() -> None:
    clear = region(1, 40, 30)
    soft = cv2.GaussianBlur(clear, (0, 0), 2.0)
    assert (softer(soft, clear), softer(clear, soft), softer(clear, clear.copy())) == (0, 1, None)


def test_a_blur_is_asked_for_only_where_the_regions_differ() -> None:
    clear = region(2, 80, 80)[10:70, 10:70]  # as regions are cut out of larger pictures
    where = np.ones((60, 60), bool)
    where[:, 40:] = False
    spoiled = cv2.GaussianBlur(clear, (0, 0), 3.0)
    assert is_blur(spoiled, clear, np.ones_like(where))
    spoiled[:, 40:] = 90
    assert is_blur(spoiled, clear, where)
    assert not is_blur(spoiled, clear, np.ones_like(where))


def test_blocks_that_explain_a_region_are_a_mosaic_and_half_of_them_are_none() -> None:
    clear = region(2, 80, 80)[10:70, 10:70]
    down = np.einsum("vh,hwc->vwc", _blocks(60, 10.0, 0.0), clear)
    covered = np.einsum("vw,hwc->hvc", _blocks(60, 10.0, 0.0), down).astype(np.float32)
    assert is_mosaic(covered, clear, np.ones((60, 60), bool))
    assert not is_mosaic((covered + clear) / 2, clear, np.ones((60, 60), bool))
