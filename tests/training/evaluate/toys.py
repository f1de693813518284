"""A toy encoder, material and settings for the evaluator's tests on the tiny base."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from PIL import Image

from training.base import Base
from training.evaluate import drawing
from training.evaluate.lora import Evaluation
from training.evaluate.sets import EvaluationSets, Material, Prompt
from training.evaluate.settings import EvaluateSettings
from training.generate import GenerationPlan, Sample
from training.lora import Adapter

Draw = Callable[[int, float, str], Image.Image]  # number of a picture, weight of the LoRA (0: base), prompt

VIEWS = ("headshot/front", "full_body/back", "full_body/front")
QUICK = EvaluateSettings(
    timesteps=3,
    noises=1,
    pictures=8,
    weights=(0.5,),
    keyword_weights=(0.5,),
    seeds=4,
    novel_seeds=1,
    unrelated_seeds=2,
    sweep_unrelated_seeds=2,
    untriggered_seeds=1,
    sweep_seeds=2,
    caption_pictures=4,
    binding_tags=0,
    steps=1,
    guidance=1.0,
    size=(32, 32),
)


class Toy:
    """Sees a picture as its pixels, 4 × 4, and a text as its letters."""

    id, name = "toy", "toy encoder"

    def encode_images(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        rows = np.stack([np.asarray(p.convert("RGB").resize((4, 4)), np.float32).ravel() - 100.5 for p in pictures])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.stack([np.random.default_rng([ord(c) for c in text]).normal(size=48) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def pictures(n: int, seed: int, side: int = 64) -> list[Image.Image]:
    """A square on a plain ground, all different."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        pixels = np.empty((side, side, 3), np.uint8)
        pixels[:] = rng.integers(0, 200, 3)
        x, y = rng.integers(4, side // 2, 2)
        pixels[y : y + side // 3, x : x + side // 3] = rng.integers(60, 255, 3)
        found.append(Image.fromarray(pixels))
    return found


def material(base: Base, n: int, seed: int) -> Material:
    captions = [f"hero, {('smile', 'hat')[i % 2]}, full body" for i in range(n)]
    groups = [f"{seed}-{i // 2}" for i in range(n)]
    return Material.of(base, pictures(n, seed), captions, groups, views=[VIEWS[i % 3] for i in range(n)])


def prompts() -> tuple[Prompt, ...]:
    return (
        Prompt("hero, full body", "subject", view="full_body", bare="full body"),
        Prompt("hero, smile", "subject", view="headshot/front", bare="smile"),
        Prompt("hero, red dress", "novel"),
        Prompt("hero, green shoes", "novel"),
        Prompt("a boy", "unrelated"),
        Prompt("white hat", "unrelated"),
    )


def sets(base: Base, n: int = 10) -> EvaluationSets:
    return EvaluationSets(material(base, n, 1), {"common": material(base, n, 2)}, None, prompts(), "hero")


def draws(monkeypatch: pytest.MonkeyPatch, draw: Draw) -> None:
    """From now on a LoRA, and the base, draw what `draw` says."""

    def generate(base: Base, adapters: Sequence[Adapter], plan: GenerationPlan) -> Iterator[Sample]:
        weight = plan.weights[0] if adapters else 0.0
        for index, prompt in enumerate(plan.prompts):
            for number, seed in enumerate(plan.seeds):
                yield Sample(draw(sum(map(ord, prompt)) * 7 + number, weight, prompt), prompt, index, seed, weight)

    monkeypatch.setattr(drawing, "generate", generate)


def at(found: Evaluation, measure: str, **settings: object) -> float:
    """The first value of a measure whose settings agree."""
    values = [
        row["value"]
        for row in found.rows.to_dicts()
        if row["measure"] == measure and settings.items() <= json.loads(row["settings"]).items()
    ]
    assert values, f"{measure} {settings}"
    return float(values[0])
