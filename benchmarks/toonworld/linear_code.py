"""The toon base's latent code: principal components of 8×8 blocks, written into the encoder of an `AutoencoderKL`.

A linear code needs no training, so the UNet can be trained beside the decoder, and a better decoder fits an old UNet.
Residual branches of the encoder are switched off; what is left (strided convolutions, 1×1 shortcuts) is linear, and its
last norm and SiLU are made linear by carrying every component with both signs (SiLU(x) − SiLU(−x) = x) beside
constants so large that the norm's statistics hardly move.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]
CHANNELS = 12
CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [16, 32, 64, 96],
    "layers_per_block": 1,
    "latent_channels": CHANNELS,
    "norm_num_groups": 2,  # one group a channel would normalise the colour away
    "sample_size": 128,
    "mid_block_add_attention": False,
    "scaling_factor": 1.0,
}
KEPT = (12, 32, 64)  # dimensions that survive each halving
SPREAD = 0.75  # a component's spread is its own to this power: coarse ones stay larger, fine ones come last
LEVEL = 0.7  # of the code's root mean square, so that half of the noise schedule is spent on the coarse components
ANCHOR, SILENT = 64.0, -12.0


def blocks(maps: Array) -> Array:
    """2×2 blocks side by side: [n, h, w, c] -> [n, h/2, w/2, 4c], ordered down, across, channel."""
    n, high, wide, depth = maps.shape
    halves = maps.reshape(n, high // 2, 2, wide // 2, 2, depth).transpose(0, 1, 3, 2, 4, 5)
    return halves.reshape(n, high // 2, wide // 2, 4 * depth)


def components(rows: Array, count: int) -> Array:
    """The `count` main directions [count, d] of rows [n, d], largest first, signs fixed."""
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    found = vectors[:, np.argsort(values)[::-1][:count]].T
    return found * np.sign(found[np.arange(count), np.abs(found).argmax(1)])[:, None]


def fit(pictures: NDArray[np.uint8]) -> tuple[list[Array], Array]:
    """Matrices of the three halvings and the last projection, and the last bias, from pictures uint8 [n, s, s, 3]."""
    maps = pictures.astype(np.float64) / 127.5 - 1
    stages = []
    for kept in KEPT:
        maps = blocks(maps)
        rows = maps.reshape(-1, maps.shape[-1])
        stage = np.eye(kept) if kept == rows.shape[1] else components(rows, kept)
        stages.append(stage)
        maps = maps @ stage.T
    rows = maps.reshape(-1, maps.shape[-1])
    middle = rows.mean(0)
    last = components(rows - middle, CHANNELS)
    spread = ((rows - middle) @ last.T).std(0)
    scale = spread ** (SPREAD - 1)
    scale *= LEVEL / np.sqrt(np.mean((spread * scale) ** 2))
    return [*stages, last * scale[:, None]], -(last @ middle) * scale


def encode(pictures: NDArray[np.uint8], stages: list[Array], bias: Array) -> NDArray[np.float32]:
    """The code itself, float32 [n, CHANNELS, s/8, s/8]; what the written encoder computes."""
    maps = pictures.astype(np.float32) / 127.5 - 1
    for stage in stages[:3]:
        maps = blocks(maps) @ stage.T.astype(np.float32)
    return (maps @ stages[3].T.astype(np.float32) + bias.astype(np.float32)).transpose(0, 3, 1, 2)


def build(stages: list[Array], bias: Array) -> AutoencoderKL:
    """An autoencoder whose encoder is the code and whose decoder is fresh, ready to be trained."""
    model = AutoencoderKL.from_config(CONFIG)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)
    for layer in model.modules():
        if isinstance(layer, ResnetBlock2D):
            nn.init.zeros_(layer.conv2.weight)
    with torch.no_grad():
        _write(model, [torch.from_numpy(s).float() for s in stages], torch.from_numpy(bias).float())
    return model


def _write(model: AutoencoderKL, stages: list[torch.Tensor], bias: torch.Tensor) -> None:
    encoder, groups = model.encoder, int(CONFIG["norm_num_groups"])  # type: ignore[call-overload]
    for layer in (*encoder.modules(), *model.quant_conv.modules()):
        if isinstance(layer, nn.Conv2d):
            layer.weight.zero_()
            layer.bias.zero_()
    encoder.conv_in.weight[:3, :, 1, 1] = torch.eye(3)
    depth = 3
    for block, stage in zip(encoder.down_blocks[:3], stages[:3], strict=True):
        shortcut = block.resnets[0].conv_shortcut
        if shortcut is not None:
            shortcut.weight[:depth, :depth, 0, 0] = torch.eye(depth)
        kernel = stage.reshape(len(stage), 2, 2, depth).permute(0, 3, 1, 2)
        block.downsamplers[0].conv.weight[: len(stage), :depth, :2, :2] = kernel
        depth = len(stage)
    last, wide = encoder.down_blocks[3].resnets[0].conv_shortcut, CONFIG["block_out_channels"][3]  # type: ignore[index]
    share, per = wide // groups, CHANNELS // groups
    for group in range(groups):
        start, rows = group * share, slice(group * per, (group + 1) * per)
        for sign, at in ((1.0, start), (-1.0, start + per)):
            last.weight[at : at + per, :depth, 0, 0] = sign * stages[3][rows]
            last.bias[at : at + per] = sign * bias[rows]
            encoder.conv_out.weight[rows, at : at + per, 1, 1] = sign * torch.eye(per)
        last.bias[start + 2 * per], last.bias[start + 2 * per + 1] = ANCHOR, -ANCHOR
    encoder.conv_norm_out.weight.fill_(ANCHOR * (2 / share) ** 0.5)
    encoder.conv_norm_out.bias.zero_()
    encoder.conv_out.bias[CHANNELS:] = SILENT
    model.quant_conv.weight[:, :, 0, 0] = torch.eye(2 * CHANNELS)
