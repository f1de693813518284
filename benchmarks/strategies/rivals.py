"""Strategies that are measured but not offered: what papers and other tools do, as `f(pool, k, *, seed) -> Selection`.

Not for those that users can choose (`diversity/select/strategies.py`). Every one picks what must stay first. Those that
look at frames need `Candidates`, which knows the order of the files and how sharp they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from diversity.errors import SelectionError
from diversity.select.pool import IntArray, Pool, Selection, first_picks
from diversity.select.strategies import cosines, farthest_first, ranked, stable

Floats = NDArray[np.float64]
CUT_LAMBDA = 2.0  # the least at which graph cut is monotone (Iyer & Bilmes 2013)
MMR_LAMBDA = 0.5  # relevance and novelty count alike
DPP_RIDGE = 1e-3  # keeps the kernel of rank d invertible beyond d picks, and copies possible but last
BLOCK = 1_024


@dataclass(frozen=True)
class Candidates(Pool):
    """A pool of files.

    Attributes:
        place: int [n], position of each in the natural order of the paths: what a tool that reads frames sees.
        sharpness: float [n], larger is sharper; nan where nothing in the picture has edges.
    """

    place: IntArray = field(kw_only=True)
    sharpness: Floats = field(kw_only=True)


# by similarity --------------------------------------------------------------------------------------------------------


def graph_cut(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Greedy graph cut: close to all, far from one another; nested.

    f(S) = λ sum over i in the pool, j in S of s_ij − sum over i, j in S of s_ij (Iyer & Bilmes 2013, section 2), with
    s the cosine, negative ones as 0, and λ = 2. Gains: what each pick added to f.
    """
    order = first_picks(pool, k).tolist()
    gain = CUT_LAMBDA * _totals(pool) - 1.0  # less s_jj
    gains, free = [], np.ones(len(pool), bool)

    def pick(i: int) -> None:
        gains.append(float(gain[i]))
        free[i] = False
        np.subtract(gain, 2.0 * np.clip(cosines(pool, i), 0.0, None), out=gain)

    for i in order:
        pick(i)
    while len(order) < min(k, len(pool)):
        order.append(int(np.argmax(np.where(free, np.round(gain, 4), -np.inf))))
        pick(order[-1])
    return Selection(np.array(order, np.int64), np.array(gains), nested=True)


def dpp(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """The likeliest set of a determinantal point process, greedily; nested.

    Fast greedy MAP (Chen, Zhang & Zhou 2018, algorithm 1) on the cosine kernel plus `DPP_RIDGE` on its diagonal. Gains:
    by how much each pick raised log det. Alone, all unit rows are worth the same: the first is picked.
    """
    first = first_picks(pool, k)
    wanted = min(k, len(pool))
    vectors = pool.vectors.astype(np.float64)
    left = np.einsum("nd,nd->n", vectors, vectors) + DPP_RIDGE  # squared distance of each to the span of the picks
    rows = np.zeros((wanted, len(pool)))
    order: list[int] = []
    gains: list[float] = []
    for at in range(wanted):
        places = 9 if at else 5  # alone, unit rows differ by rounding only
        i = int(first[at]) if at < len(first) else int(np.argmax(np.round(left, places)))
        kernel = vectors @ vectors[i]
        kernel[i] += DPP_RIDGE
        rows[at] = (kernel - rows[:at].T @ rows[:at, i]) / np.sqrt(left[i])
        gains.append(float(np.log(left[i])))
        order.append(i)
        left = np.maximum(left - rows[at] ** 2, 1e-12)
        left[order] = -np.inf
    return Selection(np.array(order, np.int64), np.array(gains), nested=True)


def mmr(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Maximal marginal relevance (Carbonell & Goldstein 1998), relevance = cosine to the pool's mean; nested.

    Next is the largest λ relevance − (1 − λ) largest cosine to a pick. Gains are these values.
    """
    order = first_picks(pool, k).tolist()
    if not len(pool):
        return ranked(pool, k, np.array(order, np.int64))
    mean = pool.vectors.mean(axis=0)
    relevance = stable(pool.vectors @ (mean / max(float(np.linalg.norm(mean)), 1e-9)))
    alike, gains = np.full(len(pool), -1.0), [float("nan")] * len(order)
    for i in order:
        alike = np.maximum(alike, cosines(pool, i))
    while len(order) < min(k, len(pool)):
        value = MMR_LAMBDA * relevance - (1 - MMR_LAMBDA) * (alike if order else 0.0)
        value[order] = -np.inf
        order.append(int(np.argmax(value)))
        gains.append(float(value[order[-1]]))
        alike = np.maximum(alike, cosines(pool, order[-1]))
    return Selection(np.array(order, np.int64), np.array(gains), nested=True)


def random_start_fps(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Farthest point sampling from a random picture (PhotoMapAI's curator, on the vectors of the encoder in use)."""
    start = first_picks(pool, k)
    if not len(start) and min(k, len(pool)):
        start = np.array([np.random.default_rng(seed).integers(len(pool))])
    return farthest_first(pool, k, start)


def semdedup(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """The SemDeDup rule at the ε that leaves k pictures; nested.

    See `semdedup_scores`: a picture goes where its score is at least 1 − ε, so that those of the smallest scores stay.
    """
    return ranked(pool, k, np.argsort(stable(semdedup_scores(pool.vectors, seed)), kind="stable"))


def semdedup_scores(vectors: NDArray[np.float32], seed: int, clusters: int | None = None) -> NDArray[np.float32]:
    """Largest cosine of each picture to one ranked before it in its cluster, float32 [n]; −1 for the first of each.

    Abbas et al. 2023 (arXiv 2303.09540), section 3: k-means, then within each cluster pictures are dropped whose
    similarity to another one is above 1 − ε, keeping the one with the least similarity to the centroid. As published, a
    picture also goes because of one that goes itself.

    Args:
        vectors: float32 [n, d], unit rows.
        seed: Of k-means.
        clusters: None: √n.
    """
    from sklearn.cluster import KMeans

    n = len(vectors)
    scores = np.full(n, -1.0, np.float32)
    if not n:
        return scores
    means = KMeans(min(clusters or max(1, round(n**0.5)), n), n_init=1, random_state=seed).fit(vectors)
    for cluster, centre in enumerate(means.cluster_centers_):
        rows = np.flatnonzero(means.labels_ == cluster)
        rows = rows[np.argsort(stable(vectors[rows] @ centre), kind="stable")]
        above = np.triu(vectors[rows] @ vectors[rows].T, 1) + np.tril(np.full((len(rows),) * 2, -1.0))
        scores[rows] = above.max(axis=0, initial=-1.0)
    return scores


# by frame: the three filters of claim C9 ------------------------------------------------------------------------------


def every_nth(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Take k files evenly spaced in the order of the folder, from a random first one; not nested."""
    frames = _frames(pool)
    order, wanted = np.argsort(frames.place, kind="stable"), min(k, len(pool))
    offset = np.random.default_rng(seed).random()
    even = order[((np.arange(wanted) + offset) * len(pool) / max(wanted, 1)).astype(np.int64)]
    rest = order[~np.isin(order, even)]  # only where pictures that must stay are among the even ones
    return ranked(pool, k, np.concatenate([even, rest]), nested=False)


def sharpest(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """A blur filter alone, its threshold at the k-th sharpest picture; nested."""
    return ranked(pool, k, np.argsort(-np.nan_to_num(_frames(pool).sharpness, nan=-np.inf), kind="stable"))


def adjacent(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Drop frames that are like the one before them, the threshold where k are left; nested."""
    frames = _frames(pool)
    order = np.argsort(frames.place, kind="stable")
    rows = pool.vectors[order].astype(np.float64)
    alike = np.concatenate([[-1.0], np.einsum("nd,nd->n", rows[1:], rows[:-1])])[: len(order)]
    return ranked(pool, k, order[np.argsort(stable(alike), kind="stable")])


def _frames(pool: Pool) -> Candidates:
    if isinstance(pool, Candidates):
        return pool
    raise SelectionError(
        "This strategy needs the order and sharpness of the files.", "The pool does not know them.", "Use Candidates."
    )


def _totals(pool: Pool) -> Floats:
    """Sum of each picture's cosines to all, negative ones as 0, itself as 1: float64 [n]."""
    parts = [
        np.clip(stable(pool.vectors[at : at + BLOCK] @ pool.vectors.T), 0.0, None).sum(axis=1)
        for at in range(0, len(pool), BLOCK)
    ]
    return np.concatenate([*parts, np.empty(0)])
