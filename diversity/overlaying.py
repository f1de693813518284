"""The compiled inner loop of `alignment.py`: where one picture lies in another.

Not for what is made of it. Arrays are float32; pictures come as [side, side, channels] and are worked on as
[channels, side, side], so that rows lie together. The pixels of a crop that lie within the other picture are a
rectangle, given as its four ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from diversity.alignment import GAIN, LEAST_SPREAD, LIFT

Floats = NDArray[Any]

compiled = njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})


@compiled
def refined(small_a: Floats, small_b: Floats, a: Floats, b: Floats, place: Floats, overlap: float) -> bool:
    """Gauss-Newton on scale and shift, coarse to fine (Lucas & Kanade 1981; Baker & Matthews 2004, eq. 10).

    Args:
        small_a, small_b: [side / 2, side / 2, channels], pictures.
        a, b: [side, side, channels], the same.
        place: float64 [4], scale x, scale y, offset x, offset y of the crop of `b` that is `a`; changed in place.
        overlap: Least share of the crop that lies within the picture on the way.

    Returns:
        Whether it always did.
    """
    return _rounds(small_a, small_b, place, overlap, 6) and _rounds(a, b, place, overlap, 2)


@compiled
def _rounds(a: Floats, b: Floats, place: Floats, overlap: float, rounds: int) -> bool:
    side, channels = a.shape[0], a.shape[2]
    below = _planes(a)
    above = np.empty((channels, side + 2, side + 2), np.float32)
    for _ in range(rounds):
        top, bottom, left, right = _inside(place, side)
        if (bottom - top) * (right - left) < overlap * side * side:
            return False
        _warp(b, place, above)
        _match_light(below, above, (top, bottom, left, right))
        _mirror_edges(above)
        step = _step(below, above, place, (top, bottom, left, right))
        largest = 0.0
        for k in range(4):
            place[k] += step[k]
            largest = max(largest, abs(step[k]))
        if largest < 0.1 / side:
            break
    return True


@compiled
def _planes(picture: Floats) -> Floats:
    """[h, w, c] → [c, h, w]."""
    height, width, channels = picture.shape
    planes = np.empty((channels, height, width), np.float32)
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                planes[c, y, x] = picture[y, x, c]
    return planes


@compiled
def _inside(place: Floats, side: int) -> tuple[int, int, int, int]:
    """Top, bottom, left, right (ends excluded) of the pixels of the crop at `place` that lie within the picture."""
    top, bottom = _within(place[1], place[3], side)
    left, right = _within(place[0], place[2], side)
    return top, bottom, left, right


@compiled
def _within(scale: float, offset: float, side: int) -> tuple[int, int]:
    first, last = side, 0
    for i in range(side):
        at = (i + 0.5) / side * scale + offset
        if 0 <= at <= 1:
            first, last = min(first, i), i + 1
    return (first, last) if last else (0, 0)


@compiled
def _warp(picture: Floats, place: Floats, out: Floats) -> None:
    """Write the crop at `place` of `picture` [s, s, c] into `out` [c, side + 2, side + 2], the outermost left out."""
    size, channels, side = picture.shape[0], picture.shape[2], out.shape[1] - 2
    ratio = size / side
    low, high, part = np.empty(side, np.int64), np.empty(side, np.int64), np.empty(side, np.float32)
    for x in range(side):
        at = x * place[0] * ratio + place[2] * size + (place[0] * ratio - 1) / 2
        floor = int(np.floor(at))
        low[x], high[x] = min(max(floor, 0), size - 1), min(max(floor + 1, 0), size - 1)
        part[x] = np.float32(at - floor)
    for y in range(side):
        at = y * place[1] * ratio + place[3] * size + (place[1] * ratio - 1) / 2
        floor = int(np.floor(at))
        first, second = min(max(floor, 0), size - 1), min(max(floor + 1, 0), size - 1)
        down = np.float32(at - floor)
        for x in range(side):
            for c in range(channels):
                one = picture[first, low[x], c]
                one += part[x] * (picture[first, high[x], c] - one)
                two = picture[second, low[x], c]
                two += part[x] * (picture[second, high[x], c] - two)
                out[c, y + 1, x + 1] = one + down * (two - one)


@compiled
def _match_light(a: Floats, b: Floats, box: tuple[int, int, int, int]) -> None:
    """Give `b`, which has one more pixel at each side, the gain and lightness of `a`.

    Within what re-exposure does to a picture.
    """
    top, bottom, left, right = box
    count = max((bottom - top) * (right - left), 1)
    sum_a, sum_b, square_a, square_b = 0.0, 0.0, 0.0, 0.0
    for y in range(top, bottom):
        for x in range(left, right):
            one, two = np.float64(a[0, y, x]), np.float64(b[0, y + 1, x + 1])
            sum_a += one
            sum_b += two
            square_a += one * one
            square_b += two * two
    mean_a, mean_b = sum_a / count, sum_b / count
    spread_a = np.sqrt(max(square_a / count - mean_a * mean_a, 0.0))
    spread_b = np.sqrt(max(square_b / count - mean_b * mean_b, 0.0))
    gain = min(max(spread_a / max(spread_b, LEAST_SPREAD), GAIN[0]), GAIN[1])
    shift = np.float32(min(max(mean_a - gain * mean_b, -LIFT), LIFT))
    factor, side = np.float32(gain), a.shape[1]
    for c in range(a.shape[0]):
        lift = shift if c == 0 else np.float32(0)
        for y in range(1, side + 1):
            for x in range(1, side + 1):
                b[c, y, x] = b[c, y, x] * factor + lift


@compiled
def _mirror_edges(planes: Floats) -> None:
    """Fill the outermost rows and columns so that differences across the edge of what is inside are 0."""
    last = planes.shape[1] - 1
    for c in range(planes.shape[0]):
        for i in range(last + 1):
            planes[c, 0, i], planes[c, last, i] = planes[c, 2, i], planes[c, last - 2, i]
        for i in range(last + 1):
            planes[c, i, 0], planes[c, i, last] = planes[c, i, 2], planes[c, i, last - 2]


@compiled
def _step(a: Floats, warped: Floats, place: Floats, box: tuple[int, int, int, int]) -> Floats:
    """One Gauss-Newton step of (scale x, scale y, offset x, offset y); `warped` has one more pixel at each side."""
    top, bottom, left, right = box
    side = a.shape[1]
    slope_x, slope_y = np.float32(side / 2 / place[0]), np.float32(side / 2 / place[1])
    normal, zero = np.zeros((4, 5)), np.float32(0)
    centre = ((np.arange(side) + 0.5) / side).astype(np.float32)
    for c in range(a.shape[0]):
        for y in range(top, bottom):
            uu, ug, uh, gg, gh, hh, ur, gr, hr = zero, zero, zero, zero, zero, zero, zero, zero, zero
            above, row, below = warped[c, y], warped[c, y + 1], warped[c, y + 2]
            for x in range(left, right):
                g = (row[x + 2] - row[x]) * slope_x
                h = (below[x + 1] - above[x + 1]) * slope_y
                r = a[c, y, x] - row[x + 1]
                u = g * centre[x]
                uu += u * u
                ug += u * g
                uh += u * h
                gg += g * g
                gh += g * h
                hh += h * h
                ur += u * r
                gr += g * r
                hr += h * r
            at = np.float64(centre[y])
            normal[0, 0] += uu
            normal[0, 1] += at * uh
            normal[0, 2] += ug
            normal[0, 3] += uh
            normal[0, 4] += ur
            normal[1, 1] += at * at * hh
            normal[1, 2] += at * gh
            normal[1, 3] += at * hh
            normal[1, 4] += at * hr
            normal[2, 2] += gg
            normal[2, 3] += gh
            normal[2, 4] += gr
            normal[3, 3] += hh
            normal[3, 4] += hr
    trace = normal[0, 0] + normal[1, 1] + normal[2, 2] + normal[3, 3]
    for i in range(4):
        normal[i, i] += 1e-3 * max(trace, 1e-6) / 4
        for j in range(i):
            normal[i, j] = normal[j, i]
    step = _solved(normal)
    for i in range(4):
        step[i] = min(max(step[i], -0.1), 0.1)
    return step


@compiled
def _solved(system: Floats) -> Floats:
    """Solution of [n, n + 1] with a positive definite left side, by elimination; `system` is used up."""
    n = system.shape[0]
    for i in range(n):
        for j in range(i + 1, n):
            factor = system[j, i] / system[i, i]
            for k in range(i, n + 1):
                system[j, k] -= factor * system[i, k]
    found = np.empty(n)
    for i in range(n - 1, -1, -1):
        total = system[i, n]
        for k in range(i + 1, n):
            total -= system[i, k] * found[k]
        found[i] = total / system[i, i]
    return found
