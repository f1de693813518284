"""Every setting of a training run and its default, once.

Not for what a setting does: the modules of the room say that.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from diversity.config import Section
from diversity.errors import ConfigError
from training.generate import GenerationPlan
from training.lora import LoraSettings


class SourceConfig(Section):
    """A further folder of pictures, weighted beside the selection."""

    folder: Path = Field(description="a folder of pictures, with captions beside them where there are any")
    kind: Literal["related", "prior"] = Field("related", description="related pictures (C10), or prior preservation")
    share: float = Field(0.3, ge=0, description="exposures of the whole folder per exposure of the selection")
    loss_weight: float = Field(1.0, ge=0, description="factor on the loss of its pictures; 0 leaves the folder out")
    caption: str = Field("", description="for pictures without one; for prior pictures usually the class word")


class DataConfig(Section):
    """How pictures become samples, and how often each is seen."""

    mode: Literal["exact", "iid"] = Field("exact", description="exact counts per epoch, or independent draws")
    partial: Literal["carry", "keep"] = Field("carry", description="a bucket's rest: to the next epoch, or as it is")
    bucket_step: int | None = Field(None, ge=8, description="sides are multiples, pixels; None: what the UNet needs")
    max_aspect: float = Field(2.5, ge=1, description="longest over shortest side of a bucket")
    enlarge: bool = Field(True, description="enlarge pictures that are smaller than their bucket")
    flip: bool = Field(False, description="show pictures mirrored half of the time; wrong for what is not symmetrical")
    mask: Literal["alpha", "none"] | Path = Field(
        "alpha", description="where the loss counts: transparency, everywhere, or a folder of masks named like pictures"
    )
    background: Literal["white", "grey", "black"] = Field("white", description="behind transparent parts")
    held_out: float = Field(0.1, ge=0, le=0.5, description="share of the pictures kept to measure on")
    fold: tuple[int, int] | None = Field(
        None, description="(i, k): hold out the i-th of k parts of all groups, rare views too, instead of a share"
    )
    workers: int | None = Field(None, ge=1, description="decoding threads; None: one per core")
    sources: tuple[SourceConfig, ...] = Field((), description="related and prior-preservation folders")

    @field_validator("fold")
    @classmethod
    def _one_of_several(cls, fold: tuple[int, int] | None) -> tuple[int, int] | None:
        if fold is not None and not (fold[1] >= 2 and 1 <= fold[0] <= fold[1]):
            raise ValueError("write (i, k) with k of 2 or more and i from 1 to k")
        return fold


class CaptionConfig(Section):
    """What the text encoder reads beside a picture."""

    trigger: str | None = Field(None, description="word put first in every caption of the selection")
    keep_tokens: int = Field(0, ge=0, description="tags after the trigger that are never moved or dropped")
    shuffle: bool = Field(True, description="tags in random order; sentences stay as they are")
    tag_dropout: float = Field(0.0, ge=0, lt=1, description="chance of each tag to be left out")
    dropout: float = Field(0.05, ge=0, le=1, description="chance of the whole caption to be left out")
    alternatives: bool = Field(False, description="each line of a caption is one of several to draw from")
    prune: tuple[str, ...] = Field((), description="tag groups (hair, eyes, …, framing, side), tags, or *patterns*")
    variants: int = Field(8, ge=0, description="orders drawn per caption and cached; 0: a fresh one every time")
    max_windows: int = Field(3, ge=1, description="most text windows (75 tokens) per caption; the rest is cut off")


class LossConfig(Section):
    """What is minimised."""

    min_snr_gamma: float | None = Field(5.0, gt=0, description="Hang et al. 2023; None: every timestep counts alike")
    noise_offset: float = Field(0.0, ge=0, description="of each channel's mean noise; 0.05 allows darker pictures")


class OptimiserConfig(Section):
    """How the adapter's weights move."""

    name: Literal["adamw", "adamw8bit", "prodigy"] = Field("adamw", description="the last two are optional extras")
    lr: float | None = Field(None, gt=0, description="None: 1e-4 for AdamW, 1 for Prodigy")
    betas: tuple[float, float] = Field((0.9, 0.999), description="of Adam")
    weight_decay: float = Field(0.01, ge=0, description="decoupled")
    eps: float = Field(1e-8, gt=0, description="of Adam")
    schedule: Literal["constant", "cosine", "linear"] = Field("constant", description="after the warm-up")
    warmup: int = Field(0, ge=0, description="steps of linear warm-up")
    max_grad_norm: float | None = Field(1.0, gt=0, description="gradients are clipped to this norm")
    ema: float | None = Field(None, ge=0, lt=1, description="decay of the averaged weights, which are then saved")


class ValidationConfig(Section):
    """The loss on pictures held out and on their twins."""

    timesteps: int = Field(10, ge=3, description="noise levels of the grid, evenly over the schedule")
    noises: int = Field(1, ge=1, description="noises per picture and level")
    pictures: int = Field(12, ge=1, description="most held-out pictures, and as many twins")


class SampleConfig(Section):
    """The sample grid: prompts × seeds × LoRA weights on the same noise."""

    prompts: tuple[str, ...] = Field((), description="None given: none drawn")
    seeds: tuple[int, ...] = Field((0, 1), description="one picture per seed")
    weights: tuple[float, ...] = Field((0.0, 0.7, 1.0), description="LoRA weights; 0 is the base model")
    steps: int = Field(20, ge=1, description="denoising steps")
    guidance: float | None = Field(
        None, ge=0, description="classifier-free guidance; None: the base's own, 3.5 for toon, else 7"
    )
    negative: str = Field("", description="what to steer away from")

    @model_validator(mode="after")
    def _can_be_drawn(self) -> SampleConfig:
        if self.prompts:
            self.plan()
        return self

    def plan(self) -> GenerationPlan:
        """What is drawn each time."""
        return GenerationPlan.model_validate(self.model_dump())


class TrainConfig(Section):
    """All settings of one run."""

    base: str = Field("toon", description="toon, a hub name, a diffusers folder or a .safetensors file")
    selection: str = Field("default", description="whose weights decide how often each picture is seen")
    steps: int | None = Field(None, ge=1, description="None: from richness, with the reason printed")
    exposures: float = Field(100.0, gt=0, description="per distinct picture, where steps are not given")
    batch_size: int = Field(4, ge=1, description="pictures per forward pass")
    accumulate: int = Field(1, ge=1, description="forward passes per step")
    resolution: int | None = Field(None, ge=16, description="side of a square of the largest area; None: the base's")
    seed: int = Field(0, description="of everything that is drawn")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of the frozen weights and the arithmetic; the adapter's weights are float32"
    )
    checkpointing: bool = Field(False, description="recompute activations: less memory, a third slower")
    memory_gb: float | None = Field(None, gt=0, description="most memory that may be taken on a CUDA device")
    allow_download: bool = Field(False, description="let a hub name be fetched")
    log_every: int = Field(10, ge=1, description="steps")
    validate_every: int | None = Field(None, ge=1, description="steps; None: five times a run")
    sample_every: int | None = Field(None, ge=1, description="steps; None: four times a run")
    save_every: int | None = Field(None, ge=1, description="steps; None: ten times a run, at least every 200")
    data: DataConfig = DataConfig()
    captions: CaptionConfig = CaptionConfig()
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    lora: LoraSettings = Field(LoraSettings(), description="rank and seed not given: from richness, and the run's")
    validation: ValidationConfig = ValidationConfig()
    samples: SampleConfig = SampleConfig()

    @classmethod
    def load(cls, file: Path | None = None, overrides: dict[str, object] | None = None) -> TrainConfig:
        """Read `file` (TOML) if given; `overrides` (dotted keys, "loss.noise_offset") win over it.

        Raises:
            ConfigError: the file is not TOML, or a key or value is not understood.
        """
        values: dict[str, object] = {}
        if file is not None:
            try:
                values = tomllib.loads(file.read_text(encoding="utf-8-sig"))
            except OSError as error:
                raise ConfigError(f"{file} cannot be read.", f"{error.strerror or error}.", "Check the path.") from None
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise ConfigError(f"{file} is not valid TOML.", f"{error}.", "Mend the file.") from None
        for name, value in (overrides or {}).items():
            section, dot, key = name.rpartition(".")
            into = values.setdefault(section, {}) if dot else values
            if not isinstance(into, dict):
                raise ConfigError(f"The setting '{section}' is a section.", "", f"Write [{section}] before its keys.")
            into[key] = value
        return cls.of(values)

    @classmethod
    def of(cls, values: dict[str, object]) -> TrainConfig:
        """Settings from plain values.

        Raises:
            ConfigError: a key or value is not understood.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ConfigError(
                f"The setting '{where}' cannot be used.", f"{first['msg']}.", "docs/training.md lists all settings."
            ) from None
