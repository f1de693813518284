"""Positive controls through the whole evaluator, with made-up pictures in the place of what the LoRA draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image
from toys import Draw, at

from training import base as bases
from training import lora
from training.base import Base
from training.evaluate import verdict
from training.evaluate.lora import Evaluation, Tools, evaluate_lora
from training.evaluate.sets import EvaluationSets, Material, Prompt
from training.judges import Judgement
from training.lora import Adapter, LoraSettings

QUICK = toys.QUICK.model_copy(update={"weights": (0.5,), "keyword_weights": (0.5,), "novel_seeds": 2})


class Court:
    """Judges that see how bright a picture is, and whether it is red."""

    def predict(self, pictures: Sequence[Image.Image]) -> dict[str, Judgement]:
        means = [np.asarray(p, np.float64).reshape(-1, 3).mean(axis=0) for p in pictures]
        sure, shown = np.ones(len(means), np.float32), np.ones(len(means), bool)
        light = tuple("light" if mean.mean() > 110 else "dark" for mean in means)
        hair = tuple("red" if mean[0] > mean[1] + 40 else "other" for mean in means)
        return {"background": Judgement(light, sure, shown), "hair_colour": Judgement(hair, sure, shown)}


@pytest.fixture(scope="module")
def world(sd1_folder: Path) -> tuple[Base, Adapter, EvaluationSets]:
    base = bases.load(sd1_folder, device="cpu")
    sets = replace(toys.sets(base), prior=toys.material(base, 4, 9))
    return base, lora.attach(base, LoraSettings(rank=1)), sets


def evaluated(
    world: tuple[Base, Adapter, EvaluationSets], draw: Draw, monkeypatch: pytest.MonkeyPatch, court: bool = False
) -> Evaluation:
    """The evaluation of a LoRA that draws what `draw` says."""
    toys.draws(monkeypatch, draw)
    tools = Tools(features=toys.Toy(), judges=Court() if court else None)  # type: ignore[arg-type]
    return evaluate_lora(*world, QUICK, tools)


def test_a_lora_that_only_copies_is_told(
    world: tuple[Base, Adapter, EvaluationSets], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, fresh = world[2].train, toys.pictures(40, 77)

    def draw(number: int, weight: float, prompt: str) -> Image.Image:
        return train.pictures[number % len(train)] if weight else fresh[number % 40]

    found = evaluated(world, draw, monkeypatch)
    assert at(found, "copies.share", weight=1.0) == 1
    assert at(found, "memory.copied", weight=1.0) == 1
    assert at(found, "memory.nearer", weight=1.0) > 0.9
    assert at(found, "memory.copied", weight=0.0) < 0.5
    told = verdict.judge(found, world[2])
    assert told.state == "copies"
    assert "copies of training pictures" in told.headline
    assert any("is copied" in line for line in told.data)


def test_recolouring_towards_the_set_is_migration_and_grows_with_the_weight(
    world: tuple[Base, Adapter, EvaluationSets], monkeypatch: pytest.MonkeyPatch
) -> None:
    red = replace(world[2].train, pictures=tuple(Image.new("RGB", (64, 64), (190, 30, 40 + i)) for i in range(10)))
    sets = replace(world[2], train=red)

    def draw(number: int, weight: float, prompt: str) -> Image.Image:
        pixels = np.random.default_rng(number).integers(60, 200, (32, 32, 3)).astype(np.float64)
        keyword = 0.5 if ":0.5)" in prompt else 1.0
        share = 0.8 * weight**0.2 * keyword if weight else 0.0  # as C6 says: the LoRA's weight hardly helps
        return Image.fromarray((pixels * (1 - share) + np.array([190, 30, 45]) * share).astype(np.uint8))

    found = evaluated((world[0], world[1], sets), draw, monkeypatch)
    low, full = (
        at(found, "colour.towards", part="colour", prompts="unrelated", weight=weight) for weight in (0.5, 1.0)
    )
    assert 0.4 < low < full < 0.95
    assert at(found, "colour.specific", prompts="unrelated", weight=1.0) > 0.1
    assert at(found, "colour.slope", knob="lora") > 0
    assert at(found, "colour.relief", weight=0.5) > 0.1
    told = verdict.judge(found, sets)
    assert any(one.topic == "colours" and one.state == "bad" for one in told.evidence)


def test_judges_tell_control_looks_and_leak(
    world: tuple[Base, Adapter, EvaluationSets], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The LoRA makes everything red whatever is asked: looks learnt, leaking without the trigger, prompts lost."""
    looks = {"hair_colour": "red"}
    prompts = [Prompt(f"hero, view {i}", "subject", looks, (), "full_body", f"view {i}") for i in range(3)]
    prompts += [Prompt(f"hero, light {i}", "novel", {"background": "light"}, ("background",)) for i in range(3)]
    prompts += [Prompt(f"a tree {i}", "unrelated") for i in range(3)]
    sets = replace(world[2], prompts=tuple(prompts))

    def draw(number: int, weight: float, prompt: str) -> Image.Image:
        if weight:
            return Image.new("RGB", (32, 32), (150, 20 + number % 5, 30))
        return Image.new("RGB", (32, 32), (180, 180, 200 + number % 7) if "light" in prompt else (90, 90, 90))

    found = evaluated((world[0], world[1], sets), draw, monkeypatch, court=True)
    assert at(found, "control.difference", by="judges") == -1
    assert at(found, "drift.change", weight=1.0) > 0.1
    assert at(found, "looks.difference", by="judges") == 1
    assert at(found, "looks.view", view="full_body", weight=1.0) == 1
    assert at(found, "truth.right", attribute="hair_colour", kind="subject", weight=0.0) == 0
    assert at(found, "leak.leak", by="judges") == at(found, "leak.effect", by="judges") == 1
    told = verdict.judge(found, sets)
    assert any(one.topic == "control" and one.state == "bad" for one in told.evidence)


def test_a_collapsed_lora_loses_variety(
    world: tuple[Base, Adapter, EvaluationSets], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = toys.pictures(60, 5)
    found = evaluated(world, lambda n, weight, _: fresh[0] if weight else fresh[n % 60], monkeypatch)
    assert at(found, "variety.lora") == pytest.approx(1)
    assert at(found, "variety.ratio") < 0.6


def test_tags_bound_in_the_set_are_found_and_view_words_are_not(
    world: tuple[Base, Adapter, EvaluationSets], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = world[0]
    views = ["headshot/front", "full_body/back"] * 8
    captions = [
        f"hero, {'wink' if i % 2 == 0 else 'sitting'}, {'portrait' if i % 2 == 0 else 'full body'}" for i in range(16)
    ]
    shades = [Image.new("RGB", (64, 64), (200, 40 + i, 40) if i % 2 == 0 else (40, 40 + i, 200)) for i in range(16)]
    train = Material.of(base, shades, captions, [f"t{i}" for i in range(16)], views=views)
    monkeypatch.setitem(globals(), "QUICK", QUICK.model_copy(update={"binding_tags": 1}))

    def draw(number: int, weight: float, prompt: str) -> Image.Image:
        """With the LoRA, "wink" drags the reddish headshots along, "sitting" the bluish bodies."""
        if weight and ("wink" in prompt or "sitting" in prompt):
            return shades[0 if "wink" in prompt else 1]
        return toys.pictures(1, number)[0]

    found = evaluated((base, world[1], replace(world[2], train=train)), draw, monkeypatch)
    assert at(found, "binding.after") > 0.2
    tags = {
        json.loads(row["settings"])["tag"]: json.loads(row["settings"])["state"]
        for row in found.rows.to_dicts()
        if row["measure"] == "binding.before"
    }
    assert tags == {"wink": "bound", "sitting": "bound"}
    told = verdict.judge(found, replace(world[2], train=train))
    assert any("wink" in line and "delete the tag" in line for line in told.data)
