"""The forecast in the dataset report: what sets like this one gave, each number with its skill, or why there is none.

Computes nothing: `training.forecast` does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from training.forecast import Model

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
        own: Whether they were fitted on the user's own runs; else on the ladder.
        shown: Pictures that those LoRAs were shown in all (median): what the forecast is for; 0 where all are off.
    """

    lines: tuple[Line, ...]
    off: tuple[str, ...]
    own: bool = False
    shown: int = 0


def section(scores: pl.DataFrame, folder: Path) -> Section | None:
    """The forecast of a set; None where there are neither rows of the ladder nor runs of one's own.

    Args:
        scores: Its `scores.parquet`.
        folder: Its workspace.
    """
    from training import forecast

    known = {row["measure"]: row for row in scores.iter_rows(named=True) if row["value"] is not None}
    rich = next((known[name] for name in RICHNESS if name in known), None)
    pictures = next((known[name] for name in PICTURES if name in known), None)
    encoder = json.loads(rich["settings"] or "{}").get("encoder") if rich else None
    found = forecast.around(folder, str(encoder) if encoder else None)
    if not found.models:
        return None
    if rich is None or pictures is None:
        return Section((), ("There is no forecast: the set was not scored yet.",), found.own)
    on = [model for model in found.models if model.on]
    inputs = forecast.Inputs(float(rich["value"]), int(pictures["value"]))
    lines = []
    for model in on:
        expected = model.at(inputs)
        text = model.sentence(expected)
        lines.append(Line(text[0].upper() + text[1:] + ".", model.trust(), _warning(expected.outside)))
    return Section(tuple(lines), _off(found.models), found.own, round(on[0].typical) if on else 0)


def _off(models: tuple[Model, ...]) -> tuple[str, ...]:
    """One sentence for each reason why models are off."""
    reasons: dict[str, list[str]] = {}
    for model in models:
        if not model.on:
            reasons.setdefault(model.reason, []).append(model.target.title)
    return tuple(
        f"There is no forecast: {reason}." if len(titles) == len(models) else f"Off ({', '.join(titles)}): {reason}."
        for reason, titles in reasons.items()
    )


def _warning(outside: tuple[str, ...]) -> str:
    return f"The {' and '.join(outside)} of this set lie outside what was tried." if outside else ""
