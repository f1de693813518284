"""Writing LoRA files in the layouts of kohya, diffusers and PEFT; exact, so that alpha is never lost or rounded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from diversity.workspace import write_bytes, write_text
from training.errors import LoraError
from training.lora_files.metadata import as_strings, family_in, kohya_metadata, with_hashes
from training.lora_files.names import to_kohya
from training.lora_files.read import PEFT_CONFIG, PEFT_FILE
from training.lora_files.weights import Layer, LoraWeights, usual

LAYOUTS = ("kohya", "diffusers", "peft")


def write(weights: LoraWeights, path: Path, layout: str, *, family: str | None = None) -> tuple[Path, ...]:
    """Write `weights`; the files written.

    Args:
        weights: What to write; its metadata are kept, those that a layout computes itself excepted.
        path: A file; for `peft` a folder, which gets one folder per part.
        layout: One of `LAYOUTS`.
        family: sd1, sd2 or sdxl; None: told from the weights.

    Raises:
        LoraError: the layout is not known, or kohya's names need a family that cannot be told.
    """
    if layout == "kohya":
        tensors, metadata = as_kohya(weights, family or family_of(weights))
    elif layout == "diffusers":
        tensors, metadata = as_diffusers(weights)
    elif layout == "peft":
        return _write_peft(weights, path)
    else:
        raise LoraError(f"There is no LoRA layout '{layout}'.", "", f"Use one of {', '.join(LAYOUTS)}.")
    write_bytes(path, save(tensors, metadata))
    return (path,)


def family_of(weights: LoraWeights) -> str:
    """sd1, sd2 or sdxl: from the shapes, the file's own metadata, or blocks that only one family has.

    Raises:
        LoraError: nothing tells.
    """
    paths = " ".join(weights.of("unet"))
    deep = re.search(r"transformer_blocks\.[1-9]", paths) is not None
    four = re.search(r"(down|up)_blocks\.3\.", paths) is not None
    found = weights.family or family_in(weights.metadata) or ("sdxl" if deep else "sd1" if four else None)
    if found is None:
        raise LoraError(
            "The family of this LoRA cannot be told.",
            "It has too few layers, and its metadata do not say.",
            "Add 'ss_base_model_version' to its metadata.",
        )
    return found


def as_kohya(weights: LoraWeights, family: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of kohya's layout: alpha is a tensor of every layer."""
    tensors: dict[str, torch.Tensor] = {}
    for key, layer in weights.layers.items():
        name = to_kohya(key, family)
        tensors[f"{name}.lora_down.weight"] = _own(layer.down)
        tensors[f"{name}.lora_up.weight"] = _own(layer.up)
        tensors[f"{name}.alpha"] = torch.tensor(layer.alpha, dtype=torch.float32)
        if layer.magnitude is not None:
            tensors[f"{name}.dora_scale"] = _own(layer.magnitude.reshape(-1, *[1] * (layer.down.dim() - 1)))
    metadata = kohya_metadata(weights, family)
    metadata.pop("lora_adapter_metadata", None)
    return tensors, with_hashes(tensors, metadata)


def as_diffusers(weights: LoraWeights) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of diffusers' layout: alpha is in the header, as peft's configuration of every part."""
    tensors: dict[str, torch.Tensor] = {}
    told: dict[str, object] = {}
    for part in weights.parts:
        layers = weights.of(part)
        # transformers' reader of text encoders knows magnitudes by the longer name only, peft's knows both
        ends = {} if part == "unet" else {".lora_magnitude_vector": ".lora_magnitude_vector.weight"}
        for name, value in _peft_tensors(layers).items():
            head, dot, leaf = name.rpartition(".")
            tensors[f"{part}.{head}{ends.get(dot + leaf, dot + leaf)}"] = value
        told |= {f"{part}.{name}": value for name, value in peft_config(layers).items()}
    metadata = as_strings(weights.metadata) | {"lora_adapter_metadata": json.dumps(told, sort_keys=True)}
    return tensors, {key: value for key, value in metadata.items() if not key.startswith("sshs_")}


def peft_config(layers: Mapping[str, Layer]) -> dict[str, Any]:
    """One part's configuration for peft. Text encoders' paths lack `text_model.`, which not all versions have."""
    rank = usual(layer.rank for layer in layers.values())
    alpha = usual(layer.alpha for layer in layers.values())
    short = {path.removeprefix("text_model."): layer for path, layer in layers.items()}
    return {
        "r": rank,
        "lora_alpha": _plain(alpha),
        "target_modules": sorted(short),
        "rank_pattern": {_end(path): layer.rank for path, layer in short.items() if layer.rank != rank},
        "alpha_pattern": {_end(path): _plain(layer.alpha) for path, layer in short.items() if layer.alpha != alpha},
        "use_dora": any(layer.magnitude is not None for layer in layers.values()),
        "use_rslora": False,
        "lora_dropout": 0.0,
        "bias": "none",
    }


def _write_peft(weights: LoraWeights, folder: Path) -> tuple[Path, ...]:
    written = []
    for part in weights.parts:
        layers = weights.of(part)
        bare = _text_model_is_flat() if part == "text_encoder" else False
        named = {path.removeprefix("text_model.") if bare else path: layer for path, layer in layers.items()}
        tensors = {f"base_model.model.{name}": value for name, value in _peft_tensors(named).items()}
        metadata = {k: v for k, v in as_strings(weights.metadata).items() if k != "lora_adapter_metadata"}
        config = {"peft_type": "LORA", "task_type": None, "inference_mode": True, "base_model_name_or_path": ""}
        config |= peft_config(layers)
        write_bytes(folder / part / PEFT_FILE, save(tensors, metadata | {"format": "pt"}))
        write_text(folder / part / PEFT_CONFIG, json.dumps(config, indent=1))
        written += [folder / part / PEFT_FILE, folder / part / PEFT_CONFIG]
    return tuple(written)


def _peft_tensors(layers: Mapping[str, Layer]) -> dict[str, torch.Tensor]:
    tensors = {}
    for path, layer in layers.items():
        tensors[f"{path}.lora_A.weight"] = _own(layer.down)
        tensors[f"{path}.lora_B.weight"] = _own(layer.up)
        if layer.magnitude is not None:
            convolution = layer.down.dim() == 4
            shaped = layer.magnitude.reshape(1, -1, 1, 1) if convolution else layer.magnitude
            tensors[f"{path}.lora_magnitude_vector"] = _own(shaped)
    return tensors


@cache
def _text_model_is_flat() -> bool:
    """Whether the installed transformers' first text encoder has no `text_model.` in its paths (since 5.6)."""
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        model = CLIPTextModel(CLIPTextConfig(num_hidden_layers=1))
    return not hasattr(model, "text_model")


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """A contiguous copy on the CPU: safetensors takes no views."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


def _end(path: str) -> str:
    """A pattern that matches this path alone, with or without `text_model.` before it."""
    return re.escape(path)
