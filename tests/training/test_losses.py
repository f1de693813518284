"""The denoising loss: min-SNR as published, masks that hold, noise by name."""

from __future__ import annotations

import pytest
import torch
from diffusers.training_utils import compute_snr

from training import losses
from training.base import Base
from training.losses import Batch, Noise


def batch_of(base: Base, n: int, size: int = 16, mask: torch.Tensor | None = None) -> Batch:
    channels = base.unet.config.in_channels
    latents = torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        states = base.encode_prompts(["a red hat"] * n)
    return Batch(latents, states, mask=mask)


def noise_of(batch: Batch, seed: int = 0) -> Noise:
    return losses.draw(batch.latents.shape[1:], (seed, 0), range(len(batch.latents)), 1000, 0.0)


def test_signal_to_noise_is_the_librarys_own(sd1: Base) -> None:
    timesteps = torch.arange(0, 1000, 7)
    assert torch.allclose(losses.signal_to_noise(sd1.scheduler, timesteps), compute_snr(sd1.scheduler, timesteps), 2e-5)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weights_are_the_published_ones(sd1: Base, v: Base, gamma: float) -> None:
    for base in (sd1, v):
        snr = losses.signal_to_noise(base.scheduler, torch.arange(999))
        least = torch.minimum(snr, torch.full_like(snr, gamma))
        wanted = least / snr if base is sd1 else least / (snr + 1)
        assert torch.allclose(losses.min_snr(snr, gamma, base.prediction_type), wanted)
        assert losses.min_snr(snr, None, base.prediction_type).eq(1).all()


def test_the_last_timestep_of_a_zero_terminal_schedule_is_finite(v: Base) -> None:
    assert v.zero_terminal_snr
    last = torch.tensor([999, 999])
    snr = losses.signal_to_noise(v.scheduler, last)
    assert snr.tolist() == [0, 0]
    assert losses.min_snr(snr, 5.0, "epsilon").tolist() == [1, 1]
    batch = batch_of(v, 2)
    noise = Noise(noise_of(batch).noise, last)
    found = losses.squared_errors(v, batch, noise) * losses.weights_of(v, batch, noise, 5.0)
    assert torch.isfinite(found).all()
    assert torch.allclose(losses.target_of(v, batch.latents, noise), -batch.latents, atol=1e-5)  # v = -x0 at ᾱ = 0


def test_noise_depends_on_step_and_sample_and_not_on_the_batch() -> None:
    whole = losses.draw((4, 8, 8), (7, 3), range(4), 1000, 0.1)
    halves = [losses.draw((4, 8, 8), (7, 3), part, 1000, 0.1) for part in (range(2), range(2, 4))]
    assert torch.equal(whole.noise, torch.cat([half.noise for half in halves]))
    assert torch.equal(whole.timesteps, torch.cat([half.timesteps for half in halves]))
    other = losses.draw((4, 8, 8), (7, 4), range(4), 1000, 0.1)
    assert not torch.equal(whole.noise, other.noise)


def test_noise_is_standard_normal_timesteps_are_even_and_the_offset_moves_channel_means() -> None:
    plain = losses.draw((4, 16, 16), (0, 0), range(400), 1000, 0.0)
    assert abs(float(plain.noise.mean())) < 0.01
    assert abs(float(plain.noise.std()) - 1) < 0.01
    assert abs(float(plain.timesteps.float().mean()) - 499.5) < 4 * 289 / 20
    offset = losses.draw((4, 16, 16), (0, 0), range(400), 1000, 0.5)
    assert float(plain.noise.mean(dim=(2, 3)).std()) < 0.08  # 1/16
    assert abs(float(offset.noise.mean(dim=(2, 3)).std()) - 0.5) < 0.05


def test_nothing_outside_the_mask_has_a_gradient(sd1: Base) -> None:
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:9, 2:7] = 1
    batch = batch_of(sd1, 1, mask=mask)
    answers = []

    def keep(*parts: object, **_: object) -> torch.Tensor:
        answers.append(torch.zeros_like(batch.latents).requires_grad_())
        return answers[0]

    sd1.noise_prediction = keep  # type: ignore[method-assign]
    losses.squared_errors(sd1, batch, noise_of(batch)).sum().backward()
    gradient = answers[0].grad
    assert gradient is not None
    outside = mask.expand_as(gradient) == 0
    assert gradient[outside].eq(0).all()
    assert gradient[~outside].ne(0).all()


def test_an_empty_mask_gives_zero_and_a_full_one_changes_nothing(sd1: Base) -> None:
    plain = batch_of(sd1, 2)
    noise = noise_of(plain)
    wanted = losses.squared_errors(sd1, plain, noise)
    full = Batch(plain.latents, plain.states, mask=torch.ones(2, 1, 16, 16))
    assert torch.allclose(losses.squared_errors(sd1, full, noise), wanted)
    empty = Batch(plain.latents, plain.states, mask=torch.stack([torch.zeros(1, 16, 16), torch.ones(1, 16, 16)]))
    found = losses.squared_errors(sd1, empty, noise)
    assert float(found[0]) == 0
    assert torch.allclose(found[1], wanted[1])


def test_bands_are_thirds_of_the_schedule() -> None:
    assert [losses.band_of(t, 1000) for t in (0, 333, 334, 666, 667, 999)] == [
        "low",
        "low",
        "mid",
        "mid",
        "high",
        "high",
    ]
