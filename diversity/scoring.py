"""Scores for `diversity score`: a set's own measures, and its coverage of another set.

Not for the mathematics: that is `richness.py` and `coverage.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from diversity.errors import InputError
from diversity.plural import count

if TYPE_CHECKING:
    from diversity.dataset import Dataset
    from diversity.progress import Progress

BEFORE = ("scan", "label", "dedup", "views")


def of_set(dataset: Dataset, *, force: bool = False, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Rows of `scores.parquet`, their settings as mappings, measured first where needed."""
    dataset.run(*BEFORE, "score", force=("score",) if force else (), progress=progress)
    return [{**row, "settings": json.loads(row["settings"])} for row in dataset.read("scores").to_dicts()]


def against(dataset: Dataset, pool: Dataset, *, progress: Progress | None = None) -> list[dict[str, Any]]:
    """One row: the share of the pool's distinct pictures within reach of the set, with its interval.

    Raises:
        InputError: the two were seen by different encoders.
    """
    from diversity.coverage import coverage

    dataset.run("scan", progress=progress)
    pool.run("scan", "label", "dedup", progress=progress)
    if dataset.encoder_id != pool.encoder_id:
        raise InputError(
            "The two sets were seen by different encoders.",
            "Numbers from different encoders are never compared.",
            "Name one with --model for both.",
        )
    reference = pool.usable
    groups = reference.join(pool.read("duplicates").select("key", "group"), on="key", how="left", maintain_order="left")
    measure = coverage(
        pool.vectors(reference), dataset.vectors(dataset.usable), groups["group"].to_numpy().astype(np.str_)
    )
    settings = {**measure.settings, "encoder": dataset.encoder_id, "against": str(pool.root)}
    row = {"measure": measure.name, "value": measure.value, "low": measure.low, "high": measure.high, "n": measure.n}
    return [{**row, "settings": settings}]


def watched(rows: list[dict[str, Any]], measure: str) -> float | None:
    """The value of `measure`, by its name with or without its scope.

    Raises:
        InputError: there is no such measure.
    """
    for row in rows:
        if measure in (row["measure"], row["measure"].split(".")[-1]):
            value: float | None = row["value"]
            return value
    names = ", ".join(row["measure"] for row in rows)
    raise InputError(f"There is no measure '{measure}'.", f"Measured were: {names}.", "Name one with --measure.")


def text(rows: list[dict[str, Any]]) -> str:
    """For a terminal: what it means in a sentence or two, then every measure."""
    found = {row["measure"]: row for row in rows}
    said = []
    if "coverage" in found and found["coverage"]["n"]:
        row = found["coverage"]
        pool = f"{count(row['settings']['distinct'], 'distinct picture')} of {Path(row['settings']['against']).name}"
        said.append(f"Covered: {100 * row['value']:.0f} %{_span(row, 100, ' %')} of the {pool}.")
    for scope, whose in (("set", ""), ("selection", " of the selection, weighted,")):
        rank, counted = found.get(f"{scope}.effective_rank"), found.get(f"{scope}.pictures")
        if rank and counted and rank["value"] is not None:
            pictures = count(int(counted["value"]), "picture")
            verb = "acts" if counted["value"] == 1 else "act"
            like = count(round(rank["value"]), "different one")
            said.append(f"{pictures}{whose} {verb} like about {like}{_span(rank)}.")
    return "\n".join([*said, *([""] if said else []), lines(rows)])


def _span(row: dict[str, Any], scale: float = 1, unit: str = "") -> str:
    """` (19–27)`; "" where there is no interval."""
    if row["low"] is None or row["low"] != row["low"]:
        return ""
    return f" ({scale * row['low']:.0f}–{scale * row['high']:.0f}{unit})"


def lines(rows: list[dict[str, Any]]) -> str:
    """The rows as aligned text."""
    frame = pl.DataFrame(rows, infer_schema_length=None)
    width = max(len(name) for name in frame["measure"])
    aligned = []
    for row in rows:
        value = "–" if row["value"] is None or row["value"] != row["value"] else f"{row['value']:.3g}"
        known = row["low"] is not None and row["low"] == row["low"]
        span = f"  ({row['low']:.3g}–{row['high']:.3g})" if known else ""
        aligned.append(f"{row['measure']:<{width}}  {value}{span}  n={row['n']}")
    return "\n".join(aligned)
