"""Tiny models written as one file in the layout of the original Stable Diffusion code, to test reading such files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from training.base import Base
from training.lora_files.names import to_blocks

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def write_original(base: Base, file: Path, *, extra: dict[str, torch.Tensor] | None = None) -> Path:
    """Write an SDXL-shaped base (two ResNets per level) as one file."""
    state = {f"model.diffusion_model.{_unet(key)}": value for key, value in base.unet.state_dict().items()}
    for key, value in base.vae.state_dict().items():
        name = _vae(key, len(base.vae.config.block_out_channels))
        is_map = ".attn_1." in name and value.dim() == 2
        state[f"first_stage_model.{name}"] = value[:, :, None, None] if is_map else value
    for key, value in base.text_encoders[0].state_dict().items():
        state[f"conditioner.embedders.0.transformer.text_model.{key}"] = value
    state |= {f"conditioner.embedders.1.model.{k}": v for k, v in _open_clip(base.text_encoders[1]).items()}
    save_file({key: value.contiguous().clone() for key, value in (state | (extra or {})).items()}, file)
    return file


def _unet(key: str) -> str:
    module, _, leaf = key.rpartition(".")
    for ours, theirs in RESNET.items():
        head, dot, tail = module.rpartition(f".{ours}")
        if dot and not tail and ".resnets." in head:
            anchor = to_blocks(f"{head}.conv1").removesuffix(".in_layers.2")
            return f"{anchor}.{theirs}.{leaf}"
    return f"{'out.0' if module == 'conv_norm_out' else to_blocks(module)}.{leaf}"


def _vae(key: str, levels: int) -> str:
    words = key.split(".")
    if words[1:2] == ["conv_norm_out"]:
        return f"{words[0]}.norm_out.{words[-1]}"
    if words[1:2] == ["mid_block"]:
        where = f"{words[0]}.mid." + ("attn_1" if words[2] == "attentions" else f"block_{int(words[3]) + 1}")
        rest = ".".join(words[4:-1])
        return f"{where}.{VAE_ATTENTION.get(rest, rest)}.{words[-1]}"
    if words[1:2] in (["down_blocks"], ["up_blocks"]):
        side = "down" if words[1] == "down_blocks" else "up"
        level = int(words[2]) if side == "down" else levels - 1 - int(words[2])
        if words[3].endswith("samplers"):
            return f"{words[0]}.{side}.{level}.{words[3].removesuffix('rs').removesuffix('e')}e.conv.{words[-1]}"
        rest = ".".join(words[5:-1]).replace("conv_shortcut", "nin_shortcut")
        return f"{words[0]}.{side}.{level}.block.{words[4]}.{rest}.{words[-1]}"
    return key


def _open_clip(encoder: Any) -> dict[str, torch.Tensor]:
    state = encoder.state_dict()
    text = {key.removeprefix("text_model."): value for key, value in state.items()}
    found = {
        "token_embedding.weight": text["embeddings.token_embedding.weight"],
        "positional_embedding": text["embeddings.position_embedding.weight"],
        "ln_final.weight": text["final_layer_norm.weight"],
        "ln_final.bias": text["final_layer_norm.bias"],
        "text_projection": state["text_projection.weight"].T,
    }
    for layer in range(encoder.config.num_hidden_layers):
        old, new = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for leaf in ("weight", "bias"):
            joined = [text[f"{old}.self_attn.{name}_proj.{leaf}"] for name in "qkv"]
            found[f"{new}.attn.in_proj_{leaf}"] = torch.cat(joined)
            for ours, theirs in OPEN_CLIP.items():
                found[f"{new}.{theirs}.{leaf}"] = text[f"{old}.{ours}.{leaf}"]
    return found
