"""The tidy rows that every evaluation ends in: one number with its interval, unit and settings per row.

Not for what the numbers mean: docs/evaluate.md says that.
"""

from __future__ import annotations

import json
import math

import polars as pl

from training.evaluate.estimate import Estimate

ROWS = {
    "measure": pl.String,  # "loss.gap", "memory.copied", ...: docs/evaluate.md names them all
    "value": pl.Float64,
    "low": pl.Float64,  # null: no interval
    "high": pl.Float64,
    "n": pl.Int64,  # independent units
    "unit": pl.String,
    "settings": pl.String,  # JSON: set, weight, keyword_weight, view, part, encoder, by, ...; "{}" for none
}


class Rows:
    """Rows in the order in which they were found; numbers that cannot be told are left out, with their reason kept.

    Attributes:
        notes: What could not be told, and why; one sentence each.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, object]] = []
        self.notes: list[str] = []

    def add(self, measure: str, found: Estimate, **settings: object) -> None:
        """One estimate; where it has no value, its reason becomes a note."""
        if not math.isfinite(found.value):
            self.note(f"{measure}: {found.reason or 'it cannot be told'}.")
            return
        self._rows.append(
            {
                "measure": measure,
                "value": found.value,
                "low": found.low if found.known else None,
                "high": found.high if found.known else None,
                "n": found.n,
                "unit": found.unit,
                "settings": json.dumps(settings, sort_keys=True, ensure_ascii=False),
            }
        )

    def number(self, measure: str, value: float, n: int, unit: str, **settings: object) -> None:
        """One number that was counted rather than estimated."""
        self.add(measure, Estimate(float(value), math.nan, math.nan, n, unit), **settings)

    def note(self, text: str) -> None:
        """Keep a sentence once."""
        if text not in self.notes:
            self.notes.append(text)

    def frame(self) -> pl.DataFrame:
        """All of them, with the columns `ROWS`."""
        return pl.DataFrame(self._rows, schema=ROWS)
