"""The drawn pictures of the ladder on disk, so that they can be judged again by other judges or encoders.

Not for drawing or judging them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diversity.workspace import atomic
from training.evaluate.drawing import Gallery


def keep(gallery: Gallery, file: Path) -> None:
    """Write all pictures of LoRA and base: `pixels` uint8 [n, h, w, 3], and of each its `text`, `seed`, `weight`,
    `kind`, `view` and whether it is `bare` of the trigger.
    """
    drawn = gallery.pictures
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic(file) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(
            handle,
            pixels=np.stack([np.asarray(one.picture.convert("RGB")) for one in drawn]),
            text=np.array([one.text for one in drawn]),
            seed=np.array([one.seed for one in drawn]),
            weight=np.array([one.place.weight for one in drawn]),
            kind=np.array([one.place.prompt.kind for one in drawn]),
            view=np.array([one.place.prompt.view for one in drawn]),
            bare=np.array([one.place.bare for one in drawn]),
        )
