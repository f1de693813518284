"""What a trainer makes of a picture: its bucket, how far it is enlarged, what the crop costs.

Not for writing anything, and not for our own training: `training/buckets.py` has buckets of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

Size = tuple[int, int]


@dataclass(frozen=True)
class BucketRules:
    """Aspect-ratio buckets as kohya sd-scripts makes them, which most trainers follow in the main.

    Attributes:
        resolution: Side of the square that has the area of every bucket, pixels.
        step: Every side is a multiple of this.
        smallest: Shortest side of a bucket; None: half the resolution, at most 256.
        largest: Longest side of a bucket; None: twice the resolution, at least 1024.
    """

    resolution: int
    step: int = 64
    smallest: int | None = None
    largest: int | None = None

    @property
    def limits(self) -> Size:
        """Shortest and longest side of a bucket."""
        step = self.step
        low = self.smallest or max(step, min(256, self.resolution // (2 * step) * step))
        return low, self.largest or max(1024, 2 * self.resolution)


@dataclass(frozen=True)
class Placed:
    """One picture in its bucket.

    Attributes:
        bucket: Width and height that the trainer sees.
        scale: Bucket over picture, per side: above 1 the picture is enlarged.
        lost: Share of the picture's pixels that the crop cuts off, 0..1.
    """

    bucket: Size
    scale: float
    lost: float


@lru_cache(maxsize=32)
def sizes(rules: BucketRules) -> tuple[Size, ...]:
    """Every bucket, narrowest first: for each width the tallest multiple of the step within the area, and its twin."""
    low, high = rules.limits
    area, step = rules.resolution**2, rules.step
    square = max(step, rules.resolution // step * step)
    found = {(square, square)}
    for width in range(low, high + 1, step):
        height = min(high, area // width // step * step)
        if height >= low:
            found |= {(width, height), (height, width)}
    return tuple(sorted(found, key=lambda size: (size[0] / size[1], size)))


def place(width: int, height: int, rules: BucketRules) -> Placed:
    """The bucket with the nearest ratio of width to height; the picture covers it, and what hangs over is cut off."""
    bucket = min(sizes(rules), key=lambda size: (abs(size[0] / size[1] - width / height), -size[0] * size[1]))
    scale = max(bucket[0] / width, bucket[1] / height)
    lost = 1 - bucket[0] * bucket[1] / (width * height * scale * scale)
    return Placed(bucket, scale, max(0.0, lost))


def fitted(width: int, height: int, rules: BucketRules, *, cut: bool) -> tuple[Size, tuple[int, int, int, int]]:
    """How to bring a picture to its bucket before training: never enlarged.

    Args:
        width: Of the picture.
        height: Of the picture.
        rules: See there.
        cut: Also cut it to the bucket's shape, equally on both sides; otherwise it only becomes smaller.

    Returns:
        The size to scale to, and the box (left, top, right, bottom) to cut out of that.
    """
    placed = place(width, height, rules)
    scale = min(1.0, placed.scale)
    scaled = max(1, math.ceil(width * scale - 1e-6)), max(1, math.ceil(height * scale - 1e-6))
    if not cut:
        return scaled, (0, 0, *scaled)
    ratio = placed.bucket[0] / placed.bucket[1]
    across = min(scaled[0], round(scaled[1] * ratio))
    down = min(scaled[1], round(scaled[0] / ratio))
    if scale < 1:
        across, down = placed.bucket
    left, top = (scaled[0] - across) // 2, (scaled[1] - down) // 2
    return scaled, (left, top, left + across, top + down)
