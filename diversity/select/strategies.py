"""The table of selection strategies: each a small function `f(pool, k, *, seed) -> Selection`.

A new strategy is one function and one row of `STRATEGIES`. Every one picks what must stay first (`pool.first_picks`);
nested ones answer every smaller budget. Gains are nan where a strategy has no objective.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diversity.errors import SelectionError
from diversity.select.facility import facility_location
from diversity.select.pool import IntArray, Pool, Selection, Strategy, StrategyTable, first_picks
from diversity.select.weights import crowd


def random(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Uniform without replacement: the baseline that every strategy has to beat."""
    return ranked(pool, k, np.random.default_rng(seed).permutation(len(pool)))


def stratified(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Random within view cells, one of each cell in turn, the smallest cells first."""
    shuffled = np.random.default_rng(seed).permutation(len(pool))
    first = first_picks(pool, k)
    cells: dict[str, list[int]] = {}
    for i in [*first.tolist(), *(i for i in shuffled.tolist() if i not in set(first.tolist()))]:
        cells.setdefault(pool.cells[i], []).append(i)
    sizes = {cell: (len(inside), cell) for cell, inside in cells.items()}
    turns = [(turn, sizes[cell], i) for cell, inside in cells.items() for turn, i in enumerate(inside)]
    return ranked(pool, k, np.array([i for *_, i in sorted(turns)], np.int64))


def quality(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """The best pictures by quality alone, blind to what they show."""
    return ranked(pool, k, np.argsort(-pool.quality, kind="stable"))


def density_inverse(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Random without replacement, chances inverse to how crowded a picture's neighbourhood is.

    Exponential keys (Efraimidis & Spirakis 2006, algorithm A) with p = 1 / crowd (`weights.crowd`).
    """
    draws = np.random.default_rng(seed).exponential(size=len(pool))
    return ranked(pool, k, np.argsort(draws * crowd(pool.vectors), kind="stable"))


def k_center(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Farthest first (Gonzalez 1985): within twice the least possible largest distance; sensitive to outliers.

    Starts at the picture nearest to the mean; gain is the distance 1 - cosine to the nearest earlier pick.
    """
    start = first_picks(pool, k)
    return farthest_first(pool, k, start if len(start) else central(pool)[: min(k, len(pool))])


def herding(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Pictures whose running mean follows the pool's mean (Welling 2009; Chen, Welling & Smola 2010, eq. 2-3)."""
    first = first_picks(pool, k)
    if not len(pool):
        return ranked(pool, k, first)
    mean = pool.vectors.astype(np.float64).mean(axis=0)
    state = mean * (len(first) + 1) - pool.vectors[first].sum(axis=0, dtype=np.float64)
    order, free = first.tolist(), np.ones(len(pool), bool)
    free[first] = False
    while len(order) < min(k, len(pool)):
        i = int(np.argmax(np.where(free, stable(pool.vectors @ state), -np.inf)))
        order.append(i)
        free[i] = False
        state += mean - pool.vectors[i]
    return ranked(pool, k, np.array(order, np.int64))


def kmeans(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """The picture nearest to each of k means of the rest (prototypes); another k gives another answer."""
    from sklearn.cluster import KMeans

    first = first_picks(pool, k)
    rest = np.setdiff1d(np.arange(len(pool)), first)
    wanted = min(k - len(first), len(rest))
    if wanted in (0, len(rest)):
        return ranked(pool, k, rest, nested=False)
    centres = KMeans(wanted, n_init=3, random_state=seed).fit(pool.vectors[rest]).cluster_centers_
    closeness = stable(pool.vectors[rest] @ centres.T)
    picks: list[int] = []
    for column in closeness.T:
        column[picks] = -np.inf  # a picture that is nearest to two means stands for the first
        picks.append(int(np.argmax(column)))
    return ranked(pool, k, np.concatenate([first, rest[picks]]), nested=False)


STRATEGIES: StrategyTable = {
    "facility_location": facility_location,
    "random": random,
    "stratified": stratified,
    "k_center": k_center,
    "kmeans": kmeans,
    "herding": herding,
    "density_inverse": density_inverse,
    "quality": quality,
}


def strategy(name: str) -> Strategy:
    """A strategy by name.

    Raises:
        SelectionError: there is none of that name.
    """
    if name not in STRATEGIES:
        raise SelectionError(f"There is no selection strategy '{name}'.", "", f"Use one of {', '.join(STRATEGIES)}.")
    return STRATEGIES[name]


def ranked(pool: Pool, k: int, order: IntArray, *, nested: bool = True) -> Selection:
    """What must stay, then the others in `order`, up to k; no gains."""
    first = first_picks(pool, k)
    rest = order[~np.isin(order, first)]
    picks = np.concatenate([first, rest])[:k]
    return Selection(picks, np.full(len(picks), np.nan), nested)


def farthest_first(pool: Pool, k: int, start: IntArray) -> Selection:
    """`start`, then again and again the picture farthest from all picks; gain is its distance 1 - cosine to them."""
    order, gains = start.tolist(), [float("nan")] * len(start)
    distance = np.full(len(pool), np.inf)
    for i in order:
        distance = np.minimum(distance, 1.0 - cosines(pool, i))
    while len(order) < min(k, len(pool)):
        distance[order] = -1.0
        i = int(np.argmax(distance))
        order.append(i)
        gains.append(float(distance[i]))
        distance = np.minimum(distance, 1.0 - cosines(pool, i))
    return Selection(np.array(order, np.int64), np.array(gains), nested=True)


def cosines(pool: Pool, i: int) -> NDArray[np.float64]:
    """Cosine of picture i to every picture, [n], by `stable`."""
    return stable(pool.vectors @ pool.vectors[i])


def stable(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rounded to what float32 products of unit vectors agree on, so that ties go to the first on every machine."""
    return np.asarray(np.round(values, 5), np.float64)


def central(pool: Pool) -> IntArray:
    """The picture nearest to the mean, [1]; none of an empty pool."""
    if not len(pool):
        return np.empty(0, np.int64)
    return np.array([np.argmax(stable(pool.vectors @ pool.vectors.mean(axis=0)))], np.int64)
