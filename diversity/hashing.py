"""The perceptual hash: 64 bits that stay nearly the same under resizing, recompression and mild retouching.

Not for searching hashes: that is `index.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 32  # the picture is squashed to SIDE × SIDE before the transform
KEPT = 8  # coefficients kept per axis: KEPT² bits
LEAST_STRUCTURE = 1.5  # grey levels, see `phash`


def phash(grey: NDArray[np.uint8]) -> int | None:
    """DCT hash of a grey picture (Zauner 2010, section 3.2.1; the bits of `imagehash.phash`).

    A bit says whether one of the 8 × 8 lowest coefficients (the mean included) is above their median; the first
    coefficient is the most significant bit.

    Args:
        grey: uint8 [h, w], any size.

    Returns:
        0 .. 2^64 - 1; None where the bits would mean nothing. Flat pictures and plain gradients have no more than a few
        coefficients above the noise of 8-bit rounding (0.3 grey levels in an orthonormal DCT), so most bits would be
        chance or equal for all such pictures: at least half of the 63 must reach `LEAST_STRUCTURE`, five times that.
    """
    squashed = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(squashed)[:KEPT, :KEPT]
    if np.count_nonzero(np.abs(low.ravel()[1:]) >= LEAST_STRUCTURE) < KEPT * KEPT // 2:
        return None
    low[0] *= np.sqrt(2)  # from orthonormal scaling to the plain sums of the reference implementation
    low[:, 0] *= np.sqrt(2)
    middle = np.sort(low, axis=None)[KEPT * KEPT // 2 - 1 : KEPT * KEPT // 2 + 1]
    above = low > middle.mean()
    return int.from_bytes(np.packbits(above).tobytes(), "big")


def bits(hashes: NDArray[np.uint64] | Sequence[int]) -> NDArray[np.uint8]:
    """Hashes as FAISS binary vectors.

    Args:
        hashes: uint64 [n].

    Returns:
        uint8 [n, 8]; Hamming distances of rows are those of the hashes.
    """
    return np.ascontiguousarray(hashes, dtype=">u8").view(np.uint8).reshape(-1, 8)
