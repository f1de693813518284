"""Train the autoencoder of the toon base: ``python -m benchmarks.toonworld.train_autoencoder --data DIR --out
training/assets/toon_base --seed 0``.

An `AutoencoderKL` of diffusers, 128 pixels to 16×16×12 latents, on renders alone. The encoder is a fixed linear code
(`linear_code`); only the decoder is trained, on absolute error of pixels and of their differences, which keeps edges
without an adversary. Resumes from ``--work``.
"""

from __future__ import annotations

import argparse
import copy
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.toonworld import linear_code
from benchmarks.toonworld.fitting import Fit, cosine, set_rate, update_average

PEAK, WARMUP, DECAY, EDGE_WEIGHT = 1e-3, 100, 0.998, 0.5
CROP, WHOLE_SHARE = 64, 0.25
JITTER = 0.05  # noise on the code, so that the decoder forgives what a UNet gets slightly wrong
FIT_EVERY = 40  # the code is fitted on every 40th picture


class Pictures:
    """Batches of a packed folder's pictures or crops of them, float32 [n, 3, s, s] in -1..1, keyed by step."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.pixels, self.seed = np.load(folder / "images.npy", mmap_mode="r"), seed

    def batch(self, step: int, count: int, size: int) -> Tensor:
        """`count` random crops of `size` pixels, mirrored half of the time."""
        rng = np.random.default_rng([self.seed, step])
        full = self.pixels.shape[1]
        items = rng.integers(len(self.pixels), size=count)
        tops, lefts = rng.integers(full - size + 1, size=(2, count))
        crops = [
            self.pixels[i, y : y + size, x : x + size][:, :: rng.choice((-1, 1))]
            for i, y, x in zip(items, tops, lefts, strict=True)
        ]
        return to_tensor(np.stack(crops))


def to_tensor(pictures: np.ndarray) -> Tensor:
    """uint8 [n, s, s, 3] as float32 [n, 3, s, s] in -1..1."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return pixels.float() / 127.5 - 1


def edges(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, down and across."""
    return pictures[:, :, 1:] - pictures[:, :, :-1], pictures[..., 1:] - pictures[..., :-1]


def reconstruction_loss(model: AutoencoderKL, pictures: Tensor, generator: torch.Generator) -> tuple[Tensor, dict]:
    """Absolute error of pixels and edges, and the parts."""
    with torch.no_grad():
        latents = model.encode(pictures).latent_dist.mean
        latents = latents + JITTER * torch.randn(latents.shape, generator=generator)
    decoded = model.decode(latents).sample
    pixels = F.l1_loss(decoded, pictures)
    edge = sum(F.l1_loss(a, b) for a, b in zip(edges(decoded), edges(pictures), strict=True))
    loss = pixels + EDGE_WEIGHT * edge
    parts = {"loss": loss, "pixels": pixels, "edge": edge}
    return loss, {name: float(value.detach()) for name, value in parts.items()}


def fit_code(data: Path) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """The linear code of a packed folder; the same folder always gives the same."""
    return linear_code.fit(np.asarray(np.load(data / "images.npy", mmap_mode="r")[::FIT_EVERY]))


def train(data: Path, out: Path, work: Path, steps: int, seed: int) -> None:
    """Build, resume, loop, log, save; the last quarter of the steps sees whole pictures."""
    torch.manual_seed(seed)
    model = linear_code.build(*fit_code(data)).to(memory_format=torch.channels_last)
    trained = [*model.decoder.parameters(), *model.post_quant_conv.parameters()]
    average = copy.deepcopy(model).requires_grad_(False)
    optimiser = torch.optim.AdamW([{"params": trained, "peak": PEAK}], betas=(0.9, 0.99), weight_decay=1e-4)
    fit = Fit(work, {"model": model, "average": average, "optimiser": optimiser})
    fit.resume()
    pictures, began = Pictures(data, seed), time.time()

    def fetch(step: int) -> Tensor:
        return pictures.batch(step, 3, 128) if step >= steps * (1 - WHOLE_SHARE) else pictures.batch(step, 8, CROP)

    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(fetch, fit.step)
        for step in range(fit.step, steps):
            batch, upcoming = upcoming.result(), pool.submit(fetch, step + 1)
            set_rate(optimiser, cosine(step, steps, WARMUP))
            loss, parts = reconstruction_loss(model, batch, torch.Generator().manual_seed(step))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            update_average(average, model, step, DECAY)
            fit.step = step + 1
            if fit.step % 50 == 0:
                fit.log({"step": fit.step, "seconds": round(time.time() - began, 1), **parts})
            if fit.step % 500 == 0 or fit.step == steps:
                fit.save()
                copy.deepcopy(average).half().save_pretrained(out / "vae")
    (out / "vae" / "training_log.csv").write_bytes((work / "log.csv").read_bytes())


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="checkpoints and log (default: DATA/autoencoder_work)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--threads", type=int, help="torch threads")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    train(args.data, args.out, args.work or args.data / "autoencoder_work", args.steps, args.seed)


if __name__ == "__main__":
    main()
