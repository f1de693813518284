"""Claim C6 on bound tags: is the tag's weight in the prompt the better knob, or the LoRA's?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image
from toys import at

from training import base as bases
from training import lora
from training.base import Base
from training.evaluate import verdict
from training.evaluate.binding import difference_in_differences, relief
from training.evaluate.bound import _tags
from training.evaluate.lora import Evaluation, Tools, evaluate_lora
from training.evaluate.sets import EvaluationSets, Material, Prompt
from training.evaluate.settings import EvaluateSettings
from training.lora import Adapter, LoraSettings

LESS = {"pictures": 2, "weights": (), "caption_pictures": 0}
SETTINGS = toys.QUICK.model_copy(update={"binding_tags": 1, "novel_seeds": 2, **LESS})
TAG = "wink (left)"  # with brackets, as tags of a series have
World = tuple[Base, Adapter, EvaluationSets]


@pytest.fixture(scope="module")
def world(sd1_folder: Path) -> World:
    """Sixteen pictures: the tag with all reddish headshots and with nothing else."""
    base = bases.load(sd1_folder, device="cpu")
    shades = [Image.new("RGB", (64, 64), (200, 40 + i, 40) if i % 2 == 0 else (40, 40 + i, 200)) for i in range(16)]
    captions = [f"hero, {TAG}" if i % 2 == 0 else "hero" for i in range(16)]
    views = ["headshot/front", "full_body/back"] * 8
    train = Material.of(base, shades, captions, [f"t{i}" for i in range(16)], views=views)
    novel = tuple(Prompt(f"hero, place {i}", "novel") for i in range(4))
    return base, lora.attach(base, LoraSettings(rank=1)), replace(toys.sets(base), train=train, prompts=novel)


def drags(
    world: World,
    how: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
    settings: EvaluateSettings = SETTINGS,
) -> Evaluation:
    """A LoRA whose tag drags red along: so far at "full", with a "softer" tag, with a "weaker" LoRA."""

    def draw(number: int, weight: float, prompt: str) -> Image.Image:
        knob = "softer" if r"(wink \(left\):0.5)" in prompt else "weaker" if weight < 1 else "full"
        share = how[knob] if weight and "wink" in prompt else 0.0
        pixels = np.random.default_rng(number % 97).normal((120, 120, 120), 15, (8, 8, 3))
        return Image.fromarray((pixels * (1 - share) + np.array([200, 48, 40]) * share).clip(0, 255).astype(np.uint8))

    toys.draws(monkeypatch, draw)
    return evaluate_lora(*world, settings, Tools(features=toys.Toy()))


def test_where_the_softer_tag_frees_and_the_weaker_lora_does_not_the_claim_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = drags(world, {"full": 0.8, "softer": 0.0, "weaker": 0.8}, monkeypatch)
    assert at(found, "binding.after", tag=TAG) > 0.2
    assert at(found, "binding.softer", keyword_weight=0.5) == pytest.approx(0, abs=0.1)
    assert at(found, "binding.weaker", weight=0.5) > 0.2
    assert at(found, "binding.relief", keyword_weight=0.5) > 0.2
    said = [one.text for one in verdict.judge(found, world[2]).evidence if one.topic == "binding"]
    assert f"“{TAG}” at 0.5 in the prompt drags less of it along than the LoRA at 0.5 of its weight." in said


def test_where_only_the_weaker_lora_frees_the_claim_is_contradicted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = drags(world, {"full": 0.8, "softer": 0.8, "weaker": 0.0}, monkeypatch)
    assert at(found, "binding.relief", keyword_weight=0.5) < -0.2
    said = [one.text for one in verdict.judge(found, world[2]).evidence if one.topic == "binding"]
    assert f"The LoRA at 0.5 of its weight drags less of it along than “{TAG}” at 0.5 in the prompt." in said


def test_an_identity_lora_drags_nothing_along_at_any_weight(world: World) -> None:
    found = evaluate_lora(*world, SETTINGS, Tools(features=toys.Toy()))
    for measure in ("binding.after", "binding.softer", "binding.weaker", "binding.relief"):
        assert at(found, measure, tag=TAG) == pytest.approx(0, abs=1e-9), measure
    assert not any(one.topic == "binding" for one in verdict.judge(found, world[2]).evidence)


FULL = {"full": 0.8, "softer": 0.8, "weaker": 0.8}


def test_without_lower_keyword_weights_only_the_whole_tag_is_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = SETTINGS.model_copy(update={"keyword_weights": (1.2,)})
    measures = set(drags(world, FULL, monkeypatch, few).rows["measure"])
    assert "binding.after" in measures
    assert not {"binding.softer", "binding.weaker", "binding.relief"} & measures


def test_a_tag_that_every_novel_prompt_holds_is_left_out_and_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = replace(world[2], prompts=tuple(Prompt(f"hero, place {i}, {TAG}", "novel") for i in range(3)))
    found = drags((world[0], world[1], sets), FULL, monkeypatch)
    assert not any(name.startswith("binding.after") for name in found.rows["measure"])
    assert "binding.after: there are no prompts." in found.notes


def test_relief_is_the_difference_of_both_effects_prompt_by_prompt() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 0.1, (2, 8, 3))
    weaker = (base[0] + rng.normal(0.3, 0.05, (8, 3)), base[1], base[0], base[1])
    softer = (base[0] + rng.normal(0.1, 0.05, (8, 3)), base[1], base[0], base[1])
    found = relief(weaker, softer)
    apart = difference_in_differences(*weaker).value - difference_in_differences(*softer).value
    assert found.value == pytest.approx(apart)
    assert found.above(0)
    assert relief(weaker, weaker).value == 0
    with pytest.raises(ValueError, match=r"broadcast|shapes"):
        relief(weaker, tuple(side[:5] for side in softer))  # type: ignore[arg-type]


def test_tags_of_the_trigger_are_no_tags_of_the_picture() -> None:
    caption = r"mira \(game\), 1girl, blue coat, hat, from behind"
    assert _tags(caption, r"mira \(game\), 1girl, Blue_Coat") == {"hat"}
    assert _tags(caption, "") == {"mira (game)", "1girl", "blue coat", "hat"}
