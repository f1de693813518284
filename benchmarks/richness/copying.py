"""Whether subject pictures are nearer to what was trained on than to held-out pictures drawn alike: in pixels, and to
an encoder.

Not for the arithmetic: that is `truth.copied`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from benchmarks.richness import truth
from benchmarks.richness.sets import Cast
from training.evaluate.drawing import Gallery
from training.evaluate.estimate import Estimate
from training.evaluate.features import Features
from training.evaluate.sets import EvaluationSets

DETAILS = 8  # held-out pictures of the shoes: the last of the turntable, which no set trains on


def measures(gallery: Gallery, on: EvaluationSets, cast: Cast, arm: str, features: Features) -> dict[str, Estimate]:
    """`truth.copied` in pixels, the same of the shoes among details alone, and `memory.own` to the encoder; all at LoRA
    weight 1, 0.5 is chance.
    """
    main = [row for place in gallery.places("subject", 1.0) for row in gallery.rows(place)]
    drawn = [gallery.pictures[row] for row in main]
    prompts = [one.text for one in drawn]
    train, own, key = on.train, on.held_out["own"], f"{cast.subject.name}/{arm}"
    pixels = _small([one.picture for one in drawn])
    detail = np.array([one.place.prompt.view.startswith("detail") for one in drawn], bool)
    shoes = [i for i, view in enumerate(train.views) if view.startswith("detail")]
    held_shoes = [Image.fromarray(item.pixels) for item in cast.pool.part("turn/detail")[-DETAILS:]]
    return {
        "truth.copied": truth.copied(pixels, prompts, _small(train.pictures), train.groups, _small(own.pictures), key),
        "truth.copied_shoes": truth.copied(
            pixels[detail],
            [text for text, is_detail in zip(prompts, detail, strict=True) if is_detail],
            _small([train.pictures[i] for i in shoes]),
            [train.groups[i] for i in shoes],
            _small(held_shoes),
            key,
        ),
        "memory.own": truth.copied(
            features.encode_images([one.picture for one in drawn]),
            prompts,
            features.encode_images(train.pictures),
            train.groups,
            features.encode_images(own.pictures),
            key,
        ),
    }


def _small(pictures: Sequence[Image.Image]) -> truth.Rows:
    """float32 [n, pixels]."""
    rows = [truth.small(picture) for picture in pictures]
    return np.stack(rows) if rows else np.empty((0, 3 * truth.SIDE**2), np.float32)
