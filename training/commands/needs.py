"""What the training room needs beyond the main job: packages of the extra `train`, looked for before anything is read.

Not for optional optimisers (`optimise.py`).
"""

from __future__ import annotations

from importlib.util import find_spec

from diversity.errors import InputError

PACKAGES = ("accelerate", "compel", "diffusers", "peft", "tensorboard")


def packages() -> None:
    """See that training and drawing can be imported.

    Raises:
        InputError: a package is not installed; says which, and how to add them all.
    """
    missing = [name for name in PACKAGES if not _there(name)]
    if missing:
        raise InputError(
            "Training and drawing need more packages than the main job.",
            f"Not installed: {', '.join(missing)}.",
            "Run `pip install diversity[train]`.",
        )


def _there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # a module that was put in its place says nothing of itself
        return False
