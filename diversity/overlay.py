"""Whether a line of light text lies on a picture, near its bottom or top: subtitles, captions, copyright lines.

Not a reader of text, and deliberately narrow: it looks for one line of thin, light, evenly bright strokes on something
darker, with little of the kind right above and below it. Dark or vertical text, single words, logos and watermarks in
the middle are not found; signs and screens in the picture can be. Measured on Caltech-101 photos with and without
subtitles put on them (`python -m benchmarks.overlay`).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from diversity.sharpness import block_means

UInt8Array = NDArray[np.uint8]

WORKING = 512  # most pixels along the longest side at which strokes are looked for
BOTTOM, TOP = 0.4, 0.3  # shares of the height that are looked at
STEP = 60  # grey levels between neighbouring small pixels that may be the edge of a letter
STEPS = 0.09  # least share of a small row that are such steps, in
STEP_ROWS = 3  # so many neighbouring rows: else there can be no line of text
STROKE = 0.045  # of the shorter side: strokes are thinner
THIN, LIGHT = 70, 170  # grey levels by which a stroke stands out, and at which it begins
STARTS = 7  # least strokes that a row through a line of text crosses
LEAST, MOST = 0.015, 0.09  # height of the letters, as a share of the picture's height
APART = 2.5  # heights of the letters: wider gaps end a line
OUTSIDE = 0.3  # most strokes right above and below the line, as a share of those in it
FILLED = 0.1, 0.62  # share of the line's box that is stroke
BRIGHT, EVEN, DARK = 212, 45, 115  # grey levels: of most stroke, between its levels, of the darkest tenth of the box


def has_text_line(pixels: UInt8Array, small: UInt8Array) -> bool:
    """Whether a line of light text lies near the bottom or the top.

    Args:
        pixels: uint8 [h, w, 3].
        small: The luma of the same picture, uint8 [h', w'], longest side at most 256: where it is seen cheaply that
            most pictures have none.
    """
    ends = [end for end in (1, -1) if _may_have(_end(small, end))]
    if not ends:
        return False
    pixels = block_means(pixels, -(-max(pixels.shape[:2]) // WORKING))
    for end in ends:
        grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(_end(pixels, end)), cv2.COLOR_RGB2GRAY), np.uint8)
        strokes = _strokes(grey, min(pixels.shape[:2]))
        rows = np.count_nonzero(strokes[:, 1:] > strokes[:, :-1], axis=1) >= STARTS
        for top, bottom in _runs(rows):
            tall = bottom - top
            if max(4, LEAST * len(pixels)) <= tall <= MOST * len(pixels) and _is_line(grey, strokes, top, bottom):
                return True
    return False


def _end(picture: NDArray[np.uint8], end: int) -> NDArray[np.uint8]:
    """The bottom (1) or top (-1) part of a picture."""
    height = len(picture)
    return picture[height - int(BOTTOM * height) :] if end == 1 else picture[: int(TOP * height)]


def _may_have(small: UInt8Array) -> bool:
    """Whether enough neighbouring rows have enough steps of brightness."""
    if len(small) < STEP_ROWS or small.shape[1] < 16:
        return False
    steps = cv2.absdiff(small[:, 1:], small[:, :-1])
    _, steps = cv2.threshold(steps, STEP, 1, cv2.THRESH_BINARY)
    rows = cv2.reduce(steps, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() >= STEPS * small.shape[1]
    return any(bottom - top >= STEP_ROWS for top, bottom in _runs(rows))


def _runs(rows: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin and end (excluded) of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], rows, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _strokes(grey: UInt8Array, shorter: int) -> UInt8Array:
    """1 where `grey` [h, w] is light and thin, else 0: what is above its own opening (white top-hat)."""
    side = max(5, int(STROKE * shorter) | 1)
    hat = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((side, side), np.uint8))
    return ((hat >= THIN) & (grey >= LIGHT)).astype(np.uint8)


def _is_line(grey: UInt8Array, strokes: UInt8Array, top: int, bottom: int) -> bool:
    """Whether the rows between hold text: the widest stretch without a wide gap is judged."""
    tall = bottom - top
    used = np.flatnonzero(strokes[top:bottom].any(axis=0))
    stretches = np.split(used, np.flatnonzero(np.diff(used) > APART * tall) + 1)
    widest = max(stretches, key=lambda stretch: int(stretch[-1] - stretch[0]))
    left, right = int(widest[0]), int(widest[-1]) + 1
    starts = np.count_nonzero(strokes[:, left + 1 : right] > strokes[:, left : right - 1], axis=1)
    inside, gap = starts[top:bottom].mean(), max(1, tall // 3)
    above, below = starts[max(0, top - gap - tall // 2) : max(0, top - gap)], starts[bottom + gap :][: tall // 2]
    outside = max((float(rows.mean()) for rows in (above, below) if len(rows)), default=0.0)
    box, light = grey[top:bottom, left:right], grey[top:bottom, left:right][strokes[top:bottom, left:right] > 0]
    if inside < STARTS or outside > OUTSIDE * inside or not FILLED[0] <= light.size / box.size <= FILLED[1]:
        return False
    low, middle, high = np.percentile(light, (40, 75, 90))
    return bool(middle >= BRIGHT and high - low <= EVEN and np.percentile(box, 10) <= DARK)
