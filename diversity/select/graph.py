"""Similarities between candidates for selection: a dense matrix for small pools, a symmetric neighbour graph for large
ones.

Not for finding duplicates or answering queries: that is `index.py`.

Similarities are whole numbers, `ONE` for 1 and 0 for a right angle or more: sums of them are exact in any order, so
that equal gains are equal on every machine and number of threads, and a matrix of 10,000 pictures takes 200 MB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from diversity.select.pool import IntArray, Pool

DENSE_UP_TO = 12_000  # 288 MB there
COMPILE_FROM = 3_000  # below, numpy is done before numba has loaded
EXACT_UP_TO = 30_000  # as `index.exact_up_to`: above, neighbours come from an inverted-file index
NEIGHBOURS = 128
ONE = 2**15
BLOCK = 1_024

Floats = NDArray[np.float32]
Units = NDArray[np.uint16]
Gain = Callable[[Units, Units], int]


@dataclass(frozen=True)
class Dense:
    """Similarities of all pairs: `matrix` uint16 [n, n], 0..ONE, diagonal ONE."""

    matrix: Units
    gain: Gain = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", _gain(len(self.matrix) >= COMPILE_FROM))

    def __len__(self) -> int:
        return len(self.matrix)

    def added(self, candidate: int, best: Units) -> int:
        """How much closer the pool's pictures get to a picked one when `candidate` is picked too."""
        return int(self.gain(self.matrix[candidate], best))

    def pick(self, candidate: int, best: Units) -> None:
        """Update `best`, each picture's similarity to its nearest pick, in place."""
        np.maximum(best, self.matrix[candidate], out=best)

    def totals(self) -> NDArray[np.int64]:
        """What each candidate would add as the first pick, int64 [n]."""
        sums: NDArray[np.int64] = self.matrix.sum(axis=1, dtype=np.int64)
        return sums


@dataclass(frozen=True)
class Sparse:
    """Similarities of neighbours in compressed rows; every picture is its own neighbour with ONE; symmetric."""

    indptr: IntArray
    indices: NDArray[np.integer]
    values: Units
    gain: Gain = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", _gain(len(self) >= COMPILE_FROM))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def added(self, candidate: int, best: Units) -> int:
        """How much closer the pool's pictures get to a picked one when `candidate` is picked too."""
        part = slice(self.indptr[candidate], self.indptr[candidate + 1])
        return int(self.gain(self.values[part], best[self.indices[part]]))

    def pick(self, candidate: int, best: Units) -> None:
        """Update `best`, each picture's similarity to its nearest pick, in place."""
        part = slice(self.indptr[candidate], self.indptr[candidate + 1])
        served = self.indices[part]
        best[served] = np.maximum(best[served], self.values[part])

    def totals(self) -> NDArray[np.int64]:
        """What each candidate would add as the first pick, int64 [n]."""
        return np.add.reduceat(self.values, self.indptr[:-1], dtype=np.int64)


def similarities(pool: Pool) -> Dense | Sparse:
    """Cosines of the pool, negative ones as 0: all pairs up to `DENSE_UP_TO` unless the pool brings its neighbours."""
    if pool.neighbours is None and len(pool) <= DENSE_UP_TO:
        return dense(pool.vectors)
    return _symmetric(len(pool), *(pool.neighbours or neighbour_graph(pool.vectors)))


def dense(vectors: Floats) -> Dense:
    """All pairs of float32 [n, d], unit rows."""
    n = len(vectors)
    matrix = np.empty((n, n), np.uint16)
    for at in range(0, n, BLOCK):
        matrix[at : at + BLOCK] = _units(vectors[at : at + BLOCK] @ vectors.T)
    np.fill_diagonal(matrix, ONE)
    return Dense(matrix)


def neighbour_graph(vectors: Floats, k: int = NEIGHBOURS) -> tuple[IntArray, IntArray, Floats]:
    """The k nearest others of each picture as (indptr, indices, similarities); exact up to `EXACT_UP_TO` pictures.

    Args:
        vectors: float32 [n, d], unit rows.
        k: Neighbours; at most n - 1 are used.
    """
    import faiss

    n, d = vectors.shape
    vectors = np.ascontiguousarray(vectors, np.float32)
    k = min(k, n - 1)
    index: faiss.Index = faiss.IndexFlatIP(d)
    if n > EXACT_UP_TO:
        lists = int(2 * np.sqrt(n))
        quantizer = index
        index = faiss.IndexIVFFlat(quantizer, d, lists, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = max(8, lists // 40)
        index.train(vectors[:: max(1, n // (40 * lists))])
    index.add(vectors)
    found = [index.search(vectors[at : at + 8 * BLOCK], k + 1) for at in range(0, n, 8 * BLOCK)]
    similarity, other = np.concatenate([s for s, _ in found]), np.concatenate([i for _, i in found])
    keep = (other != np.arange(n)[:, None]) & (other >= 0)
    return np.concatenate([[0], np.cumsum(keep.sum(axis=1))]), other[keep], similarity[keep]


def _symmetric(n: int, indptr: IntArray, indices: IntArray, values: Floats) -> Sparse:
    """The union of both directions, with the diagonal."""
    from scipy.sparse import csr_array, eye_array

    graph = csr_array((_units(values).astype(np.int32), indices, indptr), shape=(n, n))
    both = graph.maximum(graph.T).maximum(ONE * eye_array(n, dtype=np.int32)).tocsr()
    both.sort_indices()
    return Sparse(both.indptr.astype(np.int64), both.indices, both.data.astype(np.uint16))


def _units(cosines: Floats) -> Units:
    scaled = np.clip(cosines, 0.0, 1.0)
    scaled *= ONE
    return np.rint(scaled, out=scaled).astype(np.uint16)


@lru_cache
def _gain(compiled: bool) -> Gain:
    """Sum of max(similarity - best, 0), with numba or without; both exact."""
    if not compiled:
        return lambda similarity, best: np.maximum(similarity, best).sum(dtype=np.int64) - best.sum(dtype=np.int64)
    from diversity.select.compiled import gain

    return gain
