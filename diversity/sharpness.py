"""How widely the edges of a picture are spread, in pixels: blur that can be read as a radius.

Not for deciding what is too blurred: that is `quality.py`.

A step edge blurred by a Gaussian of radius s keeps less gradient energy the finer the pixels are. With G_k the mean
squared gradient after k halvings of the size, G_(k+1)/G_k goes from about 1 (noise, hard edges) to 4 (a smooth ramp),
and s ≈ 2^k · sqrt(C·q / (4 - q)) with q that ratio. C was fitted on KayKit renders and DreamBooth photos blurred by
known radii from 0.6 to 8 pixels. Only gradients are used, because second derivatives (the usual variance of the
Laplacian) are ruled by noise and JPEG blocks; only the most structured windows are looked at, so that flat toon
backgrounds and shallow focus do not count as blur; ratios do not depend on contrast.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

GRID = 8  # the picture is divided into GRID × GRID cells, of which the WINDOWS most structured are looked at
WINDOWS = 8
LEAST_SIDE, MOST_SIDE = 64, 128  # pixels of a window; from twice the latter on it is reduced, which averages noise
LEVELS = 4
_C = 0.35
_ROUNDING = 1 / 12  # variance of rounding to 8 bits; a central difference halves it per axis, a halving quarters it
_SOFT = 1.0  # pixels: a coarser level is believed over a finer one where its edges are still wider than this


def edge_spread(pixels: UInt8Array, small: UInt8Array) -> float | None:
    """Radius of the blur of the sharpest structures, in pixels of `pixels`; about 0.3 (hard pixels) to 30.

    Args:
        pixels: uint8 [h, w, 3].
        small: The luma of the same picture, uint8 [h', w'], longest side about 128 to 256: where structure is looked
            for.

    Returns:
        The radius, or None where there is no structure to measure (a flat picture, or one under 8 pixels).
    """
    side: int = max(LEAST_SIDE, max(pixels.shape[:2]) // GRID)
    factor = max(1, side // MOST_SIDE)
    if min(pixels.shape[:2]) < 8 * factor:
        return None
    windows = _windows(pixels, small, side, factor)
    energies: list[float] = []
    while len(energies) < LEVELS and min(windows.shape[1:]) >= 8:
        energies.append(_energy(windows) - _ROUNDING / 4 ** len(energies))
        windows = _halved(windows)
    if len(energies) < 2 or energies[1] < 0.5:
        return None
    best = 0.0
    for level, (fine, coarse) in enumerate(pairwise(max(energy, 1e-2) for energy in energies)):
        ratio = coarse / fine
        spread = math.sqrt(_C * ratio / max(4 - ratio, 0.02))
        if level == 0 or spread >= _SOFT:
            best = max(best, (1 << level) * spread)
    return best * factor


def block_means(picture: NDArray[Any], factor: int) -> NDArray[Any]:
    """Means over blocks of `factor` × `factor` of [h, w] or [h, w, 3]; the remainder at right and bottom is cut off.

    Whole factors, two above all, are many times faster than others.
    """
    if factor == 1:
        return picture
    rows, columns = max(1, picture.shape[0] // factor), max(1, picture.shape[1] // factor)
    return cv2.resize(picture[: rows * factor, : columns * factor], (columns, rows), interpolation=cv2.INTER_AREA)


def _windows(pixels: UInt8Array, small: UInt8Array, side: int, factor: int) -> Float32Array:
    """Grey windows of `side` pixels around the most structured cells, reduced by `factor`: float32 [n, h, w]."""
    height, width = pixels.shape[:2]
    corners: dict[tuple[int, int], None] = {}
    for row, column in _structured(small):
        top = min(max(0, int((row + 0.5) * height / GRID) - side // 2), max(0, height - side))
        left = min(max(0, int((column + 0.5) * width / GRID) - side // 2), max(0, width - side))
        corners[top, left] = None
    tall, wide = (min(side, length) // factor for length in (height, width))
    found = [pixels[top : top + tall * factor, left : left + wide * factor] for top, left in corners]
    grey = block_means(np.asarray(cv2.cvtColor(np.concatenate(found), cv2.COLOR_RGB2GRAY)), factor)
    return grey.astype(np.float32).reshape(len(corners), tall, wide)


def _structured(small: UInt8Array) -> list[tuple[int, int]]:
    """Row and column of the cells with most gradient energy, judged coarsely so that noise does not count."""
    small = block_means(small, 2) if max(small.shape) > 192 else small
    across, down = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    cells = cv2.resize(across * across + down * down, (GRID, GRID), interpolation=cv2.INTER_AREA)
    order = np.argsort(-cells, axis=None, kind="stable")[:WINDOWS]
    return [divmod(int(cell), GRID) for cell in order]


def _energy(windows: Float32Array) -> float:
    """Mean squared central difference over all windows [n, h, w]."""
    count, rows, columns = windows.shape
    column = windows.reshape(count * rows, columns)  # one above another for differences across, side by side for down
    row = np.ascontiguousarray(windows.transpose(1, 0, 2)).reshape(rows, count * columns)
    across = cv2.norm(column[:, 2:], column[:, :-2], cv2.NORM_L2SQR) / (count * rows * (columns - 2))
    down = cv2.norm(row[2:], row[:-2], cv2.NORM_L2SQR) / (count * columns * (rows - 2))
    return float(across + down) / 4


def _halved(windows: Float32Array) -> Float32Array:
    """Every window [n, h, w] at half its size, all in one call."""
    count, rows, columns = windows.shape[0], windows.shape[1] // 2, windows.shape[2] // 2
    even = windows[:, : 2 * rows, : 2 * columns].reshape(count * 2 * rows, 2 * columns)
    return np.asarray(block_means(even, 2), np.float32).reshape(count, rows, columns)
