"""Train the toon base's UNet and text encoder: ``python -m benchmarks.toonworld.train_base --data DIR --out
training/assets/toon_base --seed 0`` beside `train_autoencoder`.

Stable Diffusion's layout and classes at a hundredth of its size: 16×16×12 latents, velocity prediction with zero
terminal SNR (Lin et al. 2024), so that black and white backgrounds can be drawn. The text encoder is warmed up first
(`warm_text`). Latents are cached; resumes from ``--work``.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from benchmarks.toonworld import prompts, warm_text
from benchmarks.toonworld.dataset import AXES, axis_values
from benchmarks.toonworld.fitting import Fit, cosine, set_rate, update_average
from benchmarks.toonworld.linear_code import CHANNELS
from benchmarks.toonworld.replicas import Replicas

UNET = {
    "sample_size": 16,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "block_out_channels": [64, 128, 160],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 160,
    "attention_head_dim": 4,  # in this class the number of heads
    "norm_num_groups": 16,
    "resnet_time_scale_shift": "scale_shift",
    "addition_embed_type": "text",  # the whole prompt also steers every layer: cross-attention alone learns too slowly
    "addition_embed_type_num_heads": 4,
}
TEXT = {"hidden_size": 160, "intermediate_size": 480, "num_hidden_layers": 3, "num_attention_heads": 4}
NOISE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
}
VARIANTS, UNCONDITIONAL_SHARE = 6, 0.1
SAMPLE_PROMPTS = (
    "from front, full body, pink hair, ponytail, blue dress, green horizon background",
    "from behind, half body, blonde hair, long hair, red coat, grey flat background",
    "three-quarter view, portrait, blue hair, bob cut, white shirt, pink gradient background",
    "from side, full body, black hair, short hair, green tunic, yellow flat background",
    "from front, portrait, red hair, spiky hair, black robe, white background",
    "from behind, full body, white hair, twintails, purple skirt, blue horizon background",
    "from front, half body, brown hair, hair bun, yellow dress, teal gradient background",
    "from front, full body, orange boots, green hair, blue robe, white background",
)


@dataclass(frozen=True)
class Settings:
    """Everything a run depends on beside the data and the autoencoder."""

    steps: int
    seed: int
    warm_steps: int = 800
    batch: int = 16
    rate: float = 5e-4
    text_rate: float = 2e-4
    warmup: int = 150
    decay: float = 0.999
    cores: int = 2


def cache_latents(data: Path, vae_folder: Path, file: Path) -> NDArray[np.float16]:
    """Latents float16 [2, n, 12, 16, 16] of every picture and its mirror image, kept in `file`."""
    if not file.exists():
        vae = AutoencoderKL.from_pretrained(vae_folder, torch_dtype=torch.float32).eval()
        pixels = np.load(data / "images.npy", mmap_mode="r")
        latents = np.empty((2, len(pixels), CHANNELS, 16, 16), np.float16)
        for start in range(0, len(pixels), 32):
            block = torch.from_numpy(np.asarray(pixels[start : start + 32])).permute(0, 3, 1, 2).float() / 127.5 - 1
            for mirrored, pictures in enumerate((block, block.flip(3))):
                with torch.inference_mode():
                    latents[mirrored, start : start + 32] = vae.encode(pictures).latent_dist.mode().numpy()
        np.save(file.with_suffix(".part.npy"), latents)
        file.with_suffix(".part.npy").replace(file)
    return np.load(file, mmap_mode="r")  # type: ignore[no-any-return]


class Examples:
    """Latents and token rows of the training split; batches are keyed by step."""

    def __init__(self, data: Path, latents: NDArray[np.float16], tokenizer: CLIPTokenizer, seed: int) -> None:
        import polars as pl

        table = pl.read_parquet(data / "labels.parquet").filter(pl.col("split") == "train")
        self.latents, self.index, self.seed, self.rows = latents, table["index"].to_numpy(), seed, table.to_dicts()
        self.tokens = [tokenize(tokenizer, texts) for texts in caption_variants(self.rows, seed)]
        self.empty = tokenize(tokenizer, [""])[0]

    def batch(self, step: int, count: int) -> tuple[Tensor, Tensor]:
        """Latents float32 [n, 12, 16, 16] and tokens int64 [n, t]; a tenth of the texts is empty."""
        rng = np.random.default_rng([self.seed, step, 3])
        items, mirrored = rng.integers(len(self.index), size=count), rng.integers(2, size=count)
        latents = torch.from_numpy(self.latents[mirrored, self.index[items]].astype(np.float32))
        tokens = self.tokens[int(rng.integers(VARIANTS))][items]
        tokens[torch.from_numpy(rng.random(count) < UNCONDITIONAL_SHARE)] = self.empty
        return latents, tokens


def visible_labels(rows: list[dict[str, object]]) -> dict[str, Tensor]:
    """Class numbers int64 [n] per axis, −1 where the picture does not show it."""
    values, found = [axis_values(row) for row in rows], {}
    for axis in AXES:
        names = sorted({value[axis] for value in values if axis in value})
        found[axis] = torch.tensor([names.index(value[axis]) if axis in value else -1 for value in values])
    return found


def caption_variants(rows: list[dict[str, object]], seed: int) -> list[list[str]]:
    """`VARIANTS` captions of every row."""
    return [
        [prompts.caption(row, np.random.default_rng([seed, variant, index])) for index, row in enumerate(rows)]
        for variant in range(VARIANTS)
    ]


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """int64 [n, context], padded."""
    found = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    return found.input_ids  # type: ignore[no-any-return]


def make_tokenizer(data: Path, out: Path, seed: int) -> CLIPTokenizer:
    """The base's tokenizer: the one in `out`, or one learned from captions of the training split."""
    import polars as pl

    folder = out / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        rows = pl.read_parquet(data / "labels.parquet").filter(pl.col("split") == "train").to_dicts()
        folder.mkdir(parents=True, exist_ok=True)
        prompts.build_tokenizer(caption_variants(rows, seed)[0], folder)
    return CLIPTokenizer.from_pretrained(folder)


class Model(nn.Module):
    """UNet and text encoder, trained together."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel.from_config(UNET)
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=prompts.CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **TEXT,
        )
        self.text = CLIPTextModel(text)

    def forward(self, latents: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        """Predicted velocity [n, 12, 16, 16]."""
        return self.unet(latents, timesteps, self.text(tokens)[0]).sample  # type: ignore[no-any-return]


def noised(scheduler: DDPMScheduler, latents: Tensor, key: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, timesteps and the velocity to predict (Salimans & Ho 2022); all chance is drawn from `key`."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
    noise = torch.randn(latents.shape, generator=generator)
    spread = (torch.arange(len(latents)) + torch.rand(len(latents), generator=generator)) / len(latents)
    timesteps = (spread * scheduler.config.num_train_timesteps).long()
    velocity = scheduler.get_velocity(latents, noise, timesteps)
    return scheduler.add_noise(latents, noise, timesteps), timesteps, velocity


def velocity_loss(model: Model, noisy: Tensor, timesteps: Tensor, tokens: Tensor, velocity: Tensor) -> Tensor:
    """Mean squared error of the velocity."""
    return F.mse_loss(model(noisy, timesteps, tokens), velocity)


def assemble(model: Model, vae_folder: Path, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """An ordinary pipeline around the parts."""
    vae = AutoencoderKL.from_pretrained(vae_folder, torch_dtype=torch.float32)
    vae.register_to_config(_name_or_path="")  # else the configuration that ships names a folder of this machine
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=model.text,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=DDIMScheduler(**NOISE, set_alpha_to_one=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def export(model: Model, out: Path, tokenizer: CLIPTokenizer) -> None:
    """Write the whole pipeline in fp16."""
    pipeline = assemble(copy.deepcopy(model).eval(), out / "vae", tokenizer)
    pipeline.to(torch.float16).save_pretrained(out)


def show(model: Model, out: Path, tokenizer: CLIPTokenizer, file: Path) -> None:
    """A row of samples of fixed prompts and seeds."""
    from PIL import Image

    pipeline = assemble(model, out / "vae", tokenizer)
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(SAMPLE_PROMPTS))]
    pictures = pipeline(
        list(SAMPLE_PROMPTS), generator=generators, num_inference_steps=20, guidance_scale=3.0, output_type="np"
    ).images
    Image.fromarray((np.concatenate(list(pictures), 1) * 255).round().astype(np.uint8)).save(file)


def train(data: Path, out: Path, work: Path, settings: Settings) -> None:
    """Build, resume, loop, log, save."""
    torch.manual_seed(settings.seed)
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(data, out, settings.seed)
    examples = Examples(data, cache_latents(data, out / "vae", work / "latents.npy"), tokenizer, settings.seed)
    scheduler, model = DDPMScheduler(**NOISE), Model(tokenizer)
    model.unet.to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).requires_grad_(False).eval()
    groups = [{"params": model.unet.parameters(), "peak": settings.rate}]
    groups += [{"params": model.text.parameters(), "peak": settings.text_rate}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    fit = Fit(work, {"model": model, "average": average, "optimiser": optimiser})
    if not fit.resume():
        coarse = warm_text.coarse_targets(examples.latents, examples.index)
        labels = visible_labels(examples.rows)
        explained = warm_text.warm(model.text, examples.tokens, coarse, labels, settings.warm_steps, settings.cores)
        average.load_state_dict(model.state_dict())
        print(f"captions explain {explained:.3f} of the coarse pictures", flush=True)
        fit.save()
    for group, rate in zip(optimiser.param_groups, (settings.rate, settings.text_rate), strict=True):
        group["peak"] = rate  # a checkpoint brings its own
    replicas = Replicas(model, settings.cores)
    began, recent = time.time(), []
    for step in range(fit.step, settings.steps):
        latents, tokens = examples.batch(step, settings.batch)
        set_rate(optimiser, cosine(step, settings.steps, settings.warmup))
        noisy, timesteps, velocity = noised(scheduler, latents, [settings.seed, step])
        loss = replicas.backward(velocity_loss, noisy, timesteps, tokens, velocity)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        update_average(average, model, step, settings.decay)
        fit.step = step + 1
        recent.append(loss)
        if fit.step % 50 == 0:
            fit.log({"step": fit.step, "seconds": round(time.time() - began, 1), "loss": float(np.mean(recent[-50:]))})
        if fit.step % 500 == 0 or fit.step == settings.steps:
            fit.save()
            export(average, out, tokenizer)
            show(average, out, tokenizer, work / f"samples-{fit.step}.png")
    (out / "training_log.csv").write_bytes((work / "log.csv").read_bytes())


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="latents, checkpoints and log (default: DATA/base_work)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=5e-4, help="peak learning rate")
    parser.add_argument("--cores", type=int, default=2, help="cores that share a batch; a divisor of 16")
    args = parser.parse_args(argv)
    settings = Settings(steps=args.steps, seed=args.seed, rate=args.rate, cores=args.cores)
    train(args.data, args.out, args.work or args.data / "base_work", settings)


if __name__ == "__main__":
    main()
