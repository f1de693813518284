"""The one compiled inner loop of facility location; imported only for large pools, because numba loads slowly."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True)
def gain(similarity: NDArray[np.uint16], best: NDArray[np.uint16]) -> int:
    """Sum of max(similarity - best, 0) over [n]; n <= 131,072 entries fit the 32-bit sum that lets it vectorise."""
    total = np.uint32(0)
    for i in range(best.shape[0]):
        total += np.uint32(max(np.int32(similarity[i]) - np.int32(best[i]), np.int32(0)))
    return int(total)
