"""Does the trainer compute the same losses as diffusers' own text-to-image LoRA loop?

    python -m benchmarks.training_parity

The reference is written here from diffusers' parts alone (examples/text_to_image/train_text_to_image_lora.py): its
models, its scheduler's noise and velocity, its `compute_snr`, peft's own adapter, AdamW, gradient clipping. It shares
nothing with the training room but the numbers it is given: initial adapter weights, latents, text states, noise and
timesteps, all written down while the room's own loop trains. Models are the tests' tiny ones; 20 steps; noise and
velocity, min-SNR and noise offset on and off.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from peft import LoraConfig

from diversity import Dataset
from training import lora, losses
from training.base import Base, load
from training.config import TrainConfig
from training.train import train

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
RANK, LR, STEPS, BATCH = 4, 1e-3, 20, 4
Ints = Sequence[int]
TARGETS = ["to_k", "to_q", "to_v", "to_out.0"]


@dataclass(frozen=True)
class Case:
    """One comparison: which model, and what is switched on."""

    model: str
    gamma: float | None
    offset: float

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.model}, min-SNR {self.gamma or 'off'}, noise offset {self.offset or 'off'}"


CASES = [Case(model, gamma, offset) for model in ("sd1", "v") for gamma in (None, 5.0) for offset in (0.0, 0.1)]


@dataclass(frozen=True)
class Given:
    """What one step of both loops starts from.

    Attributes:
        latents: [n, c, h, w].
        states: Text states [n, t, d].
        noise: As drawn, without offset, [n, c, h, w].
        shift: What the noise offset multiplies, [n, c, 1, 1].
        timesteps: int64 [n].
    """

    latents: torch.Tensor
    states: torch.Tensor
    noise: torch.Tensor
    shift: torch.Tensor
    timesteps: torch.Tensor


@dataclass(frozen=True)
class Recorded:
    """One run of the trainer: adapter weights at its start, what each step was given, its losses."""

    start: dict[str, torch.Tensor]
    given: list[Given]
    losses: list[float]


def record(folder: Path, case: Case, dataset: Dataset) -> Recorded:
    """Train `STEPS` steps with the room's own loop and write down what it used."""
    settings = {"rank": RANK, "init": "gaussian", "seed": 3}
    config = TrainConfig.of(
        {
            "base": str(folder),
            "device": "cpu",
            "steps": STEPS,
            "batch_size": BATCH,
            "log_every": 1,
            "lora": settings,
            "optimiser": {"lr": LR},
            "loss": {"min_snr_gamma": case.gamma, "noise_offset": case.offset},
            "data": {"held_out": 0},
        }
    )
    given: list[Given] = []
    plain, errors = losses.draw, losses.squared_errors
    drawn: list[tuple[torch.Tensor, torch.Tensor]] = []

    def draw(shape: Ints, key: Ints, samples: Ints, count: int, offset: float) -> losses.Noise:
        without = plain(shape, key, samples, count, 0.0).noise
        shift = (plain(shape, key, samples, count, 1.0).noise.double() - without.double())[:, :, :1, :1].float()
        drawn.append((without, shift))
        return plain(shape, key, samples, count, offset)

    def squared_errors(base: Base, batch: losses.Batch, noise: losses.Noise) -> torch.Tensor:
        given.append(Given(batch.latents, batch.states.states, *drawn[-1], noise.timesteps))
        return errors(base, batch, noise)

    with patch.object(losses, "draw", draw), patch.object(losses, "squared_errors", squared_errors):
        run = train(dataset, config, fresh=True)
    adapter = lora.attach(load(folder, device="cpu"), lora.LoraSettings.model_validate(settings))
    start = {name.removeprefix("unet."): value for name, value in adapter.state().items()}
    found = run.read("metrics").filter(pl.col("measure") == "loss").sort("step")["value"].to_list()
    return Recorded(start, given, found)


def reference(folder: Path, start: dict[str, torch.Tensor], given: list[Given], case: Case) -> list[float]:
    """Loss of each step of diffusers' loop, from the same adapter weights."""
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=TARGETS))
    layers = {name: p for name, p in unet.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in layers.items():
            parameter.copy_(start[name.replace(".default.weight", "")])
    optimizer = torch.optim.AdamW(layers.values(), lr=LR, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    unet.train()
    found = []
    for one in given:
        noise = one.noise + case.offset * one.shift if case.offset else one.noise
        noisy = scheduler.add_noise(one.latents, noise, one.timesteps)
        velocity = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(one.latents, noise, one.timesteps) if velocity else noise
        answer = unet(noisy, one.timesteps, one.states, return_dict=False)[0]
        if case.gamma is None:
            loss = F.mse_loss(answer.float(), target.float(), reduction="mean")
        else:
            snr = compute_snr(scheduler, one.timesteps)
            divisor = snr + 1 if velocity else snr
            weights = torch.stack([snr, case.gamma * torch.ones_like(one.timesteps)], dim=1).min(dim=1)[0] / divisor
            loss = F.mse_loss(answer.float(), target.float(), reduction="none")
            loss = (loss.mean(dim=list(range(1, len(loss.shape)))) * weights).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(layers.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(loss.detach()))
    return found


def difference(folder: Path, case: Case, dataset: Dataset) -> float:
    """Largest relative difference of the losses over all steps."""
    ours = record(folder, case, dataset)
    wanted = reference(folder, ours.start, ours.given, case)
    return max(abs(a - b) / abs(b) for a, b in zip(ours.losses, wanted, strict=True))


def main() -> None:
    """Compare, print, keep benchmarks/results/training_parity.json."""
    sys.path.insert(0, str(ROOT / "tests" / "training"))
    import sets
    import tiny

    makers: dict[str, Callable[[Path], Any]] = {"sd1": tiny.tiny_sd1, "v": tiny.tiny_v}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in makers.items():
            make(Path(folder) / name)
        dataset = sets.small_set(Path(folder), 8, sizes=[(64, 64)])
        for case in CASES:
            worst = difference(Path(folder) / case.model, case, dataset)
            rows.append({"case": case.name, "steps": STEPS, "relative_difference": worst})
            print(f"{case.name:<48} {worst:.1e}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "training_parity.json").write_text(json.dumps({"floor": 1e-6, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
