"""Aspect-ratio buckets, and where in its bucket a picture lies: enough to crop pixels, masks and time ids alike.

Not for pixels: that is `pixels.py`. Sides are in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

Size = tuple[int, int]


@dataclass(frozen=True)
class BucketRules:
    """What buckets there are.

    Attributes:
        area: Most pixels of a bucket.
        step: Every side is a multiple of this.
        max_aspect: Longest side over shortest, at most.
        enlarge: Whether pictures smaller than their bucket are enlarged; otherwise they get a smaller bucket.
    """

    area: int
    step: int
    max_aspect: float = 2.5
    enlarge: bool = True


@dataclass(frozen=True)
class Placement:
    """How one picture becomes one training sample: scaled to `scaled`, then `size` cut out at `left`, `top`.

    Attributes:
        original: Width and height of the picture.
        scaled: Width and height after scaling; covers `size`.
        size: Width and height of the bucket.
        left, top: Corner of the cut in the scaled (and mirrored, where `flipped`) picture.
        flipped: Mirrored left to right before the cut.
    """

    original: Size
    scaled: Size
    size: Size
    left: int
    top: int
    flipped: bool = False

    def mirrored(self) -> Placement:
        """The same part of the picture, mirrored."""
        return replace(self, left=self.scaled[0] - self.left - self.size[0], flipped=not self.flipped)

    @property
    def time_ids(self) -> tuple[int, int, int, int, int, int]:
        """SDXL's (original height, width, top, left, target height, width), arXiv 2307.01952 section 2.2."""
        (width, height), (across, down) = self.original, self.size
        return height, width, self.top, self.left, down, across

    @property
    def magnification(self) -> float:
        """Scaled over original; above 1 the picture is enlarged."""
        return self.scaled[0] / self.original[0]


def sizes(rules: BucketRules) -> tuple[Size, ...]:
    """Every bucket: multiples of the step, none could be a step larger within the area; widest last."""
    if rules.step**2 > rules.area:
        raise ValueError("a bucket of one step is larger than the area")
    found = set()
    for width in range(rules.step, rules.area // rules.step + 1, rules.step):
        height = rules.area // width // rules.step * rules.step
        if height >= rules.step and max(width, height) <= rules.max_aspect * min(width, height):
            found |= {(width, height), (height, width)}
    largest = {(w, h) for w, h in found if not any((w < v and h <= u) or (w <= v and h < u) for v, u in found)}
    return tuple(sorted(largest, key=lambda size: (size[0] / size[1], size)))


def place(width: int, height: int, rules: BucketRules, table: tuple[Size, ...] | None = None) -> Placement:
    """The bucket nearest in aspect ratio (in logarithms; the larger of two as near), with the picture's middle in it.

    Args:
        width: Of the picture.
        height: Of the picture.
        rules: See there.
        table: `sizes(rules)`, where it was made before.
    """
    aspect = math.log(width / height)
    size = min(table or sizes(rules), key=lambda s: (round(abs(math.log(s[0] / s[1]) - aspect), 9), -s[0] * s[1], s))
    if not rules.enlarge and (size[0] > width or size[1] > height):
        size = _own(width, height, rules)
    scale = max(size[0] / width, size[1] / height)
    scaled = max(size[0], round(width * scale)), max(size[1], round(height * scale))
    return Placement((width, height), scaled, size, (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2)


def _own(width: int, height: int, rules: BucketRules) -> Size:
    """The largest bucket that a picture fills by itself; one step where it is smaller than that."""
    step = rules.step
    sides = [max(step, side // step * step) for side in (width, height)]
    low, high = sorted(range(2), key=lambda i: sides[i])
    most = min(rules.max_aspect * sides[low], rules.area / sides[low])
    sides[high] = min(sides[high], max(step, int(most) // step * step))
    return sides[0], sides[1]
