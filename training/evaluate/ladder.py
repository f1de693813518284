"""Rows of the richness ladder: one JSON object per LoRA, as `benchmarks/richness` writes and the reports read them.

Not for training or measuring those LoRAs.

A row holds `id`, `character`, `composition` (how the set was made up), `arm` (what was varied beside that), `n`
(pictures), `seed`, `steps`, `exposures` (per distinct picture), further plain keys, and `scores`: a list of objects
with the columns of `training.evaluate.lora.ROWS`. What a set was like stands among the scores as `richness.*`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from diversity.errors import WorkspaceError

FILE = Path(__file__).parents[1] / "assets" / "ladder.jsonl"
DIGITS = 6  # significant ones that are kept


def row(rows: pl.DataFrame, **about: object) -> dict[str, Any]:
    """One line's worth: `about` (id, character, composition, arm, n, seed, steps, exposures, ...) and the scores."""
    scores = [{key: _short(value) for key, value in score.items()} for score in rows.to_dicts()]
    return {**about, "scores": scores}


def read(file: Path | None = None) -> list[dict[str, Any]]:
    """The rows of a ladder (None: the one of the package); none where there is no file.

    Raises:
        WorkspaceError: a line cannot be read.
    """
    file = file or FILE
    if not file.is_file():
        return []
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
            if not isinstance(one, Mapping) or "scores" not in one:
                raise ValueError("it is no row of a ladder")
        except ValueError as error:
            raise WorkspaceError(f"Line {number} of {file.name} cannot be read.", f"{error}.") from None
        found.append(dict(one))
    return found


def _short(value: object) -> object:
    """Numbers to six digits; nan as null, which JSON has."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if value == value and abs(value) != float("inf") else None
