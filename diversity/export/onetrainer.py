"""OneTrainer: `concepts.json` with one concept per weight, balanced by the number of samples in an epoch.

Not for training options: a concepts file holds only data.
"""

from __future__ import annotations

import json
from typing import Any

from diversity.export import captions
from diversity.export.classes import Format, Layout, WeightClass

CONFIG = "concepts.json"


def _files(layout: Layout) -> dict[str, str]:
    concepts = [_concept(layout, one, number) for number, one in enumerate(layout.classes)]
    return {CONFIG: json.dumps(concepts, indent=2, ensure_ascii=False) + "\n"}


def _concept(layout: Layout, one: WeightClass, number: int) -> dict[str, Any]:
    """Only what differs from OneTrainer's defaults, which fill in the rest.

    SAMPLES rather than REPEATS: with repeats OneTrainer takes the floor of pictures × repeats, which is none for a
    lone picture below 1. Its window moves on from epoch to epoch, so that every picture of a concept gets its turn.
    Flips are on by default there; they are off here because they harm what is not symmetric.
    """
    kept = len(captions.tags(layout.options.trigger or ""))
    return {
        "__version": 1,
        "name": one.folder,
        "path": layout.folder(one),
        "seed": number,
        "enabled": True,
        "type": "STANDARD",
        "include_subdirectories": False,
        "image_variations": 1,
        "text_variations": 1,
        "balancing": float(one.times),
        "balancing_strategy": "SAMPLES",
        "loss_weight": 1.0,
        "image": {"enable_crop_jitter": False, "enable_random_flip": False},
        "text": {"prompt_source": "sample", "keep_tags_count": kept or 1},
    }


def _advice(layout: Layout) -> tuple[str, ...]:
    first = f"In OneTrainer's concepts tab load {CONFIG} (copy it into `training_concepts`)."
    if layout.control:
        return first, "Turn on conditioning images for a model that edits; they lie beside as -condlabel.png."
    return (first,)


write = Format("onetrainer", 512, _files, _advice, total=True, beside="-condlabel").write
