"""The rows of the ladder as numbers: one measure of one arm, by character.

Not for what is made of them: `claims.py` and `analyse.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.richness.pool import COMMON

Row = Mapping[str, Any]
FRONT_HEADSHOT = f"common-{COMMON[0][0]}-0"  # the held-out picture of the class that `thief64` has too many of


class Ladder:
    """All rows that count.

    Attributes:
        rows: Those without a problem, in order.
        excluded: Ids of the others.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        every = list(rows)
        self.rows = [row for row in every if "problem" not in row]
        self.excluded = [str(row["id"]) for row in every if "problem" in row]

    def block(self, *names: str) -> list[Row]:
        """The rows of some blocks."""
        return [row for row in self.rows if row["block"] in names]

    def arm(self, name: str) -> dict[str, Row]:
        """Character → row of one arm."""
        return {str(row["character"]): row for row in self.rows if row["arm"] == name}

    def scores(self, arm: str, measure: str, step: int | None = None, **settings: object) -> dict[str, float]:
        """Character → `score` of one arm."""
        return {name: score(row, measure, step, **settings) for name, row in self.arm(arm).items()}

    def losses(self, arm: str, step: int, held_out: str, name: str) -> dict[str, float]:
        """Character → `loss` of one arm."""
        return {character: loss(row, step, held_out, name) for character, row in self.arm(arm).items()}


def score(row: Row, measure: str, step: int | None = None, **settings: object) -> float:
    """One score of a row; nan where it was not measured.

    Args:
        row: Of the ladder.
        measure: Its name.
        step: An earlier reading; None: the last.
        **settings: Must agree with the score's own; it may have more.
    """
    scores = row["scores"] if step is None or step == row.get("steps") else row.get("readings", {}).get(str(step), [])
    for one in scores:
        if one["measure"] == measure and one["value"] is not None:
            own = json.loads(one["settings"])
            if all(own.get(key) == value for key, value in settings.items()):
                return float(one["value"])
    return math.nan


def loss(row: Row, step: int, held_out: str, name: str) -> float:
    """One number of the losses of a checkpoint; "others" is the mean log ratio off front headshots."""
    found = row.get("losses", {}).get(str(step), {}).get(held_out, {})
    if name == "others":
        groups = [value for group, value in found.get("groups", {}).items() if group != FRONT_HEADSHOT]
        return float(np.mean(groups)) if groups else math.nan
    value = found.get(name)
    return math.nan if value is None else float(value)


def column(rows: Iterable[Row], measure: str, **settings: object) -> NDArray[np.float64]:
    """`score` of each row."""
    return np.array([score(row, measure, **settings) for row in rows], np.float64)


def names(rows: Iterable[Row]) -> NDArray[np.str_]:
    """Character of each row."""
    return np.array([str(row["character"]) for row in rows])
