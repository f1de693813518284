"""LoRAs of a picture: a strength that cannot be read is unknown and never the base; what is always on is no test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diversity.config import ScanConfig
from training.picking import loras, metadata, samples
from training.picking.loras import Worn

MIRA = "mira-000010.safetensors"


def graph(*loaders: tuple[str, dict[str, Any]], **more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A sampler behind a row of loaders; `more` are further nodes."""
    nodes: dict[str, dict[str, Any]] = {"base": {"class_type": "CheckpointLoaderSimple", "inputs": {}}}
    model = "base"
    for number, (kind, inputs) in enumerate(loaders):
        nodes[f"l{number}"] = {"class_type": kind, "inputs": {**inputs, "model": [model, 0]}}
        model = f"l{number}"
    nodes["s"] = {"class_type": "KSampler", "inputs": {"seed": 1, "model": [model, 0]}}
    nodes["save"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["s", 0]}}
    return {**nodes, **more}


def worn(nodes: dict[str, dict[str, Any]]) -> tuple[Worn, ...]:
    return metadata.comfy(nodes, "x_00001_.png").worn


@pytest.mark.parametrize("kind", ["PrimitiveFloat", "PrimitiveInt", "FloatConstant"])
def test_a_strength_by_link_is_followed_to_a_node_that_holds_a_number(kind: str) -> None:
    nodes = graph(
        ("LoraLoader", {"lora_name": MIRA, "strength_model": ["f", 0]}), f={"class_type": kind, "inputs": {"value": 1}}
    )
    assert worn(nodes) == (Worn(MIRA, 1.0),)


def test_a_strength_that_a_node_computes_is_unknown() -> None:
    nodes = graph(
        ("LoraLoader", {"lora_name": MIRA, "strength_model": ["f", 0]}),
        f={"class_type": "MathExpression", "inputs": {"a": 2, "expression": "a*a"}},
    )
    assert worn(nodes) == (Worn(MIRA, None),)


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ({"switch_1": "On", "lora_name_1": MIRA, "model_weight_1": 0.7, "clip_weight_1": 1.0}, (Worn(MIRA, 0.7),)),
        ({"switch_1": "Off", "lora_name_1": MIRA, "model_weight_1": 0.7}, ()),
        ({"input_mode": "simple", "lora_count": 1, "lora_name_1": MIRA, "lora_wt_1": 0.6, "model_str_1": 1.0,
          "lora_name_2": "b", "lora_wt_2": 1.0}, (Worn(MIRA, 0.6),)),
        ({"lora_01": MIRA, "strength_01": 0.4, "lora_02": "None", "strength_02": 1.0}, (Worn(MIRA, 0.4),)),
        ({"lora_1": {"on": True, "lora": MIRA, "strength": 0.3}}, (Worn(MIRA, 0.3),)),
        ({"lora_1": {"on": False, "lora": MIRA, "strength": 0.3}}, ()),
        ({"lora_name_1": MIRA, "some_new_knob": 0.3}, (Worn(MIRA, None),)),
    ],
)  # fmt: skip
def test_stacks(stack: dict[str, Any], expected: tuple[Worn, ...]) -> None:
    nodes = graph(
        ("CR Apply LoRA Stack", {"lora_stack": ["stack", 0]}), stack={"class_type": "CR LoRA Stack", "inputs": stack}
    )
    assert worn(nodes) == expected


def test_a_loader_that_nobody_knows_is_of_unknown_weight_and_not_the_base() -> None:
    nodes = graph(("MyFancyLoRALoader", {"file": "mira", "amount": 0.5}))
    assert worn(nodes) == (Worn(None, None),)
    assert loras.under_test(worn(nodes)).weight is None
    assert loras.under_test(worn(graph())).weight == 0.0


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("<lora:mira-000010:0.8>", 0.8),
        ("<lora:mira-000010:te=0.5:unet=0.7>", 0.7),
        ("<lora:mira-000010:1:0.6>", 0.6),
        ("<lora:mira-000010:te=0.5>", 0.5),
        ("<lora:mira-000010>", 1.0),
        ("<lyco:mira-000010:0.9>", 0.9),
        ("<lora:mira-000010:1:MIDD>", None),
    ],
)
def test_tags(text: str, weight: float | None) -> None:
    told = metadata.parameters(f"mira, {text}\nNegative prompt: bad\nSteps: 20, Seed: 3")
    assert told.worn == (Worn("mira-000010", weight),)
    assert told.prompt == "mira"


def test_additional_networks() -> None:
    fields = (
        "AddNet Enabled: True, AddNet Module 1: LoRA, AddNet Model 1: mira-000010(0a1b2c3d), AddNet Weight A 1: 0.7"
    )
    assert metadata.parameters(f"mira\nSteps: 20, Seed: 3, {fields}").worn == (Worn("mira-000010", 0.7),)


def draw(folder: Path, texts: list[str]) -> samples.Samples:
    for number, text in enumerate(texts):
        chunk = PngInfo()
        key = "prompt" if text.startswith("{") else "parameters"
        chunk.add_text(key, text)
        Image.new("RGB", (8, 8), (number, 20, 30)).save(folder / f"x_{number:05}_.png", pnginfo=chunk)
    return samples.read(folder, ScanConfig())


def lines(*tags: str) -> list[str]:
    return [f"mira, {tag}\nSteps: 20, Seed: {seed}" for tag in tags for seed in (1, 2)]


def test_what_every_picture_wears_alike_is_background_and_without_more_it_is_the_base(tmp_path: Path) -> None:
    found = draw(tmp_path, lines("<lora:add_detail:0.5>", "<lora:add_detail:0.5><lora:mira-000010:0.8>"))
    assert [(s.at[2], s.weight, s.lora) for s in found.samples] == [
        *[("base", 0.0, None)] * 2,
        *[("epoch 10", 0.8, "mira-000010")] * 2,
    ]
    assert any("add_detail" in note and "part of the base" in note for note in found.notes)


def test_a_lora_on_trial_alone_or_at_many_weights_is_no_background() -> None:
    one, other = Worn("mira", 0.5), Worn("detail", 0.5)
    assert loras.background([(one,), (one,)]) == frozenset()
    assert loras.background([(one, other), (Worn("mira", 0.8), other), ()]) == {"detail"}
    assert loras.background([(Worn("mira-000010", 0.5),), (Worn("mira-000010", 0.5), other)]) == frozenset()


def test_samples_of_unknown_weight_are_kept_apart_with_a_note(tmp_path: Path) -> None:
    strange = json.dumps(graph(("OddLoraLoader", {"file": "mira"})))
    found = draw(tmp_path, [*lines("<lora:mira-000010:0.8>"), strange])
    assert [s.weight for s in found.samples].count(None) == 1
    assert all(s.at[2] != "base" for s in found.samples)
    assert any("strength of the LoRA cannot be read" in note for note in found.notes)
