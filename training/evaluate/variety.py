"""Variety of generations: how many different pictures a prompt's seeds give, against the base at equal n.

Not for the richness of a set of training pictures: that is `diversity.richness`, whose Vendi score is used here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diversity import richness
from training.evaluate import estimate
from training.evaluate.estimate import Estimate, Floats

LEAST_SEEDS = 4  # per prompt; below this a Vendi score has no room to fall


@dataclass(frozen=True)
class Variety:
    """How different the pictures of one prompt are.

    Attributes:
        ratio: Geometric mean over prompts of Vendi(LoRA) / Vendi(base); 1 is unchanged, 1 / base's score is collapse.
        lora, base: Mean Vendi scores, 1..seeds.
        seeds: Pictures of a prompt on both sides; a Vendi score grows with it.
    """

    ratio: Estimate
    lora: Estimate
    base: Estimate
    seeds: int


def scores(vectors: NDArray[np.floating], centre: Floats | None = None) -> Floats:
    """Vendi score of each prompt: [prompts, seeds, d], unit rows → [prompts]."""
    found: Floats = np.array([richness.vendi(rows, centre=centre) for rows in vectors])
    return found


def variety(lora: NDArray[np.floating], base: NDArray[np.floating], centre: Floats | None = None) -> Variety:
    """Compare variety at equal prompts and seeds.

    Args:
        lora, base: [prompts, seeds, d], unit rows of one encoder.
        centre: [d], the encoder's mean picture; see `diversity.richness`.

    Raises:
        ValueError: the shapes differ: Vendi scores of different n are not comparable.
    """
    if lora.shape != base.shape or lora.ndim != 3:
        raise ValueError(f"vectors of shapes {lora.shape} and {base.shape}")
    seeds = lora.shape[1]
    if seeds < LEAST_SEEDS:
        nothing = estimate.unknown("prompts", f"fewer than {LEAST_SEEDS} seeds a prompt", len(lora))
        return Variety(nothing, nothing, nothing, seeds)
    own, reference = scores(lora, centre), scores(base, centre)
    logs = estimate.mean(np.log(own / reference), "prompts")
    value, low, high = np.exp([logs.value, logs.low, logs.high]).tolist()
    ratio = Estimate(value, low, high, logs.n, logs.unit, logs.reason)
    return Variety(ratio, estimate.mean(own, "prompts"), estimate.mean(reference, "prompts"), seeds)


def across(lora: NDArray[np.floating], base: NDArray[np.floating], centre: Floats | None = None) -> Estimate:
    """Vendi(LoRA) / Vendi(base) of pictures of different prompts, one of each: are prompts answered alike?

    For sample folders, which mostly hold one seed a prompt. The interval leaves out one pair at a time (jackknife of
    the logarithm); the pair is the unit.

    Args:
        lora, base: [n, d], unit rows, at equal prompts and seeds.
        centre: As for `variety`.

    Raises:
        ValueError: the shapes differ.
    """
    if lora.shape != base.shape or lora.ndim != 2:
        raise ValueError(f"vectors of shapes {lora.shape} and {base.shape}")
    n = len(lora)
    if n < LEAST_SEEDS:
        return estimate.unknown("samples", f"fewer than {LEAST_SEEDS} samples", n)

    def log_ratio(rows: NDArray[np.int64]) -> float:
        own, reference = richness.vendi(lora[rows], centre=centre), richness.vendi(base[rows], centre=centre)
        return float(np.log(own / reference))

    everything = np.arange(n)
    value = log_ratio(everything)
    left_out = np.array([log_ratio(np.delete(everything, i)) for i in range(n)])
    spread = estimate.mean(n * value - (n - 1) * left_out, "samples")
    half = (spread.high - spread.low) / 2
    low, middle, high = np.exp([value - half, value, value + half]).tolist()
    return Estimate(middle, low, high, n, "samples")
