"""Which samples are copies of training pictures: laid over one another, not only alike to an encoder.

Not for the encoder's own evidence (`training.evaluate.memorisation`). A sample is a copy where it and a training
picture agree, shifted, scaled and re-lit as needed, more than *different* pictures of this set ever do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diversity.alignment import PREPARED, Shot, agreement, shot
from diversity.judge import VARIANT

if TYPE_CHECKING:
    from PIL.Image import Image

    from training.picking.material import TrainingSet

NEAREST = 6  # training pictures by encoder, and as many by layout, that a sample is laid over
PROBES = 60  # training families whose agreement with others is the background
HIGH = 0.95  # quantile over families of the background
PAIR = 2  # families of one pair of near-copies that the search for copies missed: no background
SAME_SHOT = 0.92  # where no line was measured for the set (diversity.calibration.PRIOR)


@dataclass(frozen=True)
class Match:
    """The training picture that a sample agrees with most.

    Attributes:
        row: Of the training set; -1 where none agrees at all.
        agreement: 0..1, share of the structure that both show.
        mirrored: The sample agrees when mirrored.
    """

    row: int
    agreement: float
    mirrored: bool


@dataclass(frozen=True)
class Line:
    """Agreement from which a sample is a copy.

    Attributes:
        value: The line.
        same_shot: Where two training pictures count as one.
        background: What nearly all training pictures stay below with any of another family; nan where there is one
            family.
        reason: One sentence.
    """

    value: float
    same_shot: float
    background: float
    reason: str


class Overlay:
    """Lays pictures over those of a training set."""

    def __init__(self, training: TrainingSet) -> None:
        self._training = training
        self._layouts: NDArray[np.float32] | None = None
        self._shot = lru_cache(PREPARED)(lambda row: shot(training.pictures[row]))

    def match(self, picture: Image, vector: NDArray[np.float32]) -> Match:
        """The best agreement of one sample, as it is or mirrored."""
        found = Match(-1, 0.0, False)
        for mirrored in (False, True):
            if found.agreement >= SAME_SHOT:  # no need to look for it mirrored
                break
            prepared = shot(picture, mirrored=mirrored)
            for row in self._candidates(prepared, vector):
                score = agreement(self._shot(row), prepared).score
                if score > found.agreement:
                    found = Match(row, score, mirrored)
        return found

    def line(self) -> Line:
        """The line for this set: at or below where two of its own pictures count as one, above its background."""
        same_shot = float(self._training.lines.get("same_shot") or SAME_SHOT)
        background = self._background()
        if not np.isfinite(background):
            return Line(same_shot, same_shot, background, "The set holds one picture and its variants only.")
        value = min(same_shot, max(VARIANT, background))
        if value == same_shot:
            reason = f"From {value:.2f} on, two pictures of this set count as one; so do a sample and its source."
        else:
            reason = (
                f"Different pictures of this set hardly agree more than {background:.2f}; a sample is a copy from "
                f"{value:.2f} on."
            )
        return Line(value, same_shot, background, reason)

    def _background(self) -> float:
        """Agreement that nearly all families stay below with any other, over a spread of them.

        A high quantile, and not the largest: two near-copies that were taken for different pictures would lift the line
        over real copies. At least the two families of one such pair lie above it.
        """
        families = self._training.frame["family"].to_numpy()
        _, first = np.unique(families, return_index=True)
        probes = np.sort(first)[:: max(1, len(first) // PROBES)]
        best = sorted(
            max(scores)
            for row in probes
            if (
                scores := [
                    agreement(self._shot(int(row)), self._shot(other)).score
                    for other in self._candidates(self._shot(int(row)), self._training.vectors[row])
                    if families[other] != families[row]
                ]
            )
        )
        if not best:
            return float("nan")
        return best[max(0, min(int(HIGH * (len(best) - 1)), len(best) - 1 - PAIR))]

    def _candidates(self, prepared: Shot, vector: NDArray[np.float32]) -> list[int]:
        """Rows nearest by encoder and by layout; a poor encoder alone would overlook copies."""
        if self._layouts is None:
            rows = range(len(self._training.pictures))
            self._layouts = np.stack([self._shot(row).layouts[0] for row in rows])
        by_encoder = np.argsort(-(self._training.vectors @ vector), kind="stable")[:NEAREST]
        by_layout = np.argsort(-(self._layouts @ prepared.layouts[0]), kind="stable")[:NEAREST]
        return sorted({int(row) for row in (*by_encoder, *by_layout)})
