"""How much is measured of one LoRA: the grid of losses, pictures drawn, weights swept; two presets.

Not for what is measured on: that is `sets.py`.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator

from diversity.config import Section


class EvaluateSettings(Section):
    """Settings of one evaluation; equal settings, sets and weights give equal numbers."""

    timesteps: int = Field(8, ge=3, description="noise levels of the loss grid, evenly over the schedule")
    noises: int = Field(1, ge=1, description="noises per picture and level")
    pictures: int = Field(16, ge=1, description="most pictures of each set on the loss grid, spread over its groups")
    weight: float = Field(1.0, gt=0, description="LoRA weight at which everything is measured")
    weights: tuple[float, ...] = Field(
        (0.5, 0.7, 0.85), description="further LoRA weights, for the sweep over subject and unrelated prompts"
    )
    keyword_weights: tuple[float, ...] = Field(
        (0.5,), description="weights of the trigger word, and of bound tags, in the prompt"
    )
    seeds: int = Field(4, ge=1, description="pictures per subject prompt and weight")
    novel_seeds: int = Field(2, ge=1, description="pictures per novel prompt")
    unrelated_seeds: int = Field(2, ge=1, description="pictures per unrelated prompt")
    untriggered_seeds: int = Field(1, ge=1, description="pictures per subject prompt without its trigger")
    sweep_seeds: int = Field(2, ge=1, description="pictures per subject prompt at the further weights")
    sweep_novel_seeds: int = Field(1, ge=0, description="pictures per novel prompt at the further weights; 0: none")
    sweep_unrelated_seeds: int = Field(1, ge=1, description="pictures per unrelated prompt at the further weights")
    caption_pictures: int = Field(
        12, ge=0, description="pictures at captions of training pictures, where copies are likeliest; 0: none"
    )
    binding_tags: int = Field(1, ge=0, description="bound tags that are tried out; 0: none")
    checkpoints: int = Field(5, ge=0, description="of a run that are compared, evenly over it; 0: none")
    first_seed: int = Field(90_000, ge=0, description="seeds count up from here, away from those of sample grids")
    steps: int = Field(12, ge=1, description="denoising steps")
    guidance: float = Field(5.0, ge=0, description="classifier-free guidance")
    negative: str = Field("", description="what to steer away from")
    size: tuple[int, int] | None = Field(None, description="width and height in pixels; None: the base's own")
    batch: int = Field(8, ge=1, description="pictures at once; part of what makes cached pictures")

    @field_validator("weights", "keyword_weights")
    @classmethod
    def _ascending(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if any(weight <= 0 for weight in weights):
            raise ValueError("weights are above 0; the base is always measured")
        return tuple(sorted(set(weights)))

    @classmethod
    def ladder(cls) -> Self:
        """The quick preset: one further weight, small grids; for many LoRAs on the toon base."""
        return cls(
            timesteps=6,
            noises=1,
            pictures=12,
            weights=(0.7,),
            keyword_weights=(),
            seeds=4,
            novel_seeds=2,
            unrelated_seeds=2,
            untriggered_seeds=1,
            sweep_seeds=2,
            sweep_novel_seeds=2,
            sweep_unrelated_seeds=2,
            caption_pictures=0,
            binding_tags=0,
            steps=12,
            guidance=3.5,
        )

    @classmethod
    def full(cls) -> Self:
        """The thorough preset: the default values."""
        return cls()

    @property
    def swept(self) -> tuple[float, ...]:
        """All LoRA weights above 0 that are drawn, ascending."""
        return tuple(sorted({*self.weights, self.weight}))


PRESETS = {"ladder": EvaluateSettings.ladder, "full": EvaluateSettings.full}
