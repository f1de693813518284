"""Whether two pictures are the same shot: lay one over the other and see what cannot be explained.

Not for finding candidates (that is `index.py`) nor for deciding who stays (that is `duplicates.py`).

Two pictures are squashed to a small square, one is laid over the other by shift and scale (which undoes crops and
resizes), brightness is matched, and small movements are followed. What is left over, against the structure that both
show, is the disagreement: JPEG, blur and brightness leave almost nothing, a limb in motion a little, another pose or
background a lot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Int64 = NDArray[np.int64]
Float32 = NDArray[Any]  # float32; OpenCV's stubs know no more than that it is an array
Found = tuple[NDArray[np.float64], int, bool]  # place, channels to compare, whether it is the first that is the crop

SIDE = 64  # pixels of the working square
COARSE = 12  # pixels of the layouts that propose how one picture lies in the other
SCALES = (1.0, 0.92, 0.84, 0.76)  # sides of the crops that are tried
MIN_SCALE, MAX_ANISOTROPY = 0.66, 1.4  # a crop of less than half of the picture is another framing
REACH = 2  # pixels of SIDE that a movement is followed
WINDOW = 5  # pixels of SIDE whose residual is judged together
NOISE = 1.5  # CIELAB units, root mean square: differences that no eye minds
MONO = 2  # CIELAB units: a whole picture with no more along both axes of colour counts as black and white
MIN_OVERLAP = 0.85  # share of the crop that lies within the other picture; less is a camera that was turned
ZOOM = 0.5  # small subjects are looked at this much closer
HOPELESS = 0.3  # scores without following movements, below which following them is a waste
PREPARED = 1024  # pictures held ready at once, 0.3 MB each
WHOLE = np.array([1.0, 1.0, 0.0, 0.0])  # the place of a picture in itself
SAME_FRAME = 0.04  # share of the side by which a fit may be off where the frame is the same
GAIN, LIFT = (0.6, 1.67), 30.0  # of lightness: what re-exposure does to a picture
LEAST_SPREAD = 1e-3  # of lightness: a flat picture has no gain
GATE = 0.60  # layouts less alike than this are never the same shot


@dataclass(frozen=True)
class Shot:
    """One picture, prepared for comparing.

    Attributes:
        fine: float32 [2 * SIDE, 2 * SIDE, 3], CIELAB, L 0..100.
        lab: float32 [SIDE, SIDE, 3], the same, smaller.
        half: float32 [SIDE / 2, SIDE / 2, 3], once more.
        layouts: float32 [crops, COARSE * COARSE * 3], unit rows; row 0 is the whole picture.
        mono: black and white.
    """

    fine: Float32
    lab: Float32
    half: Float32
    layouts: Float32
    mono: bool


@dataclass(frozen=True)
class Agreement:
    """How far two pictures show the same shot.

    Attributes:
        score: 0..1, share of the structure that both agree on; 1 is identical.
        local: 0..1, disagreement in the worst spot.
    """

    score: float
    local: float


DIFFERENT = Agreement(0.0, 1.0)


def shot(picture: Image.Image, *, mirrored: bool = False) -> Shot:
    """Prepare one picture of any size."""
    import cv2

    side = 2 * SIDE
    method = Image.Resampling.BOX if min(picture.size) >= side else Image.Resampling.BILINEAR
    rgb = np.asarray(picture.convert("RGB").resize((side, side), method))
    lab8 = cv2.cvtColor(np.ascontiguousarray(rgb[:, ::-1]) if mirrored else rgb, cv2.COLOR_RGB2LAB)
    mono = bool(cv2.inRange(lab8, (0, 128 - MONO, 128 - MONO), (255, 128 + MONO, 128 + MONO)).all())
    whole = lab8.astype(np.float32)
    whole -= np.array([0, 128, 128], np.float32)
    whole[..., 0] *= 100 / 255
    fine = cv2.GaussianBlur(whole, (0, 0), 1.2)
    lab = _halved(fine, SIDE)
    half = _halved(lab, SIDE // 2)
    return Shot(fine, lab, half, _unit(_layouts(half)), mono)


def agreement(first: Shot, second: Shot) -> Agreement:
    """Compare two pictures; symmetric up to rounding."""
    return _agreed(first, second, _found(first, second))


def _agreed(first: Shot, second: Shot, found: Found | None) -> Agreement:
    if found is None:
        return DIFFERENT
    place, channels, swapped = found
    return _residual(*((second, first) if swapped else (first, second)), place, channels)


def laid_over(first: Shot, second: Shot) -> tuple[Float32, Float32, NDArray[np.bool_]] | None:
    """The two pictures as one lies over the other, and where both are known; None where they are different shots.

    Returns:
        Of s = 2 * SIDE: float32 [s, s, 3] in CIELAB of the first and of the second, each in its own light; bool [s, s].
    """
    return _laid(first, second, _found(first, second))


def _laid(first: Shot, second: Shot, found: Found | None) -> tuple[Float32, Float32, NDArray[np.bool_]] | None:
    if found is None:
        return None
    place, _, swapped = found
    below, above = (second, first) if swapped else (first, second)
    inside = _inside(place, 2 * SIDE)
    warped = _warp(above.fine, place, 2 * SIDE)
    if np.abs(place - WHOLE).max() < SAME_FRAME:  # perhaps the very same frame, and what hides a part misled the fit
        apart, unmoved = (float(np.median(np.abs(below.fine - other))) for other in (warped, above.fine))
        if unmoved <= apart:
            warped, inside = above.fine, np.ones_like(inside)
    return (warped, below.fine, inside) if swapped else (below.fine, warped, inside)


def _found(first: Shot, second: Shot) -> Found | None:
    """Where the one lies in the other, channels to compare, and whether it is the first that is the crop."""
    one, two, channels = first.layouts, second.layouts, 3
    if first.mono != second.mono:  # a black-and-white copy: compare lightness alone
        one, two, channels = _unit(one[:, ::3]), _unit(two[:, ::3]), 1
    within_first, within_second = one @ two[0], two @ one[0]
    if max(within_first.max(), within_second.max()) < GATE:
        return None
    swapped = bool(within_first.max() > within_second.max())
    if swapped:  # the second is a crop of the first: lay the first over it
        first, second, within_second = second, first, within_first
    place = np.array(_places()[int(within_second.argmax())], np.float64)
    refined = _refine(first, second, place, channels)
    if refined is None or _inside(refined, SIDE).mean() < MIN_OVERLAP:
        return None
    return refined, channels, swapped


class Comparer:
    """Compares the pictures of a set by row, each pair and each picture prepared once.

    Args:
        picture: row → RGB picture, or None where there is none.
    """

    def __init__(self, picture: Callable[[int], Image.Image | None]) -> None:
        self.picture = picture
        self._shot = lru_cache(PREPARED)(self._prepare)
        self._known: dict[tuple[int, int, bool], Agreement | None] = {}
        self._places: dict[tuple[int, int], Found | None] = {}  # of those that are not mirrored

    def _prepare(self, row: int, mirrored: bool) -> Shot | None:
        picture = self.picture(row)
        return None if picture is None else shot(picture, mirrored=mirrored)

    def compare(self, first: int, second: int, *, mirrored: bool = False) -> Agreement | None:
        """How far two rows agree, the one of them mirrored if asked; None where a picture is not at hand."""
        pair = (min(first, second), max(first, second), mirrored)
        if pair not in self._known:
            one, two = self._shot(pair[0], False), self._shot(pair[1], mirrored)
            self._known[pair] = None
            if one is not None and two is not None:
                found = _found(one, two)
                self._known[pair] = _agreed(one, two, found)
                if not mirrored:
                    self._places[pair[:2]] = found
        return self._known[pair]

    def laid(self, first: int, second: int) -> tuple[Float32, Float32, NDArray[np.bool_]] | None:
        """Two rows, the second laid over the first; see `laid_over`. None also where a picture is not at hand."""
        one, two = self._shot(first, False), self._shot(second, False)
        if one is None or two is None:
            return None
        pair = (first, second)
        return _laid(one, two, self._places[pair] if pair in self._places else _found(one, two))


def _unit(rows: Float32) -> Float32:
    length: Float32 = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(length, np.float32(1e-6))


@cache
def _places() -> list[tuple[float, float, float, float]]:
    """Crops as (scale x, scale y, offset x, offset y), in shares of the side: nine positions for every scale."""
    places = [(1.0, 1.0, 0.0, 0.0)]
    for scale in SCALES[1:]:
        steps = (0.0, (1 - scale) / 2, 1 - scale)
        places += [(scale, scale, x, y) for y in steps for x in steps]
    return places


@cache
def _averages() -> tuple[Float32, Int64, Int64]:
    """Weights that average intervals of the side into COARSE cells, and which intervals the crops use.

    Returns:
        float32 [intervals * COARSE, SIDE / 2]; int64 [crops, COARSE], rows of it for y; the same for x.
    """
    places = _places()
    intervals = sorted({(scale, x) for scale, _, x, _ in places})
    side = SIDE // 2
    edges = np.arange(side, dtype=np.float64)
    weights = []
    for scale, offset in intervals:
        cuts = (offset + scale * np.arange(COARSE + 1) / COARSE) * side
        inside = np.minimum(cuts[1:, None], edges + 1) - np.maximum(cuts[:-1, None], edges)
        weights.append(np.clip(inside, 0, None) * COARSE / (scale * side))
    at = {interval: COARSE * i + np.arange(COARSE) for i, interval in enumerate(intervals)}
    rows = np.stack([at[scale, y] for scale, _, _, y in places])
    columns = np.stack([at[scale, x] for scale, _, x, _ in places])
    return np.concatenate(weights).astype(np.float32), rows, columns


def _layouts(half: Float32) -> Float32:
    """[crops, COARSE * COARSE * 3], colours of every crop of `_places`, mean lightness taken out."""
    import cv2

    weights, rows, columns = _averages()
    side = len(half)
    none = np.empty(
        (0, 0), np.float32
    )  # cv2.gemm: NumPy's product starts threads, which costs more than so small a one
    down = cv2.gemm(weights, half.reshape(side, -1), 1, none, 0).reshape(len(weights), side, 3)
    across = cv2.gemm(np.ascontiguousarray(down.transpose(0, 2, 1)).reshape(-1, side), weights.T.copy(), 1, none, 0)
    cells = across.reshape(len(weights), 3, len(weights))
    crops = np.ascontiguousarray(cells.transpose(0, 2, 1))[rows[:, :, None], columns[:, None, :]]
    crops[..., 0] -= crops[..., 0].mean((1, 2), keepdims=True)
    return crops.reshape(len(crops), -1)


def _warp(picture: Float32, place: NDArray[np.float64] | tuple[float, ...], side: int) -> Float32:
    """The crop at `place`, resampled to [side, side]."""
    import cv2

    size = picture.shape[0]
    sx, sy, x, y = place
    ratio = size / side
    matrix = np.array(
        [[sx * ratio, 0, x * size + (sx * ratio - 1) / 2], [0, sy * ratio, y * size + (sy * ratio - 1) / 2]], np.float32
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(picture, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return warped.reshape(side, side, -1)


def _inside(place: NDArray[np.float64], side: int) -> NDArray[np.bool_]:
    """[side, side], which pixels of the crop at `place` lie within the picture."""
    centres = (np.arange(side) + 0.5) / side
    x, y = centres * place[0] + place[2], centres * place[1] + place[3]
    inside: NDArray[np.bool_] = ((y >= 0) & (y <= 1))[:, None] & ((x >= 0) & (x <= 1))[None, :]
    return inside


def _match_light(a: Float32, b: Float32, inside: NDArray[np.bool_]) -> Float32:
    """`b` with the gain and lightness of `a`, within what re-exposure does to a picture."""
    import cv2

    mask = inside.astype(np.uint8)
    mean_a, spread_a = cv2.meanStdDev(a[..., :1], mask=mask)
    mean_b, spread_b = cv2.meanStdDev(b[..., :1], mask=mask)
    gain = float(np.clip(spread_a[0, 0] / max(spread_b[0, 0], LEAST_SPREAD), *GAIN))
    matched: Float32 = b * np.float32(gain)
    matched[..., 0] += np.float32(np.clip(mean_a[0, 0] - gain * mean_b[0, 0], -LIFT, LIFT))
    return matched


def _refine(first: Shot, second: Shot, place: NDArray[np.float64], channels: int) -> NDArray[np.float64] | None:
    """The crop of `second` that is `first`, from a first guess of its place; None where it is none that counts."""
    from diversity.overlaying import refined

    small_a, small_b, a, b = (
        np.ascontiguousarray(picture[..., :channels]) for picture in (first.half, second.half, first.lab, second.lab)
    )
    if not refined(small_a, small_b, a, b, place, MIN_OVERLAP / 2):
        return None
    lowest, highest = min(place[:2]), max(place[:2])
    if lowest < MIN_SCALE or highest > 1 / MIN_SCALE or highest / lowest > MAX_ANISOTROPY:
        return None
    return place


def _halved(lab: Float32, side: int) -> Float32:
    import cv2

    return cv2.resize(lab, (side, side), interpolation=cv2.INTER_AREA).reshape(side, side, -1)


def _residual(first: Shot, second: Shot, place: NDArray[np.float64], channels: int) -> Agreement:
    """What of `first` the crop of `second` at `place` does not explain, small movements followed."""
    import cv2

    a, b = first.lab[..., :channels], second.lab[..., :channels]
    frame = _subject(a, _warp(b, place, SIDE), _inside(place, SIDE))
    zoomed = np.concatenate([place[:2] * frame[:2], place[2:] + place[:2] * frame[2:]])
    inside = _inside(zoomed, SIDE)
    a, warped = _warp(first.fine[..., :channels], frame, SIDE), _warp(second.fine[..., :channels], zoomed, SIDE)
    warped = _match_light(a, warped, inside)
    inside[:REACH] = inside[-REACH:] = inside[:, :REACH] = inside[:, -REACH:] = False
    structure = (_variance(a) + _variance(warped)) / 2 + NOISE**2
    known = float(structure[inside].sum())
    padded = cv2.copyMakeBorder(warped, *(REACH,) * 4, cv2.BORDER_REPLICATE)
    padded = padded.reshape(SIDE + 2 * REACH, SIDE + 2 * REACH, channels)
    error = _difference(a, warped)
    if known < HOPELESS * (known + float(error[inside].sum())):
        return DIFFERENT
    for y in range(2 * REACH + 1):
        for x in range(2 * REACH + 1):
            np.minimum(error, _difference(a, padded[y : y + SIDE, x : x + SIDE]), out=error)
    lost = float(error[inside].sum())
    spots = np.where(inside, error / (error + structure + 9 * NOISE**2), np.float32(0))
    return Agreement(known / (known + lost), float(cv2.blur(spots, (WINDOW, WINDOW)).max()))


def _subject(a: Float32, warped: Float32, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The frame around everything that has structure in either picture, at least ZOOM of the side, as a place."""
    busy = (np.maximum(_variance(a), _variance(warped)) > (4 * NOISE) ** 2) & inside
    place = np.array([1.0, 1.0, 0.0, 0.0])
    if not busy.any():
        return place
    for axis in (0, 1):
        where = np.flatnonzero(busy.any(axis))
        low, high = where[0] / SIDE, (where[-1] + 1) / SIDE
        size = max(high - low, ZOOM)
        place[axis] = size
        place[axis + 2] = np.clip((low + high - size) / 2, 0, 1 - size)
    return place


def _difference(a: Float32, b: Float32) -> Float32:
    """[SIDE, SIDE], squared difference summed over channels, mean over the window."""
    import cv2

    off = cv2.subtract(a, b)
    return cv2.blur(over_channels(cv2.multiply(off, off).reshape(a.shape)), (WINDOW, WINDOW))


def _variance(lab: Float32) -> Float32:
    """[h, w], local variance over twice the window, summed over channels."""
    import cv2

    size = (2 * WINDOW + 1, 2 * WINDOW + 1)
    mean, square = cv2.blur(lab, size), cv2.blur(lab * lab, size)
    return over_channels(np.maximum((square - mean * mean).reshape(SIDE, SIDE, -1), 0))


def over_channels(picture: Float32) -> Float32:
    """float32 [h, w, c] → [h, w], the sum over channels: what NumPy's sum gives, in a twentieth of its time."""
    import cv2

    return cv2.transform(picture, np.ones((1, picture.shape[2]), np.float32))
