"""The sample grid of a run: prompts × seeds × LoRA weights on the same noise, drawn while it trains.

Not for drawing or laying out: that is `generate.py` and `grids.py`.
"""

from __future__ import annotations

from pathlib import Path

from training import grids
from training.base import Base
from training.config import SampleConfig, TrainConfig
from training.generate import generate, picture_size
from training.lora import Adapter


def settled(config: TrainConfig, base: Base) -> TrainConfig:
    """`config` with nothing about its samples left to `base`, so that a run's record says it."""
    return config.model_copy(update={"samples": _settled(config.samples, base)})


def draw(base: Base, adapter: Adapter, config: SampleConfig, folder: Path) -> tuple[Path, ...]:
    """Draw and save every picture of `config` into `folder`; the grids, one per prompt.

    Args:
        base: With `adapter` on it.
        adapter: Takes the weights of `config`; its own is put back.
        config: With at least one prompt.
        folder: Of this step.
    """
    plan = _settled(config, base).plan()
    setting = grids.Setting(plan, base.name, adapter.name, picture_size(base, plan), {})
    return grids.save(generate(base, [adapter], plan), folder, setting)


def _settled(config: SampleConfig, base: Base) -> SampleConfig:
    return config if config.guidance is not None else config.model_copy(update={"guidance": base.guidance})
