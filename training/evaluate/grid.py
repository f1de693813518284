"""Losses of pictures on a fixed grid of noise levels and noises, with an adapter or with the base alone.

Not for what they mean: that is `loss_gap.py`. Noise is named by picture, level and repeat, as `training.heldout` names
it, so base, checkpoints and runs see the same noise, and a run's own curves agree with these numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.base import TextStates
from training.evaluate.estimate import Floats
from training.evaluate.kept import kept
from training.evaluate.sets import Material
from training.evaluate.settings import EvaluateSettings
from training.evaluate.weighted import alone
from training.heldout import TINY, levels, noise_of
from training.losses import Batch, Noise, squared_errors

if TYPE_CHECKING:
    from training.base import Base
    from training.lora import Adapter

AT_ONCE = 16  # cells of the grid per forward pass
TEXTS = 16  # captions encoded at a time

Cell = tuple[int, int, int]  # picture, level, repeat


@dataclass(frozen=True)
class Grid:
    """The noise levels of a grid.

    Attributes:
        timesteps: Of the base's schedule, ascending.
        noises: Repeats at each.
        count: Timesteps of the whole schedule.
        windows: Text windows of every caption.
    """

    timesteps: tuple[int, ...]
    noises: int
    count: int
    windows: int

    @property
    def levels(self) -> Floats:
        """The timesteps as shares of the schedule, 0 (no noise) .. 1."""
        return np.array(self.timesteps, np.float64) / self.count


def grid(base: Base, settings: EvaluateSettings, materials: Sequence[Material], most_windows: int = 3) -> Grid:
    """The grid for `materials`, one number of text windows for all of them."""
    count = int(base.scheduler.config.num_train_timesteps)
    captions = [caption for material in materials for caption in material.captions]
    return Grid(
        tuple(levels(base, settings.timesteps)), settings.noises, count, min(base.windows(captions), most_windows)
    )


def losses(
    base: Base, adapter: Adapter, material: Material, where: Grid, weight: float = 1.0, cache: Path | None = None
) -> Floats:
    """Mean squared errors with `adapter` at `weight`: float64 [pictures, timesteps, noises], all above 0.

    Kept in `cache` where the adapter says what it is kept as.
    """

    def make() -> Floats:
        with alone(base, adapter, weight):
            return _measure(base, material, where)

    if not adapter.kept_as:
        return make()
    found: Floats = kept(cache, "losses", {**_key(base, material, where), "lora": (adapter.kept_as, weight)}, make)
    return found


def base_losses(base: Base, material: Material, where: Grid, cache: Path | None = None) -> Floats:
    """The same of the base alone, kept in `cache`."""

    def make() -> Floats:
        with alone(base, None):
            return _measure(base, material, where)

    found: Floats = kept(cache, "losses", _key(base, material, where), make)
    return found


def _measure(base: Base, material: Material, where: Grid) -> Floats:
    found = np.zeros((len(material), len(where.timesteps), where.noises))
    states = _states(base, material.captions, where.windows)
    for rows in _by_shape(material):
        cells = [(row, t, k) for row in rows for t in range(len(where.timesteps)) for k in range(where.noises)]
        for start in range(0, len(cells), AT_ONCE):
            part = cells[start : start + AT_ONCE]
            errors = squared_errors(base, _batch(base, material, states, part), _noise(base, material, where, part))
            for cell, error in zip(part, errors.double().cpu().tolist(), strict=True):
                found[cell] = max(error, TINY)
    return found


def _batch(base: Base, material: Material, states: TextStates, cells: Sequence[Cell]) -> Batch:
    rows = [row for row, _, _ in cells]
    latents = torch.stack([material.latents[row] for row in rows]).to(base.device, base.dtype)
    index = torch.tensor(rows, device=base.device)
    masks = None
    if any(material.masks[row] is not None for row in rows):
        whole = torch.ones(1, *latents.shape[-2:])
        found = [material.masks[row] for row in rows]
        masks = torch.stack([whole if mask is None else mask for mask in found]).to(base.device)
    time_ids = None
    if base.family == "sdxl" and material.time_ids:
        time_ids = torch.tensor([material.time_ids[row] for row in rows], dtype=torch.float32, device=base.device)
    pooled = None if states.pooled is None else states.pooled[index]
    return Batch(latents, TextStates(states.states[index], pooled), time_ids, masks)


def _noise(base: Base, material: Material, where: Grid, cells: Sequence[Cell]) -> Noise:
    drawn = [
        noise_of(material.contents[row], where.timesteps[t], k, tuple(material.latents[row].shape))
        for row, t, k in cells
    ]
    times = torch.tensor([where.timesteps[t] for _, t, _ in cells], device=base.device)
    return Noise(torch.stack(drawn).to(base.device, base.dtype), times)


def _states(base: Base, captions: Sequence[str], windows: int) -> TextStates:
    """States of every caption, each text encoded once."""
    texts = sorted(set(captions))
    parts = [
        base.encode_prompts(texts[start : start + TEXTS], windows=windows) for start in range(0, len(texts), TEXTS)
    ]
    index = torch.tensor([texts.index(caption) for caption in captions], device=base.device)
    pooled = None if parts[0].pooled is None else torch.cat([p.pooled for p in parts if p.pooled is not None])[index]
    return TextStates(torch.cat([p.states for p in parts])[index], pooled)


def _by_shape(material: Material) -> list[list[int]]:
    """Rows of equal latent shape."""
    found: dict[tuple[int, ...], list[int]] = {}
    for row, latents in enumerate(material.latents):
        found.setdefault(tuple(latents.shape), []).append(row)
    return list(found.values())


def _key(base: Base, material: Material, where: Grid) -> dict[str, object]:
    digest = hashlib.blake2b(digest_size=16)
    for latents, mask in zip(material.latents, material.masks, strict=True):
        for part in (latents, mask):
            if part is not None:
                digest.update(repr(tuple(part.shape)).encode() + part.float().contiguous().numpy().tobytes())
    return {
        "base": (base.fingerprint, base.schedule),
        "dtype": str(base.dtype),
        "captions": material.captions,
        "contents": material.contents,
        "time_ids": material.time_ids,
        "pixels": digest.hexdigest(),
        "grid": (where.timesteps, where.noises, where.windows),
    }
