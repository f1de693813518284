"""The forecast in the dataset report: what sets like this one gave on the ladder, each with its skill, or why not.

Computes nothing: `training.forecast` does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

RICHNESS = ("selection.vendi_1", "set.vendi_1")  # the first one there is
PICTURES = ("selection.pictures", "set.pictures")


@dataclass(frozen=True)
class Line:
    """One measure.

    Attributes:
        text: What to expect, with its interval.
        trust: How good such forecasts are.
        warning: Where the set lies outside what was tried; "" else.
    """

    text: str
    trust: str
    warning: str


@dataclass(frozen=True)
class Section:
    """All of it.

    Attributes:
        lines: Forecasts that are on.
        off: Why the others are not, one sentence for each reason.
    """

    lines: tuple[Line, ...]
    off: tuple[str, ...]


def section(scores: pl.DataFrame) -> Section:
    """The forecast of a set from its `scores.parquet`; off where it was not scored."""
    from training import forecast

    known = {row["measure"]: row for row in scores.iter_rows(named=True) if row["value"] is not None}
    rich = next((known[name] for name in RICHNESS if name in known), None)
    pictures = next((known[name] for name in PICTURES if name in known), None)
    if rich is None or pictures is None:
        return Section((), ("The set was not scored yet.",))
    encoder = json.loads(rich["settings"] or "{}").get("encoder")
    inputs = forecast.Inputs(float(rich["value"]), int(pictures["value"]))
    found = forecast.shipped(str(encoder) if encoder else None)
    lines = []
    for model in found:
        if model.on:
            expected = model.at(inputs)
            text = model.sentence(expected)
            lines.append(Line(text[0].upper() + text[1:] + ".", model.trust(), _warning(expected.outside)))
    reasons: dict[str, list[str]] = {}
    for model in found:
        if not model.on:
            reasons.setdefault(model.reason, []).append(
                model.target.words.split("{}")[0].strip(" :") or model.target.name
            )
    return Section(tuple(lines), tuple(_off(reason, names, len(found)) for reason, names in reasons.items()))


def _off(reason: str, names: list[str], every: int) -> str:
    if len(names) == every:
        return f"There is no forecast: {reason}."
    return f"Not forecast ({', '.join(names)}): {reason}."


def _warning(outside: tuple[str, ...]) -> str:
    return f"The {' and '.join(outside)} of this set lie outside what was tried." if outside else ""
