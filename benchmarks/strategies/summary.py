"""From rows of single runs to what is reported: means over sets with intervals, and differences from random.

The set is the unit: seeds of one set are averaged first. An interval over sets says what further sets of the kind would
show; where there is one set only, it is the range of nine in ten draws, which says nothing about other sets. `over`
tells which.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.strategies.table import ALL, DISTINCT
from benchmarks.strategies.truth import MEASURES

LEVEL = 0.9
BASELINE = ("random", ALL)
OTHERS = (("random", DISTINCT), ("stratified", ALL), ("stratified", DISTINCT))  # stronger: what little work gives
Row = Mapping[str, Any]
Values = Mapping[str, Sequence[float]]
Estimate = dict[str, float | str | int | None]


def estimate(by_set: Mapping[str, Sequence[float]]) -> Estimate:
    """Mean over sets of the mean over draws, with its interval.

    Args:
        by_set: Set → values of its draws, at least one set and one value each.

    Returns:
        mean, low, high (None where there is one value only), over ("sets", "draws" or "nothing"), n of these.
    """
    means = [statistics.fmean(values) for values in by_set.values()]
    mean = statistics.fmean(means)
    if len(means) > 1:
        from scipy.stats import t

        half = float(t.ppf(0.5 + LEVEL / 2, len(means) - 1)) * statistics.stdev(means) / math.sqrt(len(means))
        return {"mean": mean, "low": mean - half, "high": mean + half, "over": "sets", "n": len(means)}
    (draws,) = by_set.values()
    if len(draws) > 1:
        low, high = _range(draws)
        return {"mean": mean, "low": low, "high": high, "over": "draws", "n": len(draws)}
    return {"mean": mean, "low": None, "high": None, "over": "nothing", "n": 1}


def against(by_set: Mapping[str, Sequence[float]], baseline: Mapping[str, Sequence[float]]) -> Estimate | None:
    """Mean difference from the baseline, set by set, on the sets that both have; None where there is none.

    With one set: from each draw of the baseline, so that the interval is the range of nine in ten of its draws.
    """
    both = [name for name in by_set if name in baseline]
    if not both:
        return None
    mean = {name: statistics.fmean(by_set[name]) for name in both}
    if len(both) > 1:
        return estimate({name: [mean[name] - statistics.fmean(baseline[name])] for name in both})
    return estimate({name: [mean[name] - value for value in baseline[name]] for name in both})


def summarise(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One entry per strategy, pool and budget of a suite's rows, in the order of first appearance.

    Entries: strategy, pool, budget, sets, runs, problem (of sets that could not be answered), kept (`least` and `most`
    pictures that were really kept; None: not known), `values` (measure → `estimate`), `gains` (measure → `against`
    random from all files at the same budget), `beside` ("strategy/pool" of `OTHERS` → the same against that one).
    """
    cells: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
    for row in rows:
        cells[row["strategy"], row["pool"], row["budget"]].append(row)
    values = {key: {name: _by_set(found, name) for name in MEASURES} for key, found in cells.items()}
    entries = []
    for (strategy, pool, budget), found in cells.items():
        known = {name: by_set for name, by_set in values[strategy, pool, budget].items() if by_set}
        others = {"/".join(other): values.get((*other, budget)) for other in OTHERS if other != (strategy, pool)}
        entries.append(
            {
                "strategy": strategy,
                "pool": pool,
                "budget": budget,
                "sets": len({row["set"] for row in found if not row["problem"]}),
                "runs": sum(not row["problem"] for row in found),
                "problem": next((row["problem"] for row in found if row["problem"]), None),
                "kept": _kept(found),
                "values": {name: _within(estimate(by_set), MEASURES[name].share) for name, by_set in known.items()},
                "gains": _gains(known, values.get((*BASELINE, budget), {})),
                "beside": {name: _gains(known, other) for name, other in others.items() if other is not None},
            }
        )
    return entries


def _gains(known: Mapping[str, Values], base: Mapping[str, Values]) -> dict[str, Estimate | None]:
    return {name: against(by_set, base.get(name, {})) for name, by_set in known.items()}


def _kept(rows: Sequence[Row]) -> dict[str, int] | None:
    """Least and most pictures that the answered runs kept: fewer than asked for where a pool was too small."""
    counts = [row["scores"]["kept"] for row in rows if not row["problem"] and "kept" in row["scores"]]
    return {"least": min(counts), "most": max(counts)} if counts else None


def _within(found: Estimate, share: bool) -> Estimate:
    """A share's interval ends where shares do."""
    if not share or found["low"] is None:
        return found
    low, high = (min(max(float(found[end] or 0.0), 0.0), 1.0) for end in ("low", "high"))
    return {**found, "low": low, "high": high}


def _by_set(rows: Iterable[Row], measure: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        value = row["scores"].get(measure) if not row["problem"] else None
        if value is not None and math.isfinite(value):
            found[row["set"]].append(float(value))
    return dict(found)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Nine in ten values lie between; linear interpolation."""
    import numpy as np

    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
