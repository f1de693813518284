"""Which drawn pictures are copies: laid over training pictures, as `pick` does it, whatever the encoder thinks.

Not for laying pictures over one another: that is `training.picking.copies`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.evaluate import estimate
from training.evaluate.estimate import Estimate
from training.evaluate.rows import Rows
from training.evaluate.seen import Seen
from training.evaluate.settings import EvaluateSettings

if TYPE_CHECKING:
    from PIL import Image

    from training.picking.copies import Match, Overlay

LONGEST = 192  # pixels of the training pictures that are laid over


@dataclass(frozen=True)
class AtCaptions:
    """Copies among pictures that were asked for with captions of training pictures.

    Attributes:
        drawn: Rows of the gallery.
        lora, base: Share of copies, of equal captions and seeds.
        difference: lora - base; above 0 the LoRA copies at captions.
    """

    drawn: tuple[int, ...]
    lora: Estimate
    base: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Copies:
    """Copies among the pictures of subject and novel prompts, and of captions.

    Attributes:
        matches: Row of the gallery → the training picture that it agrees with most.
        line: Agreement from which it is a copy.
        reason: Why there, one sentence.
        shares: LoRA weight → share of copies, captions left out.
        captions: Copies at captions; None where none was drawn.
    """

    matches: dict[int, Match]
    line: float
    reason: str
    shares: dict[float, Estimate]
    captions: AtCaptions | None = None

    def is_copy(self, row: int) -> bool:
        """Whether a drawn picture is one."""
        return row in self.matches and self.matches[row].agreement >= self.line


def copies(seen: Seen, settings: EvaluateSettings, rows: Rows) -> Copies | None:
    """Look for copies at every weight, and at captions; None where nothing sees the pictures."""
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
    for weight in settings.swept:
        places = [*seen.gallery.places("subject", weight), *seen.gallery.places("novel", weight)]
        drawn, units = seen.units(places)
        matches |= {row: overlay.match(seen.gallery.pictures[row].picture, seen.drawn[row]) for row in drawn}
        hits = np.array([matches[row].agreement >= line.value for row in drawn], bool)
        shares[weight] = estimate.share(hits, units, "prompts")
        rows.add("copies.share", shares[weight], weight=weight, line=round(line.value, 4))
    at_captions = _at_captions(seen, settings.weight, (overlay, line.value, matches), rows)
    return Copies(matches, line.value, line.reason, shares, at_captions)


def _at_captions(
    seen: Seen, weight: float, over: tuple[Overlay, float, dict[int, Match]], rows: Rows
) -> AtCaptions | None:
    """Captions are the unit; of a single one its seeds. Matches of the LoRA's pictures join the others."""
    overlay, line, matches = over
    places = seen.gallery.places("caption", weight)
    if not places:
        return None
    (drawn, units), (plain, _) = (seen.units(some) for some in (places, [place.base for place in places]))
    found = {row: overlay.match(seen.gallery.pictures[row].picture, seen.drawn[row]) for row in (*drawn, *plain)}
    matches |= {row: found[row] for row in drawn}
    own, base = (np.array([found[row].agreement >= line for row in some], np.float64) for some in (drawn, plain))
    unit = "captions" if len(places) > 1 else "samples"
    units = units if len(places) > 1 else np.arange(len(drawn))
    result = AtCaptions(
        tuple(drawn),
        estimate.share(own, units, unit),
        estimate.share(base, units, unit),
        estimate.mean(estimate.by_unit(own - base, units), unit),
    )
    rows.add("copies.captions", result.lora, weight=weight, line=round(line, 4))
    rows.add("copies.captions", result.base, weight=0.0, line=round(line, 4))
    rows.add("copies.captions.difference", result.difference, weight=weight, line=round(line, 4))
    return result


def _small(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((LONGEST, LONGEST))
    return small
