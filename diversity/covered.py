"""Which of two pictures of the same shot hides a part of what the other shows: by a bar, mosaic, mark or line of text.

Not for telling copies from variants in general, and narrow on purpose: a closed eye, another mouth or a hat must not be
taken for censorship. Bars are of one pure black or white and fill a box; a mosaic's blocks are the means of what they
hide (`mosaic.py`); a mark adds strokes that are all lighter, or all darker. A blur is not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diversity.mosaic import is_mosaic
from diversity.overlay import BOTTOM, TOP

Float32 = NDArray[Any]
Mask = NDArray[np.bool_]

CHANGED = 9.0  # CIELAB distance from which a pixel counts as changed
LEAST, MOST = 0.003, 0.35  # share of the frame that is hidden
PURE = 10.0, 91.0, 6.0  # lightness below and above which, and chroma below which, a colour may be a bar's
EVEN = 5.0  # lightness by which a bar may vary: JPEG
CORE = 0.3  # least share of what changed, edges and all, that is of the bar's colour
FILLED = 0.9  # share of its own box that a bar fills
THINNEST = 3  # pixels of the frame that a bar is high and wide
FAINT = 4.0  # lightness from which a mark may change a pixel
ONE_SIDED = 0.93  # share of the change of a mark that has one sign
STROKES = 1.15  # least gradient in a mark's pixels over that of the other picture
SPAN = 0.25  # of the frame's longer way that a mark must reach; what is smaller may be a mouth or an eye


@dataclass(frozen=True)
class Covered:
    """One of two pictures is covered.

    Attributes:
        which: 0 the first, 1 the second.
        by: What covers it, as a sentence goes on: "a bar", "a mosaic", "a mark", "a line of text".
    """

    which: Literal[0, 1]
    by: str


def hidden(
    first: Float32, second: Float32, inside: Mask, *, text: tuple[bool, bool] = (False, False)
) -> Covered | None:
    """Which of two pictures is covered.

    Args:
        first: float32 [s, s, 3], CIELAB, L 0..100.
        second: float32 [s, s, 3], laid over the first.
        inside: bool [s, s], where both are known.
        text: Whether a line of text was seen on each.
    """
    apart = first - second
    apart[..., 0] -= np.median(apart[..., 0][inside])  # another exposure
    changed = (np.sqrt(np.square(apart).sum(2)) > CHANGED) & inside
    share = float(changed.sum()) / max(int(inside.sum()), 1)
    if share > MOST:
        return None
    bars: list[Covered] = []
    for box in _boxes(changed, 5):
        one, two = first[box], second[box]
        if _is_bar(one, two) or _is_bar(two, one):
            bars.append(Covered(0 if _is_bar(one, two) else 1, "a bar"))
            changed[box] = False  # explained
    rest = int(changed.sum()) / changed.size
    if bars and rest < LEAST and len({bar.which for bar in bars}) == 1:
        return bars[0]
    ends = np.concatenate([changed[: int(TOP * len(changed))], changed[-int(BOTTOM * len(changed)) :]])
    if text[0] != text[1] and not bars and share >= LEAST and (changed.sum() - ends.sum()) / changed.size < LEAST:
        return Covered(1 if text[1] else 0, "a line of text")
    return _mosaic(second + apart, second, changed) or _marked(first[..., 0], second[..., 0], apart[..., 0] * inside)


def _boxes(changed: Mask, gap: int) -> list[tuple[slice, slice]]:
    """Around every region of changed pixels that is large enough to hide something; gaps of fewer pixels count in."""
    import cv2

    _, _, boxes, _ = cv2.connectedComponentsWithStats(_closed(changed, gap).astype(np.uint8))
    return [
        (slice(top, top + height), slice(left, left + width))
        for left, top, width, height, area in boxes[1:].tolist()
        if area >= LEAST * changed.size and min(width, height) >= 2 * THINNEST
    ]


def _closed(changed: Mask, gap: int) -> Mask:
    import cv2

    return cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8)).astype(bool)


def _mosaic(first: Float32, second: Float32, changed: Mask) -> Covered | None:
    """Which of two pictures in the same light has a mosaic, if nothing else differs."""
    rest, found, boxes = changed.copy(), set[Literal[0, 1]](), _boxes(changed, 9)
    for box in boxes:
        rest[box] = False
    for box in boxes:
        if rest.mean() >= LEAST or len(found) == 2:  # more differs, whatever the other regions are
            return None
        where = _closed(changed[box], 9)
        first_is = is_mosaic(first[box], second[box], where)
        if first_is or is_mosaic(second[box], first[box], where):
            found.add(0 if first_is else 1)
        else:
            rest[box] = changed[box]
    return Covered(found.pop(), "a mosaic") if len(found) == 1 and rest.mean() < LEAST else None


def _is_bar(covered: Float32, clear: Float32) -> bool:
    """Whether a box of a pure colour lies in the one region, and not in the other."""
    light = covered[..., 0]
    level = float(np.percentile(light, 15 if np.median(light) < 50 else 85))  # its edges are smeared
    core = np.abs(light - level) <= EVEN
    if PURE[0] < level < PURE[1] or core.mean() < CORE or float(np.abs(clear[..., 0] - light)[core].mean()) < CHANGED:
        return False
    if np.hypot(*np.median(covered[core][:, 1:], axis=0)) > PURE[2]:
        return False
    rows, columns = np.flatnonzero(core.mean(1) > 0.5), np.flatnonzero(core.mean(0) > 0.5)
    if min(len(rows), len(columns)) < THINNEST:
        return False
    return bool(core[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() >= FILLED)


def _marked(first: Float32, second: Float32, apart: Float32) -> Covered | None:
    """Which of two lightnesses carries strokes that the other lacks.

    Args:
        first, second: float32 [s, s].
        apart: Their difference without that of exposure.
    """
    import cv2

    changed = np.abs(apart) > FAINT
    off = apart[changed]
    total = float(np.abs(off).sum())
    if not LEAST <= changed.mean() <= MOST / 2 or _span(changed) < SPAN:
        return None
    if max(float(off[off > 0].sum()), -float(off[off < 0].sum())) < ONE_SIDED * total:
        return None
    wide = cv2.dilate(changed.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    slopes = [
        float(np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))[wide].mean())
        for light in (np.ascontiguousarray(first), np.ascontiguousarray(second))
    ]
    if max(slopes) < STROKES * min(slopes):
        return None
    return Covered(1 if slopes[1] > slopes[0] else 0, "a mark")


def _span(mask: Mask) -> float:
    """Share of the frame between the outer twentieths of the pixels of a mask, the longer of both ways."""
    reaches: list[float] = [
        float(np.diff(np.percentile(places, (5, 95)))[0]) / size
        for places, size in zip(np.nonzero(mask), mask.shape, strict=True)
    ]
    return max(reaches)
