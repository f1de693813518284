"""Which of two pictures of the same shot hides a part of what the other shows: by a bar, mosaic, mark or line of text.

Not for telling copies from variants in general, and narrow on purpose: a closed eye, another mouth or a hat must not be
taken for censorship. Bars are of one pure black or white and fill a box; a mosaic's blocks are the means of what they
hide (`mosaic.py`); a blurred spot is what a blur makes of the other; a mark adds strokes that are all lighter, or all
darker, on plain grounds (here) or textured ones (`strokes.py`). Coloured stickers and logos are not looked for: they
may be hats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diversity import strokes
from diversity.alignment import over_channels
from diversity.mosaic import is_blur, is_mosaic, softer
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
ONE_SIDED = 0.93  # share of the change of a mark that has one sign; a blur's has two
SPAN = 0.2  # of the frame that most of a mark must reach over; what is smaller may be a mouth or an eye
SPREAD = 0.008  # share of the frame that such a mark changes; less may be a mouth and the shimmer of a burst
MARGIN = 0.12  # of the frame, at each of its edges, where a smaller mark counts too: a name, an address
FLAT = 0.35  # of a stroke's edge: where the other picture changes less, it is flat there
CROSSED = 0.05  # least share of the edges of strokes that lie where the other picture is flat
CLEARLY = 2.5  # times as much of them as the other way round
SPOT = 0.015  # share of the frame from which a softer region counts; a smaller one may be a tear or a closed mouth


@dataclass(frozen=True)
class Covered:
    """One of two pictures is covered.

    Attributes:
        which: 0 the first, 1 the second.
        by: What covers it, as a sentence goes on: "a bar", "a mosaic", "a blurred spot", "a mark", "a line of text".
    """

    which: Literal[0, 1]
    by: str


def hidden(
    first: Float32,
    second: Float32,
    inside: Mask,
    *,
    text: tuple[bool, bool] = (False, False),
    textured: bool = True,
) -> Covered | None:
    """Which of two pictures is covered.

    Args:
        first: float32 [s, s, 3], CIELAB, L 0..100.
        second: float32 [s, s, 3], laid over the first.
        inside: bool [s, s], where both are known.
        text: Whether a line of text was seen on each.
        textured: Look for marks on textures too, which takes most of the time.
    """
    apart = first - second
    apart[..., 0] -= np.median(apart[..., 0][inside])  # another exposure
    changed = (np.sqrt(over_channels(np.square(apart))) > CHANGED) & inside
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
    alike, light = second + apart, apart[..., 0] * inside
    return (
        _softened(alike, second, changed, is_mosaic, "a mosaic", LEAST)
        or _marked(first[..., 0], second[..., 0], light)
        or (_overlaid(first[..., 0], second[..., 0], inside) if textured else None)
        or (None if _one_sided(light) else _softened(alike, second, changed, is_blur, "a blurred spot", SPOT))
    )


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


def _softened(
    first: Float32,
    second: Float32,
    changed: Mask,
    is_soft: Callable[[Float32, Float32, Mask], bool],
    by: str,
    size: float,
) -> Covered | None:
    """Which of two pictures in the same light has regions that `is_soft`, if nothing else differs.

    Args:
        first: float32 [s, s, 3].
        second: float32 [s, s, 3].
        changed: bool [s, s].
        is_soft: (covered, clear, where they differ) → whether the one is made of the other.
        by: What it is called.
        size: Least share of the frame of the regions' boxes.
    """
    rest, found, boxes = changed.copy(), set[Literal[0, 1]](), _boxes(changed, 9)
    for box in boxes:
        rest[box] = False
    soft = 0
    for box in boxes:
        if rest.mean() >= LEAST or len(found) == 2:  # more differs, whatever the other regions are
            return None
        parts = first[box], second[box]
        which = softer(*parts)
        if which is not None and is_soft(parts[which], parts[1 - which], _closed(changed[box], 9)):
            found.add(which)
            soft += changed[box].size
        else:
            rest[box] = changed[box]
    certain = len(found) == 1 and rest.mean() < LEAST and soft >= size * changed.size
    return Covered(found.pop(), by) if certain else None


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

    A mark's strokes have edges also where the picture below is flat. The other way round there are next to none: what
    lies below would have to be flat just where the other has an edge of the same height. How much structure each has
    says nothing, since a pale mark also takes contrast from what lies below.

    Args:
        first, second: float32 [s, s].
        apart: Their difference without that of exposure.
    """
    import cv2

    changed = np.abs(apart) > FAINT
    if (
        not _one_sided(apart)
        or not LEAST <= changed.mean() <= MOST / 2
        or not ((changed.mean() >= SPREAD and strokes.reach(changed) >= SPAN) or _in_margin(changed))
    ):
        return None
    wide = cv2.dilate(changed.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    slopes = [
        np.stack([cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)])
        for light in (np.ascontiguousarray(first), np.ascontiguousarray(second))
    ]
    edges = np.hypot(*(slopes[0] - slopes[1]))
    edges *= wide & (edges >= np.median(edges[wide]))
    whole = max(float(edges.sum()), 1e-6)
    crossed = [float(edges[np.hypot(*below) <= FLAT * edges].sum()) / whole for below in reversed(slopes)]
    if max(crossed) < max(CROSSED, CLEARLY * min(crossed)):
        return None
    return Covered(1 if crossed[1] > crossed[0] else 0, "a mark")


def _overlaid(first: Float32, second: Float32, inside: Mask) -> Covered | None:
    """Which of two lightnesses carries a mark, whatever it lies on."""
    which = strokes.marked(first, second, inside)
    return None if which is None else Covered(which, "a mark")


def _one_sided(apart: Float32) -> bool:
    """Whether a difference of lightness, float32 [s, s], has one sign: strokes or spots added, nothing smeared."""
    off = apart[np.abs(apart) > FAINT]
    lighter, darker = float(off[off > 0].sum()), -float(off[off < 0].sum())
    return max(lighter, darker) >= ONE_SIDED * (lighter + darker)


def _in_margin(mask: Mask) -> bool:
    """Whether the pixels of a mask lie along one edge of the frame."""
    least = 0.95 * mask.sum()
    high, wide = (int(MARGIN * side) for side in mask.shape)
    return any(part.sum() >= least for part in (mask[:high], mask[-high:], mask[:, :wide], mask[:, -wide:]))
