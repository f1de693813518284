"""Neighbours: every pair at or above a similarity, the k nearest, and near-equal hashes, by FAISS.

Not for deciding what a neighbour means: see `duplicates.py` and `select/`. Similarity is cosine everywhere; hashes are
compared by Hamming distance. No list of neighbours is ever cut at a fixed length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from diversity.config import IndexConfig
from diversity.errors import ConfigError

if TYPE_CHECKING:
    from typing import Self

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Pairs = tuple[Int64, Int64, NDArray[np.float64]]

HNSW_UP_TO = 300_000  # one thread builds the graph, so that it is always the same; beyond this IVF is quicker
HNSW_LINKS = 32
SLACK = 2e-6  # cosine of float32 vectors is off by up to about this; candidates are taken below and recomputed
SLACK_8_BIT = 0.01  # the same for 8-bit vectors
BLOCK = 4096  # queries at a time
SAMPLE = 128  # queries whose exact neighbours measure the recall of an approximate index
RECALL_AT = 10


@dataclass(frozen=True)
class IndexPlan:
    """Which index, and why.

    Attributes:
        kind: "exact", "hnsw" or "ivf".
        factory: the FAISS factory string.
        memory_gb: vectors and links, expected.
        recall_expected: share of true neighbours found, 0..1; 1 for exact.
        reason: one sentence for the record.
    """

    kind: Literal["exact", "hnsw", "ivf"]
    factory: str
    memory_gb: float
    recall_expected: float
    reason: str


def plan(n: int, dim: int, config: IndexConfig) -> IndexPlan:
    """Choose an index for `n` vectors of length `dim` from the budgets in `config`.

    Raises:
        ConfigError: not even the smallest index fits into `config.memory_gb`.
    """
    flat = n * dim * 4 / 1e9
    if n <= config.exact_up_to:
        reason = f"Exact search: {n} pictures are within the limit of {config.exact_up_to} for comparing all with all."
        return IndexPlan("exact", "Flat", flat, 1.0, reason)
    graph = flat + n * HNSW_LINKS * 2 * 4 / 1e9
    cells = int(2 ** np.ceil(np.log2(4 * np.sqrt(n))))
    small = n * (dim + 8) / 1e9
    wanted = f"recall {config.recall:g} within {config.memory_gb:g} GB"
    if n <= HNSW_UP_TO and graph <= config.memory_gb:
        reason = f"HNSW graph: {n} pictures, {wanted} ({graph:.2f} GB); effort is raised until a sample reaches it."
        return IndexPlan("hnsw", f"HNSW{HNSW_LINKS},Flat", graph, config.recall, reason)
    if flat + n * 8 / 1e9 <= config.memory_gb:
        reason = f"IVF, {cells} cells: {n} pictures, {wanted} ({flat:.2f} GB); cells are read until a sample has it."
        return IndexPlan("ivf", f"IVF{cells},Flat", flat + n * 8 / 1e9, config.recall, reason)
    if small <= config.memory_gb:
        recall = min(config.recall, 0.97)
        reason = f"IVF with {cells} cells and 8-bit vectors ({small:.2f} GB): full vectors would not fit; {wanted}."
        return IndexPlan("ivf", f"IVF{cells},SQ8", small, recall, reason)
    raise ConfigError(
        f"An index of {n} pictures does not fit into {config.memory_gb:g} GB.",
        f"Even 8-bit vectors of length {dim} need {small:.1f} GB.",
        "Raise index.memory_gb or use an encoder with shorter vectors.",
    )


class Index:
    """Neighbours among a fixed set of unit vectors; built by `Index.build`.

    Attributes:
        vectors: float32 [n, d], unit rows.
        plan: How it was built.
        recall: Share of the true 10 nearest found on a seeded sample, measured at build; 1 for exact.
    """

    def __init__(self, vectors: Float32, plan: IndexPlan, searcher: Any, recall: float) -> None:  # noqa: ANN401
        self.vectors, self.plan, self.recall, self._searcher = vectors, plan, recall, searcher

    @property
    def _slack(self) -> float:
        return SLACK_8_BIT if "SQ8" in self.plan.factory else SLACK

    @classmethod
    def build(cls, vectors: Float32, plan: IndexPlan) -> Self:
        """Index `vectors` (float32 [n, d], unit rows) as planned; the same input gives the same index every time."""
        import faiss

        vectors = np.ascontiguousarray(vectors, np.float32)
        if plan.kind == "exact" or len(vectors) == 0:
            flat = faiss.IndexFlatIP(max(vectors.shape[1], 1))
            flat.add(vectors)
            return cls(vectors, plan, flat, 1.0)
        searcher = faiss.index_factory(vectors.shape[1], plan.factory, faiss.METRIC_INNER_PRODUCT)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1 if plan.kind == "hnsw" else threads)  # parallel: never the same
        try:
            searcher.train(vectors)
            searcher.add(vectors)
        finally:
            faiss.omp_set_num_threads(threads)
        index = cls(vectors, plan, searcher, 1.0)
        index.recall = index._raise_effort()
        return index

    def above(self, threshold: float) -> Pairs:
        """Every pair i < j with cosine ≥ `threshold`: (i, j, similarity), sorted by i then j; never cut short."""
        first, second = [], []
        for query, found in self._candidates(self.vectors, threshold - self._slack):
            keep = query != found
            first.append(np.minimum(query, found)[keep])
            second.append(np.maximum(query, found)[keep])
        codes = np.unique(
            np.concatenate([*first, _NONE]) * max(len(self.vectors), 1) + np.concatenate([*second, _NONE])
        )
        i, j = np.divmod(codes, max(len(self.vectors), 1))
        similarity = cosine(self.vectors, self.vectors, i, j)
        keep = similarity >= threshold
        return i[keep], j[keep], similarity[keep]

    def matches(self, queries: Float32, threshold: float) -> Pairs:
        """Every (query row, indexed row, similarity) with cosine ≥ `threshold`, sorted by query then row."""
        parts = list(self._candidates(np.ascontiguousarray(queries, np.float32), threshold - self._slack))
        query = np.concatenate([*(part[0] for part in parts), _NONE])
        found = np.concatenate([*(part[1] for part in parts), _NONE])
        order = np.lexsort((found, query))
        query, found = query[order], found[order]
        similarity = cosine(queries, self.vectors, query, found)
        keep = similarity >= threshold
        return query[keep], found[keep], similarity[keep]

    def nearest(self, queries: Float32, k: int) -> tuple[Int64, Float32]:
        """The `k` nearest of each query, most similar first, equal ones by row: (rows int64 [q, k'], cosine [q, k']).

        Args:
            queries: float32 [q, d], unit rows.
            k: At least 0; k' = min(k, n).
        """
        k = min(k, len(self.vectors))
        queries = np.ascontiguousarray(queries, np.float32)
        if k == 0 or len(queries) == 0:
            return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        wide = min(len(self.vectors), k + 32)  # room to break ties at the end of the list by row
        _, rows = self._search(queries, wide)
        rows = np.where(rows < 0, len(self.vectors), rows)
        safe = np.minimum(rows, len(self.vectors) - 1)
        similarity = np.einsum("qd,qkd->qk", queries.astype(np.float64), self.vectors[safe].astype(np.float64))
        similarity = np.where(rows < len(self.vectors), np.round(similarity, 6), -np.inf)
        order = np.lexsort((rows, -similarity), axis=1)[:, :k]
        return (
            np.take_along_axis(safe, order, 1),
            np.take_along_axis(similarity, order, 1).astype(np.float32),
        )

    def _search(self, queries: Float32, k: int) -> tuple[Float32, Int64]:
        if self.plan.kind == "hnsw":
            import faiss

            effort = max(self._searcher.hnsw.efSearch, 2 * k)
            parameters = faiss.SearchParametersHNSW(efSearch=effort)  # type: ignore[attr-defined]
            return self._searcher.search(queries, k, params=parameters)  # type: ignore[no-any-return]
        return self._searcher.search(queries, k)  # type: ignore[no-any-return]

    def _candidates(self, queries: Float32, threshold: float) -> Iterator[tuple[Int64, Int64]]:
        """(query row, indexed row) at or above `threshold`, block by block."""
        for start in range(0, len(queries), BLOCK):
            block = queries[start : start + BLOCK]
            if self.plan.kind == "exact":
                limits, _, found = self._searcher.range_search(block, float(threshold))
                query = np.repeat(np.arange(len(block)), (limits[1:] - limits[:-1]).astype(np.int64))
                yield query + start, found.astype(np.int64)
            else:
                yield from self._widened(block, start, threshold)

    def _widened(self, block: Float32, start: int, threshold: float) -> Iterator[tuple[Int64, Int64]]:
        """The k nearest, with k widened for the rows whose k-th neighbour still reaches `threshold`."""
        rows, k, total = np.arange(len(block)), min(64, len(self.vectors)), len(self.vectors)
        while len(rows):
            similarity, found = self._search(block[rows], k)
            more = (similarity[:, -1] >= threshold) & (found[:, -1] >= 0) & (k < total)
            take = (similarity >= threshold) & (found >= 0) & ~more[:, None]
            query, column = np.nonzero(take)
            yield rows[query] + start, found[query, column].astype(np.int64)
            rows, k = rows[more], min(4 * k, total)

    def _raise_effort(self) -> float:
        """Double the search effort until a seeded sample finds the planned share of its true nearest; the share."""
        import faiss

        rng = np.random.default_rng(0)
        sample = self.vectors[np.sort(rng.choice(len(self.vectors), min(SAMPLE, len(self.vectors)), replace=False))]
        k = min(RECALL_AT, len(self.vectors))
        _, truth = faiss.knn(sample, self.vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
        limit = 4096 if self.plan.kind == "hnsw" else self._searcher.nlist
        effort, recall = 32, 0.0
        while True:
            if self.plan.kind == "hnsw":
                self._searcher.hnsw.efSearch = effort
            else:
                self._searcher.nprobe = min(effort, limit)
            _, found = self._search(sample, k)
            recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))
            if recall >= self.plan.recall_expected or effort >= limit:
                return recall
            effort *= 2


_NONE = np.empty(0, np.int64)


def cosine(left: Float32, right: Float32, i: Int64, j: Int64) -> NDArray[np.float64]:
    """Cosine of `left[i]` and `right[j]`, both unit rows: float64 [pairs], independent of threads."""
    result = np.empty(len(i), np.float64)
    for start in range(0, len(i), 65_536):
        part = slice(start, start + 65_536)
        result[part] = np.einsum("nd,nd->n", left[i[part]].astype(np.float64), right[j[part]].astype(np.float64))
    return result


def hamming_pairs(hashes: NDArray[np.uint64], max_distance: int) -> tuple[Int64, Int64, Int64]:
    """Every pair i < j of 64-bit hashes at most `max_distance` apart: (i, j, distance), sorted, never cut short."""
    import faiss

    if len(hashes) < 2 or max_distance < 0:
        return _NONE, _NONE, _NONE
    codes = np.ascontiguousarray(hashes, np.uint64).view(np.uint8).reshape(len(hashes), 8)
    searcher = faiss.IndexBinaryFlat(64)
    searcher.add(codes)
    parts: list[tuple[Int64, Int64, Int64]] = []
    for start in range(0, len(codes), BLOCK):
        limits, distance, found = searcher.range_search(codes[start : start + BLOCK], max_distance + 1)
        counts = (limits[1:] - limits[:-1]).astype(np.int64)
        query = np.repeat(np.arange(len(counts)), counts) + start
        keep = (query < found) & (distance <= max_distance)
        parts.append((query[keep], found[keep].astype(np.int64), distance[keep].astype(np.int64)))
    i, j, apart = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((j, i))
    return i[order], j[order], apart[order]
