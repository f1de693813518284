"""The layout of the first LoRA tool for Stable Diffusion (2022–23): layers by number, not by name.

The numbers follow the order in which that tool walked the modules of a Stable Diffusion 1 model; the order of parts was
checked against the shapes in real files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from training.errors import LoraError
from training.lora_files.weights import Key, Layer

_NUMBERED = re.compile(r"(unet|text_encoder):(\d+):(up|down)")
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def recognised(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether the keys are numbered as that tool does."""
    return any(_NUMBERED.fullmatch(key) for key in tensors)


def layers(path: Path, tensors: Mapping[str, torch.Tensor]) -> tuple[dict[Key, Layer], tuple[str, ...]]:
    """The layers, and notes on what has no place in a LoRA.

    Raises:
        LoraError: it holds another number of layers than that tool made by default.
    """
    found: dict[Key, Layer] = {}
    for part in ("unet", "text_encoder"):
        count = sum(key.startswith(f"{part}:") and key.endswith(":up") for key in tensors)
        names = list(_unet(feed_forward=count == 16 * 9) if part == "unet" else _text())
        if count not in (0, len(names)):
            raise LoraError(
                f"{path.name} cannot be placed.",
                f"It numbers {count} layers of the {part}, where a Stable Diffusion 1 model has {len(names)}.",
            )
        for number, name in enumerate(names[:count]):
            down, up = tensors[f"{part}:{number}:down"], tensors[f"{part}:{number}:up"]
            found[part, name] = Layer(down, up, float(len(down)))
    rest = sorted(key for key in tensors if not _NUMBERED.fullmatch(key))
    notes = (f"It also holds embeddings of new words ({', '.join(rest)}), which are left out.",) if rest else ()
    return found, notes


def _unet(*, feed_forward: bool) -> Iterator[str]:
    """Paths in the order of the walk: down, up, then the middle; in a block attn1, the feed-forward gate, attn2."""
    blocks = [f"down_blocks.{level}.attentions.{n}" for level in range(3) for n in range(2)]
    blocks += [f"up_blocks.{level}.attentions.{n}" for level in range(1, 4) for n in range(3)]
    for block in [*blocks, "mid_block.attentions.0"]:
        inside = f"{block}.transformer_blocks.0"
        yield from (f"{inside}.attn1.{name}" for name in ATTENTION)
        if feed_forward:
            yield f"{inside}.ff.net.0.proj"
        yield from (f"{inside}.attn2.{name}" for name in ATTENTION)


def _text() -> Iterator[str]:
    """CLIP's attention keeps its matrices in this order."""
    for layer in range(12):
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield f"text_model.encoder.layers.{layer}.self_attn.{name}"
