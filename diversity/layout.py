"""The 2-D map of a set by UMAP, computed in a child process that warms up while the parent still encodes.

Not for decisions: nothing clusters or selects on the map. Run as `python -m diversity.layout` by `LayoutWorker` only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_FOR_UMAP = 12  # below this a map by principal components says as much
NEIGHBOURS = 15
SEED = 0


class LayoutWorker:
    """A child process that imports and compiles UMAP (20 s of CPU) off the main thread, then lays out one set.

    UMAP: McInnes, Healy & Melville 2018, with the exact cosine neighbours, a fixed seed and one thread.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="diversity-map-")
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "diversity.layout"],  # -P: no module of the user's folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()
        self._folder.cleanup()

    def submit(self, vectors: NDArray[np.float32]) -> None:
        """Hand over float32 [n, d], unit rows; returns at once."""
        path = Path(self._folder.name) / "vectors.npy"
        np.save(path, vectors)
        assert self._child.stdin is not None
        self._child.stdin.write(f"{path}\n")
        self._child.stdin.flush()

    def result(self) -> NDArray[np.float32]:
        """float32 [n, 2]; waits for the child.

        Raises:
            RuntimeError: the child failed.
        """
        assert self._child.stdout is not None
        answer = self._child.stdout.readline().strip()
        if not answer:
            raise RuntimeError("the map's child process failed")
        points: NDArray[np.float32] = np.load(answer)
        return points


def lay_out(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [n, d], unit rows → float32 [n, 2], centred, within [-1, 1]; deterministic for equal input."""
    n = len(vectors)
    points = _umap(vectors) if n >= MIN_FOR_UMAP else _principal(vectors)
    points = points - points.mean(axis=0) if n else points
    return (points / max(float(np.abs(points).max(initial=0)), 1e-9)).astype(np.float32)


def _umap(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """By UMAP, or by principal components where it is not installed."""
    try:
        import umap
    except ImportError:
        return _principal(vectors)
    k = min(NEIGHBOURS, len(vectors) - 1)
    model = umap.UMAP(
        n_neighbors=k, metric="cosine", random_state=SEED, n_jobs=1, init="pca", precomputed_knn=_exact_knn(vectors, k)
    )
    return np.asarray(model.fit_transform(vectors), np.float32)


def _exact_knn(vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices and cosine distances [n, k] of the k nearest rows, each row itself first."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    similarity, found = index.search(vectors, k)
    for row in np.flatnonzero(found[:, 0] != np.arange(len(vectors))):
        others = found[row][found[row] != row][: k - 1]
        found[row] = np.concatenate([[row], others])
        similarity[row] = vectors[found[row]] @ vectors[row]
    return found, np.clip(1 - similarity, 0, None).astype(np.float32)


def _principal(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first two principal components, signs fixed; zeros where there are none."""
    if len(vectors) < 2:
        return np.zeros((len(vectors), 2), np.float32)
    centred = vectors - vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(vectors), 2), np.float32)
    m = min(2, u.shape[1])
    signs = np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])[:m]
    points[:, :m] = (u * s)[:, :m] * np.where(signs == 0, 1, signs)
    return points


def _serve() -> None:
    """Warm up on noise, then answer one request; politely, since the parent's work is what a person waits for."""
    if hasattr(os, "nice"):
        os.nice(10)
    rng = np.random.default_rng(SEED)
    noise = rng.normal(size=(64, 16)).astype(np.float32)
    lay_out(noise / np.linalg.norm(noise, axis=1, keepdims=True))
    path = sys.stdin.readline().strip()
    if path:
        answer = Path(path).with_name("map.npy")
        np.save(answer, lay_out(np.load(path)))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
