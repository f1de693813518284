"""Steps and rank from how much there is to learn: defaults with their reason, always to be overridden.

Not for a chance of overfitting: none is given before it is calibrated on our own runs. What is known is that the step
at which pictures are memorised grows with their number (Bonnaire et al. 2025, arXiv 2505.17638), so steps follow from
exposures per distinct picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.pictures import SELECTION, Picture

CUT_OUT = 0.6  # exposures that a cut-out needs of those of a full picture: no attention goes to a background (C3)
LEAST = 100  # steps, so that the adapter moves at all
RANKS = ((10, 4), (40, 8), (160, 16))  # distinct pictures below which a rank is enough; 32 above


@dataclass(frozen=True)
class Advice:
    """A number and why.

    Attributes:
        value: Steps, or a rank.
        reason: One or two sentences with every factor in them.
    """

    value: int
    reason: str


@dataclass(frozen=True)
class Richness:
    """How much there is to learn.

    Attributes:
        pictures: Trained pictures of the selection.
        distinct: Groups of near-copies among them.
        flat: Share of them that are cut-outs or on a flat background, 0..1.
    """

    pictures: int
    distinct: int
    flat: float


def richness(train: Sequence[Picture]) -> Richness:
    """Of the pictures that are trained on; other folders add variety, not looks of the subject, and do not count."""
    own = [p for p in train if p.source == SELECTION]
    distinct = len({p.groups[0] if p.groups else p.key for p in own})
    return Richness(len(own), distinct, sum(p.flat for p in own) / max(len(own), 1))


def steps(found: Richness, *, exposures: float, per_step: int, share: float = 1.0) -> Advice:
    """Default steps: exposures per distinct picture × distinct pictures ÷ pictures per step.

    Args:
        found: Of the set.
        exposures: Wanted per distinct picture.
        per_step: Batch size × accumulation.
        share: Part of all exposures that the selection gets, beside other folders; 0..1.
    """
    factor = 1 - (1 - CUT_OUT) * found.flat
    total = exposures * found.distinct * factor
    value = max(LEAST, round(total / share / per_step))
    parts = [f"{exposures:g} exposures of each of {found.distinct} distinct pictures"]
    if found.flat:
        parts.append(f"× {factor:.2f} because {found.flat:.0%} are cut-outs or on a flat background")
    parts.append(f"= {total:,.0f} exposures")
    if share < 1:
        parts.append(f", {share:.0%} of all that are shown")
    reason = " ".join(parts).replace(" ,", ",") + f"; {per_step} pictures a step: {value} steps."
    if value == LEAST:
        reason += " That is the least."
    return Advice(value, reason)


def rank(found: Richness) -> Advice:
    """A rank that the set can fill: fewer distinct pictures need fewer directions."""
    value = next((rank for below, rank in RANKS if found.distinct < below), 32)
    return Advice(value, f"{found.distinct} distinct pictures: rank {value} is enough to hold them.")
