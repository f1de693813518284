"""Stacking a style LoRA on a character's (C13): share of dark outlines, and whether the character survives it.

Not for training either of them.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from training.base import Base
from training.evaluate import estimate
from training.evaluate.estimate import Estimate, Floats
from training.evaluate.sets import Prompt
from training.evaluate.settings import EvaluateSettings
from training.generate import GenerationPlan, Sample, generate
from training.judges import Judges
from training.lora import Adapter

WEIGHT = 0.3  # of the style, as the field notes say
DARK = 70  # 0..255: the ink of outlined renders is 24


def measure(
    base: Base, adapters: tuple[Adapter, Adapter], prompts: list[Prompt], judges: Judges, settings: EvaluateSettings
) -> dict[str, Estimate]:
    """`stack.outlines` (with the style less without, at equal seeds), `stack.effect` (the style alone at 1 less the
    base), `stack.ratio` (the first in units of the second), `stack.identity` (looks right with the style less without).

    Args:
        base: With both on it.
        adapters: The character's and the style's.
        prompts: Subject prompts with the looks they show.
        judges: See the looks.
        settings: Seeds, steps, guidance.
    """
    subject, style = adapters
    plan = GenerationPlan(
        prompts=tuple(prompt.text for prompt in prompts),
        seeds=tuple(range(settings.first_seed, settings.first_seed + settings.sweep_seeds)),
        weights=(1.0,),
        steps=settings.steps,
        guidance=settings.guidance,
        batch=settings.batch,
    )
    alone = list(generate(base, [subject], plan))
    stacked = list(generate(base, [subject], plan.model_copy(update={"stack": {style.name: WEIGHT}})))
    styled = list(generate(base, [style], plan))
    plain = list(generate(base, [], plan))
    units = np.array([sample.prompt_index for sample in alone])
    change = estimate.by_unit(_ink(stacked) - _ink(alone), units)
    effect = estimate.by_unit(_ink(styled) - _ink(plain), units)
    kept = _right(stacked, prompts, judges) - _right(alone, prompts, judges)
    known = np.isfinite(kept)
    return {
        "stack.outlines": estimate.mean(change, "prompts"),
        "stack.effect": estimate.mean(effect, "prompts"),
        "stack.ratio": estimate.ratio(change, effect, "prompts"),
        "stack.identity": estimate.mean(estimate.by_unit(kept[known], units[known]), "prompts"),
    }


def ink(picture: Image.Image) -> float:
    """Share of dark pixels."""
    return float((np.asarray(picture.convert("RGB")).max(axis=2) < DARK).mean())


def _ink(samples: list[Sample]) -> Floats:
    return np.array([ink(sample.picture) for sample in samples])


def _right(samples: list[Sample], prompts: list[Prompt], judges: Judges) -> Floats:
    """Share of a prompt's looks that each picture shows; nan where it has none."""
    found = judges.predict([sample.picture for sample in samples])
    shares = []
    for i, sample in enumerate(samples):
        prompt = prompts[sample.prompt_index]
        looks = [name for name in prompt.shows if name not in prompt.asks and name in found]
        right = [found[name].labels[i] == prompt.shows[name] for name in looks]
        shares.append(float(np.mean(right)) if right else np.nan)
    return np.array(shares)
