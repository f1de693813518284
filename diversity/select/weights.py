"""How much each kept picture counts in training: less in a crowd, more where it stands alone, never without bound.

Not for which pictures are kept: that is `choose.py`. Weights come from similarity first (C8): labels can only confirm.

    crowd_i = sum over kept j of (near_ij + same_ij) / 2        how many kept pictures show what i shows; at least 1
    near_ij = max(0, 1 - (1 - cos_ij) / h)                      soft neighbour, 1 for a copy, 0 beyond the bandwidth h
    same_ij = 1 in the same known view cell, else 0; near_ij where either view is unsure
    w_i ~ crowd_i^-(1 - alpha), at most cap x median, then mean 1

alpha = 1 leaves every picture at 1; alpha = 0 gives every neighbourhood equal mass (exactly so where neighbourhoods
are cells and do not overlap); 1/2 lies between. Two variants near one another share: each counts as half a picture at
alpha = 0. A mislabelled front face alone in the cell "back" is still in the crowd of its look-alikes, so a wrong label
moves little.
Inverse density with exponent: w_c ~ P_c^-a of reference/training_peers.md 4.2, here with a = 1 - alpha <= 1/2 by
    default. The cap is
there because isolated samples are the ones a model memorises (Merger & Goldt, arXiv 2606.14390): more pictures near a
rare one help, repeating it does so only up to a point.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from diversity.config import SelectConfig

Floats = NDArray[np.float64]
IntArray = NDArray[np.int64]
UNSURE = "unsure"
BLOCK = 2_048


def weights(
    vectors: NDArray[np.float32], cells: tuple[str, ...] | None = None, config: SelectConfig | None = None
) -> Floats:
    """One weight per kept picture: float64 [n], positive, mean 1, at most config.cap × median.

    Args:
        vectors: float32 [n, d], unit rows, of the kept pictures.
        cells: [n] view cell or "unsure"; None: similarity alone.
        config: alpha (0..1) and cap (>= 1).
    """
    config = config or SelectConfig()
    if not len(vectors):
        return np.empty(0)
    raw = crowd(vectors, cells) ** -(1.0 - config.alpha)
    lower_median = np.partition(raw, (len(raw) - 1) // 2)[(len(raw) - 1) // 2]  # capping cannot lower this one
    capped: Floats = np.minimum(raw, config.cap * lower_median)
    capped /= capped.mean()
    return capped


def crowd(vectors: NDArray[np.float32], cells: tuple[str, ...] | None = None) -> Floats:
    """Soft number of pictures that show what each one shows, itself included: float64 [n], >= 1.

    Args:
        vectors: float32 [n, d], unit rows.
        cells: [n] view cell or "unsure"; None: similarity alone.
    """
    n = len(vectors)
    h = _bandwidth(vectors)
    labels = None if cells is None else np.array(cells)
    total = np.empty(n)
    for at in range(0, n, BLOCK):
        near = _near(vectors[at : at + BLOCK] @ vectors.T, h)
        if labels is not None:
            known = (labels[at : at + BLOCK, None] != UNSURE) & (labels != UNSURE)
            near = (near + np.where(known, labels[at : at + BLOCK, None] == labels, near)) / 2
        total[at : at + BLOCK] = near.sum(axis=1)
    return np.maximum(np.round(total, 4), 1.0)


def _near(cosines: NDArray[np.float32], h: float) -> Floats:
    return np.clip(1.0 - np.maximum(1.0 - cosines.astype(np.float64), 0.0) / h, 0.0, 1.0)


def _bandwidth(vectors: NDArray[np.float32]) -> float:
    """Twice the median distance (1 - cosine) to the k-th other picture, k about the root of n: one there counts half.

    Never more than the median distance of all pairs, so that pictures equally far from one another do not crowd each
    other; 1 (a right angle) where most pictures are equal or n < 2. At most 2,000 pictures are asked.
    """
    n = len(vectors)
    if n < 2:
        return 1.0
    asked = np.unique(np.linspace(0, n - 1, min(n, 2_000)).astype(int))
    k = min(n - 1, max(2, round(np.sqrt(n))))
    distances = 1.0 - vectors[asked] @ vectors.T
    distances[np.arange(len(asked)), asked] = -1.0  # not one's own neighbour
    kth = np.partition(distances, k, axis=1)[:, k]
    h = min(2.0 * float(np.median(kth)), float(np.median(distances[distances > -0.5])))
    return h if h > 1e-4 else 1.0


def integer_repeats(weights: Floats, mean: int) -> tuple[IntArray, float]:
    """Whole repeats nearest to `weights`, and the error of rounding.

    Of all whole numbers >= 1 that sum to round(mean × n), these have the least total variation from the weights: the
    largest remainders are rounded up (Hamilton's method), and where pictures raised to 1 use up too much, those with
    most give.

    Args:
        weights: float [n], positive.
        mean: Mean repeats, >= 1.

    Returns:
        repeats int64 [n], >= 1, and the total-variation error, half the sum of |share shown - share wanted|, 0..1.
    """
    n = len(weights)
    if not n:
        return np.empty(0, np.int64), 0.0
    wanted = np.asarray(weights, np.float64) / np.sum(weights) * (mean * n)
    repeats = np.maximum(np.floor(wanted + 1e-9), 1.0).astype(np.int64)
    missing = mean * n - int(repeats.sum())
    if missing > 0:
        repeats[np.argsort(repeats - wanted, kind="stable")[:missing]] += 1
    spare = [(-float(count), i) for i, count in enumerate(wanted) if repeats[i] > 1]
    heapq.heapify(spare)
    for _ in range(-missing):
        share, i = heapq.heappop(spare)
        repeats[i] -= 1
        if repeats[i] > 1:
            heapq.heappush(spare, (share + 1.0, i))
    error = 0.5 * float(np.abs(repeats / repeats.sum() - wanted / wanted.sum()).sum())
    return repeats, error
