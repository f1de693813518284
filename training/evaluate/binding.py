"""M7, binding: tags that always come with one look, before training; what they drag along, after it (C1, C5, C6).

Not for labelling looks: clusters, view cells or groups come in as labels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.evaluate import estimate
from training.evaluate.estimate import Estimate, Floats

ALWAYS = 0.8  # share of captions above which a tag cannot be told from the subject
SUPPORT = 3  # independent pictures a tag needs on either side
ROUNDS = 1000
SURE = 0.05  # Holm-corrected p from which a tag is bound
FINER = 100  # rounds a tested tag where `ROUNDS` are too few: the least corrected p is then 0.01


@dataclass(frozen=True)
class Binding:
    """One tag.

    Attributes:
        tag: As in the captions.
        n: Independent pictures (groups) that carry it.
        information: Mutual information of tag and look over the tag's entropy, less its chance value, 0 no binding .. 1
            the look is told by the tag alone; nan for tags that are always on or too rare.
        p: Share of permuted tags that are bound as much, of as many rounds as the number of tested tags needs;
            Holm-corrected (Holm 1979) over the tags that were tested.
        look: The look it most often comes with.
        share: Share of its pictures with that look.
        elsewhere: Share of the other pictures with that look.
        state: "bound" (p < 0.05 and more often with its look than other pictures are), "free", "always on" (in more
            than 80 % of captions: nothing to unbind it from), "rare" (fewer than three independent pictures).
    """

    tag: str
    n: int
    information: float
    p: float
    look: str
    share: float
    elsewhere: float
    state: str


def bindings(
    tags: Sequence[Collection[str]],
    looks: Sequence[str],
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> list[Binding]:
    """Binding of every tag, the strongest first.

    The unit is the group of near-copies: eight frames with one caption are one observation, and permuting pictures
    would call every burst a binding. A group carries a tag where half of its pictures do, and has its commonest look.
    Information at small n is biased upwards (a look per picture "tells" everything), so its mean over permutations is
    taken away and the rest rescaled, as the adjusted mutual information of Vinh et al. 2010 does.

    Args:
        tags: [n] tags of each picture.
        looks: [n] visual cluster of each, such as "headshot/front".
        groups: [n] near-copies share a label.
        seed: Of the permutations.
    """
    units = sorted(set(groups))
    members = {unit: [i for i, group in enumerate(groups) if group == unit] for unit in units}
    names = sorted(set(looks))
    look = np.array([names.index(_commonest([looks[i] for i in members[u]])) for u in units], np.int64)
    rng = np.random.default_rng(seed)
    shuffles = np.array([rng.permutation(len(units)) for _ in range(ROUNDS)])
    carried = {
        tag: np.array([sum(tag in tags[i] for i in members[u]) * 2 >= len(members[u]) for u in units])
        for tag in sorted({tag for some in tags for tag in some})
    }
    found = [_judge(tag, on, look, names, shuffles) for tag, on in carried.items()]
    tested = sum(one.p == one.p for one in found)
    if tested >= SURE * (1 + ROUNDS):  # even the least p of these rounds would be corrected away
        found = [
            replace(one, p=_finer(carried[one.tag], look, FINER * tested, rng)) if one.p < SURE else one
            for one in found
        ]
    return _holm(found)


def difference_in_differences(
    lora_with: Floats, lora_without: Floats, base_with: Floats, base_without: Floats
) -> Estimate:
    """What adding a tag does under the LoRA beyond what it does under the base.

    [M(LoRA, p + tag) - M(LoRA, p)] - [M(base, p + tag) - M(base, p)], each [prompts, seeds] at equal seeds; M is any
    likeness to what the tag is suspected to be bound to (its pictures, their palette). Above 0: the tag drags it along.

    Raises:
        ValueError: the shapes differ.
    """
    shapes = {part.shape for part in (lora_with, lora_without, base_with, base_without)}
    if len(shapes) != 1:
        raise ValueError(f"scores of shapes {sorted(shapes)}")
    return estimate.mean(((lora_with - lora_without) - (base_with - base_without)).mean(axis=1), "prompts")


@dataclass(frozen=True)
class Blend:
    """Two characters under two trigger words: 0 is oneself, 1 the other, 0.5 half and half.

    Attributes:
        first, second: Mean place of pictures asked for as the first (second), on the line between the two as real
            held-out pictures of both lie on it.
        apart: second's place minus first's on that line, 1 as far apart as the real ones, 0 one and the same.
    """

    first: Estimate
    second: Estimate
    apart: float


def blend(
    asked: tuple[NDArray[np.floating], NDArray[np.floating]],
    real: tuple[NDArray[np.floating], NDArray[np.floating]],
    groups: tuple[NDArray[np.generic], NDArray[np.generic]],
    prompts: tuple[NDArray[np.generic], NDArray[np.generic]],
) -> Blend:
    """How far two characters of one LoRA run into one another.

    Pictures are projected on the line between the mean real pictures. The real pictures that made a mean lie closer to
    it than fresh ones would, so that fresh ones seem blended; therefore the ends of the scale are the mean products of
    a group with the *other* groups of its character (U-statistics, unbiased for fresh pictures).

    Args:
        asked: Generations [m, d] under the first and the second trigger.
        real: Held-out pictures [n, d] of the first and the second character, two groups each at least.
        groups: [n] near-copies of `real`.
        prompts: [m] prompt of each generation; the unit.

    Raises:
        ValueError: a character has fewer than two groups.
    """
    if any(len(np.unique(g)) < 2 for g in groups):
        raise ValueError("a character needs two groups of pictures at least")
    means = [_group_means(rows, g) for rows, g in zip(real, groups, strict=True)]
    centres = [rows.mean(axis=0) for rows in means]
    line = centres[1] - centres[0]
    start = float((means[0] @ centres[1]).mean()) - _self_product(means[0])
    end = _self_product(means[1]) - float((means[1] @ centres[0]).mean())
    places = [
        estimate.mean(estimate.by_unit((np.asarray(rows, np.float64) @ line - start) / (end - start), unit), "prompts")
        for rows, unit in zip(asked, prompts, strict=True)
    ]
    first, second = places
    mirrored = Estimate(1 - second.value, 1 - second.high, 1 - second.low, second.n, second.unit, second.reason)
    return Blend(first, mirrored, second.value - first.value)


def _judge(
    tag: str, on: NDArray[np.bool_], look: NDArray[np.int64], names: Sequence[str], shuffles: NDArray[np.int64]
) -> Binding:
    n, total = int(on.sum()), len(on)
    counts = np.bincount(look[on], minlength=len(names))
    top = int(counts.argmax())
    share = float(counts[top]) / n if n else math.nan
    elsewhere = float(np.mean(look[~on] == top)) if n < total else math.nan
    information, p, state = math.nan, math.nan, "rare"
    if total and n > ALWAYS * total:
        state = "always on"
    elif min(n, total - n) >= SUPPORT:
        observed = float(_information(on[None], look, len(names))[0])
        null = _information(on[shuffles], look, len(names))
        room = _entropy(np.array([n, total - n]) / total) - float(null.mean())
        information = (observed - float(null.mean())) / room if room > 1e-12 else 0.0
        p = (1 + int((null >= observed - 1e-12).sum())) / (1 + len(null))
        state = "free"
    return Binding(tag, n, information, p, names[top], share, elsewhere, state)


def _finer(on: NDArray[np.bool_], look: NDArray[np.int64], rounds: int, rng: np.random.Generator) -> float:
    """The same p from many more rounds, without permuting pictures.

    With the looks and the number of pictures that carry the tag held fixed, a permuted tag's counts by look are
    multivariate hypergeometric (Freeman & Halton 1951, after Fisher), so they are drawn themselves. The observed one
    counts among the rounds, since p is never 0 (Phipson & Smyth 2010).
    """
    totals = np.bincount(look)
    totals = totals[totals > 0]
    drawn = rng.multivariate_hypergeometric(totals, int(on.sum()), size=rounds, method="marginals")
    own = np.array([int(on[look == one].sum()) for one in np.unique(look)])
    table = _of_counts(np.vstack([own, drawn]), totals)
    return float((table >= table[0] - 1e-12).sum()) / (1 + rounds)


def _of_counts(carrying: NDArray[np.integer], totals: NDArray[np.integer]) -> Floats:
    """Mutual information in nats of tag and look, [rounds], from the counts by look of those that carry the tag."""
    joint = np.stack([carrying, totals - carrying], axis=1) / totals.sum()  # [rounds, 2, looks]
    independent = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    safe = np.where(joint > 0, joint / np.where(independent > 0, independent, 1), 1.0)
    found: Floats = (joint * np.log(safe)).sum(axis=(1, 2))
    return found


def _holm(found: list[Binding]) -> list[Binding]:
    """Holm 1979 over the tested tags; sorted by information, untested ones last."""
    tested = sorted((b for b in found if b.p == b.p), key=lambda b: b.p)
    highest, judged = 0.0, []
    for rank, b in enumerate(tested):
        highest = max(highest, min(1.0, b.p * (len(tested) - rank)))
        state = "bound" if highest < SURE and b.share > b.elsewhere else "free"
        judged.append(Binding(b.tag, b.n, b.information, highest, b.look, b.share, b.elsewhere, state))
    judged.sort(key=lambda b: (-b.information, b.tag))
    return judged + sorted((b for b in found if b.p != b.p), key=lambda b: (-b.n, b.tag))


def _information(on: NDArray[np.bool_], look: NDArray[np.int64], count: int) -> Floats:
    """Mutual information in nats of each row of `on` [rounds, n] with `look` [n]."""
    carrying = on @ np.eye(count, dtype=np.int64)[look]
    return _of_counts(carrying, np.bincount(look, minlength=count))


def _entropy(shares: Floats) -> float:
    p = shares[shares > 0]
    return float(-(p * np.log(p)).sum())


def _commonest(labels: Sequence[str]) -> str:
    return max(sorted(set(labels)), key=list(labels).count)


def _group_means(rows: NDArray[np.floating], groups: NDArray[np.generic]) -> Floats:
    """[groups, d]."""
    means: Floats = np.array([rows[groups == g].mean(axis=0) for g in np.unique(groups)], np.float64)
    return means


def _self_product(rows: Floats) -> float:
    """Mean inner product of two different rows: unbiased for the squared length of their expectation."""
    products = rows @ rows.T
    n = len(rows)
    return float((products.sum() - np.trace(products)) / (n * (n - 1)))
