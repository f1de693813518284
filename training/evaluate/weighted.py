"""One adapter alone on its base for a while, at a weight, in evaluation mode; everything put back.

Not for drawing: `training.generate` does the same for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from training import lora

if TYPE_CHECKING:
    from training.base import Base
    from training.lora import Adapter


@contextmanager
def alone(base: Base, adapter: Adapter | None, weight: float = 1.0) -> Iterator[None]:
    """`adapter` at `weight` and every other one off; None: the base alone. No gradients meanwhile."""
    before = {name: one.scale for name, one in base.adapters.items()}
    modules = [module for module in (base.unet, base.vae, *base.text_encoders) if module.training]
    for module in modules:
        module.eval()
    wanted = dict.fromkeys(before, 0.0)
    lora.set_scale(base, wanted if adapter is None else wanted | {adapter.name: weight})
    try:
        with torch.no_grad():
            yield
    finally:
        for module in modules:
            module.train()
        lora.set_scale(base, before)
