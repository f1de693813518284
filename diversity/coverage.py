"""How much of a pool or reference set a subset covers: the share of its pictures with a kept one within reach.

Not for the richness of one set by itself (`richness.py`).

A picture's *reach* is its similarity to its k-th nearest neighbour within the reference (Naeem et al. 2020, eq. 7:
coverage is the share of reference samples whose k-nearest-neighbour ball holds a sample of the other set): tight where
the reference is dense, wide where it is sparse, and without a threshold that depends on the encoder. A fixed cosine
can be given instead.

A picture of the subset covers itself, so a subset chosen from the reference covers at least its own share; a random
one that keeps a share f of n distinct pictures covers about 1 - (1 - f)^(k + 1).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from diversity.rarefaction import members
from diversity.richness import Measure, Settings

K = 5  # Naeem et al. 2020, section 4: k = 5
BLOCK = 8_192  # rows compared at once; bounds memory to BLOCK × n similarities inside FAISS

Vectors = NDArray[np.float32]


def reach(vectors: Vectors, groups: NDArray[np.generic] | None = None, *, k: int = K) -> Vectors:
    """Similarity of each picture to its k-th nearest other group, float32 [n].

    Args:
        vectors: float32 [n, d], unit rows.
        groups: [n]; copies of a picture are not its neighbours. None: every picture is its own group.
        k: Neighbours, >= 1; at most the number of other groups is used. A lone group reaches only itself (1).
    """
    labels = np.arange(len(vectors)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(labels)
    k = min(k, len(sizes) - 1)
    if k < 1:
        return np.ones(len(vectors), np.float32)
    # One picture stands for each group, so that k + 1 neighbours always hold k of other groups.
    first = np.array([part[0] for part in members(labels)])
    similarity, found = _nearest(vectors[first], vectors, k + 1)
    others = labels[first][found] != labels[:, None]
    place = np.argmax(np.cumsum(others, axis=1) == k, axis=1)
    kth: Vectors = similarity[np.arange(len(vectors)), place]
    return kth


def nearest(reference: Vectors, subset: Vectors) -> tuple[Vectors, NDArray[np.int64]]:
    """Each reference picture's most alike in the subset: similarity float32 [n] and row [n]; -1 for an empty subset."""
    if not len(subset):
        return np.full(len(reference), -1.0, np.float32), np.full(len(reference), -1)
    similarity, row = _nearest(subset, reference, 1)
    return similarity[:, 0], row[:, 0]


def covered(reference: Vectors, subset: Vectors, within: Vectors | float) -> NDArray[np.bool_]:
    """Tell whether a picture of the subset is within reach of each reference picture.

    Args:
        reference: float32 [n, d], unit rows.
        subset: float32 [m, d], unit rows of the same encoder.
        within: Least cosine, one or [n].
    """
    slack = 5e-7  # a float32 row is of length 1 up to rounding, so cosines of equal pictures are 1 up to that
    hit: NDArray[np.bool_] = nearest(reference, subset)[0] >= np.asarray(within, np.float32) - slack
    return hit


def coverage(
    reference: Vectors,
    subset: Vectors,
    groups: NDArray[np.generic] | None = None,
    *,
    within: Vectors | float | None = None,
    level: float | None = 0.9,
) -> Measure:
    """Share of the reference's distinct pictures within reach of the subset, 0..1.

    A group counts once, by the share of its pictures that are covered. The interval is Wilson's (1927, eq. 9) for the
    share of
    groups: what further pictures of the reference's source would show. For a subset chosen from this very reference the
    number is a count: pass `level=None`.

    Args:
        reference: float32 [n, d], unit rows.
        subset: float32 [m, d], unit rows of the same encoder.
        groups: [n] groups of the reference; None: every picture is its own.
        within: Least cosine, one or [n]; None: `reach(reference, groups)`.
        level: Nominal coverage of the interval; None: no interval.
    """
    labels = np.arange(len(reference)) if groups is None else groups
    settings: Settings = {"reach": f"{K} nearest" if within is None else "given", "subset": len(subset)}
    if not len(reference):
        return Measure("coverage", math.nan, None, None, 0, {**settings, "reason": "the reference is empty"})
    hit = covered(reference, subset, reach(reference, labels) if within is None else within)
    shares = np.array([hit[part].mean() for part in members(labels)])
    value = float(shares.mean())
    if level is None:
        settings["reason"] = "counted over the whole reference, not estimated"
        return Measure("coverage", value, None, None, len(reference), settings)
    low, high = wilson(value, len(shares), level)
    return Measure("coverage", value, low, high, len(reference), {**settings, "level": level, "distinct": len(shares)})


def wilson(share: float, trials: int, level: float) -> tuple[float, float]:
    """Wilson's score interval of a share of `trials` (Wilson 1927): within 0..1, sane at 0, 1 and few trials."""
    from scipy.special import ndtri

    z2 = float(ndtri(0.5 + level / 2)) ** 2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2) / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _nearest(among: Vectors, queries: Vectors, k: int) -> tuple[Vectors, NDArray[np.int64]]:
    """The k most alike of `among` for each query, best first: similarities and rows, [n, k].

    FAISS's products are off by as much as separates pictures at the edge of a reach, so what it finds is computed anew.
    """
    import faiss

    from diversity.index import cosine

    index = faiss.IndexFlatIP(among.shape[1])
    index.add(np.ascontiguousarray(among, np.float32))
    found = [
        index.search(np.ascontiguousarray(queries[at : at + BLOCK], np.float32), k)
        for at in range(0, len(queries), BLOCK)
    ]
    rows = np.concatenate([i for _, i in found]).astype(np.int64)
    exact = cosine(queries, among, np.repeat(np.arange(len(rows)), k), rows.ravel()).reshape(rows.shape)
    order = np.argsort(-exact, axis=1, kind="stable")
    best: Vectors = np.take_along_axis(exact, order, 1).astype(np.float32)
    return best, np.take_along_axis(rows, order, 1)
