"""M2, memorisation: whether generated pictures are copies of training pictures, safe on sets full of near-copies.

Not for encoding pictures, nor for comparing their pixels. Features are pluggable: SSCD and DINOv2 see copies best,
any encoder's unit rows will do; numbers of different features are never compared.

Two corrections that the usual metrics lack, both about monotonous sets, which are the ones that overfit:

* With five near-copies of every view, a picture that was copied exactly has a second neighbour as near as the first.
  The gap ratio then reads 0 where it should read 1, and AuthPct calls copies authentic. Here the second neighbour, and
  the neighbour's own neighbour, lie *outside the nearest picture's group*.
* AuthPct of perfectly fresh pictures is nowhere near 100 %: about half in our simulations, 59 to 75 % in others', as
  data and n have it. Here it is compared with what the training pictures themselves score when each group in turn is
  taken for generated (leave one group out).

Nearness alone does not prove copying: generations that shrink towards the middle of the set are near to everything.
`copied` does not rise for those, `nearer` and `authentic_excess` do; read them together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.evaluate import estimate
from training.evaluate.estimate import Estimate, Floats

GAP_RATIO = 1 / 3  # Gu et al. 2023 (2310.02664), after Yoon et al. 2023
LEAST_GROUPS = 3  # a nearest group, a second one, and one that is left out
BACKGROUND = 0.95  # quantile of the likeness between training pictures of different groups

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Memorisation:
    """How far generations repeat training pictures.

    Attributes:
        copied: Share of generations more than three times nearer to one training group than to any other.
        copied_null: The same share for the training pictures, each group left out in turn; about 0.
        authentic: AuthPct: share of generations farther from their nearest training picture than that is from its own
            nearest of another group.
        authentic_null: The same share for left-out training groups: what fresh pictures score at this n.
        authentic_excess: authentic - authentic_null; below 0 is copying.
        nearer: Chance that a generation lies nearer to the training set than a left-out training picture does; 0.5 for
            fresh pictures, 1 for copies (the statistic of Meehan et al. 2020 with left-out groups as the test set).
        alike: Share of generations more alike to a training picture than `background`.
        background: Cosine that 95 % of the left-out training groups stay below.
        pairs: What to show: for each generation its nearest training picture, their cosine, and the ratio of distances
            d1/d2.
        reason: Why nothing could be told; "" where it could.
    """

    copied: Estimate
    copied_null: float
    authentic: Estimate
    authentic_null: Estimate
    authentic_excess: Estimate
    nearer: Estimate
    alike: Estimate
    background: float
    pairs: Pairs = field(repr=False)
    reason: str = ""


@dataclass(frozen=True)
class Pairs:
    """Each generation beside its source.

    Attributes:
        nearest: int [m], row of the nearest training picture.
        similarity: float [m], their cosine.
        ratio: float [m], distance to it over the distance to the nearest outside its group; nan where there is none.
    """

    nearest: Ints
    similarity: Floats
    ratio: Floats


@dataclass(frozen=True)
class _Near:
    """Distances of queries to a training set, by group."""

    first: Floats
    second: Floats
    nearest: Ints
    own: Floats  # distance of the nearest picture to its own nearest of another group


def memorisation(
    generated: NDArray[np.floating],
    training: NDArray[np.floating],
    groups: NDArray[np.generic],
    units: NDArray[np.generic] | None = None,
) -> Memorisation:
    """Compare generations with the training pictures.

    Args:
        generated: [m, d], unit rows, m >= 1.
        training: [n, d], unit rows of the same encoder.
        groups: [n] near-copies of one another share a label.
        units: [m] what was drawn independently, such as the prompt; None: every generation.
    """
    own = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    unit = np.arange(len(generated)) if units is None else units
    count = int(own.max(initial=-1)) + 1
    to_training = _distances(generated, training)
    among = _by_group(_distances(training, training), own, count)
    among[np.arange(len(own)), own] = np.inf
    if count < LEAST_GROUPS:
        return _untold(to_training, count)
    seen = _seen(to_training, among, own, count)
    null = _left_out(among, training, own)
    ratio = _ratio(seen)
    authentic = estimate.share(seen.first > seen.own, unit, "samples")
    authentic_null = estimate.share(null.first > null.own, own, "groups")
    likeness = 1 - seen.first**2 / 2
    background = float(np.quantile(1 - estimate.by_unit(null.first, own) ** 2 / 2, BACKGROUND))
    return Memorisation(
        copied=estimate.share(ratio < GAP_RATIO, unit, "samples"),
        copied_null=float(estimate.by_unit((_ratio(null) < GAP_RATIO).astype(np.float64), own).mean()),
        authentic=authentic,
        authentic_null=authentic_null,
        authentic_excess=estimate.difference(
            estimate.by_unit((seen.first > seen.own).astype(np.float64), unit),
            estimate.by_unit((null.first > null.own).astype(np.float64), own),
            "samples",
        ),
        nearer=_nearer(seen.first, unit, null.first, own),
        alike=estimate.share(likeness > background, unit, "samples"),
        background=background,
        pairs=Pairs(seen.nearest, likeness, ratio),
    )


def _distances(rows: NDArray[np.floating], others: NDArray[np.floating]) -> Floats:
    """Euclidean distances [m, n] of unit rows, from cosines rounded so that equal rows are at 0."""
    cosine = np.asarray(rows, np.float64) @ np.asarray(others, np.float64).T
    distances: Floats = np.sqrt(np.clip(2 - 2 * np.round(cosine, 7), 0, None))
    return distances


def _by_group(distances: Floats, own: Ints, count: int) -> Floats:
    """[m, n] → [m, groups], the least distance to a member."""
    least = np.full((len(distances), count), np.inf)
    for group in range(count):
        least[:, group] = distances[:, own == group].min(axis=1)
    return least


def _seen(distances: Floats, among: Floats, own: Ints, count: int) -> _Near:
    grouped = _by_group(distances, own, count)
    nearest = distances.argmin(axis=1)
    first = distances[np.arange(len(distances)), nearest]
    grouped[np.arange(len(distances)), own[nearest]] = np.inf
    return _Near(first, grouped.min(axis=1), nearest, among.min(axis=1)[nearest])


def _left_out(among: Floats, training: NDArray[np.floating], own: Ints) -> _Near:
    """Every training picture taken for a generation, its group left out of the training set."""
    distances = _distances(training, training)
    distances[own[:, None] == own[None, :]] = np.inf
    nearest = distances.argmin(axis=1)
    rows = np.arange(len(own))
    first = distances[rows, nearest]
    rest = among.copy()
    rest[rows, own[nearest]] = np.inf
    others = among[nearest]  # the nearest picture's distances, its own group masked already
    others[rows, own] = np.inf
    return _Near(first, rest.min(axis=1), nearest, others.min(axis=1))


def _ratio(near: _Near) -> Floats:
    """d1 / d2; 1 where both are 0: then nothing tells the two apart."""
    safe = np.where(near.second > 0, near.second, 1.0)
    ratio: Floats = np.where(near.second > 0, near.first / safe, 1.0)
    return ratio


def _nearer(first: Floats, unit: NDArray[np.generic], null: Floats, own: Ints) -> Estimate:
    """P(generation nearer than left-out), ties one half; the variances of both sides add up (DeLong et al. 1988).

    Left-out pictures are often each other's nearest and then share one distance, so their side counts as half as many.
    """
    wins = (first[:, None] < null[None, :]) + 0.5 * (first[:, None] == null[None, :])
    weight = 1 / np.bincount(own)[own]
    weight /= weight.sum()
    samples = estimate.mean(estimate.by_unit(wins @ weight, unit), "samples")
    groups = estimate.mean(estimate.by_unit(wins.mean(axis=0), own), "groups")
    half = float(np.sqrt((samples.high - samples.low) ** 2 + 2 * (groups.high - groups.low) ** 2)) / 2
    value = samples.value
    return Estimate(
        value, max(value - half, 0.0), min(value + half, 1.0), min(samples.n, groups.n), "samples", samples.reason
    )


def _untold(distances: Floats, groups: int) -> Memorisation:
    """Too few groups to know what fresh pictures would score: only the nearest pictures."""
    reason = f"fewer than {LEAST_GROUPS} distinct training pictures"
    nothing = estimate.unknown("samples", reason)
    nearest = distances.argmin(axis=1)
    likeness = 1 - distances[np.arange(len(distances)), nearest] ** 2 / 2
    pairs = Pairs(nearest, likeness, np.full(len(distances), np.nan))
    null = estimate.unknown("groups", reason, groups)
    return Memorisation(nothing, np.nan, nothing, null, nothing, nothing, nothing, np.nan, pairs, reason)
