"""How usable a picture is, judged by itself: sharpness, exposure, colour, background, borders, and one number.

Not for whether it is rare, repeated or of the right subject. Lengths are relative to the picture unless they say
pixels; luma is ITU-R BT.601, 0 black to 1 white; transparent pixels are left out of everything that concerns light.
Thresholds were set on KayKit renders, DreamBooth and Caltech-101 photos and their self-made degradations; dark and
bright are CleanVision's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from diversity.overlay import has_text_line
from diversity.sharpness import edge_spread

UInt8Array = NDArray[np.uint8]
Box = tuple[int, int, int, int]

SMALL = 256  # most pixels along the longest side of the picture that light, colour and background are measured on
TRAINING = 512  # longest side, pixels, at which blur is judged

DARK, BRIGHT = 26, 250  # luma 0..255: below and above is detail that training cannot see
RING = 0.06  # width of the ring along the edges that is taken for background, as a share of the shorter side
RING_DISTANCE = 12.0  # RGB, Euclidean: JPEG noise of a flat colour stays below, gradients and photos do not
BAR_NOISE = 8.0  # grey levels: most that a letterbox bar differs from its own colour, but for
BAR_STAINS = 0.03  # this share of each line (JPEG rings around the corners of a frame)
BAR_STEP = 16.0  # grey levels: least by which most of the first line of content differs from the bar
BAR_LEAST = 0.02  # narrower uniform margins are not letterboxes

_LEVELS = np.arange(256, dtype=np.float32)
_SUM = np.ones((1, 3), np.float32)

FLAGS = {
    "blurred": "edges spread over more than 1.3 pixels with the longest side at 512 pixels (under 256 counts as 256)",
    "dark": "99 % of the pixels are darker than luma 0.32 (CleanVision 0.3)",
    "bright": "95 % of the pixels are brighter than luma 0.95 (CleanVision 0.3)",
    "low_contrast": "luma spans less than 0.2 between its 2nd and 98th percentile",
    "small": "the shorter side is under 256 pixels (kohya's default min_bucket_reso)",
    "flat_background": "at least half of the ring along the edges is one colour",
    "cut_out": "at least 5 % is transparent",
    "borders": "uniform bars take at least 2 % of a side",
    "overlay": "a line of light text lies near the bottom or the top, such as a subtitle",
    "animated": "only the first of several frames is used",
}


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality columns of `images`.

    Attributes:
        sharpness: log2 of 1 / edge spread in pixels at 512 (see `FLAGS["blurred"]`); about -5 (blurred) to 4 (hard);
            None where nothing in the picture has edges.
        brightness: Mean luma, 0..1.
        dark_share: Share of pixels below luma 0.1.
        bright_share: Share of pixels above luma 0.98.
        contrast: 98th less 2nd percentile of luma, 0..1.
        colourfulness: Hasler & Süsstrunk 2003, equation 3, in 8-bit units: 0 grey, 33 moderate, over 109 extreme.
        background_flat: Share of the ring along the edges that is within `RING_DISTANCE` of its median colour.
        alpha_share: Mean transparency, 0..1.
        border_share: Share of the picture's area in uniform bars along its edges.
        quality: 0..1, larger is better, see `_overall`, times the share without bars; for choosing among copies.
        flags: Keys of `FLAGS`, sorted as there.
    """

    sharpness: float | None
    brightness: float
    dark_share: float
    bright_share: float
    contrast: float
    colourfulness: float
    background_flat: float
    alpha_share: float
    border_share: float
    quality: float
    flags: tuple[str, ...]

    def columns(self) -> dict[str, object]:
        """The values by column name."""
        return {name: getattr(self, name) for name in self.__slots__} | {"flags": list(self.flags)}


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """A picture with a longest side of at most `SMALL`, made once for everything that is measured at that size.

    Attributes:
        picture: uint8 [h, w, 3].
        grey: Its luma, uint8 [h, w].
        opacity: uint8 [h, w], 255 opaque; None: all opaque.
    """

    picture: UInt8Array
    grey: UInt8Array
    opacity: UInt8Array | None

    @classmethod
    def of(cls, picture: UInt8Array, opacity: UInt8Array | None = None) -> Self:
        """With the luma of `picture` uint8 [h, w, 3]."""
        return cls(picture, np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8), opacity)

    def inside(self, box: Box) -> Reduced:
        """The part of it within top, bottom, left, right (ends excluded)."""
        height, width = self.grey.shape
        if box == (0, height, 0, width):
            return self
        part = np.s_[box[0] : box[1], box[2] : box[3]]
        opacity = None if self.opacity is None else np.ascontiguousarray(self.opacity[part])
        return Reduced(np.ascontiguousarray(self.picture[part]), np.ascontiguousarray(self.grey[part]), opacity)


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """A picture inside its bars.

    Attributes:
        large: uint8 [h, w, 3], as decoded.
        small: The same reduced.
        mask: uint8 [h', w'] of the reduced one, 0 where it is transparent; None: nowhere.
        border_share: Share of the whole picture's area in the bars.
        longest: Longest side of the whole picture, pixels.
    """

    large: UInt8Array
    small: Reduced
    mask: UInt8Array | None
    border_share: float
    longest: int

    @classmethod
    def of(cls, pixels: UInt8Array, small: Reduced) -> Self:
        """Of `pixels` uint8 [h, w, 3], as decoded, and the same reduced."""
        box = content_box(small.grey)
        border = 1 - (box[1] - box[0]) * (box[3] - box[2]) / small.grey.size
        inner = small.inside(box)
        mask = None if inner.opacity is None else (inner.opacity > 127).astype(np.uint8)
        return cls(_without_bars(pixels, small.grey.shape, box), inner, mask, border, max(pixels.shape[:2]))


@dataclass(frozen=True, slots=True)
class LightAndBlur:
    """How a picture is exposed, and how sharp it is.

    Attributes:
        light: Inside its bars.
        spread: How widely its edges are spread, pixels; None where nothing has edges.
        blur: The same with the longest side at `TRAINING` pixels.
    """

    light: Light
    spread: float | None
    blur: float | None

    @property
    def sharpness(self) -> float | None:
        """As in `Quality`."""
        return None if self.blur is None else -float(np.log2(self.blur))

    def flags(self) -> dict[str, bool]:
        """Those of `FLAGS` that are told from light and blur."""
        return {
            "blurred": self.blur is not None and self.blur > 1.3,
            "dark": self.light.p99 < 0.32,
            "bright": self.light.p5 > 0.95,
            "low_contrast": self.light.contrast < 0.2,
        }


def light_and_blur(content: Content) -> LightAndBlur:
    """Judge the light and the blur of one picture, and nothing else."""
    spread = edge_spread(content.large, content.small.grey)
    blur = None if spread is None else spread * TRAINING / max(content.longest, TRAINING // 2)
    return LightAndBlur(light_of(content.small.grey, content.mask), spread, blur)


def assess(pixels: UInt8Array, small: Reduced, *, bits: float | None = None, frames: int = 1) -> Quality:
    """Judge one picture.

    Args:
        pixels: uint8 [h, w, 3], as decoded.
        small: The same reduced.
        bits: Size of the file in bits, for lossy formats; None for lossless ones.
        frames: Of an animation.
    """
    content = Content.of(pixels, small)
    seen = light_and_blur(content)
    light, border, area = seen.light, content.border_share, content.large.shape[0] * content.large.shape[1]
    alpha_share = 0.0 if small.opacity is None else 1 - float(small.opacity.mean()) / 255
    background = background_flat(content.small.picture)
    flags = seen.flags() | {
        "small": min(pixels.shape[:2]) < 256,
        "flat_background": background >= 0.5,
        "cut_out": alpha_share >= 0.05,
        "borders": border > 0,
        "overlay": has_text_line(pixels, small.grey),
        "animated": frames > 1,
    }
    return Quality(
        sharpness=seen.sharpness,
        brightness=light.mean,
        dark_share=light.dark_share,
        bright_share=light.bright_share,
        contrast=light.contrast,
        colourfulness=colourfulness(content.small.picture, content.mask),
        background_flat=background,
        alpha_share=alpha_share,
        border_share=border,
        quality=_overall(area, seen.spread, light, bits) * (1 - border),
        flags=tuple(name for name in FLAGS if flags[name]),
    )


@dataclass(frozen=True, slots=True)
class Light:
    """Luma of the opaque pixels, 0..1: mean, shares below `DARK` and above `BRIGHT`, percentiles."""

    mean: float
    dark_share: float
    bright_share: float
    p2: float
    p5: float
    p98: float
    p99: float

    @property
    def contrast(self) -> float:
        """98th less 2nd percentile."""
        return self.p98 - self.p2


def light_of(grey: UInt8Array, mask: UInt8Array | None = None) -> Light:
    """Luma statistics of `grey` uint8 [h, w] where `mask` uint8 [h, w] is not 0; mid grey where nothing is."""
    histogram = cv2.calcHist([grey], [0], mask, [256], [0, 256]).ravel().astype(np.float64)
    if not histogram.any():
        histogram[128] = 1.0
    share = histogram / histogram.sum()
    p2, p5, p98, p99 = np.searchsorted(np.cumsum(share), (0.02, 0.05, 0.98, 0.99)) / 255
    mean, dark, bright = share @ np.arange(256) / 255, share[:DARK].sum(), share[BRIGHT:].sum()
    return Light(*(float(value) for value in (mean, dark, bright, p2, p5, p98, p99)))


def colourfulness(picture: UInt8Array, mask: UInt8Array | None = None) -> float:
    """Hasler & Süsstrunk 2003, equation 3: sqrt(var rg + var yb) + 0.3 sqrt(mean² rg + mean² yb), 8-bit units.

    With rg = r - g and yb = (r + g)/2 - b, both squares follow from those of the three differences of channels, which
    are sums of whole numbers: yb² = ((r - b)² + (g - b)²)/2 - (r - g)²/4.

    Args:
        picture: uint8 [h, w, 3].
        mask: uint8 [h, w], 0 where pixels do not count.
    """
    count = picture.shape[0] * picture.shape[1] if mask is None else cv2.countNonZero(mask)
    if not count:
        return 0.0
    red, green, blue = cv2.mean(picture, mask)[:3]
    r, g, b = cv2.split(picture)
    rg, rb, gb = (cv2.norm(x, y, cv2.NORM_L2SQR, mask) / count for x, y in ((r, g), (r, b), (g, b)))
    mean = (red - green) ** 2 + ((red + green) / 2 - blue) ** 2
    square = rg + (rb + gb) / 2 - rg / 4
    return math.sqrt(max(square - mean, 0.0)) + 0.3 * math.sqrt(mean)


def background_flat(picture: UInt8Array) -> float:
    """Share of the ring along the edges within `RING_DISTANCE` of the ring's median colour, 0..1.

    Args:
        picture: uint8 [h, w, 3].
    """
    height, width = picture.shape[:2]
    rim = max(1, round(RING * min(height, width)))
    if min(height, width) <= 2 * rim:
        ring = picture.reshape(-1, 1, 3)
    else:
        sides = picture[:rim], picture[-rim:], picture[rim:-rim, :rim], picture[rim:-rim, -rim:]
        ring = np.concatenate([side.reshape(-1, 1, 3) for side in sides])
    squares = np.empty((256, 1, 3), np.float32)  # value → squared distance from the median, by channel
    for channel in range(3):
        counts = cv2.calcHist([ring], [channel], None, [256], [0, 256]).cumsum()
        squares[:, 0, channel] = (_LEVELS - np.searchsorted(counts, counts[-1] / 2)) ** 2
    apart = cv2.transform(cv2.LUT(ring, squares), _SUM)
    return np.count_nonzero(apart <= RING_DISTANCE**2) / len(ring)


def content_box(grey: UInt8Array) -> Box:
    """Top, bottom, left, right (ends excluded) of what is inside uniform bars (letterbox, pillarbox, frame).

    A plain background is not a bar: where a bar ends, most of the next line differs from it, while a figure in front
    of a background begins somewhere in the line. Nor is a plain sky above a horizon: bars face one another in one
    colour, or are black or white.

    Args:
        grey: uint8 [h, w].
    """
    height, width = grey.shape
    top, bottom = _bars(grey, 1)
    inside = grey[top : height - bottom]  # a frame's sides are crossed by its top and bottom
    left, right = _bars(inside, 0) if len(inside) else (0, 0)
    if top + bottom >= height or left + right >= width:
        return 0, height, 0, width
    return top, height - bottom, left, width - right


def _bars(grey: UInt8Array, along: int) -> tuple[int, int]:
    """Lines of the bars at the two ends of `grey`: rows at top and bottom (`along` 1), else columns at the sides."""
    ends = (grey[0], grey[-1]) if along else (grey[:, 0], grey[:, -1])
    first, last = (int(np.sort(end)[len(end) // 2]) for end in ends)
    most = BAR_STAINS * len(ends[0])
    plain = [_is_plain(end, colour, most) for end, colour in zip(ends, (first, last), strict=True)]
    if not any(plain):
        return 0, 0  # the usual case, cheaply
    front = _Bar(grey, first, along)
    back = front if first == last else _Bar(grey, last, along)
    begin = front.width(most, 1) if plain[0] else 0
    end = back.width(most, -1) if plain[1] else 0
    if begin and end and abs(first - last) <= BAR_NOISE:
        return begin, end
    return (begin if _is_black_or_white(first) else 0), (end if _is_black_or_white(last) else 0)


def _is_plain(line: UInt8Array, colour: int, most: float) -> bool:
    """Whether no more than `most` pixels of `line` differ from `colour`."""
    return bool(np.count_nonzero(np.abs(line.astype(np.int16) - colour) > BAR_NOISE) <= most)


def _is_black_or_white(level: int) -> bool:
    return level <= 2 * BAR_NOISE or level >= 255 - BAR_NOISE


class _Bar:
    """A bar of one colour that may lie at the begin or the end of a picture.

    Args:
        grey: uint8 [h, w].
        colour: Grey level of the bar.
        along: 1 for lines that are rows, 0 for columns.
    """

    def __init__(self, grey: UInt8Array, colour: int, along: int) -> None:
        self._apart, self._along = cv2.absdiff(grey, np.full_like(grey, colour)), along
        self._stained = self._beyond(BAR_NOISE)

    def _beyond(self, limit: float) -> NDArray[np.int32]:
        """How many pixels of every line are further from the colour than `limit`."""
        _, above = cv2.threshold(self._apart, limit, 1, cv2.THRESH_BINARY)
        return np.asarray(cv2.reduce(above, self._along, cv2.REDUCE_SUM, dtype=cv2.CV_32S), np.int32).ravel()

    def width(self, most: float, step: int) -> int:
        """Lines of the bar at the begin (`step` 1) or end (-1); 0 where there is none, or where all is uniform."""
        uniform = self._stained[::step] <= most
        lines = int(np.argmin(uniform))  # 0 where all is uniform
        if lines < max(2, BAR_LEAST * len(uniform)):
            return 0
        begun = self._beyond(BAR_STEP)[::step][lines : lines + 4]  # the lines at the step mix both, JPEG smears them
        return lines if begun.max() >= 0.75 * self._apart.shape[self._along] else 0


def _without_bars(pixels: UInt8Array, small: tuple[int, ...], box: Box) -> UInt8Array:
    """The picture inside `box` of its reduced size `small`; one more small pixel is lost at each bar's step."""
    height, width = small
    top, bottom, left, right = box
    if box == (0, height, 0, width):
        return pixels
    down, across = pixels.shape[0] / height, pixels.shape[1] / width
    rows = slice(int((top + (top > 0)) * down), int((bottom - (bottom < height)) * down))
    columns = slice(int((left + (left > 0)) * across), int((right - (right < width)) * across))
    large = pixels[rows, columns]
    return large if large.size else pixels


def _overall(area: int, spread: float | None, light: Light, bits: float | None) -> float:
    """Product of resolved detail, exposure and compression, each 0..1 and rising.

    Made so that a smaller, blurred, darkened or recompressed copy scores below its original. The constants are where
    a term is at one half: 512 sharp pixels a side, a contrast of 0.3, 0.15 bits per sharp pixel. Halving a soft
    picture makes it up to twice as sharp, so the exponent of sharpness stays well below 1.
    """
    detail = float(np.sqrt(area)) * float(0.5 / spread if spread else 1.0) ** 0.6
    exposure = light.contrast / (light.contrast + 0.3) * (1 - 0.2 * light.dark_share - 0.05 * light.bright_share)
    compression = 1.0 if bits is None else bits / (bits + 0.15 * detail**2)
    return float(detail / (detail + 512) * exposure * compression)
