"""Arrays that the base alone gives, kept on disk so that many LoRAs share them: losses, pictures, vectors.

Not for latents and texts of a run: that is `training.cache`. A file that cannot be read is as good as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diversity import record, workspace

VERSION = 1  # of what is stored; a change makes every file stale

Array = NDArray[Any]


def kept(folder: Path | None, kind: str, key: Mapping[str, object], make: Callable[[], Array]) -> Array:
    """The array under `key`, or what `make` gives, which is then kept.

    Args:
        folder: Of all that is kept; None: nothing is.
        kind: Name of the subfolder.
        key: All that makes the array.
        make: Makes it.
    """
    if folder is None:
        return make()
    file = folder / kind / f"{record.digest([VERSION, kind, dict(key)])}.npy"
    try:
        found: Array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        found = make()
        buffer = BytesIO()
        np.save(buffer, found, allow_pickle=False)
        workspace.write_bytes(file, buffer.getvalue())
    return found
