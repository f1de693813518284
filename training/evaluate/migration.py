"""M5, colour migration: unrelated pictures move towards the colours of the training set (claims C3, C6).

Not for making palettes: that is `colour.py`. A prompt that has nothing to do with the subject is drawn by the base and
by the LoRA with the same noise; what the LoRA changes is measured towards the training palette T and, to tell migration
from mere change, towards a control palette.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluate import estimate
from training.evaluate.colour import Palette, distance
from training.evaluate.estimate import Estimate, Floats

PARTS = ("colour", "chroma", "lightness")
LEAST_WAY = 1.0  # CIELAB units, mean distance from the base to the target below which there is no way to go


@dataclass(frozen=True)
class Migration:
    """What a LoRA does to the colours of unrelated prompts.

    Attributes:
        towards: part → share of the way to the training palette, sum of [SW(b,T) - SW(g,T)] over sum of SW(b,T): 0 the
            base's colours, 1 the training set's, below 0 away from them.
        specific: The same less the share towards the control palette; only this being above 0 is migration. nan
            without a control.
        change: Mean SW(g, b), CIELAB units, at equal noise.
        chance: Mean SW(b, b') of the base's own seeds of one prompt: how far pictures differ anyway. None with one
            seed.
    """

    towards: dict[str, Estimate]
    specific: Estimate
    change: Estimate
    chance: Estimate | None


@dataclass(frozen=True)
class Curve:
    """Migration over a weight: of the LoRA, or of one keyword.

    Attributes:
        weights: Ascending.
        towards: Share of the way at each, colour.
        slope: Per unit of weight, least squares within each prompt; the knob helps where it is sure to be above 0.
    """

    weights: tuple[float, ...]
    towards: tuple[Estimate, ...]
    slope: Estimate


def migration(
    lora: Sequence[Palette],
    base: Sequence[Palette],
    prompts: NDArray[np.generic],
    training: Palette,
    control: Palette | None = None,
) -> Migration:
    """Colour migration at one weight.

    Args:
        lora, base: [n] palettes at equal prompt and seed.
        prompts: [n] prompt of each; the unit.
        training: Pooled palette of the training set, cut-outs excluded.
        control: Palette of another set, or of this one with its hues turned (`colour.turned`).

    Raises:
        ValueError: the lengths differ.
    """
    if not len(lora) == len(base) == len(prompts):
        raise ValueError(f"{len(lora)} and {len(base)} palettes of {len(prompts)} prompts")
    towards = {}
    for part in PARTS:
        moved, way = _moved(lora, base, prompts, training, part)
        towards[part] = _share(moved, way)
    return Migration(
        towards,
        _specific(lora, base, prompts, (training, control)),
        estimate.mean(estimate.by_unit(_pairwise(lora, base), prompts), "prompts"),
        _chance(base, prompts),
    )


def curve(sweep: Mapping[float, Sequence[Palette]], prompts: NDArray[np.generic], training: Palette) -> Curve:
    """Migration over weights; the palettes of weight 0 are the base.

    Args:
        sweep: Weight → [n] palettes at equal prompts and seeds.
        prompts: [n] prompt of each; the unit.
        training: As for `migration`.

    Raises:
        ValueError: weight 0 is missing.
    """
    if 0.0 not in sweep:
        raise ValueError("a sweep needs weight 0, the base")
    weights = tuple(sorted(sweep))
    rows = [_moved(sweep[w], sweep[0.0], prompts, training, "colour") for w in weights]
    towards = tuple(_share(moved, way) for moved, way in rows)
    way = rows[0][1]
    moved = np.array([part for part, _ in rows])  # [weights, prompts]
    centred = np.array(weights) - np.mean(weights)
    slopes = centred @ moved / (centred @ centred) if centred.any() else np.zeros(len(way))
    return Curve(weights, towards, _share(slopes, way))


def relief(
    weaker: tuple[Sequence[Palette], Sequence[Palette]],
    softer: tuple[Sequence[Palette], Sequence[Palette]],
    prompts: NDArray[np.generic],
    training: Palette,
) -> Estimate:
    """What lowering the keyword's weight helps beyond lowering the LoRA's as far (claim C6), share of the way.

    Args:
        weaker: [n] palettes with the LoRA at a lower weight, and the base's, at equal prompt and seed.
        softer: The same with the LoRA at full weight and the keyword at the lower one, the base's at that one too.
        prompts: [n] prompt of each; the unit.
        training: Pooled palette of the training set.

    Returns:
        Migration left with the weaker LoRA less that with the softer keyword: above 0, the keyword helps more.
    """
    return _apart(*(_moved(lora, base, prompts, training, "colour") for lora, base in (weaker, softer)))


def _share(moved: Floats, way: Floats) -> Estimate:
    """Sum of the moves over the sum of the ways; unknown where the base is already there."""
    if len(way) and way.mean() < LEAST_WAY:
        return estimate.unknown("prompts", "the base has these colours already", len(way))
    return estimate.ratio(moved, way, "prompts")


def _moved(
    lora: Sequence[Palette], base: Sequence[Palette], prompts: NDArray[np.generic], target: Palette, part: str
) -> tuple[Floats, Floats]:
    """Per prompt: how far the LoRA came nearer to `target`, and how far the base is from it."""
    start = np.array([distance(b, target, part) for b in base])
    end = np.array([distance(g, target, part) for g in lora])
    return estimate.by_unit(start - end, prompts), estimate.by_unit(start, prompts)


def _specific(
    lora: Sequence[Palette],
    base: Sequence[Palette],
    prompts: NDArray[np.generic],
    targets: tuple[Palette, Palette | None],
) -> Estimate:
    """Share of the way to the training palette less that to the control."""
    training, control = targets
    if control is None:
        return estimate.unknown("prompts", "no control palette")
    return _apart(*(_moved(lora, base, prompts, target, "colour") for target in (training, control)))


def _apart(first: tuple[Floats, Floats], second: tuple[Floats, Floats]) -> Estimate:
    """Difference of two shares of the same prompts, each (moves, ways), with a delete-one-prompt jackknife."""
    (moved, way), (moved_c, way_c) = first, second
    n = len(way)
    if n == 0 or min(way.mean(), way_c.mean()) < LEAST_WAY:
        return estimate.unknown("prompts", "the base has these colours already", n)
    value = float(moved.sum() / way.sum() - moved_c.sum() / way_c.sum())
    if n == 1:
        return Estimate(value, np.nan, np.nan, 1, "prompts", "a single one of the prompts has no interval")
    left_out = (moved.sum() - moved) / (way.sum() - way) - (moved_c.sum() - moved_c) / (way_c.sum() - way_c)
    pseudo = n * value - (n - 1) * left_out
    around = estimate.mean(pseudo, "prompts")
    half = (around.high - around.low) / 2
    return Estimate(value, value - half, value + half, n, "prompts")


def _pairwise(first: Sequence[Palette], second: Sequence[Palette]) -> Floats:
    return np.array([distance(a, b) for a, b in zip(first, second, strict=True)])


def _chance(base: Sequence[Palette], prompts: NDArray[np.generic]) -> Estimate | None:
    """Mean distance between the base's seeds of one prompt, over prompts with two seeds or more."""
    found = []
    for prompt in np.unique(prompts):
        mine = [base[i] for i in np.flatnonzero(prompts == prompt).tolist()]
        pairs = [distance(a, b) for i, a in enumerate(mine) for b in mine[i + 1 :]]
        if pairs:
            found.append(float(np.mean(pairs)))
    return estimate.mean(np.array(found), "prompts") if found else None
