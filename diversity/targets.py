"""How many distinct pictures of each view there are, how many are wanted, and which must not be lost.

Not for what a picture shows: that is `views.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from diversity import tables
from diversity.taxonomy import CELL_AXES, UNSURE, Label, TargetRules, Taxonomy

Row = tuple[str, int, int, str, str]
"""cell, have, want, state, advice."""


@dataclass(frozen=True)
class Targets:
    """The framing × side table and what follows for pictures.

    Attributes:
        table: `tables.TARGETS`, in the order of the taxonomy; empty where no picture is sure of its view.
        cells: key → "framing/side" of its group, or "unsure", for every on-subject picture.
        protected: Keepers of rare cells, which no selection may lose (invariant 2).
        distinct: On-subject groups.
        unsure: Groups of `distinct` whose cell is not known.
    """

    table: pl.DataFrame
    cells: dict[str, str]
    protected: frozenset[str]
    distinct: int
    unsure: int

    def explain(self, cell: str) -> str:
        """The advice for one cell; "" where there is none."""
        found = self.table.filter(pl.col("cell") == cell)["advice"].to_list()
        return found[0] if found else ""


def want(n: int, share: float, rules: TargetRules, *, pooled: bool = False) -> int:
    """Distinct pictures wanted of a view that makes up `share` of a balanced set, in a set of n distinct pictures.

    want = growth · √(n · share), rounded half up, between `least` and `most`. n · share is what a balanced set would
    hold: with growth 2, a view that would hold fewer than four is asked to grow, one that would hold sixteen may have
    half of that. The square root because a further picture adds less as a view fills (claims C8, C9, C12).

    Args:
        n: Distinct on-subject pictures, ≥ 0.
        share: 0..1; 0 gives 0.
        rules: Constants of the taxonomy.
        pooled: Use the limits for labels that are wanted over all sides together.
    """
    if share <= 0:
        return 0
    least, most = (rules.pooled_least, rules.pooled_most) if pooled else (rules.least, rules.most)
    return int(np.clip(np.floor(rules.growth * np.sqrt(n * share) + 0.5), least, most))


def cell_shares(taxonomy: Taxonomy) -> dict[str, float]:
    """Cell → share of a balanced set: framing share × side share × the cell's factor, scaled to sum to 1."""
    framing, side = (taxonomy.axes[axis].shares() for axis in CELL_AXES)
    factor = taxonomy.targets.cells
    raw = {f"{f}/{s}": framing[f] * side[s] * factor.get(f"{f}/{s}", 1.0) for f in framing for s in side}
    total = sum(raw.values())
    return {cell: share / total for cell, share in raw.items()}


def find(
    views: pl.DataFrame, groups: Mapping[str, str], taxonomy: Taxonomy, off_subject: Collection[str] = frozenset()
) -> Targets:
    """Count distinct pictures per cell, set targets, name rare, missing and over-represented views.

    Args:
        views: `tables.VIEWS`.
        groups: key → group (the keeper's key), from `duplicates.parquet`; keys without one are groups of their own.
        taxonomy: Shares and target rules.
        off_subject: Keys that do not show the subject; they count nowhere.

    Returns:
        States: `missing` (have 0), `rare` (0 < have < want), `thief` (have more than `thief_count` times want and more
        than `thief_share` times its balanced share of the distinct pictures), else `ample`. A picture unsure of either
        axis counts in no cell. A `pooled` framing (detail) is judged over all its sides, "unsure" side included: each
        of its rows has its own `have`, and wants what the whole still lacks on top.
    """
    labels = _group_labels(views, groups, set(off_subject))
    pooled = {name for name, label in taxonomy.axes["framing"].labels.items() if label.pooled}
    group_cell = {group: _cell(label, pooled) for group, label in labels.items()}
    have = Counter(cell for cell in group_cell.values() if cell != UNSURE)
    unsure = sum(cell == UNSURE for cell in group_cell.values())
    counted = _Count(taxonomy, have, len(labels), unsure)
    rows = counted.rows() if have else []
    table = pl.DataFrame(rows, schema=tables.TARGETS, orient="row")
    rare = {cell for cell, _, _, state, _ in rows if state == "rare"}
    keys = (key for key in dict.fromkeys(views["key"].to_list()) if key not in off_subject)
    cells = {key: group_cell[groups.get(key, key)] for key in keys}
    protected = frozenset(group for group, cell in group_cell.items() if cell in rare)
    return Targets(table, cells, protected, len(labels), unsure)


def _group_labels(views: pl.DataFrame, groups: Mapping[str, str], off: set[str]) -> dict[str, tuple[str, str]]:
    """Group → (framing, side): what was told (user, caption) of the keeper, else of a copy, else guessed likewise."""
    best: dict[tuple[str, str], tuple[tuple[bool, bool, float], str]] = {}
    found: dict[str, None] = {}
    columns = ("key", "axis", "label", "confidence", "source")
    for key, axis, label, confidence, source in views.select(columns).sort("key").iter_rows():
        group = groups.get(key, key)
        if key in off or axis not in CELL_AXES:
            continue
        found[group] = None
        if label == UNSURE:
            continue
        rank = (source in ("user", "caption"), key == group, confidence)
        if (group, axis) not in best or rank > best[group, axis][0]:
            best[group, axis] = (rank, label)
    framing, side = ({group: best[group, axis][1] for group in found if (group, axis) in best} for axis in CELL_AXES)
    return {group: (framing.get(group, UNSURE), side.get(group, UNSURE)) for group in found}


def _cell(label: tuple[str, str], pooled: Collection[str]) -> str:
    framing, side = label
    known = framing != UNSURE and (side != UNSURE or framing in pooled)
    return f"{framing}/{side}" if known else UNSURE


class _Count:
    """Turns counts into rows of the target table."""

    def __init__(self, taxonomy: Taxonomy, have: Mapping[str, int], n: int, unsure: int) -> None:
        self.rules, self.have, self.n, self.unsure = taxonomy.targets, have, n, unsure
        self.framings, self.sides = (taxonomy.axes[axis].labels for axis in CELL_AXES)
        self.shares = cell_shares(taxonomy)

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        for framing, label in self.framings.items():
            rows += self._pooled(framing, label) if label.pooled else self._plain(framing)
        return rows

    def _plain(self, framing: str) -> list[Row]:
        rows: list[Row] = []
        for side in self.sides:
            cell = f"{framing}/{side}"
            have, share = self.have.get(cell, 0), self.shares[cell]
            wanted = want(self.n, share, self.rules)
            if have or wanted:
                state = self._state(have, wanted, share)
                rows.append((cell, have, wanted, state, self._advice(state, have, wanted, framing, side)))
        return rows

    def _pooled(self, framing: str, label: Label) -> list[Row]:
        share = sum(self.shares[f"{framing}/{side}"] for side in self.sides)
        wanted = want(self.n, share, self.rules, pooled=True)
        held = {side: self.have.get(f"{framing}/{side}", 0) for side in (*self.sides, UNSURE)}
        have = sum(held.values())
        state = self._state(have, wanted, share)
        advice = self._advice(state, have, wanted, framing, None)
        if have:
            lack = max(wanted - have, 0)
            return [(f"{framing}/{side}", k, k + lack, state, advice) for side, k in held.items() if k]
        asked = self._dealt(framing, wanted)
        return [(f"{framing}/{side}", 0, count, state, advice) for side, count in asked.items() if count]

    def _dealt(self, framing: str, wanted: int) -> dict[str, int]:
        """`wanted` pictures dealt over the sides, one at a time to the side furthest below its share."""
        dealt = dict.fromkeys(self.sides, 0)
        open_ = [side for side in self.sides if self.shares[f"{framing}/{side}"] > 0]
        for _ in range(wanted):
            side = max(open_, key=lambda side: self.shares[f"{framing}/{side}"] / (dealt[side] + 1))
            dealt[side] += 1
        return dealt

    def _state(self, have: int, wanted: int, share: float) -> str:
        if have < wanted:
            return "rare" if have else "missing"
        heavy = have > self.rules.thief_share * share * self.n
        return "thief" if heavy and have > self.rules.thief_count * wanted else "ample"

    def _advice(self, state: str, have: int, wanted: int, framing: str, side: str | None) -> str:
        label = self.framings[framing]
        one = label.one or framing
        many = label.many or f"{one}s"
        where = f" {self.sides[side].one or side}" if side is not None else ""
        ask = f"{wanted - have} more" if side is not None else f"{wanted - have} more, from any side"
        if state == "missing":
            doubt = f" ({self.unsure} pictures could not be told: label them first)" if self.unsure else ""
            return f"No {one}{where}, want {wanted}: add {ask.replace(' more', '')}{doubt}."
        if state == "rare":
            return f"{have} {one if have == 1 else many}{where}, want {wanted}: add {ask}."
        if state == "thief":
            return (
                f"{have} {many}{where} are {100 * have / self.n:.0f} % of {self.n} different pictures and take "
                "attention from the rest: add other views rather than more of these."
            )
        return ""
