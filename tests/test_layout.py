"""The map: deterministic, sane for few or equal pictures, and nothing of it in the parent's imports."""

from __future__ import annotations

import numpy as np
import pytest

from diversity.layout import MIN_FOR_UMAP, LayoutWorker, lay_out


def unit(n: int, d: int = 8, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("n", [0, 1, 2, 3, MIN_FOR_UMAP - 1])
def test_few_pictures_get_a_map_without_umap(n: int) -> None:
    points = lay_out(unit(n))
    assert points.shape == (n, 2)
    assert np.isfinite(points).all()
    assert n == 0 or np.abs(points).max() <= 1


def test_equal_pictures_lie_on_one_point() -> None:
    assert np.allclose(lay_out(np.tile(unit(1), (5, 1))), 0, atol=1e-6)


def test_the_child_process_lays_out_twice_the_same_and_keeps_clusters_apart() -> None:
    centres = np.eye(2, 8, dtype=np.float32)
    rows = np.repeat(centres, 20, axis=0) + 0.1 * unit(40)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with LayoutWorker() as worker:
        worker.submit(rows)
        points = worker.result()
    assert points.shape == (40, 2)
    between = np.linalg.norm(points[:20].mean(axis=0) - points[20:].mean(axis=0))
    within = max(np.linalg.norm(part - part.mean(axis=0), axis=1).max() for part in (points[:20], points[20:]))
    assert between > within
    with LayoutWorker() as worker:
        worker.submit(rows)
        assert np.array_equal(worker.result(), points)
