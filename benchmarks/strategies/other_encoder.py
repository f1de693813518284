"""The encoder that judges and that no strategy uses: ImageNet MobileNetV2 where its weights are, else a colour layout.

A strategy always looks best in the vectors that it chose by; so richness and coverage are measured in these.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.strategies.suites import SHARED

WEIGHTS = SHARED / "weights" / "mobilenet_v2_imagenet1001_bnfolded_fp16.safetensors"
SIDE, BATCH = 224, 16


def vectors_of(thumbnails: Sequence[bytes]) -> tuple[str, NDArray[np.float32]]:
    """The encoder's name and float32 [n, d], unit rows, of small encoded pictures."""
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in thumbnails]
    if WEIGHTS.is_file():
        return "MobileNetV2, ImageNet", _mobilenet(pictures)
    from benchmarks.duplicates import Layout

    return Layout.name, np.asarray(Layout().encode_images(pictures))


def _mobilenet(pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
    """Mean of the last map; input (x − 128) / 128 at 224 × 224, stretched."""
    import timm
    import torch

    from benchmarks.toonworld.pretrained import load

    trunk = timm.create_model("mobilenetv2_100", pretrained=False, num_classes=0, pad_type="same")
    load(trunk, WEIGHTS)
    trunk.eval()
    parts = []
    with torch.inference_mode():
        for at in range(0, len(pictures), BATCH):
            resized = [np.asarray(p.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for p in pictures[at : at + BATCH]]
            pixels = (np.stack(resized).astype(np.float32) - 128) / 128
            parts.append(trunk(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy())
    found = np.concatenate(parts).astype(np.float32)
    unit: NDArray[np.float32] = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    return unit
