"""What a picture file says of its own making: ComfyUI's graph, A1111's parameters, our own chunks.

Not for file names (`names.py`). Text from files is data: it is parsed, never run, and anything odd says nothing.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from training.picking import loras
from training.picking.loras import Worn

Graph = dict[str, dict[str, Any]]

OURS = "our runs"
LARGEST = 16 * 2**20  # characters of one chunk that are looked at
_TEXT_KEYS = ("text", "text_g", "t5xxl", "clip_l", "prompt", "value", "string")
_SEED = re.compile(r"\bSeed: (\d+)")


@dataclass(frozen=True)
class Told:
    """What the file says; None where it says nothing.

    Attributes:
        reader: Whose format it is.
        prompt: Positive prompt, without LoRA tags.
        seed: Of the noise.
        worn: Its LoRAs; none where the file says that there was none.
    """

    reader: str
    prompt: str | None = None
    seed: int | None = None
    worn: tuple[Worn, ...] = ()


def read(file: Path) -> Told | None:
    """What `file` says of its making; None where it says nothing, or cannot be opened."""
    chunks = text_chunks(file)
    ours = _ours(chunks.get("diversity", ""))
    if ours is not None:
        return ours
    if "parameters" in chunks:
        return parameters(chunks["parameters"])
    graph = _graph(chunks.get("prompt", ""))
    return comfy(graph, file.name) if graph is not None else None


def text_chunks(file: Path) -> dict[str, str]:
    """Text chunks of a picture file; none where it has none or is damaged."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            found = picture.info.items()
            return {str(k): v for k, v in found if isinstance(v, str) and len(v) <= LARGEST}
    except Exception:  # a damaged file is reported when it is decoded
        return {}


def parameters(text: str) -> Told:
    """A1111's, Forge's and Civitai's `parameters`: prompt, then "Negative prompt:", then "Steps: …, Seed: …"."""
    prompt = re.split(r"\n(?:Negative prompt:|Steps:)", "\n" + text, maxsplit=1)[0].strip()
    seed = _SEED.search(text)
    clean = re.sub(r"\s*,\s*(?=,|$)", "", loras.TAG.sub("", prompt)).strip(" ,\n")
    settings = text[text.rfind("\nSteps:") :] if "\nSteps:" in text else ""
    return Told("A1111", clean, int(seed[1]) if seed else None, loras.of_text(f"{prompt}\n{settings}"))


def comfy(graph: Graph, file_name: str) -> Told:
    """What ComfyUI's API graph says of the picture `file_name`.

    A graph may save many pictures: the node whose prefix begins the file's name made it, and only what lies upstream
    of that node counts.
    """
    start = _saver(graph, file_name)
    near = list(_upstream(graph, start)) if start is not None else list(graph)
    seed = next((v for n in near for k in ("seed", "noise_seed") if (v := _number(graph, n, k)) is not None), None)
    return Told("ComfyUI", _positive(graph, near), seed, loras.of_graph(graph, _model_path(graph, near)))


def _graph(text: str) -> Graph | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    nodes = {str(k): v for k, v in found.items() if isinstance(v, dict) and isinstance(v.get("inputs", {}), dict)}
    return nodes if any("class_type" in node for node in nodes.values()) else None


def _saver(graph: Graph, file_name: str) -> str | None:
    """The saving node whose prefix is the longest beginning of the name; else any."""
    savers = {
        n: PurePosixPath(str(node["inputs"]["filename_prefix"]).replace("\\", "/")).name
        for n, node in graph.items()
        if "filename_prefix" in node.get("inputs", {})
    }
    fitting = [n for n, prefix in savers.items() if file_name.startswith(prefix)] or list(savers)
    return max(fitting, key=lambda n: len(savers[n]), default=None)


def _model_path(graph: Graph, near: list[str]) -> list[str]:
    """Nodes that the sampler's model comes through; a LoRA on a text encoder alone did not change the model."""
    for node in near:
        if {"model", "guider"} & set(graph[node].get("inputs", {})):
            return list(_upstream(graph, node, ("model", "guider", "lora")))
    return near


def _upstream(graph: Graph, start: str, through: tuple[str, ...] = ("",)) -> Iterator[str]:
    """Nodes from `start` against the links whose input's name holds one of `through`, nearest first."""
    queue, seen = deque([start]), {start}
    while queue:
        node = queue.popleft()
        yield node
        inputs = graph[node].get("inputs", {})
        for link in _links({key: value for key, value in inputs.items() if any(part in key for part in through)}):
            if link in graph and link not in seen:
                seen.add(link)
                queue.append(link)


def _links(inputs: Mapping[str, Any]) -> Iterator[str]:
    for value in inputs.values():
        if isinstance(value, list) and len(value) == 2 and isinstance(value[1], int):
            yield str(value[0])


def _positive(graph: Graph, near: list[str]) -> str | None:
    for node in near:
        inputs = graph[node].get("inputs", {})
        for key in ("positive", "conditioning"):
            link = inputs.get(key)
            if isinstance(link, list) and link and str(link[0]) in graph:
                return _text(graph, str(link[0]))
    return None


def _text(graph: Graph, start: str) -> str | None:
    for node in _upstream(graph, start):
        inputs = graph[node].get("inputs", {})
        for key in _TEXT_KEYS:
            if isinstance(inputs.get(key), str) and inputs[key].strip():
                return str(inputs[key]).strip()
    return None


def _number(graph: Graph, node: str, key: str) -> int | None:
    value = graph[node].get("inputs", {}).get(key)
    if isinstance(value, list) and len(value) == 2 and str(value[0]) in graph:  # a primitive node
        value = next((v for v in graph[str(value[0])].get("inputs", {}).values() if isinstance(v, int)), None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _ours(text: str) -> Told | None:
    """The chunk `diversity` of our own pictures, a JSON object (`training.grids`)."""
    try:
        found = json.loads(text)
        weight, seed = found.get("weight"), found.get("seed")
        return Told(
            OURS,
            found.get("prompt"),
            None if seed is None else int(seed),
            (Worn(found.get("lora") or None, None if weight is None else float(weight)),),
        )
    except (ValueError, TypeError, AttributeError):
        return None
