"""Photos that hold an encoder's eye in place: half of the Caltech classes, and what ImageNet's MobileNetV2 sees there.

The other half is never trained on, so that benchmarks can judge it (`halves`), and neither are the originals of
the resized photos. Not for DreamBooth pictures, which only judge.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.toonworld import pretrained
from benchmarks.toonworld.dataset import Picture, recolour
from diversity.hashing import phash

LOOK = 128  # pixels at which the teacher looks
TEMPERATURE = 0.1
LEAST_AREA = 0.3
BITS = 10  # of 64 by which a photo and the original of a resized one may differ; unlike photos differ by about 32


def halves(caltech: Path) -> tuple[list[Path], list[Path]]:
    """Folders of classes, every second one by name: those that are trained on, and those that no encoder has seen."""
    classes = sorted(folder for folder in caltech.iterdir() if folder.is_dir())
    return classes[::2], classes[1::2]


class Photos:
    """Photos in memory, uint8 [h, w, 3] each, without those that a folder of resized copies shows."""

    def __init__(self, caltech: Path, resized: Path) -> None:
        files = [file for folder in halves(caltech)[0] for file in sorted(folder.glob("*.jpg"))]
        read = [_read(file) for file in files]
        judged = [_hash(_read(file)) for file in sorted(resized.rglob("*.jpg"))]
        self.pictures = [photo for photo in read if min((_hash(photo) ^ one).bit_count() for one in judged) > BITS]

    def crops(self, seed: int, step: int, count: int, size: int) -> Picture:
        """Two crops of each of `count` photos, first all first ones: uint8 [2 count, size, size, 3]."""
        rng = np.random.default_rng([seed, step, 7])
        chosen = rng.choice(len(self.pictures), count, replace=False)
        return np.stack([_shot(self.pictures[i], size, rng) for _ in range(2) for i in chosen.tolist()])


class Teacher:
    """ImageNet's MobileNetV2 as it is."""

    def __init__(self, weights: Path) -> None:
        import timm

        self.trunk = timm.create_model("mobilenetv2_100", num_classes=0).eval().requires_grad_(False)
        pretrained.load(self.trunk, weights)
        self.trunk = self.trunk.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, pixels: Tensor, look: int = LOOK) -> Tensor:
        """Unit rows float32 [n, 1280] of pixels in -1..1 [n, 3, s, s], looked at with `look` pixels a side."""
        return F.normalize(self.trunk(F.interpolate(pixels, size=(look, look), mode="bilinear")), dim=-1)


class Holding(nn.Module):
    """Loss that keeps what the teacher tells apart: told from each row, and as likeness between photos."""

    def __init__(self, dim: int, width: int = 1280) -> None:
        super().__init__()
        self.recall = nn.Linear(dim, width)

    def told(self, rows: Tensor, seen: Tensor) -> Tensor:
        """1 - cosine of the teacher's rows [n, 1280] and what a linear map makes of ours [n, dim]."""
        return 1 - F.cosine_similarity(self.recall(rows), seen, dim=-1).mean()

    def alike(self, rows: Tensor, seen: Tensor) -> Tensor:
        """Kullback-Leibler divergence of whom each photo is like, theirs from ours (relational distillation, Park et
        al. 2019, with the similarities of Tung and Mori 2019); the teacher's rows are centred, all are positive.
        """
        theirs = F.normalize(seen - seen.mean(0), dim=-1)
        out = torch.eye(len(rows), dtype=torch.bool)
        ours = (rows @ rows.T / TEMPERATURE).masked_fill(out, -1e4).log_softmax(1)
        aim = (theirs @ theirs.T / TEMPERATURE).masked_fill(out, -1e4).log_softmax(1)
        return F.kl_div(ours, aim, reduction="batchmean", log_target=True)


def _read(file: Path) -> Picture:
    decoded = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if decoded is None:
        raise OSError(f"{file} cannot be read")
    return np.asarray(decoded[:, :, ::-1], dtype=np.uint8)


def _hash(photo: Picture) -> int:
    """64 bits; 0 where a photo has too little structure to tell (`phash`)."""
    return phash(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.uint8)) or 0


def _shot(photo: Picture, size: int, rng: np.random.Generator) -> Picture:
    """A window of a photo, squashed to a square, sometimes mirrored, recoloured, blurred or made small before."""
    high, wide = photo.shape[:2]
    side, stretch = np.sqrt(rng.uniform(LEAST_AREA, 1.0)), np.exp(rng.uniform(-0.2, 0.2))
    tall, broad = (
        max(16, int(min(1.0, part) * whole)) for part, whole in ((side * stretch, high), (side / stretch, wide))
    )
    top, left = int(rng.integers(high - tall + 1)), int(rng.integers(wide - broad + 1))
    window = photo[top : top + tall, left : left + broad]
    window = np.ascontiguousarray(window[:, ::-1] if rng.random() < 0.5 else window)
    if rng.random() < 0.2:
        small = int(size * rng.uniform(0.4, 0.8))
        window = cv2.resize(window, (small, small), interpolation=cv2.INTER_AREA)
    shrink = min(window.shape[:2]) > size
    values = cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    return np.clip(recolour(values.astype(np.float32), rng), 0, 255).astype(np.uint8)
