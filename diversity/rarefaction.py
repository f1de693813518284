"""Intervals for measures of a set: subsamples of groups without replacement, scaled to the set's own size.

Not for the measures themselves: any function of picture indices can be estimated (`richness.py`, `coverage.py`).

Why not the bootstrap: resampling with replacement makes exact copies, and richness falls with copies, so the resampled
values lie below the value of the set and the interval misses it (`benchmarks/interval_coverage.py` shows how often).

The target is what sets *of this size from the same source* have on average; the unit that is drawn is the group
(near-copies come and go together), because pictures of one group are not independent.

Two estimators, one rule. A statistic T on r of the G groups, drawn without replacement, has a variance over draws v_r
that is scaled by r/(G - r):

* `whole`: r = G - G/B, each of B blocks of groups left out once (delete-a-group jackknife; Shao & Wu 1989;
  Politis, Romano & Wolf 1999 for the factor). Efron & Stein 1981: not too small on average.
* `rarefied`: r = m < G. The value, the mean over draws, is a U-statistic of degree m, unbiased for the mean richness of
  m-group sets (Hurlbert 1971). With z = Var T(m new groups), E v_m = z - Var U, and Var U <= (m/G) z (Hoeffding 1948,
  theorem 5.2), hence Var U <= m/(G - m) E v_m: the interval is not too narrow on average, and wide where m is far
  below G.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_GROUPS = 5  # below this a variance over leave-outs says nothing
MAX_BLOCKS = 60  # leave-outs of `whole`; the t quantile of 59 degrees of freedom is within 2 % of the normal one

IntArray = NDArray[np.int64]
Floats = NDArray[np.float64]
Statistic = Callable[[IntArray], Floats]


@dataclass(frozen=True)
class Estimate:
    """Values of a statistic with their intervals.

    Attributes:
        value: float64 [k].
        low, high: float64 [k], nan where there is no interval.
        groups: Groups that one evaluation of the value used: G, or m when rarefied.
        reason: Why there is no interval; "" where there is one.
    """

    value: Floats
    low: Floats
    high: Floats
    groups: int
    reason: str = ""


def members(groups: NDArray[np.generic]) -> list[IntArray]:
    """Picture indices of each group, in order of first appearance; groups: [n] any labels."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    order = np.argsort(rank[inverse], kind="stable")
    return np.split(order, np.cumsum(np.bincount(rank[inverse]))[:-1]) if len(order) else []


def whole(statistic: Statistic, groups: NDArray[np.generic], *, level: float = 0.9, seed: int = 0) -> Estimate:
    """The statistic of all pictures, with a delete-a-group jackknife interval.

    Args:
        statistic: Picture indices int [j] → float64 [k], every entry positive.
        groups: [n] group label of each picture.
        level: Nominal coverage, 0..1.
        seed: Of the partition into blocks, where there are more groups than `MAX_BLOCKS`.
    """
    parts = members(groups)
    value = statistic(np.arange(len(groups)))
    if len(parts) < MIN_GROUPS:
        return _without(value, len(parts), f"fewer than {MIN_GROUPS} distinct pictures")
    blocks = np.array_split(np.random.default_rng(seed).permutation(len(parts)), min(len(parts), MAX_BLOCKS))
    left_out = [np.concatenate([parts[group] for group in block]) for block in blocks]
    draws = np.array([statistic(np.delete(np.arange(len(groups)), out)) for out in left_out])
    count = len(blocks)
    return _interval(value, (count - 1) * draws.var(axis=0), count - 1, level, len(parts))


def rarefied(
    statistic: Statistic, size: int, m: int, rounds: int = 200, *, level: float = 0.9, seed: int = 0
) -> Estimate:
    """The mean statistic of m of `size` distinct pictures; m >= size gives the value of all of them.

    Args:
        statistic: Indices int [j] into one representative per group → float64 [k], every entry positive.
        size: Number of groups, G.
        m: Common number of groups that sets are compared at.
        rounds: Draws; all G leave-outs are taken instead where m = G - 1.
        level: Nominal coverage, 0..1.
        seed: Of the draws.
    """
    if m >= size:
        return whole(statistic, np.arange(size), level=level, seed=seed)
    rng = np.random.default_rng(seed)
    if m == size - 1:
        subsets = [np.delete(np.arange(size), out) for out in range(size)]
    else:
        subsets = [np.sort(rng.choice(size, m, replace=False)) for _ in range(rounds)]
    draws = np.array([statistic(subset) for subset in subsets])
    value, spread = draws.mean(axis=0), draws.var(axis=0, ddof=int(m < size - 1))
    if size < MIN_GROUPS:
        return _without(value, m, f"fewer than {MIN_GROUPS} distinct pictures")
    variance = m / (size - m) * spread + (spread / rounds if m < size - 1 else 0.0)
    return _interval(value, variance, min(len(subsets), size) - 1, level, m)


def _interval(value: Floats, variance: Floats, freedom: int, level: float, groups: int) -> Estimate:
    """Student's t on the logarithm (delta method): effective numbers are positive and skewed to the right."""
    from scipy.special import stdtrit

    width = stdtrit(freedom, 0.5 + level / 2) * np.sqrt(variance) / value
    return Estimate(value, value * np.exp(-width), value * np.exp(width), groups)


def _without(value: Floats, groups: int, reason: str) -> Estimate:
    nothing = np.full(np.shape(value), np.nan)
    return Estimate(value, nothing, nothing, groups, reason)
