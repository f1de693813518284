"""M6, the weight sweep: at which LoRA weights every view holds, prompts are followed, colours and copies stay away.

Not for the measures at one weight. Fidelity is likeness to *held-out* pictures of a view; it is judged as a share of
what the LoRA gains over the base in that view, because a cosine of 0.6 with no LoRA at all is no fidelity: nine tenths
of the best cosine would be passed by half the gain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluate import estimate
from training.evaluate.estimate import Estimate, Floats


@dataclass(frozen=True)
class Limits:
    """What a usable weight may cost; usual values, to be replaced by the ladder's.

    Attributes:
        gain: Least share of a view's best gain over the base.
        control: Most that control may fall below the base, in the score's own unit.
        colour: Most share of the way to the training palette on unrelated prompts.
        copies: Largest share of copies.
    """

    gain: float = 0.8
    control: float = 0.05
    colour: float = 0.15
    copies: float = 0.05


@dataclass(frozen=True)
class Point:
    """One weight: fidelity [units] by view, and what it costs; nan where not measured."""

    weight: float
    fidelity: Mapping[str, Floats]
    control: float = float("nan")
    colour: float = float("nan")
    copies: float = float("nan")


@dataclass(frozen=True)
class View:
    """One view over the sweep.

    Attributes:
        fidelity: At each weight.
        gain: Best fidelity over the base's, paired by picture.
        holds: Weights at which enough of the gain is there; empty where no gain is sure: that view fails at any weight.
    """

    fidelity: tuple[Estimate, ...]
    gain: Estimate
    holds: tuple[float, ...]


@dataclass(frozen=True)
class Sweep:
    """What to use.

    Attributes:
        weights: Ascending.
        views: View → how it fares.
        against: Weight → reasons against it, in words; empty where it is usable.
        band: Longest run of neighbouring usable weights, (low, high); None where there is none.
        failing: Views that no weight shows.
    """

    weights: tuple[float, ...]
    views: dict[str, View]
    against: dict[float, tuple[str, ...]]
    band: tuple[float, float] | None
    failing: tuple[str, ...]

    @property
    def unlearned(self) -> bool:
        """Whether no view at all gained on the base: nothing that a weight, or a picture of one view, could mend."""
        return bool(self.views) and len(self.failing) == len(self.views)

    def sentence(self) -> str:
        """What to use, as in: use at 0.6–0.85; shoes breaks below 0.8."""
        if self.unlearned:
            return "no view is surely nearer to real pictures than the base draws it: too few steps to tell a weight"
        if self.band is None:
            words = "no weight is usable"
        else:
            low, high = self.band
            words = f"use at {low:g}" if low == high else f"use at {low:g}–{high:g}"
        broken = [
            f"{name} breaks below {view.holds[0]:g}"
            for name, view in self.views.items()
            if view.holds and min((w for w in self.weights if w > 0), default=0.0) < view.holds[0]
        ]
        return "; ".join([words, *broken, *(f"{name} fails at every weight" for name in self.failing)])


def sweep(points: Sequence[Point], limits: Limits | None = None) -> Sweep:
    """Judge every weight.

    A view that fails at every weight rules none out: it is a matter for the data, and is named.

    Args:
        points: With weight 0 among them; the same views, and in each view the same pictures, at every weight.
        limits: What is tolerated.

    Raises:
        ValueError: weight 0 is missing, or views or pictures differ between weights.
    """
    limits = limits or Limits()
    ordered = sorted(points, key=lambda point: point.weight)
    if not ordered or ordered[0].weight != 0:
        raise ValueError("a sweep needs weight 0, the base")
    weights = tuple(point.weight for point in ordered)
    views = {name: _view(name, ordered, limits) for name in ordered[0].fidelity}
    failing = tuple(name for name, view in views.items() if not view.holds)
    against = {
        point.weight: _against(point, ordered[0], views, limits) if point.weight else ("the base itself",)
        for point in ordered
    }
    return Sweep(weights, views, against, _band(weights, against, bool(len(failing) < len(views))), failing)


def _view(name: str, points: Sequence[Point], limits: Limits) -> View:
    table = np.array([point.fidelity[name] for point in points], np.float64)  # [weights, units]
    means = table.mean(axis=1)
    best = int(means.argmax())
    gain = estimate.mean(table[best] - table[0], "pictures")
    holds: tuple[float, ...] = ()
    if gain.above(0):
        line = means[0] + limits.gain * (means[best] - means[0])
        holds = tuple(p.weight for p, value in zip(points, means, strict=True) if p.weight > 0 and value >= line)
    return View(tuple(estimate.mean(row, "pictures") for row in table), gain, holds)


def _against(point: Point, base: Point, views: Mapping[str, View], limits: Limits) -> tuple[str, ...]:
    found = [f"{name} breaks" for name, view in views.items() if view.holds and point.weight not in view.holds]
    if point.control < base.control - limits.control:
        found.append("prompts are no longer followed")
    if point.colour > limits.colour:
        found.append("colours migrate")
    if point.copies > limits.copies:
        found.append("copies appear")
    return tuple(found)


def _band(
    weights: Sequence[float], against: Mapping[float, tuple[str, ...]], any_view: bool
) -> tuple[float, float] | None:
    runs: list[list[float]] = [[]]
    for weight in weights:
        if against[weight]:
            runs.append([])
        else:
            runs[-1].append(weight)
    best = max(runs, key=len)
    return (best[0], best[-1]) if best and any_view else None
