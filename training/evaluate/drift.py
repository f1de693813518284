"""How far a LoRA moves pictures that have nothing to do with its subject, against what another seed would (claim C13).

Not for which way they move: colours towards the training set are `migration.py`. Same prompt, same noise, no trigger:
a LoRA that only nudges the base leaves them where they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluate import estimate
from training.evaluate.estimate import Estimate, Floats

Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class Drift:
    """What a LoRA does to unrelated pictures.

    Attributes:
        share: change / chance, ratio of sums over prompts: 0 nothing moves, 1 as far as another seed would.
        change: Mean 1 - cosine of the LoRA's picture and the base's at equal noise, 0..2.
        chance: Mean 1 - cosine of the base's own seeds of a prompt.
    """

    share: Estimate
    change: Estimate
    chance: Estimate


def drift(lora: Vectors, base: Vectors, centre: Floats | None = None) -> Drift:
    """Compare unrelated pictures at equal prompts and seeds.

    Args:
        lora, base: [prompts, seeds, d], unit rows of one encoder.
        centre: [d], the encoder's mean picture, taken away before cosines; see `diversity.richness`.

    Raises:
        ValueError: the shapes differ.
    """
    if lora.shape != base.shape or lora.ndim != 3:
        raise ValueError(f"vectors of shapes {lora.shape} and {base.shape}")
    seeds = lora.shape[1]
    own, plain = _centred(lora, centre), _centred(base, centre)
    change = 1 - (own * plain).sum(axis=2).mean(axis=1)
    if seeds < 2:
        nothing = estimate.unknown("prompts", "a single seed a prompt", len(lora))
        return Drift(nothing, estimate.mean(change, "prompts"), nothing)
    alike = plain @ plain.transpose(0, 2, 1)
    chance = 1 - (alike.sum(axis=(1, 2)) - np.trace(alike, axis1=1, axis2=2)) / (seeds * (seeds - 1))
    share = estimate.ratio(change, chance, "prompts")
    return Drift(share, estimate.mean(change, "prompts"), estimate.mean(chance, "prompts"))


def _centred(vectors: Vectors, centre: Floats | None) -> Floats:
    moved = np.asarray(vectors, np.float64) - (0 if centre is None else centre)
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=2, keepdims=True), 1e-12), np.float64)
