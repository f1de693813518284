"""Which LoRAs a picture says it was made with, how strong, and which of them is the one under test.

Not for the rest of a picture's text (`metadata.py`). A strength that cannot be read is None, never 0: weight 0 is the
base. Sources: A1111's `extra_networks_lora.py` (positional te, unet; named te=, unet=; without any 1), Additional
Networks' "AddNet" fields (weight A is the U-Net's), ComfyUI's loaders and the stacks of rgthree, Efficiency, Comfyroll.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.picking.names import checkpoint

Graph = Mapping[str, Mapping[str, Any]]

TAG = re.compile(r"<(?:lora|lyco):([^:<>]+)((?::[^<>:]*)*)>", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d*\.?\d+")
_ADDED = re.compile(r"AddNet Model (\d+): ([^,\n]+?)(?:\([0-9a-f]+\))?(?=,|\n|$)")
_LOADER = re.compile(r"lora|lyco|locon|loha|lokr", re.IGNORECASE)
_SLOT = re.compile(r"lora(?:_name)?_?(\d*)(?:_name)?")
_OFF = ("none", "", "off", "false")
_FAR = 8  # links that a strength is followed over


@dataclass(frozen=True)
class Worn:
    """One LoRA of a picture.

    Attributes:
        name: Its file name; None where only its loader is known.
        weight: Strength on the model; None where it cannot be read.
    """

    name: str | None
    weight: float | None


def of_text(text: str) -> tuple[Worn, ...]:
    """Tags such as <lora:a:0.8>, <lora:a:te=1:unet=0.8>, <lyco:a:0.8>, and the fields of Additional Networks."""
    tags = [Worn(name, _tagged(more.split(":")[1:])) for name, more in TAG.findall(text)]
    for number, name in _ADDED.findall(text):
        weight = re.search(rf"AddNet Weight (?:A )?{number}: ({_NUMBER.pattern})", text)
        if name.strip().lower() not in _OFF:
            tags.append(Worn(name.strip(), float(weight[1]) if weight else None))
    return tuple(tags)


def of_graph(graph: Graph, path: Sequence[str]) -> tuple[Worn, ...]:
    """LoRAs on the nodes that a sampler's model comes through; a loader that no reader knows counts as unreadable."""
    found: list[Worn] = []
    understood, strange = False, False
    for node in path:
        slots = list(_slots(graph, graph[node].get("inputs", {})))
        understood = understood or bool(slots)
        strange = strange or (not slots and _LOADER.search(str(graph[node].get("class_type", ""))) is not None)
        found += [slot for slot in slots if slot is not None]
    return tuple(found) if understood or not strange else (Worn(None, None),)


def background(pictures: Sequence[Sequence[Worn]]) -> frozenset[str]:
    """LoRAs that every picture with any LoRA has at one and the same weight, where others come and go: no test of them.

    One whose name tells a checkpoint stays under test where none of the others does.
    """
    some = [picture for picture in pictures if picture]
    names = {one.name for picture in some for one in picture if one.name is not None}
    common = {name for name in names if len({_weights(name, picture) for picture in some}) == 1}
    if not any(_numbered(name) for name in names - common):
        kept = {name for name in common if not _numbered(name)}
        return frozenset(kept) if names - kept else frozenset()
    return frozenset(common)


def under_test(worn: Sequence[Worn], common: frozenset[str] = frozenset()) -> Worn:
    """The one whose name tells a checkpoint, else the first; weight 0 where there is none beside the background."""
    left = [one for one in worn if one.name not in common]
    told = [one for one in left if one.name is not None and _numbered(one.name)]
    return next(iter(told + left), Worn(None, 0.0))


def _numbered(name: str) -> bool:
    return checkpoint(name) != (None, None)


def _weights(name: str, picture: Sequence[Worn]) -> tuple[float | None, ...]:
    return tuple(one.weight for one in picture if one.name == name)


def _tagged(parts: Sequence[str]) -> float | None:
    """Weight on the U-Net of a tag's parts; where it is not given, the text encoder's, and 1 where none is."""
    named = dict(part.split("=", 1) for part in parts if "=" in part)
    numbers = [part for part in parts if "=" not in part]
    text = named.get("unet") or "".join(numbers[1:2]) or named.get("te") or "".join(numbers[:1]) or "1"
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _slots(graph: Graph, inputs: Mapping[str, Any]) -> Iterator[Worn | None]:
    """What each place for a LoRA in a node holds; None where it is switched off or empty."""
    count = inputs.get("lora_count")
    for key, value in inputs.items():
        slot = _SLOT.fullmatch(key)
        if isinstance(value, dict) and isinstance(value.get("lora"), str):
            on = value.get("on", True) and value["lora"].lower() not in _OFF
            yield Worn(value["lora"], _number(graph, value.get("strength", 1.0))) if on else None
        elif slot is not None and isinstance(value, str):
            number = slot[1]
            off = str(inputs.get(f"switch_{number}", "on")).lower() in _OFF or value.lower() in _OFF
            beyond = isinstance(count, int) and number.isdigit() and int(number) > count
            yield None if off or beyond else Worn(value, _strength(graph, inputs, number))
        elif isinstance(value, str) and TAG.search(value):
            yield from of_text(value)


def _strength(graph: Graph, inputs: Mapping[str, Any], number: str) -> float | None:
    """Strength on the model of the slot `number` ("" for the only one): by the names that loaders give it."""
    end = f"_{number}" if number else ""
    simple = ("lora_wt",) if inputs.get("input_mode") == "simple" else ()
    stems = (*simple, "strength_model", "model_weight", "model_str", "lora_model_strength", "strength", "lora_wt")
    for stem in stems:
        if f"{stem}{end}" in inputs:
            return _number(graph, inputs[f"{stem}{end}"])
    return None


def _number(graph: Graph, value: object, far: int = 0) -> float | None:
    """A number, or the one that a link leads to: a node that holds one number, named a primitive or holding no more."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not (isinstance(value, list) and len(value) == 2) or str(value[0]) not in graph or far >= _FAR:
        return None
    node = graph[str(value[0])]
    inputs = dict(node.get("inputs", {}))
    if len(inputs) > 1 and not str(node.get("class_type", "")).startswith("Primitive"):
        return None
    return _number(graph, inputs.get("value", next(iter(inputs.values()), None)), far + 1)
