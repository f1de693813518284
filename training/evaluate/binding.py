"""M7, binding after training: what a bound tag drags along, and how two characters of one LoRA blend (C1, C5, C6).

Not for which tags a set binds: that is `diversity.binding`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluate import estimate
from training.evaluate.estimate import Estimate, Floats

Four = tuple[Floats, Floats, Floats, Floats]  # LoRA with the tag, LoRA without, base with, base without


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


def relief(weaker: Four, softer: Four) -> Estimate:
    """What lowering a tag's weight in the prompt takes off beyond what lowering the LoRA as far does (claim C6).

    Args:
        weaker: Scores as `difference_in_differences` takes them, the LoRA at a lower weight.
        softer: The LoRA at its full weight and the tag at the lower one, the base's tag too.

    Returns:
        What the tag drags along with the weaker LoRA less what it does where it is softer itself: above 0, lowering the
        tag helps more.

    Raises:
        ValueError: the shapes differ.
    """
    first, second, third, fourth = (weak - soft for weak, soft in zip(weaker, softer, strict=True))
    return difference_in_differences(first, second, third, fourth)


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


def _group_means(rows: NDArray[np.floating], groups: NDArray[np.generic]) -> Floats:
    """[groups, d]."""
    means: Floats = np.array([rows[groups == g].mean(axis=0) for g in np.unique(groups)], np.float64)
    return means


def _self_product(rows: Floats) -> float:
    """Mean inner product of two different rows: unbiased for the squared length of their expectation."""
    products = rows @ rows.T
    n = len(rows)
    return float((products.sum() - np.trace(products)) / (n * (n - 1)))
