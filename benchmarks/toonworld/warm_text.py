"""Teach the base's text encoder what captions mean before a UNet listens to it; see `train_base`.

Through cross-attention alone a fresh text encoder learned nothing in 1,500 steps here: the UNet's loss was the same
with a caption and without. Predicting the coarse picture and the labels from the mean of the states takes minutes, and
what a linear head can read, attention can read too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTextModel

from benchmarks.toonworld.fitting import cosine, set_rate
from benchmarks.toonworld.replicas import Replicas

COARSE = 4  # the picture's latents averaged to this many cells a side
BATCH, PEAK, WARMUP, LABEL_WEIGHT = 128, 2e-3, 30, 0.1


class Reader(nn.Module):
    """Linear heads on the mean state: the coarse picture, and one class per axis."""

    def __init__(self, width: int, coarse: int, classes: dict[str, int]) -> None:
        super().__init__()
        self.picture = nn.Linear(width, coarse)
        self.labels = nn.ModuleDict({axis: nn.Linear(width, count) for axis, count in classes.items()})


def coarse_targets(latents: NDArray[np.float16], rows: NDArray[np.int64]) -> Tensor:
    """Coarse pictures float32 [n, c * COARSE²] of rows of latents [2, n, c, s, s], the mean over both mirror images."""
    parts = []
    for start in range(0, len(rows), 2048):
        block = torch.from_numpy(latents[:, rows[start : start + 2048]].astype(np.float32)).mean(0)
        parts.append(F.adaptive_avg_pool2d(block, COARSE).flatten(1))
    found = torch.cat(parts)
    return (found - found.mean(0)) / found.std(0)


class Student(nn.Module):
    """The text encoder and what reads it, trained together."""

    def __init__(self, text: CLIPTextModel, coarse: int, classes: dict[str, int]) -> None:
        super().__init__()
        self.text, self.reader = text, Reader(text.config.hidden_size, coarse, classes)

    def loss(self, tokens: Tensor, coarse: Tensor, labels: Tensor) -> Tensor:
        """Squared error of the coarse picture [n, c], and cross-entropy of labels int64 [n, axes], −1: not shown."""
        state = self.text(tokens)[0].mean(1)
        total = F.mse_loss(self.reader.picture(state), coarse)
        for target, head in zip(labels.unbind(1), self.reader.labels.values(), strict=True):
            if (target >= 0).any():
                total = total + LABEL_WEIGHT * F.cross_entropy(head(state), target, ignore_index=-1)
        return total


def warm(
    text: CLIPTextModel, tokens: Sequence[Tensor], coarse: Tensor, labels: dict[str, Tensor], steps: int, cores: int
) -> float:
    """Train `text` in place on caption variants `tokens` (each int64 [n, t]); `labels` int64 [n] per axis, −1 where the
    picture does not show it. Returns the share of the coarse pictures' variance that fresh batches' captions explain.
    """
    student = Student(text, coarse.shape[1], {axis: int(values.max()) + 1 for axis, values in labels.items()})
    optimiser = torch.optim.AdamW(
        [{"params": student.parameters(), "peak": PEAK}], betas=(0.9, 0.98), weight_decay=0.01
    )
    replicas, rows = Replicas(student, cores), torch.stack(list(labels.values()), 1)

    def batch(step: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([step, 4])
        items = torch.from_numpy(rng.integers(len(coarse), size=BATCH))
        return tokens[int(rng.integers(len(tokens)))][items], coarse[items], rows[items]

    for step in range(steps):
        set_rate(optimiser, cosine(step, steps, WARMUP))
        replicas.backward(Student.loss, *batch(step))
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
    explained = []
    with torch.no_grad():
        for step in range(steps, steps + 10):
            ids, target, _ = batch(step)
            explained.append(1 - float(F.mse_loss(student.reader.picture(text(ids)[0].mean(1)), target)))
    return float(np.mean(explained))
