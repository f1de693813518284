"""Whether a region of one picture is a mosaic, or a blur, of the same region of another.

A mosaic is of blocks, each of the mean of what it hides. Not for finding the region: that is `covered.py`. Blocks below
about five pixels are not seen, since the pictures that are compared are smoothed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[Any]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Grid = tuple[float, float]  # period and offset of a block's first edge, pixels

FINEST, COARSEST = 4.0, 32.0  # pixels of the frame from one edge of a block to the next
SMOOTHED = 1.2  # pixels, standard deviation, by `alignment.shot`
STEP = 1.012  # from one period to the next: half a pixel off over forty
LEAST_BLOCKS = 1.8  # along each way
TRIED = 6  # grids along each way that are tried out
DISTINCT = 0.05  # by which the periods of two of them differ
EXPLAINED = 0.7  # least share, squared, that blocks explain of the difference and of the region around its mean
BETTER = 0.7  # most that they leave over, as a share of what the best blur leaves
BLURS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # pixels, standard deviation


def softer(first: Float32, second: Float32) -> Literal[0, 1] | None:
    """Which of two regions shows less, the only one that can be a mosaic or a blur of the other.

    Args:
        first: float32 [h, w, 3].
        second: float32 [h, w, 3].

    Returns:
        0 the first, 1 the second, None: both show as much.
    """
    one, two = _structure(first), _structure(second)
    return None if one == two else 0 if one < two else 1


def is_mosaic(covered: Float32, clear: Float32, where: Mask) -> bool:
    """Whether the one is a mosaic of the other.

    Where the edges of blocks lie is read from the gradients that the one has and the other lacks, along each way by
    itself; the best few grids are tried out. Blocks must explain most of the difference and of what the region shows,
    and far more than a blur.

    Args:
        covered: float32 [h, w, 3], CIELAB, smoothed as `alignment.shot` does; the softer one.
        clear: float32 [h, w, 3], the same region of the other picture.
        where: bool [h, w], where they differ, gaps filled.
    """
    import cv2

    _, spread = cv2.meanStdDev(covered, mask=where.view(np.uint8))
    lost, own = _off(covered, clear, where), float(np.square(spread).sum()) * np.count_nonzero(where)
    left = _left_by_blocks(covered, clear, where, (1 - EXPLAINED) * min(lost, own))
    if left is None:
        return False
    return left <= BETTER * _left_by_blurs(covered, clear, where)


def is_blur(covered: Float32, clear: Float32, where: Mask) -> bool:
    """Whether the one is a blur of the other: a blur explains most of the difference. Mosaics are, too.

    Args:
        covered, clear, where: As of `is_mosaic`.
    """
    return _left_by_blurs(covered, clear, where) <= (1 - EXPLAINED) * _off(covered, clear, where)


def _off(one: Float32, other: Float32, where: Mask) -> float:
    """Squared difference of two regions, summed over the pixels and channels of `where`."""
    import cv2

    return cv2.norm(one, other, cv2.NORM_L2SQR, where.view(np.uint8))


def _left_by_blurs(covered: Float32, clear: Float32, where: Mask) -> float:
    """Squared difference that the best blur leaves."""
    import cv2

    blurred = (cv2.GaussianBlur(clear, (0, 0), blur, borderType=cv2.BORDER_REPLICATE) for blur in BLURS)
    return min(_off(covered, other, where) for other in blurred)


def _left_by_blocks(covered: Float32, clear: Float32, where: Mask, most: float) -> float | None:
    """Squared difference that the best grid of blocks leaves; None where that is more than `most`.

    Every other row is looked at first: what they leave over only grows with the rest, and is mostly too much already.
    """
    height, width = where.shape
    across = [_blocks(width, *grid) for grid in _grids(covered, clear, 1)]
    if not across:
        return None
    stacked, best = np.concatenate(across), np.inf
    weights = np.repeat(where[..., None], 3, 2).astype(np.float32)
    halves = [(start, _by_columns(covered[start::2]), _by_columns(weights[start::2])) for start in (0, 1)]
    for grid in _grids(covered, clear, 0):
        down = (_blocks(height, *grid) @ clear.reshape(height, -1)).reshape(clear.shape)
        left = np.zeros(len(across))
        for start, columns, weight in halves:
            apart = (stacked @ _by_columns(down[start::2])).reshape(len(across), *columns.shape)
            np.subtract(columns, apart, out=apart)
            apart *= weight
            left += np.einsum("gwk,gwk->g", apart, apart)
            if left.min() > most:
                break
        else:
            best = min(best, float(left.min()))
    return best if best <= most else None


def _by_columns(region: Float32) -> Float32:
    """[h, w, c] → [w, h c], so that what blocks do across it is one product of matrices."""
    return np.ascontiguousarray(region.swapaxes(0, 1)).reshape(region.shape[1], -1)


def _profile(region: Float32, axis: int) -> Floats:
    """How much changes from each pixel to the next along `axis`, summed over the rest."""
    return np.asarray(np.abs(np.diff(region, axis=axis)).sum(1 - axis).sum(1), np.float64)


def _structure(region: Float32) -> float:
    """How much changes from each pixel to the next, down and across."""
    import cv2

    down, across = (region[1:], region[:-1]), (region[:, 1:], region[:, :-1])
    return sum(cv2.norm(*pair, cv2.NORM_L1) for pair in (down, across))


def _grids(covered: Float32, clear: Float32, axis: int) -> list[Grid]:
    """The periods and offsets at which `covered` has edges that `clear` lacks, the best first."""
    size = covered.shape[axis]
    edges = _profile(covered, axis) - _profile(clear, axis)
    means, lengths = _centred(size)
    combs, grids = _combs(_longest(size))
    fits = (combs[: len(means), : size - 1] @ edges - means * edges.sum()) / lengths
    found: list[Grid] = []
    while len(found) < TRIED and len(fits) and fits.max() > -np.inf:
        period, offset = grids[int(fits.argmax())].tolist()
        found.append((period, offset))
        fits[np.abs(grids[: len(fits), 0] / period - 1) <= DISTINCT] = -np.inf
    return found


def _longest(size: int) -> int:
    """A length that many regions share."""
    return max(128, 1 << (size - 1).bit_length())


@lru_cache(maxsize=4)
def _combs(longest: int) -> tuple[Floats, Floats]:
    """What the gradients of blocks look like, float64 [grids, longest - 1], and their grids [grids, 2], by period.

    Those of a shorter region are where these begin.
    """
    edges = np.arange(1, longest, dtype=np.float64)
    rows, grids = [], []
    period = FINEST
    while period <= min(COARSEST, longest / LEAST_BLOCKS):
        offsets = np.arange(0, period, max(0.4, period / 24))
        away = (edges - offsets[:, None] + period / 2) % period - period / 2
        rows.append(np.exp(-(away**2) / (2 * SMOOTHED**2)))
        grids.append(np.stack([np.full(len(offsets), period), offsets], axis=1))
        period *= STEP
    return np.concatenate(rows), np.concatenate(grids)


@lru_cache(maxsize=256)
def _centred(size: int) -> tuple[Floats, Floats]:
    """Of the grids whose blocks a region of `size` has enough of: the means of their combs, the lengths without it."""
    combs, grids = _combs(_longest(size))
    there = combs[grids[:, 0] <= size / LEAST_BLOCKS, : size - 1]
    means: Floats = there.mean(1)
    return means, np.linalg.norm(there - means[:, None], axis=1)


@lru_cache(maxsize=512)  # at most 32 MB
def _blocks(size: int, period: float, offset: float) -> Float32:
    """[size, size], what replaces every pixel by the mean of its block, and smooths."""
    edges = offset + period * np.arange(-1, np.ceil((size - offset) / period) + 1)
    at = np.arange(size)
    share = np.maximum(np.minimum(at + 1, edges[1:, None]) - np.maximum(at, edges[:-1, None]), 0)
    whole = share.sum(1, keepdims=True)
    there = whole[:, 0] > 1e-6
    return np.asarray((_smoothing(size) @ share[there].T) @ (share[there] / whole[there]), np.float32)


@lru_cache(maxsize=128)
def _smoothing(size: int) -> Floats:
    """[size, size], what smooths a line of pixels."""
    at = np.arange(size)
    smooth = np.exp(-((at[:, None] - at) ** 2) / (2 * SMOOTHED**2))
    return np.asarray(smooth / smooth.sum(1, keepdims=True))
