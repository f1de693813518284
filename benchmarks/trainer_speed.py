"""How fast the trainer steps, over diffusers' own text-to-image LoRA loop on the same model and batch.

    python -m benchmarks.trainer_speed [--base toon] [--steps 300]

Both have latents and text states ready. The reference is diffusers' example
(examples/text_to_image/train_text_to_image_lora.py) with its caches added: a torch DataLoader, accelerate, peft,
min-SNR, AdamW, clipping, a learning rate schedule. Rounds of steps alternate, so that both see the same machine; the
ratio is the median over rounds. Also: the share of a step outside forward, backward and optimiser, and the time of a
whole run of 300 steps at batch 8, caches empty, measuring included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import compute_snr
from peft import LoraConfig
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.machine import machine
from diversity import Dataset
from diversity.progress import Silent
from training import base as bases
from training import session
from training.config import TrainConfig
from training.data import gather
from training.plan import decide
from training.train import Trainer, train

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
BATCH, RANK, PICTURES = 8, 16, 40
ROUNDS, STEPS = 7, 10
INSIDE = ("forward", "backward", "optimise")


def settings(base: str, steps: int) -> TrainConfig:
    """The same for every part of the benchmark."""
    return TrainConfig.of(
        {"base": base, "steps": steps, "batch_size": BATCH, "lora": {"rank": RANK}, "precision": "float32"}
    )


def prepared(dataset: Dataset, config: TrainConfig, clock: session.Clock) -> Trainer:
    """A trainer with its caches filled, before its first step."""
    accelerator = session.accelerator(config)
    base = bases.load(config.base, device=config.device)
    data = gather(dataset, base, config)
    plan = decide(data, config)
    run = session.open_run(dataset, base, data, plan, resume=None, fresh=True)
    trainer = Trainer(run, base, data, plan.config, accelerator, clock)
    trainer.prepare(dataset.folder / "cache", Silent())
    trainer.resume()
    return trainer


def reference(folder: Path, trainer: Trainer) -> Iterator[float]:
    """Steps of diffusers' loop without end, on the trainer's pictures; each yields its loss."""
    accelerator = Accelerator(cpu=trainer.base.device == "cpu")
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet").to(accelerator.device)
    noise_scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    unet.requires_grad_(False)
    targets = ["to_k", "to_q", "to_v", "to_out.0"]
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=targets))
    layers = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(layers, lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    pictures = trainer.data.train
    latents = torch.stack([trainer.loader.latents(p, p.placement)["latents"] for p in pictures])
    states = trainer.loader.states([p.plain for p in pictures]).states.cpu()
    loader = DataLoader(TensorDataset(latents, states), shuffle=True, batch_size=BATCH, drop_last=True)
    lr_scheduler = get_scheduler("constant", optimizer=optimizer, num_warmup_steps=0, num_training_steps=1000)
    unet, optimizer, loader, lr_scheduler = accelerator.prepare(unet, optimizer, loader, lr_scheduler)
    while True:
        unet.train()
        for clean, text in loader:
            with accelerator.accumulate(unet):
                noise = torch.randn_like(clean)
                timesteps = torch.randint(0, 1000, (len(clean),), device=clean.device).long()
                noisy = noise_scheduler.add_noise(clean, noise, timesteps)
                answer = unet(noisy, timesteps, text, return_dict=False)[0]
                velocity = noise_scheduler.config.prediction_type == "v_prediction"
                target = noise_scheduler.get_velocity(clean, noise, timesteps) if velocity else noise
                snr = compute_snr(noise_scheduler, timesteps)
                divisor = snr + 1 if velocity else snr
                weights = torch.stack([snr, 5.0 * torch.ones_like(timesteps)], dim=1).min(dim=1)[0] / divisor
                loss = F.mse_loss(answer.float(), target.float(), reduction="none")
                loss = (loss.mean(dim=list(range(1, len(loss.shape)))) * weights).mean()
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(layers, 1.0)
                optimizer.step()
                lr_scheduler.step()
                optimizer.zero_grad()
            yield loss.detach().item()


def seconds(step: Callable[[], Any]) -> float:
    """Wall seconds of `STEPS` steps."""
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return time.perf_counter() - start


def compare(dataset: Dataset, name: str, folder: Path) -> dict[str, Any]:
    """Steps per second of both, and the share outside."""
    clock = session.Clock()
    trainer = prepared(dataset, settings(name, 10_000), clock)
    theirs = reference(folder, trainer)
    rounds = []
    for number in range(ROUNDS + 1):
        before, start = dict(clock.seconds), time.perf_counter()
        own = seconds(trainer.learn)
        whole = time.perf_counter() - start
        inside = sum(clock.seconds[part] - before.get(part, 0.0) for part in INSIDE)
        other = seconds(lambda: next(theirs))
        if number:  # the first round warms both up
            rounds.append({"ours": STEPS / own, "reference": STEPS / other, "outside": 1 - inside / whole})
    result: dict[str, Any] = {
        key: {"median": statistics.median(values), "low": min(values), "high": max(values)}
        for key in ("ours", "reference", "outside")
        if (values := [r[key] for r in rounds])
    }
    ratios = [r["ours"] / r["reference"] for r in rounds]
    result["ratio"] = {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    return result


def main() -> None:
    """Measure, print, keep benchmarks/results/trainer_speed.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="toon", help="toon, or a diffusers folder")
    parser.add_argument("--steps", type=int, default=300, help="of the whole run; 0: none")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "training"))
    import sets

    folder = bases.TOON_FOLDER if options.base == "toon" else Path(options.base)
    with tempfile.TemporaryDirectory() as place:
        side = bases.load(options.base).resolution
        dataset = sets.small_set(Path(place), PICTURES, sizes=[(side, side)])
        result = {
            "base": folder.name,
            "batch": BATCH,
            "cores": os.cpu_count(),
            **compare(dataset, options.base, folder),
        }
        if options.steps:
            fresh = sets.small_set(Path(place) / "fresh", PICTURES, sizes=[(side, side)])
            start = time.perf_counter()
            run = train(fresh, settings(options.base, options.steps))
            result["run"] = {"steps": options.steps, "seconds": time.perf_counter() - start}
            result["run"]["parts"] = run.record["timings"]
    for key in ("ours", "reference", "ratio", "outside"):
        value = result[key]
        print(f"{key:<10} {value['median']:.3f} ({value['low']:.3f}–{value['high']:.3f})")
    with suppress(KeyError):
        print(f"{result['run']['steps']} steps in {result['run']['seconds']:.0f} s: {result['run']['parts']}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "trainer_speed.json").write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
