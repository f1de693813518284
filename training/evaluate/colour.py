"""Palettes: the colours of pictures as sliced distributions in CIELAB, and the distance between two of them.

Not for what a distance means: that is `migration.py`.

A picture's pixels are projected on fixed directions, and each projection is kept as its quantiles. The sliced
1-Wasserstein distance (Bonneel et al. 2015, section 3) of two pictures is then the mean absolute difference of two
tables, exact up to the number of quantiles, and a thousand comparisons cost a millisecond each. Directions are a
Fibonacci lattice on the half sphere rather than random ones: the same numbers on every machine, and less error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from training.evaluate.estimate import Floats

QUANTILES = 128
DIRECTIONS = 64  # of colour; with 512 the distances of sample pictures differ by less than 1 %
HUES = 16  # directions of chroma, on the half circle
LEAST_PIXELS = 64  # below this a picture has no palette
TURNS = (60.0, 120.0, 180.0, 240.0, 300.0)  # degrees that hues are turned by for a control palette
PIXELS = 4096  # of one picture that are looked at, spread evenly over it; all of them: within 1 % of a usual distance
POOLED = 20_000  # the same for a set
WHITE_L, WHITE_CHROMA = 96.0, 3.0  # CIELAB: what counts as the white of a cut-out

UInt8s = NDArray[np.uint8]


@dataclass(frozen=True)
class Palette:
    """Quantiles of projected colours, CIELAB units (a difference of 2 is just visible).

    Attributes:
        colour: [DIRECTIONS, QUANTILES], all three axes.
        chroma: [HUES, QUANTILES], a and b alone.
        lightness: [1, QUANTILES], L alone: noise offset moves it without any migration.
    """

    colour: Floats
    chroma: Floats
    lightness: Floats


def lab(pixels: UInt8s) -> Floats:
    """Pixels uint8 [..., 3], sRGB → CIELAB float64 [n, 3] (D65), L 0..100."""
    import cv2

    flat = np.ascontiguousarray(pixels.reshape(-1, 1, 3)).astype(np.float32) / 255
    converted: Floats = np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2LAB), np.float64).reshape(-1, 3)
    return converted


def content(pixels: UInt8s, alpha: UInt8s | None = None) -> Floats:
    """CIELAB colours [m, 3] of a picture without what was cut away.

    Left out: transparent pixels (alpha below one half), and white that touches the border, as behind cut-outs (claim
    C3): it is no colour of the subject, and would make every palette with it alike.

    Args:
        pixels: uint8 [h, w, 3], sRGB.
        alpha: uint8 [h, w], 255 opaque; None: opaque.
    """
    import cv2

    colours = lab(pixels)
    keep = np.ones(len(colours), bool) if alpha is None else alpha.ravel() >= 128
    white = (colours[:, 0] >= WHITE_L) & (np.abs(colours[:, 1:]).max(axis=1) <= WHITE_CHROMA)
    framed = np.pad((white | ~keep).reshape(pixels.shape[:2]).astype(np.uint8), 1, constant_values=1)
    parts = cv2.connectedComponents(framed, connectivity=4)[1][1:-1, 1:-1]
    outside = parts.ravel() == 1  # the padding's own component: labels are given in raster order
    kept: Floats = colours[keep & ~outside]
    return kept


def palette(colours: Floats, limit: int = PIXELS) -> Palette | None:
    """The palette of CIELAB colours [m, 3], of `limit` of them at most; None with fewer than `LEAST_PIXELS`."""
    if len(colours) < LEAST_PIXELS:
        return None
    if len(colours) > limit:  # golden-ratio steps: even over the picture, in step with neither rows nor columns
        colours = colours[np.sort((np.arange(limit) * (5**0.5 - 1) / 2 % 1 * len(colours)).astype(np.int64))]
    return Palette(*(_quantiles(colours, axes) for axes in (_sphere(), _circle(), _up())))


def pooled(pictures: Sequence[Floats], weights: Sequence[float] | None = None, seed: int = 0) -> Palette | None:
    """One palette of several pictures, each with equal say or that of its weight, whatever its size.

    Args:
        pictures: CIELAB colours [m_i, 3] of each.
        weights: Relative exposures; None: equal.
        seed: Of the pixels drawn: `POOLED` in all.
    """
    usable = [(p, w) for p, w in zip(pictures, weights or [1.0] * len(pictures), strict=True) if len(p) and w > 0]
    if not usable:
        return None
    total, rng = sum(w for _, w in usable), np.random.default_rng(seed)
    drawn = [p[rng.integers(0, len(p), max(1, round(POOLED * w / total)))] for p, w in usable]
    return palette(np.concatenate(drawn), POOLED + len(drawn))


def turned(colours: Floats, degrees: float) -> Floats:
    """The same colours with every hue turned about the axis of greys: same lightness, same chroma."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved: Floats = np.concatenate([colours[:, :1], colours[:, 1:] @ turn.T], axis=1)
    return moved


def control(pictures: Sequence[Floats]) -> Palette | None:
    """The pooled palette of pictures [m_i, 3] with its hues turned to where it is least like itself.

    No fixed turn will do: red hair and a teal coat, turned by 180 degrees, are themselves.
    """
    own = pooled(pictures)
    if own is None:
        return None
    others = [pooled([turned(picture, turn) for picture in pictures]) for turn in TURNS]
    return max((other for other in others if other), key=lambda other: distance(other, own))


def distance(first: Palette, second: Palette, part: str = "colour") -> float:
    """Sliced 1-Wasserstein distance in CIELAB units; `part` is "colour", "chroma" or "lightness"."""
    one, two = getattr(first, part), getattr(second, part)
    return float(np.abs(one - two).mean())


def _quantiles(colours: Floats, axes: Floats) -> Floats:
    """[directions, QUANTILES] of colours [m, 3] projected on axes [directions, 3], linear between order statistics."""
    ordered = np.sort((axes @ colours.T).astype(np.float32), axis=1)
    at = (np.arange(QUANTILES) + 0.5) / QUANTILES * (len(colours) - 1)
    low = at.astype(np.int64)
    share = at - low
    found: Floats = ordered[:, low] * (1 - share) + ordered[:, np.minimum(low + 1, len(colours) - 1)] * share
    return found


@cache
def _sphere() -> Floats:
    """[DIRECTIONS, 3], unit, evenly on the half sphere."""
    i = np.arange(DIRECTIONS) + 0.5
    z = i / DIRECTIONS
    turn, radius = np.pi * (1 + 5**0.5) * i, np.sqrt(1 - z * z)
    return np.stack([z, radius * np.cos(turn), radius * np.sin(turn)], axis=1)


@cache
def _circle() -> Floats:
    """[HUES, 3], unit, evenly on the half circle of a and b."""
    angle = np.pi * (np.arange(HUES) + 0.5) / HUES
    return np.stack([np.zeros(HUES), np.cos(angle), np.sin(angle)], axis=1)


@cache
def _up() -> Floats:
    return np.array([[1.0, 0.0, 0.0]])
