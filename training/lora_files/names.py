"""Layer names: diffusers' dotted paths, kohya's flat names, and the older block names that kohya uses for SDXL.

Flat names are read back by a small grammar of the words that hold an underscore, so no model is needed.
"""

from __future__ import annotations

import re

from training.lora_files.weights import Key

UNET = "lora_unet_"
TEXT = {"sd1": ("lora_te_",), "sd2": ("lora_te_",), "sdxl": ("lora_te1_", "lora_te2_")}
PREFIXES = {UNET: "unet", "lora_te_": "text_encoder", "lora_te1_": "text_encoder", "lora_te2_": "text_encoder_2"}
PER_BLOCK = 3  # input or output blocks per level of SDXL's UNet: two ResNets, and one for the resampler's place

_WORDS = (
    "down_blocks|up_blocks|mid_block|transformer_blocks|time_emb_proj|conv_shortcut|conv_in|conv_out|time_embedding|"
    "add_embedding|linear_1|linear_2|proj_in|proj_out|to_q|to_k|to_v|to_out|text_model|text_projection|self_attn|"
    "q_proj|k_proj|v_proj|out_proj|input_blocks|middle_block|output_blocks|in_layers|out_layers|emb_layers|"
    "skip_connection|time_embed|label_emb"
)
_WORD = re.compile(rf"(?:{_WORDS}|[A-Za-z]+\d*|\d+)(?=_|$)")
# Inside a ResNet block, and outside all blocks: diffusers ↔ the older names.
_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_OLD_RESNET = {old: new for new, old in _RESNET.items()}
_OLD_ENDS = {old: new for new, old in _ENDS.items()}


def to_kohya(key: Key, family: str) -> str:
    """The name that kohya's trainer gives a layer in a file for `family`."""
    part, path = key
    if part != "unet":
        prefix = TEXT[family][1 if part == "text_encoder_2" else 0]
        return prefix + path.replace(".", "_")
    return UNET + (to_blocks(path) if family == "sdxl" else path).replace(".", "_")


def from_kohya(name: str) -> Key | None:
    """The layer that kohya's `name` means; None where it is not one of these families'."""
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
    path = None if prefix is None else _unflatten(name[len(prefix) :])
    if prefix is None or path is None:
        return None
    part = PREFIXES[prefix]
    return (part, from_blocks(path) if part == "unet" else path)


def to_blocks(path: str) -> str:
    """A path in SDXL's UNet as diffusers has it → `input_blocks…`, `middle_block…`, `output_blocks…`."""
    if path in _ENDS:
        return _ENDS[path]
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", path):
        kind, number, rest = found.groups()
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(number)}.{_inner(kind, rest, _RESNET)}"
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", path)
    if not found:
        return path
    side, level, kind, number, rest = found.groups()
    first = int(level) * PER_BLOCK
    if kind == "downsamplers":
        return f"input_blocks.{first + PER_BLOCK}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{first + PER_BLOCK - 1}.2.conv"
    place = 1 if kind == "attentions" else 0
    block = f"input_blocks.{first + int(number) + 1}" if side == "down" else f"output_blocks.{first + int(number)}"
    return f"{block}.{place}.{_inner(kind, rest, _RESNET)}"


def from_blocks(path: str) -> str:
    """The inverse of `to_blocks`; paths that are diffusers' already stay."""
    if path in _OLD_ENDS:
        return _OLD_ENDS[path]
    if found := re.fullmatch(r"middle_block\.(\d+)\.(.+)", path):
        number, rest = int(found[1]), found[2]
        kind = "attentions" if number == 1 else "resnets"
        return f"mid_block.{kind}.{0 if number == 1 else number // 2}.{_inner(kind, rest, _OLD_RESNET)}"
    found = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d)\.(.+)", path)
    if not found:
        return path
    side, number, place, rest = found[1], int(found[2]), int(found[3]), found[4]
    level, inside = divmod(number - 1 if side == "input" else number, PER_BLOCK)
    if rest == "op":
        return f"down_blocks.{level}.downsamplers.0.conv"
    if rest == "conv":
        return f"up_blocks.{level}.upsamplers.0.conv"
    kind = "attentions" if place == 1 else "resnets"
    block = "down_blocks" if side == "input" else "up_blocks"
    return f"{block}.{level}.{kind}.{inside}.{_inner(kind, rest, _OLD_RESNET)}"


def _inner(kind: str, rest: str, names: dict[str, str]) -> str:
    return names.get(rest, rest) if kind == "resnets" else rest


def _unflatten(flat: str) -> str | None:
    """`down_blocks_0_attentions_0_…` → `down_blocks.0.attentions.0.…`; None where a piece is not a word."""
    words, at = [], 0
    while at < len(flat):
        found = _WORD.match(flat, at)
        if not found:
            return None
        words.append(found[0])
        at = found.end() + 1
    return ".".join(words)
