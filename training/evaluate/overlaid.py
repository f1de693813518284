"""Which drawn pictures are copies: laid over training pictures, as `pick` does it, whatever the encoder thinks.

Not for laying pictures over one another: that is `training.picking.copies`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.evaluate import estimate
from training.evaluate.rows import Rows
from training.evaluate.seen import Seen

if TYPE_CHECKING:
    from PIL import Image

    from training.picking.copies import Match

LONGEST = 192  # pixels of the training pictures that are laid over


@dataclass(frozen=True)
class Copies:
    """Copies among the pictures of subject and novel prompts.

    Attributes:
        matches: Row of the gallery → the training picture that it agrees with most.
        line: Agreement from which it is a copy.
        reason: Why there, one sentence.
        shares: LoRA weight → share of copies.
    """

    matches: dict[int, Match]
    line: float
    reason: str
    shares: dict[float, estimate.Estimate]

    def is_copy(self, row: int) -> bool:
        """Whether a drawn picture is one."""
        return row in self.matches and self.matches[row].agreement >= self.line


def copies(seen: Seen, weights: Sequence[float], rows: Rows) -> Copies | None:
    """Look for copies at every weight; None where nothing sees the pictures."""
    import polars as pl

    from training.picking.copies import Overlay
    from training.picking.material import TrainingSet

    if seen.features is None:
        return None
    train = seen.sets.train
    overlay = Overlay(
        TrainingSet(
            frame=pl.DataFrame({"family": list(train.groups)}),
            vectors=seen.train,
            pictures=[_small(picture) for picture in train.pictures],
            targets=pl.DataFrame(),
            centre=None,
            lines={},
            words=(),
        )
    )
    line = overlay.line()
    matches: dict[int, Match] = {}
    shares = {}
    for weight in weights:
        places = [*seen.gallery.places("subject", weight), *seen.gallery.places("novel", weight)]
        drawn, units = seen.units(places)
        matches |= {row: overlay.match(seen.gallery.pictures[row].picture, seen.drawn[row]) for row in drawn}
        hits = np.array([matches[row].agreement >= line.value for row in drawn], bool)
        shares[weight] = estimate.share(hits, units, "prompts")
        rows.add("copies.share", shares[weight], weight=weight, line=round(line.value, 4))
    return Copies(matches, line.value, line.reason, shares)


def _small(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((LONGEST, LONGEST))
    return small
