"""From a decoded picture to what the VAE sees, with the mask cut exactly like it.

Not for decoding (`diversity/decode.py`) or for where the cut lies (`buckets.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from diversity.decode import BACKGROUND, Decoded
from training.buckets import Placement

LEVELS = {"white": 255, "grey": BACKGROUND, "black": 0}


@dataclass(frozen=True)
class Rendered:
    """One training sample in pixels.

    Attributes:
        pixels: float32 [3, h, w] in -1..1.
        mask: float32 [1, h / scale, w / scale] in 0..1, where the loss counts; None: everywhere.
    """

    pixels: torch.Tensor
    mask: torch.Tensor | None


def render(
    decoded: Decoded, placement: Placement, background: str, mask: Image.Image | None = None, *, scale: int = 8
) -> Rendered:
    """Scale, mirror and cut a picture and its mask.

    Args:
        decoded: Upright, transparent parts on grey.
        placement: Where the sample lies in it.
        background: Of `LEVELS`: what takes the place of transparent parts.
        mask: Where the loss counts (L, 255: fully), of any size with the picture's shape.
        scale: Pixels per latent.
    """
    picture = _on_background(decoded, LEVELS[background])
    pixels = np.asarray(_cut(picture, placement), np.float32) / 127.5 - 1
    if mask is None:
        return Rendered(torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), None)
    width, height = placement.size
    covered = np.asarray(_cut(mask, placement), np.float32) / 255
    means = covered.reshape(height // scale, scale, width // scale, scale).mean(axis=(1, 3))
    return Rendered(torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), torch.from_numpy(means)[None])


def _on_background(decoded: Decoded, level: int) -> Image.Image:
    """The picture with its transparent parts on another grey level than the decoder's."""
    if decoded.alpha is None or level == BACKGROUND:
        return decoded.picture
    through = 1 - np.asarray(decoded.alpha, np.float32)[..., None] / 255
    moved = decoded.pixels + through * (level - BACKGROUND)
    return Image.fromarray(np.rint(moved.clip(0, 255)).astype(np.uint8))


def _cut(image: Image.Image, placement: Placement) -> Image.Image:
    scaled = image.resize(placement.scaled, Image.Resampling.LANCZOS)
    if placement.flipped:
        scaled = scaled.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    left, top, (width, height) = placement.left, placement.top, placement.size
    return scaled.crop((left, top, left + width, top + height))
