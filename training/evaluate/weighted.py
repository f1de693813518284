"""One adapter alone on its base for a while, at a weight, in evaluation mode; everything put back.

Not for drawing: `training.generate` sets weights for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from training import lora
from training.generate import put_back

if TYPE_CHECKING:
    from training.base import Base
    from training.lora import Adapter


@contextmanager
def alone(base: Base, adapter: Adapter | None, weight: float = 1.0) -> Iterator[None]:
    """`adapter` at `weight` and every other one off; None: the base alone. No gradients meanwhile."""
    off = dict.fromkeys(base.adapters, 0.0)
    with put_back(base), torch.no_grad():
        lora.set_scale(base, off if adapter is None else off | {adapter.name: weight})
        yield
