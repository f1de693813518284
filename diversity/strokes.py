"""Which of two pictures of the same shot carries a mark: strokes that are lighter, or darker, than what they lie on.

For pale marks on fur, leaves or bricks, also where the clean picture is softer or smaller. Not for bars, mosaics and
blurred spots, nor for strokes on plain grounds: those are told more simply, in `covered.py`.

What is done to a whole picture follows from the picture. So the one is explained by the other as well as a tone curve,
light that falls off, a blur and a small shift can do it, robustly. What remains of a mark has one sign, and lies where
it was put, not where the picture below is bright, dark or structured.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[Any]
Mask = NDArray[np.bool_]
Part = tuple[slice, slice]

KNOTS = (0.0, 8.0, 16.0, 28.0, 40.0, 52.0, 64.0, 76.0, 88.0, 94.0, 100.0)  # lightness, of the tone curve
BLURS = 0.8, 1.6, 3.2  # pixels, standard deviation: of these and the picture any blur or sharpening is mixed
ROUNDS = 4  # of reweighting
ROBUST = 1.4826  # standard deviations of a normal distribution in a median of distances
QUIETEST = 0.3  # lightness: what remains is never trusted to be less than this
SMOOTHED = 0.8  # pixels, standard deviation: strokes hold together, the remains of texture do not
AROUND = 41  # pixels: the remains are compared with those around
STANDS_OUT, VISIBLE = 4.0, 1.0  # times the remains around, and lightness, from which a pixel belongs to a mark
LEVELS, STRUCTURES = 6, 4  # classes of pixels, equally large, by which it is told where a change follows the picture
WEIGHTS = 1.5, 2.7  # of edges and of opacity: a logistic fit
EDGE, FLAT = 0.5, 0.35  # of the slopes of strokes: their edges are above this quantile; flat is below this share
WIDEST = 9  # pixels, of a stroke
LEAST = 0.002  # share of the frame below which nothing is judged
MARGIN = 0.125  # of the frame, at each of its edges, where a smaller mark counts too: a name, an address
HINT = 1.5, 2.0, 0.8  # blur in pixels, lightness, and share of one sign: where there is less, nothing is looked for


@dataclass(frozen=True)
class Evidence:
    """What speaks for a mark in a part of the frame.

    Attributes:
        one_sided: 0.5..1, share of what stands out that has one sign.
        area: Share of the frame that stands out.
        strength: Mean lightness by which it does.
        predicted: 0.5..1, chance that of two pixels, one of the mark and one of any, the clean picture tells which.
        favour: Above 0: the first picture has it; below 0: the second. Log odds.
        thick: Share of it that is wider than strokes are.
        reach: Share of the frame, the longer of both ways, that most of it covers.
    """

    one_sided: float
    area: float
    strength: float
    predicted: float
    favour: float
    thick: float
    reach: float


@dataclass(frozen=True)
class Lines:
    """What evidence has to reach: fields as of `Evidence`, least but for `predicted`."""

    one_sided: float
    area: float
    strength: float
    predicted: float
    favour: float

    def met(self, seen: Evidence) -> bool:
        """Whether it does."""
        return (
            seen.one_sided >= self.one_sided
            and self.area <= seen.area <= MOST
            and seen.strength >= self.strength
            and seen.predicted <= self.predicted
            and abs(seen.favour) >= self.favour
            and seen.reach >= REACH
            and seen.thick <= THICK
        )


# Set on 36 textured photos of one half of Caltech-101's classes, and on pairs without a mark: `docs/duplicates.md`.
MOST, THICK, REACH = 0.2, 0.3, 0.2
ANYWHERE = Lines(one_sided=0.85, area=0.006, strength=3.5, predicted=0.85, favour=1.5)
ALONG_AN_EDGE = Lines(one_sided=0.85, area=0.003, strength=3.5, predicted=0.76, favour=1.5)


def marked(first: Float32, second: Float32, inside: Mask) -> Literal[0, 1] | None:
    """Which of two pictures carries a mark: 0 the first, 1 the second.

    Args:
        first, second: float32 [s, s], lightness 0..100, the one laid over the other.
        inside: bool [s, s], where both are known.
    """
    for lines, seen in evidence(first, second, inside):
        if lines.met(seen):
            return 0 if seen.favour > 0 else 1
    return None


def evidence(first: Float32, second: Float32, inside: Mask) -> list[tuple[Lines, Evidence]]:
    """What stands out in the frame and along its edges, with the lines for it. Arguments as of `marked`."""
    hinted = _hinted(first - second, inside)
    if not hinted:
        return []
    explained, remains = _explained(first, second, inside)
    other, others = _explained(second, first, inside)
    if remains <= others:  # the sharper one explains the softer one better than the other way round
        apart, second = first - explained, explained
    else:
        apart, first = other - second, other
    apart, out = _standing_out(apart, inside)
    found = [(lines, _seen(apart, out, first, second, where)) for lines, where in hinted]
    return [(lines, seen) for lines, seen in found if seen is not None]


def _hinted(apart: Float32, inside: Mask) -> list[tuple[Lines, Part]]:
    """Where a difference of lightness leans to one sign: told in a fiftieth of the time of the rest."""
    import cv2

    apart = cv2.GaussianBlur((apart - np.median(apart[inside])) * inside, (0, 0), HINT[0])
    apart *= np.abs(apart) > HINT[1]
    high = int(MARGIN * len(apart))
    parts: list[tuple[Lines, Part]] = [(ANYWHERE, np.s_[:, :])]
    parts += [(ALONG_AN_EDGE, part) for part in (np.s_[:high, :], np.s_[-high:, :], np.s_[:, :high], np.s_[:, -high:])]
    return [
        (lines, part)
        for lines, part in parts
        if abs(float(apart[part].sum())) >= max((2 * HINT[2] - 1) * float(np.abs(apart[part]).sum()), 1e-6)
    ]


def _standing_out(apart: Float32, inside: Mask) -> tuple[Float32, Mask]:
    """What remains without the light around, and which pixels stand out from the remains around."""
    import cv2

    apart = cv2.GaussianBlur(apart * inside, (0, 0), SMOOTHED)
    apart = (apart - _median(apart)) * inside
    strong = np.abs(apart)
    return apart, (strong > STANDS_OUT * np.maximum(ROBUST * _median(strong), QUIETEST)) & (strong > VISIBLE)


def _seen(apart: Float32, out: Mask, first: Float32, second: Float32, part: Part) -> Evidence | None:
    """What speaks for a mark in a part of the frame; None where next to nothing stands out."""
    import cv2

    there = np.zeros_like(out)
    there[part] = out[part]
    added = apart if apart[there].sum() > 0 else -apart
    mark = there & (added > 0)
    if mark.mean() < LEAST:
        return None
    favour = _favour(added, first, second, mark, dark=added is not apart)
    clean = second if favour > 0 else first
    opened = cv2.morphologyEx(mark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((WIDEST, WIDEST), np.uint8))
    return Evidence(
        float(added[mark].sum() / np.abs(apart[there]).sum()),
        float(there.mean()),
        float(added[mark].mean()),
        _predicted(mark[part], clean[part]),
        favour,
        float(opened.sum() / mark.sum()),
        reach(mark),
    )


def reach(mask: Mask) -> float:
    """Share of the frame, the longer of both ways, that the middle three fifths of a mask's pixels reach over."""
    return max(
        float(np.diff(np.percentile(places, (20, 80)))[0]) / float(size)
        for places, size in zip(np.nonzero(mask), mask.shape, strict=True)
    )


def _explained(picture: Float32, other: Float32, inside: Mask) -> tuple[Float32, float]:
    """What `other` says of `picture`, and the spread of what remains, lightness.

    Least squares, reweighted by Cauchy's weights (Holland & Welsch 1977, table 1), on every other pixel.
    """
    causes = _causes(other)
    known, wanted = causes[inside][::2], picture[inside][::2]
    weights = np.ones(len(wanted), np.float32)
    for _ in range(ROUNDS):
        weighed = (known * weights[:, None]).T
        normal = weighed @ known
        normal[np.diag_indices_from(normal)] += 1e-3
        share = np.linalg.solve(normal, weighed @ wanted)
        remains = wanted - known @ share
        spread = max(ROBUST * float(np.median(np.abs(remains))), QUIETEST)
        weights = 1 / (1 + np.square(remains / (2 * spread)))
    return np.asarray(causes @ share, np.float32), spread


def _causes(picture: Float32) -> Float32:
    """[s, s, n], what a change of the whole picture is mixed of: its tones, fall of light, blurs, and shifts."""
    import cv2

    tones = _tones(picture)
    across, down = _places(len(picture))
    light = picture / 50 - 1
    slopes = [cv2.Sobel(picture, cv2.CV_32F, *way) / 8 for way in ((1, 0), (0, 1))]
    moved = [slope * place for slope in slopes for place in (1, across, down)]
    blurs = [
        cv2.GaussianBlur(picture, (0, 0), sigmaX=x, sigmaY=y) - picture
        for blur in BLURS
        for x, y in ((blur, blur), (blur, 0.01), (0.01, blur))
    ]
    fall = [light * place for place in (across, down, across**2, down**2)]
    flat = [np.ones_like(light), across, down, across**2, down**2]
    return np.dstack([*flat, *tones, *fall, *moved, *blurs])


def _tones(picture: Float32) -> list[Float32]:
    """Hat functions over the knots, the first left out: mixed, any curve of tones."""
    return [np.interp(picture, KNOTS, hat).astype(np.float32) for hat in np.eye(len(KNOTS))[1:]]


@lru_cache(maxsize=2)
def _places(side: int) -> tuple[Float32, Float32]:
    """[side, side], where a pixel lies across and down, -1..1."""
    way = np.linspace(-1, 1, side, dtype=np.float32)
    across, down = np.meshgrid(way, way)
    return across, down


def _median(values: Float32) -> Float32:
    """The median around every pixel, to an eighth, of values within ±16."""
    import cv2

    levels = np.clip(values * 8 + 128, 0, 255).astype(np.uint8)
    return np.asarray((cv2.medianBlur(levels, AROUND).astype(np.float32) - 128) / 8, np.float32)


def _predicted(mask: Mask, picture: Float32) -> float:
    """Chance that of two pixels, one in the mask and one of any, lightness and structure of `picture` tell which."""
    import cv2

    fine = np.square(picture - cv2.GaussianBlur(picture, (0, 0), 1.5))
    cells = _classes(picture, LEVELS) * STRUCTURES + _classes(cv2.GaussianBlur(fine, (0, 0), 1.5), STRUCTURES)
    there = np.bincount(cells.ravel(), minlength=LEVELS * STRUCTURES).astype(np.float64)
    hit = np.bincount(cells[mask], minlength=LEVELS * STRUCTURES).astype(np.float64)
    best = np.argsort(-hit / np.maximum(there, 1))
    found, taken = np.cumsum(hit[best]) / hit.sum(), np.cumsum(there[best]) / there.sum()
    return float(np.trapezoid(np.r_[0, found], np.r_[0, taken]))


def _classes(values: Float32, count: int) -> NDArray[np.int64]:
    """Equally large classes of values, 0 the lowest."""
    return np.asarray(np.searchsorted(np.quantile(values, np.arange(1, count) / count), values), np.int64)


def _favour(added: Float32, first: Float32, second: Float32, mark: Mask, *, dark: bool) -> float:
    """Log odds that it is the first that carries the mark; `added` is what it has more, with `dark` what it has less.

    Edges: those of strokes lie also where the clean picture is flat. Opacity: strokes of white or black take the clean
    picture the same share of the way to their colour everywhere.
    """
    import cv2

    wide = cv2.dilate(mark.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    slopes = [
        np.stack([cv2.Sobel(p, cv2.CV_32F, 1, 0), cv2.Sobel(p, cv2.CV_32F, 0, 1)]) for p in (first, second, added)
    ]
    edges = np.hypot(*slopes[2]) * wide
    edges *= edges >= np.quantile(edges[wide], EDGE)
    crossed = [float(edges[np.hypot(*below) <= FLAT * edges].sum() / max(edges.sum(), 1e-6)) for below in slopes[:2]]
    ridge = mark & (added >= 0.9 * cv2.dilate(added, np.ones((3, 3), np.uint8)))
    if not ridge.any():
        return 0.0
    ways = (second, 100 - first) if dark else (100 - second, first)  # to black or white, from the clean picture
    uneven = [float(np.std(np.log(added[ridge] / np.maximum(way[ridge], 4)))) for way in ways]
    odds = np.log((crossed[1] + 0.005) / (crossed[0] + 0.005)), np.log((uneven[1] + 1e-3) / (uneven[0] + 1e-3))
    return float(np.dot(WEIGHTS, odds))
