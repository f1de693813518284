"""M3/M4: whether the LoRA still follows the prompt, and whether the subject leaks in without its trigger word.

Not for scoring pictures: scores come in as arrays (text similarity, a tagger's recall, the toon world's judges). All
results are differences to the base model at equal prompts and seeds; the prompt is the unit, since seeds of one prompt
are not independent evidence about prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluate import estimate
from training.evaluate.estimate import Estimate, Floats

BY = ("judges", "tagger", "text")  # what answers a prompt, the surest first


@dataclass(frozen=True)
class Control:
    """How far a LoRA answers prompts.

    Attributes:
        lora, base: Mean scores.
        difference: lora - base; below 0 is lost control.
        worst: The prompt (row) that lost most.
    """

    lora: Estimate
    base: Estimate
    difference: Estimate
    worst: int


@dataclass(frozen=True)
class Leak:
    """How much of the subject appears without its trigger word.

    Attributes:
        leak: Likeness to held-out pictures of the subject without the trigger, LoRA - base.
        effect: The same with the trigger: what the LoRA does when asked.
        share: leak / effect: 0 is a clean trigger, 1 a trigger that does nothing.
    """

    leak: Estimate
    effect: Estimate
    share: Estimate


def control(lora: Floats, base: Floats) -> Control:
    """Scores [prompts, seeds] of the LoRA and of the base, same prompts and seeds; larger is closer to the prompt.

    Raises:
        ValueError: the shapes differ.
    """
    change = _paired(lora, base)
    return Control(
        lora=estimate.mean(lora.mean(axis=1), "prompts"),
        base=estimate.mean(base.mean(axis=1), "prompts"),
        difference=estimate.mean(change, "prompts"),
        worst=int(change.argmin()),
    )


def trigger_leak(without: tuple[Floats, Floats], with_trigger: tuple[Floats, Floats]) -> Leak:
    """Likeness to *held-out* pictures [prompts, seeds] as (LoRA, base), prompts without and with the trigger word.

    Never against training pictures: that rewards memorising.

    Raises:
        ValueError: the shapes differ.
    """
    leaked, asked = _paired(*without), _paired(*with_trigger)
    if leaked.shape != asked.shape:
        raise ValueError(f"{len(leaked)} prompts without, {len(asked)} with the trigger")
    effect = estimate.mean(asked, "prompts")
    share = estimate.ratio(leaked, asked, "prompts")
    if not effect.above(0):
        share = estimate.unknown("prompts", "the LoRA has no sure effect with its trigger", len(asked))
    return Leak(estimate.mean(leaked, "prompts"), effect, share)


def _paired(lora: Floats, base: Floats) -> Floats:
    """Mean difference of every prompt: [prompts, seeds] twice → [prompts]."""
    if lora.shape != base.shape or lora.ndim != 2:
        raise ValueError(f"scores of shapes {lora.shape} and {base.shape}")
    change: Floats = np.asarray((lora - base).mean(axis=1), np.float64)
    return change
