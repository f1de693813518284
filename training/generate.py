"""Pictures from a base and its adapters: prompts × seeds × LoRA weights, every seed with the same noise everywhere.

Not for judging them (`evaluate/`) or laying them out (`grids.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field, field_validator, model_validator

from diversity.config import Section
from diversity.errors import InputError
from training import lora, prompts
from training.base import Base, TextStates
from training.errors import NotANumberError
from training.lora import Adapter

SAMPLER = "DPM++ 2M"  # of `Base.pipeline`: deterministic, so a seed's noise is all its chance
RESCALE = 0.7  # guidance rescale for zero terminal SNR: Lin et al. 2024, arXiv 2305.08891, section 3.4
SIDE_STEP = 8  # diffusers' pipelines take sides that are multiples of it


class GenerationPlan(Section):
    """What to draw."""

    prompts: tuple[str, ...] = Field(min_length=1, description="may hold keyword weights, see `prompts.py`")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="one picture per seed; equal seeds, equal noise")
    weights: tuple[float, ...] = Field((1.0,), min_length=1, description="of the adapters under test; 0 is off")
    stack: dict[str, float] = Field(default_factory=dict, description="other adapters on the base → fixed weight")
    negative: str = Field("", description="what to steer away from")
    steps: int = Field(25, ge=1, description="denoising steps")
    guidance: float | None = Field(None, ge=0, description="classifier-free; 1 and below: none; None: the base's own")
    size: tuple[int, int] | None = Field(None, description="width and height in pixels; None: the base's own")
    batch: int = Field(4, ge=1, description="pictures at once; changes nothing but memory and time")

    @field_validator("size")
    @classmethod
    def _sides_fit(cls, size: tuple[int, int] | None) -> tuple[int, int] | None:
        if size is not None and any(side < SIDE_STEP or side % SIDE_STEP for side in size):
            raise ValueError(f"sides are multiples of {SIDE_STEP} pixels")
        return size

    @field_validator("seeds")
    @classmethod
    def _seeds_fit(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 0 <= seed < 2**63 for seed in seeds):
            raise ValueError("seeds are whole numbers from 0 to 2^63 - 1")
        return seeds

    @model_validator(mode="after")
    def _nothing_twice(self) -> GenerationPlan:
        for name in ("seeds", "weights"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} name one value twice")
        return self

    @property
    def count(self) -> int:
        """How many pictures it asks for."""
        return len(self.prompts) * len(self.seeds) * len(self.weights)


@dataclass(frozen=True)
class Sample:
    """One drawn picture.

    Attributes:
        picture: RGB.
        prompt: As in the plan, keyword weights included.
        prompt_index: Its place in the plan, from 0.
        seed: Of its noise.
        weight: Of the adapters under test.
    """

    picture: Image.Image
    prompt: str
    prompt_index: int
    seed: int
    weight: float


def generate(base: Base, adapters: Sequence[Adapter], plan: GenerationPlan) -> Iterator[Sample]:
    """Draw the plan: weight by weight, prompt by prompt, seed by seed.

    The adapters' weights, and the modules' modes, are put back at the end, also when the caller stops early; no global
    random state is read or moved. Adapters that neither `adapters` nor the plan's stack names are off meanwhile.

    Args:
        base: What to draw with.
        adapters: On it; each takes the plan's weights. May be empty.
        plan: What to draw.

    Raises:
        InputError: the stack names an adapter that is not on the base, or a prompt's weights cannot be used.
        NotANumberError: the outcome is not a picture, for example because half precision overflowed.
    """
    for prompt in (*plan.prompts, plan.negative):
        prompts.parse(prompt)
    names = {adapter.name for adapter in adapters}
    missing = [name for name in plan.stack if name not in base.adapters or name in names]
    if missing:
        raise InputError(f"The stack names '{missing[0]}'.", "It is not another adapter on the base.")
    pipeline = base.pipeline()
    pipeline.set_progress_bar_config(disable=True)
    with put_back(base):
        for weight in plan.weights:
            scales = dict.fromkeys(base.adapters, 0.0) | plan.stack | dict.fromkeys(names, weight)
            lora.set_scale(base, scales)
            for index, prompt in enumerate(plan.prompts):
                for seed, picture in _draw(base, pipeline, prompt, plan):
                    yield Sample(picture, prompt, index, seed, weight)


def initial_noise(base: Base, seed: int, size: tuple[int, int]) -> torch.Tensor:
    """The noise of a seed at a size (width, height): float32 [c, h, w] on the CPU, whatever the device or batch."""
    width, height = (side // base.latent_scale for side in size)
    shape = (int(base.unet.config.in_channels), height, width)
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))


def picture_size(base: Base, plan: GenerationPlan) -> tuple[int, int]:
    """Width and height that `plan` is drawn at."""
    return plan.size or (base.resolution, base.resolution)


def guidance(base: Base, plan: GenerationPlan) -> float:
    """Guidance that `plan` is drawn with."""
    return base.guidance if plan.guidance is None else plan.guidance


def _draw(base: Base, pipeline: Any, prompt: str, plan: GenerationPlan) -> Iterator[tuple[int, Image.Image]]:  # noqa: ANN401
    """One prompt, all seeds, the adapters as they are."""
    with torch.no_grad():
        both = prompts.encode(base, [prompt, plan.negative])
    for start in range(0, len(plan.seeds), plan.batch):
        seeds = plan.seeds[start : start + plan.batch]
        latents = _denoise(base, pipeline, both, seeds, plan)
        pixels = base.decode_latents(latents).permute(0, 2, 3, 1).cpu().numpy()
        for seed, values in zip(seeds, pixels, strict=True):
            yield seed, Image.fromarray(np.rint((values + 1) * 127.5).astype(np.uint8))


def _denoise(
    base: Base,
    pipeline: Any,  # noqa: ANN401
    both: TextStates,
    seeds: Sequence[int],
    plan: GenerationPlan,
) -> torch.Tensor:
    """Latents of one prompt (row 0 of `both`; row 1 is the negative one) and several seeds."""
    size, strength = picture_size(base, plan), guidance(base, plan)
    noise = torch.stack([initial_noise(base, seed, size) for seed in seeds])
    given: dict[str, Any] = {}
    for row, prefix in enumerate(("", "negative_")):
        if row and strength <= 1:
            break
        states = both.row(row).repeat(len(seeds))
        given[f"{prefix}prompt_embeds"] = states.states
        if states.pooled is not None:
            given[f"{prefix}pooled_prompt_embeds"] = states.pooled
    latents: torch.Tensor = pipeline(
        **given,
        latents=noise.to(base.device, base.dtype),
        width=size[0],
        height=size[1],
        num_inference_steps=plan.steps,
        guidance_scale=strength,
        guidance_rescale=RESCALE if base.zero_terminal_snr else 0.0,
        output_type="latent",
        return_dict=False,
    )[0]
    if not torch.isfinite(latents).all():
        raise NotANumberError(
            f"{base.name} drew pictures that are not numbers.",
            f"Its weights or a LoRA's are broken, or {str(base.dtype).removeprefix('torch.')} is too coarse for them.",
            "Try --dtype float32.",
        )
    return latents


@contextmanager
def put_back(base: Base) -> Iterator[None]:
    """Remember the adapters' weights and the modules' modes, for drawing in evaluation mode."""
    scales = {name: adapter.scale for name, adapter in base.adapters.items()}
    modules = [module for module in (base.unet, base.vae, *base.text_encoders) if module.training]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module in modules:
            module.train()
        lora.set_scale(base, scales)
