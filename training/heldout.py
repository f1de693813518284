"""Losses on held-out pictures and their trained twins on one fixed grid of noise: equal numbers for equal weights.

Not for what they mean: that is `evaluate/loss_gap.py`. Noise is keyed by picture, timestep and repeat, so it is shared
by the base model, every checkpoint and every run; nothing is drawn from a global generator and no weight is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from training import keyed
from training.base import Base, TextStates
from training.config import TrainConfig
from training.data import Loader, TrainingData, in_buckets
from training.evaluate.loss_gap import Losses, gap
from training.losses import Batch, Noise, squared_errors
from training.pictures import Picture

Autocast = Callable[[], AbstractContextManager[object]]
Floats = NDArray[np.float64]

TINY = 1e-12  # a loss of 0 (nothing under the mask) has no logarithm


class HeldOut:
    """The grid of one run: pictures × timesteps × noises.

    Args:
        data: Whose held-out pictures and twins are measured.
        base: The model, with whatever adapter is on.
        loader: Gives their latents and text states.
        config: Of the run.
        autocast: Context of the arithmetic.
    """

    def __init__(self, data: TrainingData, base: Base, loader: Loader, config: TrainConfig, autocast: Autocast) -> None:
        twins, held_out = (part[: config.validation.pictures] for part in (data.twins, data.held_out))
        self.pictures: tuple[Picture, ...] = (*twins, *held_out)
        self.roles = np.array(["train"] * len(twins) + ["held_out"] * len(held_out))
        self._base, self._loader, self._autocast = base, loader, autocast
        self._at_once = max(8, config.batch_size)
        self.timesteps = levels(base, config.validation.timesteps)
        self._count = int(base.scheduler.config.num_train_timesteps)
        self._noises = config.validation.noises
        self.reference: Floats | None = None  # the base model's, measured once

    @property
    def there(self) -> bool:
        """Whether there is anything to measure."""
        return bool((self.roles == "held_out").any())

    def measure(self) -> Floats:
        """Mean squared errors with the weights as they are: float64 [pictures, timesteps, noises]."""
        losses = np.zeros((len(self.pictures), len(self.timesteps), self._noises))
        with torch.no_grad(), self._autocast():
            for rows in in_buckets(self.pictures, len(self.pictures)):
                batch = self._loader.fixed([self.pictures[row] for row in rows])
                cells = [
                    (i, t, k) for i in range(len(rows)) for t in range(len(self.timesteps)) for k in range(self._noises)
                ]
                for start in range(0, len(cells), self._at_once):
                    part = cells[start : start + self._at_once]
                    found = self._errors(rows, batch, part).cpu().numpy()
                    for (i, t, k), loss in zip(part, found, strict=True):
                        losses[rows[i], t, k] = max(float(loss), TINY)
        return losses

    def losses(self, measured: Floats) -> Losses:
        """`measured` beside the base model's, for `loss_gap.gap`."""
        if self.reference is None:
            raise ValueError("the base model was not measured")
        return Losses(
            lora=measured,
            base=self.reference,
            timesteps=np.array(self.timesteps) / self._count,
            groups=np.array([p.groups[0] if p.groups else p.key for p in self.pictures]),
            roles=self.roles,
        )

    def summary(self, measured: Floats) -> dict[str, float]:
        """Mean losses and their mean log ratios to the base model, by role; the gap, also by amount of noise."""
        found = gap(self.losses(measured))
        values = {"held_out.delta": found.held_out.value, "twins.delta": found.train.value, "gap": found.gap.value}
        values |= {f"gap.{band}": estimate.value for band, estimate in found.bands.items()}
        for name, role in (("held_out", "held_out"), ("twins", "train")):
            values[f"{name}.loss"] = float(measured[self.roles == role].mean())
        return values

    def table(self, step: int, measured: Floats) -> pl.DataFrame:
        """`measured` as rows: step, key, role, timestep, noise, loss, base."""
        reference = np.full_like(measured, np.nan) if self.reference is None else self.reference
        rows = [
            (step, p.key, str(role), t, k, float(measured[i, j, k]), float(reference[i, j, k]))
            for i, (p, role) in enumerate(zip(self.pictures, self.roles, strict=True))
            for j, t in enumerate(self.timesteps)
            for k in range(self._noises)
        ]
        names = ("step", "key", "role", "timestep", "noise", "loss", "base")
        return pl.DataFrame(rows, schema=list(names), orient="row")

    def _errors(self, rows: Sequence[int], batch: Batch, cells: Sequence[tuple[int, int, int]]) -> torch.Tensor:
        device = self._base.device
        index = torch.tensor([i for i, _, _ in cells], device=device)
        shape = tuple(batch.latents.shape[1:])
        noise = torch.stack(
            [noise_of(self.pictures[rows[i]].content, self.timesteps[t], k, shape) for i, t, k in cells]
        )
        times = torch.tensor([self.timesteps[t] for _, t, _ in cells], device=device)
        part = Batch(
            latents=batch.latents[index],
            states=_take(batch.states, index),
            time_ids=None if batch.time_ids is None else batch.time_ids[index],
            mask=None if batch.mask is None else batch.mask[index],
        )
        return squared_errors(self._base, part, Noise(noise.to(device, batch.latents.dtype), times))


def levels(base: Base, count: int) -> list[int]:
    """`count` timesteps, each in the middle of its share of the base's schedule."""
    steps = int(base.scheduler.config.num_train_timesteps)
    return [int((i + 0.5) * steps / count) for i in range(count)]


def noise_of(content: str, timestep: int, repeat: int, shape: tuple[int, ...]) -> torch.Tensor:
    """The noise of one cell of the grid, float32 of `shape`."""
    rng = keyed.generator("held out", content, timestep, repeat)
    return torch.from_numpy(rng.standard_normal(shape, dtype="float32"))


def _take(states: TextStates, index: torch.Tensor) -> TextStates:
    return TextStates(states.states[index], None if states.pooled is None else states.pooled[index])
