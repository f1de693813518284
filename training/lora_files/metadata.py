"""What a LoRA file says about itself: kohya's `ss_` keys and hashes, and the modelspec; all values are strings."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from safetensors.torch import save

from diversity import __version__
from training.lora_files.weights import LoraWeights, usual

BASES = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
ARCHITECTURES = {
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2-512",
    "sdxl": "stable-diffusion-xl-v1-base",
}
IMPLEMENTATIONS = {"sdxl": "https://github.com/Stability-AI/generative-models"}
OURS = "diversity_"  # prefix of keys that other readers do not know, and ignore


def as_strings(values: Mapping[str, object]) -> dict[str, str]:
    """`values` as a safetensors header can hold them: text stays, mappings and lists become JSON, the rest `str`."""
    return {
        key: value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, sort_keys=True)
        if isinstance(value, Mapping | list | tuple)
        else str(value)
        for key, value in values.items()
    }


def tag_frequency(captions: Mapping[str, Iterable[str]]) -> dict[str, dict[str, int]]:
    """The trainer kohya's `ss_tag_frequency`: folder → tag → in how many of the folder's captions it stands.

    Args:
        captions: Folder name → comma-separated captions.
    """
    return {
        folder: dict(Counter(tag for text in texts for tag in dict.fromkeys(_tags(text))))
        for folder, texts in captions.items()
    }


def family_in(metadata: Mapping[str, str]) -> str | None:
    """The family that the metadata name."""
    said = metadata.get("ss_base_model_version", "") + " " + metadata.get("modelspec.architecture", "")
    if "xl" in said:
        return "sdxl"
    if "sd_v2" in said or "diffusion-v2" in said:
        return "sd2"
    return "sd1" if "sd_v1" in said or "diffusion-v1" in said else None


def kohya_metadata(weights: LoraWeights, family: str) -> dict[str, str]:
    """The `ss_` keys that readers look for; what the weights' own metadata say wins, except on rank, alpha and kind."""
    linear = [layer for layer in weights.layers.values() if layer.down.dim() == 2 or layer.down.shape[-1] == 1]
    conv = [layer for layer in weights.layers.values() if layer.down.dim() == 4 and layer.down.shape[-1] > 1]
    arguments: dict[str, str] = {}
    if conv:
        arguments["conv_dim"] = str(usual(layer.rank for layer in conv))
        arguments["conv_alpha"] = _number(usual(layer.alpha for layer in conv))
    if weights.dora:
        arguments |= {"algo": "lora", "dora_wd": "True"}
    computed = {
        "ss_network_module": "lycoris.kohya" if weights.dora else "networks.lora",
        "ss_network_dim": str(usual(layer.rank for layer in linear or conv)),
        "ss_network_alpha": _number(usual(layer.alpha for layer in linear or conv)),
        "ss_network_args": json.dumps(arguments),
    }
    told = {"ss_v2": str(family == "sd2"), "ss_base_model_version": BASES[family]}
    return told | dict(weights.metadata) | computed


def modelspec(family: str, title: str, *, prediction_type: str, resolution: int) -> dict[str, str]:
    """Stability's model metadata standard 1.0.1 for a LoRA of `family`, dated now."""
    architecture = ARCHITECTURES[family]
    if family == "sd2" and prediction_type == "v_prediction":
        architecture = "stable-diffusion-v2-768-v"
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.implementation": IMPLEMENTATIONS.get(family, "diffusers"),
        "modelspec.title": title,
        "modelspec.date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "modelspec.resolution": f"{resolution}x{resolution}",
        "modelspec.prediction_type": "v" if prediction_type == "v_prediction" else "epsilon",
        f"{OURS}version": __version__,
    }


def with_hashes(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """`metadata` with kohya's two hashes: of the tensors' bytes, and web UIs' older one of a slice of the file.

    Both are taken of a file that carries the `ss_` keys only, so that retitling does not change them.
    """
    told = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    data = save(dict(tensors), told)
    start = 8 + int.from_bytes(data[:8], "little")
    return dict(metadata) | {
        "sshs_model_hash": hashlib.sha256(data[start:]).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(data[0x100000 : 0x100000 + 0x10000]).hexdigest()[:8],
    }


def _tags(text: str) -> list[str]:
    return [tag for tag in (part.strip() for part in text.split(",")) if tag]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
