"""What a run will do, from the settings and the pictures: steps, rank, how often it measures, and why.

Not for doing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training import advice
from training.config import TrainConfig
from training.data import TrainingData
from training.pictures import SELECTION, Picture

LONGEST_UNSAVED = 200  # steps


@dataclass(frozen=True)
class Plan:
    """A run's settings with nothing left open.

    Attributes:
        config: As given; steps, rank and intervals filled in.
        reasons: One sentence each: where the numbers come from, and what the exposures will be.
    """

    config: TrainConfig
    reasons: tuple[str, ...]


def decide(data: TrainingData, config: TrainConfig) -> Plan:
    """Fill in what the settings leave open."""
    found = advice.richness(data.train)
    per_step = config.batch_size * config.accumulate
    own = sum(p.exposures for p in data.train if p.source == SELECTION)
    share = own / sum(p.exposures for p in data.train)
    advised = advice.steps(found, exposures=config.exposures, per_step=per_step, share=share)
    rank = advice.rank(found)
    steps = config.steps or advised.value
    reasons = [advised.reason if config.steps is None else f"{steps} steps, as asked. Advice: {advised.reason}"]
    changes: dict[str, object] = {
        "steps": steps,
        "validate_every": config.validate_every or max(1, -(-steps // 5)),
        "sample_every": config.sample_every or max(1, -(-steps // 4)),
        "save_every": config.save_every or min(LONGEST_UNSAVED, max(1, -(-steps // 10))),
    }
    shape: dict[str, int] = {}
    if "rank" not in config.lora.model_fields_set:
        shape["rank"] = rank.value
        reasons.append(rank.reason)
    elif config.lora.rank != rank.value:
        reasons.append(f"Rank {config.lora.rank}, as asked. Advice: {rank.reason}")
    if "seed" not in config.lora.model_fields_set:
        shape["seed"] = config.seed
    changes["lora"] = config.lora.model_copy(update=shape)
    return Plan(config.model_copy(update=changes), (*reasons, *_exposures(data.train, steps * per_step)))


def _exposures(train: Sequence[Picture], total: int) -> list[str]:
    """What the selection and every other source get, and what of it will never be seen."""
    each = np.array([p.exposures for p in train])
    each = each / each.sum() * total
    names = list(dict.fromkeys(p.source for p in train))
    own = sum(e for p, e in zip(train, each, strict=True) if p.source == SELECTION)
    sentences = []
    for name in names:
        part = np.array([e for p, e in zip(train, each, strict=True) if p.source == name])
        beside = "" if name == SELECTION else f", {part.sum() / own:.2f} per exposure of the selection"
        sentences.append(
            f"{name}: {len(part)} pictures, {part.sum():,.0f} exposures{beside}; "
            f"each is seen {part.min():.1f} to {part.max():.1f} times."
        )
        unseen = round(float(np.clip(1 - part, 0, None).sum()))
        if unseen:
            sentences.append(f"About {unseen} of the {len(part)} pictures of '{name}' will never be seen.")
    return sentences
