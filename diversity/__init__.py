"""From a folder of pictures to a curated, weighted, exported set."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {"Dataset": "diversity.dataset", "Config": "diversity.config", "DiversityError": "diversity.errors"}

__all__ = ["Config", "Dataset", "DiversityError", "__version__"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import the public names when they are first asked for: `import diversity` stays instant."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'diversity' has no attribute '{name}'")
