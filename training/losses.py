"""The denoising loss of one batch: timesteps and noise by name, target, min-SNR weight, mask.

Not for what the losses say about overfitting: that is `evaluate/loss_gap.py`.

Timesteps and noise are keyed by (seed, step, sample), so a resumed run, another batch size or accumulation sees the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training import keyed
from training.base import Base, TextStates
from training.errors import BaseModelError

BANDS = ("low", "mid", "high")  # thirds of the schedule, by amount of noise


@dataclass(frozen=True)
class Batch:
    """What one forward pass sees.

    Attributes:
        latents: [n, c, h, w], scaled, without noise.
        states: Text states of n captions.
        time_ids: [n, 6] for SDXL, else None.
        mask: [n, 1, h, w] in 0..1, where the loss counts; None: everywhere.
        factors: [n] factor on each picture's loss.
    """

    latents: torch.Tensor
    states: TextStates
    time_ids: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    factors: torch.Tensor | None = None


@dataclass(frozen=True)
class Noise:
    """What is added to a batch: `noise` [n, c, h, w] and `timesteps` int64 [n]."""

    noise: torch.Tensor
    timesteps: torch.Tensor


def draw(shape: Sequence[int], key: Sequence[keyed.Part], samples: Sequence[int], count: int, offset: float) -> Noise:
    """Noise and timesteps of the samples of one step, on the CPU in float32.

    Args:
        shape: [c, h, w] of one sample.
        key: Of the step, for example (seed, step).
        samples: Numbers of the samples within the step.
        count: Timesteps of the schedule; drawn evenly.
        offset: Standard deviation of what is added to each channel's mean (crosslabs.org, "diffusion with offset
            noise").
    """
    rows, times = [], []
    for sample in samples:
        rng = keyed.generator("noise", *key, sample)
        times.append(int(rng.integers(count)))
        noise = torch.from_numpy(rng.standard_normal(tuple(shape), dtype="float32"))
        if offset:
            noise += offset * torch.from_numpy(rng.standard_normal((shape[0], 1, 1), dtype="float32"))
        rows.append(noise)
    return Noise(torch.stack(rows), torch.tensor(times, dtype=torch.int64))


def signal_to_noise(scheduler: Any, timesteps: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """ᾱ / (1 - ᾱ) of each timestep: float32 [n]; 0 for the last one of a zero-terminal-SNR schedule."""
    alphas: torch.Tensor = scheduler.alphas_cumprod.to(timesteps.device, torch.float64)[timesteps]
    return (alphas / (1 - alphas)).float()


def min_snr(snr: torch.Tensor, gamma: float | None, prediction_type: str) -> torch.Tensor:
    """Weight of each timestep: min(snr, γ) / snr for noise, min(snr, γ) / (snr + 1) for velocity; 1 without γ.

    Hang et al. 2023 (arXiv 2303.09556, section 3.4, for x0, divided by what the target's loss holds already). Where
    snr is 0 the first is its limit, 1.
    """
    if gamma is None:
        return torch.ones_like(snr)
    if prediction_type == "v_prediction":
        return snr.clamp(max=gamma) / (snr + 1)
    return torch.clamp(gamma / snr, max=1)


def target_of(base: Base, latents: torch.Tensor, noise: Noise) -> torch.Tensor:
    """What the UNet should answer: the noise, or the velocity (Salimans & Ho 2022, arXiv 2202.00512)."""
    if base.prediction_type == "epsilon":
        return noise.noise
    if base.prediction_type == "v_prediction":
        found: torch.Tensor = base.scheduler.get_velocity(latents, noise.noise, noise.timesteps)
        return found
    raise BaseModelError(
        f"{base.name} predicts '{base.prediction_type}'.", "Noise and velocity are trained here.", "Use another base."
    )


def squared_errors(base: Base, batch: Batch, noise: Noise) -> torch.Tensor:
    """Mean squared error of each picture, float32 [n], before any weight.

    Under a mask the mean is over what it covers, so that a small figure counts as much as a large one; a picture whose
    mask is all zero has error 0.
    """
    noisy = base.scheduler.add_noise(batch.latents, noise.noise, noise.timesteps)
    target = target_of(base, batch.latents, noise)
    found = base.noise_prediction(noisy, noise.timesteps, batch.states, batch.time_ids)
    errors = (found.float() - target.float()) ** 2
    if batch.mask is None:
        return errors.mean(dim=(1, 2, 3))
    mask = batch.mask.expand_as(errors)
    covered = mask.sum(dim=(1, 2, 3))
    return (errors * mask).sum(dim=(1, 2, 3)) / torch.where(covered > 0, covered, torch.ones_like(covered))


def weights_of(base: Base, batch: Batch, noise: Noise, gamma: float | None) -> torch.Tensor:
    """Factor on each picture's squared error: min-SNR times its own."""
    weights = min_snr(signal_to_noise(base.scheduler, noise.timesteps), gamma, base.prediction_type)
    return weights if batch.factors is None else weights * batch.factors


def band_of(timestep: int, count: int) -> str:
    """`low`, `mid` or `high`: which third of the schedule's noise."""
    return BANDS[min(3 * timestep // count, 2)]
