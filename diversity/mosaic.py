"""Whether a region of one picture is a mosaic, or a blur, of the same region of another.

A mosaic is of blocks, each of the mean of what it hides. Not for finding the region: that is `covered.py`. Blocks below
about five pixels are not seen, since the pictures that are compared are smoothed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[Any]
Floats = NDArray[np.float64]
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


def is_mosaic(covered: Float32, clear: Float32, where: NDArray[np.bool_]) -> bool:
    """Whether the one is a mosaic of the other.

    Where the edges of blocks lie is read from the gradients that the one has and the other lacks, along each way by
    itself; the best few grids are tried out. Blocks must explain most of the difference and of what the region shows,
    and far more than a blur.

    Args:
        covered: float32 [h, w, 3], CIELAB, smoothed as `alignment.shot` does.
        clear: float32 [h, w, 3], the same region of the other picture.
        where: bool [h, w], where they differ, gaps filled.
    """
    if _structure(covered) >= _structure(clear):
        return False

    def off(other: Float32) -> float:
        return float(np.square(covered - other)[where].sum())

    lost, own = off(clear), off(covered[where].mean(0))
    height, width = where.shape
    across = [_blocks(width, *grid) for grid in _grids(covered, clear, 1)]
    columns, weights = _by_columns(covered), _by_columns(np.repeat(where[..., None], 3, 2).astype(np.float32))
    left = lost
    for grid in _grids(covered, clear, 0):
        down = _by_columns(np.tensordot(_blocks(height, *grid), clear, 1))
        for blocks in across:
            apart = columns - blocks @ down
            left = min(left, float(np.vdot(apart * weights, apart)))
    if left > (1 - EXPLAINED) * min(lost, own):
        return False
    return left <= BETTER * _left_by_blurs(covered, clear, where)


def is_blur(covered: Float32, clear: Float32, where: NDArray[np.bool_]) -> bool:
    """Whether the one is a blur of the other: softer, and a blur explains most of the difference. Mosaics are, too.

    Args:
        covered, clear, where: As of `is_mosaic`.
    """
    if _structure(covered) >= _structure(clear):
        return False
    lost = float(np.square(covered - clear)[where].sum())
    return _left_by_blurs(covered, clear, where) <= (1 - EXPLAINED) * lost


def _left_by_blurs(covered: Float32, clear: Float32, where: NDArray[np.bool_]) -> float:
    """Squared difference that the best blur leaves."""
    import cv2

    blurred = (cv2.GaussianBlur(clear, (0, 0), blur, borderType=cv2.BORDER_REPLICATE) for blur in BLURS)
    return min(float(np.square(covered - other)[where].sum()) for other in blurred)


def _by_columns(region: Float32) -> Float32:
    """[h, w, c] → [w, h c], so that what blocks do across it is one product of matrices."""
    return np.ascontiguousarray(region.swapaxes(0, 1)).reshape(region.shape[1], -1)


def _profile(region: Float32, axis: int) -> Floats:
    """How much changes from each pixel to the next along `axis`, summed over the rest."""
    rest = tuple(other for other in range(3) if other != axis)
    return np.asarray(np.abs(np.diff(region, axis=axis)).sum(rest), np.float64)


def _structure(region: Float32) -> float:
    return float(_profile(region, 0).sum() + _profile(region, 1).sum())


def _grids(covered: Float32, clear: Float32, axis: int) -> list[Grid]:
    """The periods and offsets at which `covered` has edges that `clear` lacks, the best first."""
    templates, known = _combs(covered.shape[axis])
    found: list[Grid] = []
    for at in np.argsort(-(templates @ (_profile(covered, axis) - _profile(clear, axis)))).tolist():
        if all(abs(known[at][0] / period - 1) > DISTINCT for period, _ in found):
            found.append(known[at])
        if len(found) == TRIED:
            break
    return found


@lru_cache(maxsize=32)  # about 2 MB each
def _combs(size: int) -> tuple[Floats, list[Grid]]:
    """What the gradients of blocks look like: float64 [grids, size - 1], unit rows of mean 0, and their grids."""
    edges = np.arange(1, size, dtype=np.float64)
    rows, known = [np.empty((0, size - 1))], []
    period = FINEST
    while period <= min(COARSEST, size / LEAST_BLOCKS):
        offsets = np.arange(0, period, max(0.4, period / 24))
        away = (edges - offsets[:, None] + period / 2) % period - period / 2
        comb = np.exp(-(away**2) / (2 * SMOOTHED**2))
        comb -= comb.mean(1, keepdims=True)
        rows.append(comb / np.linalg.norm(comb, axis=1, keepdims=True))
        known += [(period, float(offset)) for offset in offsets]
        period *= STEP
    return np.concatenate(rows), known


def _blocks(size: int, period: float, offset: float) -> Float32:
    """[size, size], what replaces every pixel by the mean of its block, and smooths."""
    edges = offset + period * np.arange(-1, np.ceil((size - offset) / period) + 1)
    at = np.arange(size)
    share = np.clip(np.minimum(at + 1, edges[1:, None]) - np.maximum(at, edges[:-1, None]), 0, None)
    share = share[share.sum(1) > 1e-6]
    means = share.T @ (share / share.sum(1, keepdims=True))
    smooth = np.exp(-((at[:, None] - at) ** 2) / (2 * SMOOTHED**2))
    return np.asarray(smooth / smooth.sum(1, keepdims=True) @ means, np.float32)
