"""From a weighted subset to a LoRA and its scores."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {"train": "training.train", "TrainConfig": "training.config", "Run": "training.runs"}

__all__ = ["Run", "TrainConfig", "train"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import the public names when they are first asked for: `import training` stays instant."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'training' has no attribute '{name}'")
