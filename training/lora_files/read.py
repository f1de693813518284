"""Reading LoRA files: the layout is recognised by its keys, then every layer is brought into one form.

Layouts: `kohya` (also LyCORIS' LoCon and DoRA), `diffusers` (today's and the older ones), `peft` (a folder) and
`cloneofsimo` (2023, layers by number). What cannot be read without loss is refused by name.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from training.errors import LoraError
from training.lora_files import cloneofsimo
from training.lora_files.names import from_kohya
from training.lora_files.weights import PARTS, Key, Layer, LoraWeights, patterned

Tensors = dict[str, torch.Tensor]
DIFFUSERS_FILE, PEFT_FILE, PEFT_CONFIG = (
    "pytorch_lora_weights.safetensors",
    "adapter_model.safetensors",
    "adapter_config.json",
)
# What some key looks like → what a person calls such a file.
OTHER_KINDS = {
    r"\.hada_w": "a LoHa",
    r"\.lokr_w": "a LoKr",
    r"\.oft_": "an OFT adapter",
    r"\.lora_mid": "a LoCon with Tucker decomposition",
    r"\.diff(_b)?$": "a file with full weight differences",
    r"\.w_norm$": "a LyCORIS file with trained norms",
    r"\.on_input$": "an IA3 adapter",
    r"\.lora_B\.bias$": "a LoRA with trained biases",
    r"^lora_unet_(double|single)_blocks": "a LoRA for FLUX",
    r"^(transformer\.|lora_transformer_)": "a LoRA for a transformer model, such as FLUX or SD3",
    r"^diffusion_model\.": "a LoRA for a newer model, in ComfyUI's layout",
    r"^(emb_params|string_to_param)": "a textual inversion embedding",
    r"^(model\.diffusion_model|first_stage_model)\.": "a whole base model",
}
_OLD = re.compile(r"(.+?)(?:\.processor)?\.(to_[qkv]|to_out)_lora\.(down|up)\.weight")
_PLAIN = re.compile(r"(.+)\.(?:lora|lora_linear_layer)\.(down|up)\.weight")
_PEFT = re.compile(r"(.+)\.lora_(A|B|magnitude_vector)(?:\.[\w-]+?)??(?:\.weight)?")
_TEXT_NAMES = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


def read(path: str | Path) -> LoraWeights:
    """Read a LoRA from a safetensors file, or from a folder of diffusers or PEFT.

    Raises:
        LoraError: it is not there, not a LoRA for Stable Diffusion 1.5, 2 or XL, or of a kind that cannot be read.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise LoraError(
            f"There is no LoRA at {path}.", "", "Give a .safetensors file, or a folder of diffusers or PEFT."
        )
    if path.name == PEFT_FILE and (path.parent / PEFT_CONFIG).is_file():
        return _folder(path.parent)
    tensors, metadata = _open(path)
    if any(key.startswith(("lora_unet_", "lora_te")) for key in tensors):
        _refuse_other_kinds(path, tensors)
        return LoraWeights(_kohya(path, tensors), metadata, "kohya")
    if cloneofsimo.recognised(tensors):
        layers, notes = cloneofsimo.layers(path, tensors)
        return LoraWeights(layers, metadata, "cloneofsimo", notes)
    _refuse_other_kinds(path, tensors)
    if any(key.startswith("base_model.model.") for key in tensors):
        raise LoraError(
            f"{path.name} cannot be read alone.", f"A PEFT file's alpha is in its {PEFT_CONFIG}.", "Give the folder."
        )
    configs = _diffusers_configs(path, metadata)
    return LoraWeights(_by_module(path, tensors, configs), metadata, "diffusers")


def _folder(folder: Path) -> LoraWeights:
    if (folder / DIFFUSERS_FILE).is_file():
        return read(folder / DIFFUSERS_FILE)
    homes = {part: folder / part for part in PARTS if (folder / part / PEFT_CONFIG).is_file()}
    if (folder / PEFT_CONFIG).is_file():
        homes = {folder.name if folder.name in PARTS else "": folder}
    if not homes:
        raise LoraError(f"{folder} holds no LoRA.", f"It needs {DIFFUSERS_FILE} or {PEFT_CONFIG}.", "Name the file.")
    layers: dict[Key, Layer] = {}
    metadata: dict[str, str] = {}
    for part, home in homes.items():
        config = _json(home / PEFT_CONFIG)
        if config.get("peft_type") != "LORA" or config.get("modules_to_save"):
            raise LoraError(f"{home} holds no plain LoRA.", f"It is of the kind {config.get('peft_type')}.")
        found, said = _open(home / PEFT_FILE)
        _refuse_other_kinds(home / PEFT_FILE, found)
        metadata |= said
        bare = {key.removeprefix("base_model.model."): value for key, value in found.items()}
        where = part or ("unet" if any("_block" in key for key in bare) else "text_encoder")
        named = {f"{where}.{key}": value for key, value in bare.items()}
        layers |= _by_module(home, named, {where: config})
    return LoraWeights(layers, metadata, "peft")


def _kohya(path: Path, tensors: Tensors) -> dict[Key, Layer]:
    """Names of kohya's trainer and of LyCORIS; a layer without `alpha` has the scale 1."""
    grouped: dict[str, Tensors] = defaultdict(dict)
    for full, value in tensors.items():
        name, _, what = full.partition(".")
        grouped[name][what] = value
    layers: dict[Key, Layer] = {}
    for name, of in grouped.items():
        key = from_kohya(name)
        if key is None:
            raise LoraError(f"{path.name} has a layer '{name}' that is not known.", "", "Is it for another family?")
        down, up = _pair(path, name, of.get("lora_down.weight"), of.get("lora_up.weight"))
        alpha = float(of["alpha"].item()) if "alpha" in of else float(len(down))
        layers[key] = Layer(down, up, alpha, _magnitude(path, name, of.get("dora_scale"), up))
    return layers


def _by_module(path: Path, tensors: Tensors, configs: Mapping[str, Mapping[str, Any]]) -> dict[Key, Layer]:
    """Keys that begin with the part and diffusers' path; alpha from `configs` by part, else equal to the rank."""
    grouped: dict[Key, dict[str, torch.Tensor]] = defaultdict(dict)
    for name, value in tensors.items():
        key, what = _place(path, name)
        grouped[key][what] = value
    layers = {}
    for key, of in grouped.items():
        where = ".".join(key)
        down, up = _pair(path, where, of.get("down"), of.get("up"))
        alpha = float(of["alpha"].item()) if "alpha" in of else _configured(configs.get(key[0]), key[1], len(down))
        layers[key] = Layer(down, up, alpha, _magnitude(path, where, of.get("magnitude"), up))
    return layers


def _place(path: Path, name: str) -> tuple[Key, str]:
    """Which layer a key belongs to, and what it holds of it: down, up, magnitude or alpha."""
    part = next((part for part in PARTS if name.startswith(f"{part}.")), None)
    rest = name if part is None else name.removeprefix(f"{part}.")
    part = part or ("text_encoder" if rest.startswith("text_model.") else "unet")
    if found := _OLD.fullmatch(rest):
        module = {"to_out": "to_out.0"}.get(found[2], found[2]) if part == "unet" else _TEXT_NAMES[found[2]]
        return _key(part, f"{found[1]}.{module}"), found[3]
    if found := _PLAIN.fullmatch(rest):
        return _key(part, found[1]), found[2]
    if found := _PEFT.fullmatch(rest):
        return _key(part, found[1]), {"A": "down", "B": "up", "magnitude_vector": "magnitude"}[found[2]]
    if rest.endswith(".alpha"):
        return _key(part, rest.removesuffix(".alpha")), "alpha"
    raise LoraError(f"{path.name} is not a LoRA file that is known here.", f"It has the key '{name}'.")


def _key(part: str, module: str) -> Key:
    if part != "unet" and not module.startswith(("text_model.", "text_projection")):
        module = f"text_model.{module}"  # newer transformers leave it out
    return part, module


def _configured(config: Mapping[str, Any] | None, module: str, rank: int) -> float:
    """The alpha of a peft configuration; rank-stabilised scaling is turned into the alpha of ordinary scaling."""
    if not config:
        return float(rank)
    alpha = float(patterned(config.get("alpha_pattern") or {}, module, config.get("lora_alpha", rank)))
    return alpha * rank**0.5 if config.get("use_rslora") else alpha  # Kalajdzievski 2023, arXiv 2312.03732, equation 4


def _diffusers_configs(path: Path, metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What `lora_adapter_metadata` of diffusers says: a peft configuration per part, the part in front of its keys."""
    try:
        flat = json.loads(metadata.get("lora_adapter_metadata") or "{}")
        return {
            part: {key.removeprefix(f"{part}."): value for key, value in flat.items() if key.startswith(f"{part}.")}
            for part in PARTS
        }
    except (ValueError, AttributeError):
        raise LoraError(f"{path.name} cannot be read.", "Its lora_adapter_metadata is not JSON.") from None


def _pair(
    path: Path, name: str, down: torch.Tensor | None, up: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    if down is None or up is None:
        raise LoraError(f"{path.name} is incomplete.", f"The layer {name} lacks one of its two matrices.")
    if down.dim() not in (2, 4) or up.dim() not in (2, 4) or up.shape[1] != len(down):
        shapes = f"{list(up.shape)} and {list(down.shape)}"
        raise LoraError(f"{path.name} is broken.", f"The matrices of {name} are {shapes}, which do not fit together.")
    return down, up


def _magnitude(path: Path, name: str, found: torch.Tensor | None, up: torch.Tensor) -> torch.Tensor | None:
    if found is None:
        return None
    if found.numel() != len(up) or (found.dim() > 1 and found.shape[0] == 1 and found.shape[-1] == len(up) > 1):
        raise LoraError(
            f"{path.name} is a DoRA of the older kind.",
            f"The magnitudes of {name} belong to inputs ({list(found.shape)}), not to its {len(up)} outputs.",
            "Train it again with magnitudes per output (LyCORIS: wd_on_output=True).",
        )
    return found.reshape(-1)


def _refuse_other_kinds(path: Path, tensors: Tensors) -> None:
    for mark, kind in OTHER_KINDS.items():
        if any(re.search(mark, key) for key in tensors):
            raise LoraError(
                f"{path.name} is {kind}.",
                "LoRAs, LoCons and DoRAs for Stable Diffusion 1.5, 2 and XL can be read here.",
                "Use the tool that it was made with.",
            )


def _open(path: Path) -> tuple[Tensors, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise LoraError(f"{path} could not be read.", f"{reason}.", "Only safetensors files are read.") from None


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoraError(f"{file} could not be read.", f"{error}.") from None
    return found if isinstance(found, dict) else {}
