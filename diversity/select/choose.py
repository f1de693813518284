"""From a pool to the table of kept pictures: budget, elbow, weights, and why each one is there.

Not for how a strategy picks (`strategies.py`), nor for which pictures are rare or dropped by hand: the pool says so.

Plain facility location, not one that is forced to take turns between cells: on the long-tail sets of kaykit_views it
already keeps every cell at 40 of 90 (docs/selection.md), labels can be wrong, and what is rare for certain is
protected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diversity.config import SelectConfig
from diversity.errors import SelectionError
from diversity.select.pool import IntArray, Pool, first_picks
from diversity.select.strategies import strategy
from diversity.select.weights import weights

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
CURVE_UP_TO = 20_000  # beyond, gains are followed only as far as was asked


@dataclass(frozen=True)
class Chosen:
    """Kept pictures in the order of their picks.

    Attributes:
        order: int [k], indices into the pool.
        gain: float [k], nan where the strategy has none.
        weight: float [k], mean 1.
        reason: [k], one plain phrase each.
        curve: float [n], gains of picking the whole pool, for the elbow plot; only as far as was asked in a large pool.
        elbow: Where the curve bends, a number of pictures; None where the strategy has no gains.
    """

    order: IntArray
    gain: Floats
    weight: Floats
    reason: tuple[str, ...]
    curve: Floats
    elbow: int | None

    def frame(self, pool: Pool) -> pl.DataFrame:
        """Rows of `selection/<name>.parquet`."""
        import polars as pl

        from diversity import tables

        columns = {
            "key": [pool.keys[i] for i in self.order],
            "rank": np.arange(len(self.order)),
            "gain": self.gain,
            "weight": self.weight,
            "reason": list(self.reason),
        }
        return tables.conform(pl.DataFrame(columns, schema_overrides=tables.SELECTION), tables.SELECTION)


def choose(pool: Pool, config: SelectConfig | None = None) -> Chosen:
    """Pick and weight as the settings say.

    Pictures that must stay come first: of an earlier selection in their order, then pinned, then protected.
        `config.keep`
    None or above the pool's size keeps all; "auto" keeps up to the elbow, and never less than what must stay.

    Raises:
        SelectionError: what must stay exceeds the budget (the least budget is named), no such strategy, or "auto" with
            a strategy that has no gains.
    """
    config = config or SelectConfig()
    n, pick = len(pool), strategy(config.strategy)
    if isinstance(config.keep, int) and config.keep < 1:
        raise SelectionError(f"{config.keep} pictures cannot be kept.", "", "Keep at least 1 (--keep 1).")
    asked = min(config.keep, n) if isinstance(config.keep, int) else n
    must = len(first_picks(pool, asked))
    found = pick(pool, asked, seed=config.seed)
    has_curve = found.nested and len(found.gain) > 0 and bool(np.isfinite(found.gain[must:]).all())
    curve = pick(pool, n, seed=config.seed).gain if has_curve and asked < n <= CURVE_UP_TO else found.gain
    bend = elbow(curve, must) if len(curve) == n else None
    k = _auto(config, bend) if config.keep == "auto" else asked
    order, gain = found.order[:k], found.gain[:k]
    weight = weights(pool.vectors[order], tuple(pool.cells[i] for i in order), config)
    return Chosen(order, gain, weight, _reasons(pool, order, config.strategy), curve, bend)


def elbow(gains: Floats, must: int = 0) -> int | None:
    """Where further picks stop paying: a number of pictures, must..len(gains); None where there are no gains.

    The point of the cumulated gain farthest above the chord from its start to its end (Satopää et al. 2011, "Kneedle",
    without smoothing: the gains of a greedy run already fall). The curve starts after the pictures that must stay, and
        after the
    first pick, whose gain is what any picture has in common with all others.

    Args:
        gains: float [n], of picking the whole pool.
        must: Pictures that must stay.
    """
    start = max(must, 1)
    if not len(gains) or not np.isfinite(gains[must:]).all():
        return None
    rest = gains[start:]
    total = rest.sum()
    if total <= 0:
        return min(start, len(gains))
    above = np.cumsum(rest) / total - np.arange(1, len(rest) + 1) / len(rest)
    return start + int(np.argmax(np.round(above, 12))) + 1


def left_out(pool: Pool, order: IntArray) -> pl.DataFrame:
    """Rows of `dropped.parquet` for what a budget leaves out; `keeper` is the most alike kept picture."""
    import polars as pl

    from diversity import tables
    from diversity.coverage import nearest

    rest = np.setdiff1d(np.arange(len(pool)), order)
    if not len(rest) or not len(order):
        return tables.empty(tables.DROPPED)
    similarity, row = nearest(pool.vectors[rest], pool.vectors[order])
    columns = {
        "key": [pool.keys[i] for i in rest],
        "keeper": [pool.keys[order[j]] for j in row],
        "reason": [f"left out by the budget: {s:.2f} like a kept picture" for s in similarity],
    }
    return tables.conform(pl.DataFrame(columns), tables.DROPPED)


def _auto(config: SelectConfig, bend: int | None) -> int:
    if bend is None:
        raise SelectionError(
            f"The strategy '{config.strategy}' has no elbow.",
            "It does not say what each picture adds.",
            "Give a number with --keep, or use the strategy facility_location.",
        )
    return bend


def _reasons(pool: Pool, order: IntArray, name: str) -> tuple[str, ...]:
    """One phrase per pick, in the order of picks."""
    earlier = set(pool.initial.tolist())
    have: dict[str, int] = {}
    for cell in pool.cells:
        have[cell] = have.get(cell, 0) + 1

    def reason(rank: int, i: int) -> str:
        cell = pool.cells[i]
        if i in earlier:
            return "kept from the earlier selection"
        if pool.pinned[i]:
            return "pinned by hand"
        if pool.protected[i]:
            wanted, view = pool.targets.get(cell, have[cell]), cell.replace("_", " ").replace("/", ", ")
            return f"rare view ({view}): {have[cell]}, want {wanted}"
        if len(order) == len(pool):
            return "distinct, and nothing has to go"
        if name != "facility_location":
            return f"picked by {name}"
        return f"adds most coverage to the {rank} before it" if rank else "nearest to most of the set"

    return tuple(reason(rank, i) for rank, i in enumerate(order.tolist()))
