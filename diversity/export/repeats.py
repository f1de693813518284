"""Whole repeats for trainers that know no other weights: the rounding, its error, and what it does to epochs.

Not for the weights themselves: those come from `select/weights.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diversity.export.items import Item

WIDTH = 1.05  # largest over smallest weight in one folder: at most 2.5 % off its mean
NOTICEABLE = 0.05  # total variation; mean repeats 5 give 0.03 on Dirichlet(2) weights, 2 give 0.10


@dataclass(frozen=True)
class RepeatsError:
    """How far the shares of exposures in an export are from the weights.

    Attributes:
        total_variation: Share of all exposures that goes to other pictures than the weights say, 0..1.
        path: The picture with the largest ratio between wanted and shown; "" where weights are exact.
        wanted: Its repeats by its weight, for the same total.
        shown: How often it is shown, whole where the trainer knows only whole repeats.
    """

    total_variation: float = 0.0
    path: str = ""
    wanted: float = 0.0
    shown: float = 0

    @property
    def sentence(self) -> str:
        """The error in plain words."""
        if not self.path:
            return "Weights are written as they are, without rounding."
        return (
            f"Rounding to whole repeats moves {self.total_variation:.1%} of the exposures; "
            f"worst: {self.path} wanted {self.wanted:.1f}×, shown {self.shown:g}×."
        )


def whole(items: Sequence[Item], mean: int) -> tuple[dict[str, int], RepeatsError]:
    """Key → whole repeats ≥ 1 with about the given mean, and their error."""
    from diversity.select.weights import integer_repeats

    weights = np.array([item.weight for item in items], np.float64)
    counts = np.asarray(integer_repeats(weights, mean)[0], np.int64)
    shown = dict(zip((item.key for item in items), counts.tolist(), strict=True))
    return shown, _error(items, shown)


def grouped(items: Sequence[Item], mean: int) -> tuple[list[tuple[int, tuple[Item, ...]]], RepeatsError]:
    """Groups of about equal weight, each with the times that it is shown per epoch, all its pictures together.

    For trainers that weight folders by any number: weights within `WIDTH` of one another share a folder.

    Returns:
        (times >= 1, its pictures by rank) per group, the heaviest first; and the error of grouping and rounding.
    """
    weights = {item.key: item.weight for item in items}
    scale = mean * len(items) / sum(weights.values())
    groups: list[list[Item]] = []
    for item in sorted(items, key=lambda item: (-item.weight, item.rank, item.key)):
        if groups and item.weight * WIDTH >= groups[-1][0].weight:
            groups[-1].append(item)
        else:
            groups.append([item])
    found = [(max(1, round(scale * sum(i.weight for i in group))), tuple(group)) for group in groups]
    shown = {item.key: times / len(group) for times, group in found for item in group}
    return found, _error(items, shown)


def warn(error: RepeatsError, mean: int) -> list[str]:
    """A warning where rounding is noticeable: at most one sentence."""
    if error.total_variation <= NOTICEABLE:
        return []
    return [f"{error.sentence} Set mean_repeats above {mean} to follow the weights more closely."]


def advise_epochs(items: Sequence[Item], repeats: Mapping[str, float], epochs: int | None) -> str:
    """How to set epochs so that a picture is shown as often, on average, as before the export."""
    before = sum(item.earlier for item in items) / len(items)
    after = sum(repeats.values()) / len(items)
    factor = after / before
    shown = f"a picture is now shown {after:.1f} times per epoch on average, before {before:.1f}"
    if abs(factor - 1) < 0.05:
        return f"Keep your number of epochs: {shown}."
    if epochs is None and factor < 1:
        return f"Multiply your epochs by {1 / factor:.1f} (2 become {max(1, round(2 / factor))}): {shown}."
    if epochs is None:
        return f"Divide your epochs by {factor:.1f} ({max(1, round(2 * factor))} become 2): {shown}."
    if epochs < factor * 0.75:
        return f"Set epochs to 1 and limit the steps to {epochs / factor:.0%} of that epoch: {shown}."
    return f"Set epochs to {max(1, round(epochs / factor))} where you had {epochs}: {shown}."


def advise_sampling(items: Sequence[Item], epochs: int | None) -> tuple[str, ...]:
    """The same where exact weights are written and a pass shows each picture once, on average; nothing if so before."""
    if all(item.earlier == 1 for item in items):
        return ()
    return (advise_epochs(items, {item.key: 1.0 for item in items}, epochs),)


def _error(items: Sequence[Item], repeats: Mapping[str, float]) -> RepeatsError:
    weights = np.array([item.weight for item in items], np.float64)
    shown = np.array([repeats[item.key] for item in items], np.float64)
    wanted = weights / weights.sum() * shown.sum()
    ratio = np.maximum(shown / wanted, wanted / shown)
    worst = min(range(len(items)), key=lambda i: (-round(float(ratio[i]), 12), items[i].path))
    return RepeatsError(
        total_variation=float(np.abs(shown - wanted).sum() / 2 / shown.sum()),
        path=items[worst].path,
        wanted=float(wanted[worst]),
        shown=round(float(shown[worst]), 2),
    )
