"""How the adapter's weights move: optimisers, learning rate by step, averaged weights.

Not for gradients: those come from `losses.py` and the loop.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from typing import Any

import torch
from diffusers.training_utils import EMAModel

from diversity.errors import ConfigError
from training.config import OptimiserConfig

# Optional ones: name → (module, class, what to install).
EXTRAS = {
    "adamw8bit": ("bitsandbytes.optim", "AdamW8bit", "bitsandbytes"),
    "prodigy": ("prodigyopt", "Prodigy", "prodigyopt"),
}
# Prodigy's own advice for diffusion models; without the second, a warm-up makes it overestimate the rate.
SPECIFIC: dict[str, dict[str, Any]] = {"prodigy": {"use_bias_correction": True, "safeguard_warmup": True}}
DEFAULT_LR = {"adamw": 1e-4, "adamw8bit": 1e-4, "prodigy": 1.0}


def optimiser(parameters: Sequence[torch.nn.Parameter], config: OptimiserConfig) -> torch.optim.Optimizer:
    """The optimiser that `config` names, over `parameters`.

    Raises:
        ConfigError: it is an extra that is not installed.
    """
    settings: dict[str, Any] = {
        "lr": learning_rate(config),
        "betas": config.betas,
        "weight_decay": config.weight_decay,
        "eps": config.eps,
    }
    if config.name == "adamw":
        return torch.optim.AdamW(parameters, **settings)
    module, kind, package = EXTRAS[config.name]
    settings |= SPECIFIC.get(config.name, {})
    try:
        with redirect_stdout(sys.stderr):  # Prodigy prints; stdout is for results
            found: torch.optim.Optimizer = getattr(import_module(module), kind)(parameters, **settings)
    except ImportError:
        raise ConfigError(
            f"The optimiser {config.name} is not installed.",
            "",
            f"Install it with `pip install {package}`, or use adamw.",
        ) from None
    return found


def learning_rate(config: OptimiserConfig) -> float:
    """The one given, or the optimiser's own default."""
    return DEFAULT_LR[config.name] if config.lr is None else config.lr


def factor(step: int, steps: int, config: OptimiserConfig) -> float:
    """Share of the learning rate at `step` (0 first) of `steps`: linear warm-up, then the schedule; a pure function."""
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    left = max(steps - config.warmup, 1)
    done = min((step - config.warmup) / left, 1.0)
    if config.schedule == "linear":
        return 1 - done
    return (1 + math.cos(math.pi * done)) / 2 if config.schedule == "cosine" else 1.0


def averaged(parameters: Sequence[torch.nn.Parameter], config: OptimiserConfig) -> EMAModel | None:
    """The exponential moving average of `parameters`; None where none is wanted."""
    return None if config.ema is None else EMAModel(parameters, decay=config.ema)


@contextmanager
def in_place(ema: EMAModel | None, parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """The averaged weights in the place of the moving ones: what is measured, drawn and saved."""
    if ema is None:
        yield
        return
    held = [p.detach().clone() for p in parameters]
    ema.copy_to(parameters)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, held, strict=True):
                parameter.copy_(value)
