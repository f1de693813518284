"""The index: never truncated, deterministic, exact where it says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity.config import IndexConfig
from diversity.errors import ConfigError
from diversity.index import Index, cosine, hamming_pairs, plan


def unit(n: int, d: int = 16, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def exact(vectors: np.ndarray) -> Index:
    return Index.build(vectors, plan(len(vectors), vectors.shape[1], IndexConfig()))


def clusters(n_clusters: int, size: int, d: int = 32, spread: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(1)
    centres = np.repeat(unit(n_clusters, d, 2), size, 0)
    rows = centres + spread * rng.normal(size=centres.shape) / np.sqrt(d)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(0, 40), threshold=st.floats(-0.9, 0.99), seed=st.integers(0, 99))
def test_exact_pairs_equal_brute_force(n, threshold, seed):
    vectors = unit(n, 6, seed)
    i, j, similarity = exact(vectors).above(threshold)
    a, b = np.triu_indices(n, 1)
    truth = cosine(vectors, vectors, a, b)
    assert list(zip(i, j, strict=True)) == list(zip(a[truth >= threshold], b[truth >= threshold], strict=True))
    assert (similarity >= threshold).all()


@settings(max_examples=25, deadline=None)
@given(hashes=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 255), max_size=30), bits=st.integers(0, 64))
def test_hamming_pairs_equal_brute_force(hashes, bits):
    i, j, distance = hamming_pairs(np.array(hashes, np.uint64), bits)
    truth = [
        (a, b, (hashes[a] ^ hashes[b]).bit_count())
        for a in range(len(hashes))
        for b in range(a + 1, len(hashes))
        if (hashes[a] ^ hashes[b]).bit_count() <= bits
    ]
    assert list(zip(i, j, distance, strict=True)) == truth


def test_a_group_of_300_is_not_cut_short():
    vectors = clusters(1, 300, spread=0.01)
    i, _, _ = exact(vectors).above(0.9)
    assert len(i) == 300 * 299 // 2


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_an_approximate_index_finds_the_pairs_it_promises(kind, monkeypatch):
    vectors = np.concatenate([clusters(40, 30), clusters(1, 300, spread=0.01)])
    if kind == "ivf":
        monkeypatch.setattr("diversity.index.HNSW_UP_TO", 0)
    config = IndexConfig(exact_up_to=10, recall=0.98)
    chosen = plan(len(vectors), vectors.shape[1], config)
    assert chosen.kind == kind
    index = Index.build(vectors, chosen)
    truth = set(zip(*(x.tolist() for x in exact(vectors).above(0.9)[:2]), strict=True))
    found = set(zip(*(x.tolist() for x in index.above(0.9)[:2]), strict=True))
    assert found <= truth
    assert len(found) >= 0.98 * len(truth)
    assert index.recall >= chosen.recall_expected


def test_an_approximate_index_is_the_same_twice_and_on_one_thread():
    import faiss

    vectors = unit(600, 24)
    chosen = plan(600, 24, IndexConfig(exact_up_to=10))
    first = Index.build(vectors, chosen).above(0.4)
    faiss.omp_set_num_threads(1)
    try:
        second = Index.build(vectors, chosen).above(0.4)
    finally:
        faiss.omp_set_num_threads(2)
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a, b)


def test_equal_vectors_are_listed_by_row():
    vectors = np.repeat(unit(1, 8), 50, 0)
    rows, similarity = exact(vectors).nearest(vectors[:1], 5)
    assert rows.tolist() == [[0, 1, 2, 3, 4]]
    assert np.allclose(similarity, 1)


def test_nearest_agrees_with_brute_force_and_with_small_sets():
    vectors = unit(30, 8)
    rows, _ = exact(vectors).nearest(vectors[:4], 7)
    truth = np.argsort(-(vectors[:4] @ vectors.T), axis=1, kind="stable")[:, :7]
    assert np.array_equal(rows, truth)
    assert exact(vectors[:1]).nearest(vectors[:2], 5)[0].shape == (2, 1)
    assert exact(vectors[:0]).nearest(vectors[:2], 5)[0].shape == (2, 0)


def test_matches_finds_all_rows_of_another_set():
    vectors, queries = unit(50, 6, 1), unit(20, 6, 2)
    query, row, _ = exact(vectors).matches(queries, 0.3)
    truth = np.argwhere(queries.astype(np.float64) @ vectors.T.astype(np.float64) >= 0.3)
    assert np.array_equal(np.stack([query, row], 1), truth)


def test_the_plan_follows_the_budgets_and_says_why():
    config = IndexConfig(memory_gb=4)
    assert plan(30_000, 512, config).kind == "exact"
    assert plan(100_000, 512, config).kind == "hnsw"
    assert plan(1_500_000, 512, config).kind == "ivf"
    assert "SQ8" in plan(5_000_000, 512, config).factory
    assert all(plan(n, 512, config).memory_gb <= 4 for n in (30_000, 100_000, 1_500_000, 5_000_000))
    assert "pictures" in plan(100_000, 512, config).reason
    with pytest.raises(ConfigError, match="does not fit"):
        plan(50_000_000, 512, config)
