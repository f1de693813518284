"""How many distinct pictures of each view there are, how many are wanted, and which must not be lost.

Not for what a picture shows: that is `views.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from diversity import tables
from diversity.config import TargetsConfig
from diversity.errors import ConfigError
from diversity.taxonomy import CELL_AXES, UNSURE, TargetRules, Taxonomy

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

    def kinds(self, axes: Collection[str]) -> dict[str, str]:
        """Key → what of its view is wanted: its cell, its label alone where one axis matters, or "unsure"."""
        return {key: _kind(cell, axes) for key, cell in self.cells.items()}

    def wants(self, axes: Collection[str]) -> dict[str, int]:
        """What of a view is wanted, as in `kinds` → how many."""
        have, lack = Counter[str](), Counter[str]()
        for cell, held, wanted in self.table.select("cell", "have", "want").iter_rows():
            kind = _kind(cell, axes)
            have[kind] += held
            lack[kind] = max(lack[kind], wanted - held)
        return {kind: have[kind] + lack[kind] for kind in have}

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


def cell_shares(taxonomy: Taxonomy, emphasis: Mapping[str, float] | None = None) -> dict[str, float]:
    """Cell → share of a balanced set: framing share × side share × the cell's factor, scaled to sum to 1.

    Args:
        taxonomy: Shares and factors.
        emphasis: Further factors, 0 or more, by framing, side or cell.

    Raises:
        ConfigError: `emphasis` names what is neither, or leaves nothing wanted.
    """
    framing, side = (taxonomy.axes[axis].shares() for axis in CELL_AXES)
    more = dict(emphasis or {})
    unknown = sorted(more.keys() - framing.keys() - side.keys() - {f"{f}/{s}" for f in framing for s in side})
    if unknown or any(factor < 0 for factor in more.values()):
        raise ConfigError(
            "The setting 'targets.emphasis' cannot be used.",
            f"'{unknown[0]}' is no framing, side or framing/side." if unknown else "A factor is below 0.",
            f"Framings are {', '.join(framing)}; sides are {', '.join(side)}; factors are 0 or more.",
        )
    factor = taxonomy.targets.cells
    raw = {
        f"{f}/{s}": framing[f]
        * side[s]
        * math.prod((*(more.get(x, 1.0) for x in (f, s, f"{f}/{s}")), factor.get(f"{f}/{s}", 1.0)))
        for f in framing
        for s in side
    }
    total = sum(raw.values())
    if total <= 0:
        raise ConfigError("The setting 'targets.emphasis' cannot be used.", "It leaves no view that is wanted.")
    return {cell: share / total for cell, share in raw.items()}


def find(
    views: pl.DataFrame,
    groups: Mapping[str, str],
    taxonomy: Taxonomy,
    off_subject: Collection[str] = frozenset(),
    config: TargetsConfig | None = None,
) -> Targets:
    """Count distinct pictures per cell, set targets, name rare, missing and over-represented views.

    Args:
        views: `tables.VIEWS`.
        groups: key → group (the keeper's key), from `duplicates.parquet`; keys without one are groups of their own.
        taxonomy: Shares and target rules.
        off_subject: Keys that do not show the subject; they count nowhere.
        config: Which axes are wanted and how much of each. With one axis its labels are wanted whatever the other says;
            with none there are no targets, and every cell is "unsure".

    Returns:
        States: `missing` (have 0), `rare` (0 < have < want), `thief` (have more than `thief_count` times want and more
        than `thief_share` times its balanced share of the distinct pictures), else `ample`. A picture unsure of either
        axis counts in no cell. A `pooled` framing (detail) is judged over all its sides, "unsure" side included: each
        of its rows has its own `have`, and wants what the whole still lacks on top. So is every label of a single axis.

    Raises:
        ConfigError: see `cell_shares`.
    """
    config = config or TargetsConfig()
    labels = _group_labels(views, groups, set(off_subject))
    pooled = {name for name, label in taxonomy.axes["framing"].labels.items() if label.pooled}
    group_cell = {group: _cell(label, config.axes, pooled) for group, label in labels.items()}
    have = Counter(cell for cell in group_cell.values() if cell != UNSURE)
    unsure = sum(cell == UNSURE for cell in group_cell.values())
    counted = _Count(taxonomy, cell_shares(taxonomy, config.emphasis), have, len(labels), unsure)
    rows = counted.rows(config.axes) if have else []
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


def _cell(label: tuple[str, str], axes: Collection[str], pooled: Collection[str]) -> str:
    """The cell of a group; "unsure" where what is wanted of it is not known."""
    framing, side = label
    if "framing" in axes and "side" in axes:
        known = framing != UNSURE and (side != UNSURE or framing in pooled)
    else:
        known = any(label[CELL_AXES.index(axis)] != UNSURE for axis in axes)
    return f"{framing}/{side}" if known else UNSURE


def _kind(cell: str, axes: Collection[str]) -> str:
    if cell == UNSURE or len(axes) != 1:
        return cell
    return cell.split("/")[CELL_AXES.index(next(iter(axes)))]


@dataclass(frozen=True)
class _Said:
    """How advice says a view: singular, plural, and what does not matter about it."""

    one: str
    many: str
    whatever: str = ""


class _Count:
    """Turns counts into rows of the target table."""

    def __init__(
        self, taxonomy: Taxonomy, shares: Mapping[str, float], have: Mapping[str, int], n: int, unsure: int
    ) -> None:
        self.rules, self.shares, self.have, self.n, self.unsure = taxonomy.targets, shares, have, n, unsure
        self.framings, self.sides = (taxonomy.axes[axis].labels for axis in CELL_AXES)

    def rows(self, axes: Collection[str]) -> list[Row]:
        rows: list[Row] = []
        if not axes:
            return rows
        if "framing" not in axes:
            for side, label in self.sides.items():
                said = _Said(f"picture {label.one or side}", f"pictures {label.one or side}", ", near or far")
                rows += self._over([f"{framing}/{side}" for framing in (*self.framings, UNSURE)], said)
            return rows
        for framing, label in self.framings.items():
            if label.pooled or "side" not in axes:
                said = replace(self._said(framing), whatever=", from any side")
                cells = [f"{framing}/{side}" for side in (*self.sides, UNSURE)]
                rows += self._over(cells, said, pooled=label.pooled)
            else:
                rows += self._plain(framing)
        return rows

    def _plain(self, framing: str) -> list[Row]:
        rows: list[Row] = []
        for side in self.sides:
            cell = f"{framing}/{side}"
            have, share = self.have.get(cell, 0), self.shares[cell]
            wanted = want(self.n, share, self.rules)
            if have or wanted:
                state = self._state(have, wanted, share)
                rows.append((cell, have, wanted, state, self._advice(state, have, wanted, self._said(framing, side))))
        return rows

    def _over(self, cells: list[str], said: _Said, *, pooled: bool = False) -> list[Row]:
        """Rows of cells that count together, the last of them "unsure" on the axis that does not matter."""
        share = sum(self.shares.get(cell, 0.0) for cell in cells)
        wanted = want(self.n, share, self.rules, pooled=pooled)
        held = {cell: self.have.get(cell, 0) for cell in cells}
        have = sum(held.values())
        state = self._state(have, wanted, share)
        advice = self._advice(state, have, wanted, said)
        if have:
            lack = max(wanted - have, 0)
            return [(cell, k, k + lack, state, advice) for cell, k in held.items() if k]
        return [(cell, 0, count, state, advice) for cell, count in self._dealt(cells, wanted).items() if count]

    def _dealt(self, cells: list[str], wanted: int) -> dict[str, int]:
        """`wanted` pictures dealt over the cells, one at a time to the cell furthest below its share."""
        dealt = {cell: 0 for cell in cells if self.shares.get(cell, 0.0) > 0}
        for _ in range(wanted):
            cell = max(dealt, key=lambda cell: self.shares[cell] / (dealt[cell] + 1))
            dealt[cell] += 1
        return dealt

    def _state(self, have: int, wanted: int, share: float) -> str:
        if have < wanted:
            return "rare" if have else "missing"
        heavy = have > self.rules.thief_share * share * self.n
        return "thief" if heavy and have > self.rules.thief_count * wanted else "ample"

    def _said(self, framing: str, side: str | None = None) -> _Said:
        label = self.framings[framing]
        one = label.one or framing
        where = f" {self.sides[side].one or side}" if side is not None else ""
        return _Said(f"{one}{where}", f"{label.many or f'{one}s'}{where}")

    def _advice(self, state: str, have: int, wanted: int, said: _Said) -> str:
        if state == "missing":
            return f"No {said.one}, want {wanted}: add {wanted}{said.whatever}{self._doubt()}."
        if state == "rare":
            shown = said.one if have == 1 else said.many
            return f"{have} {shown}, want {wanted}: add {wanted - have} more{said.whatever}."
        if state == "thief":
            return (
                f"{have} {said.many} are {100 * have / self.n:.0f} % of {self.n} different pictures and take "
                "attention from the rest: add other views rather than more of these."
            )
        return ""

    def _doubt(self) -> str:
        if not self.unsure:
            return ""
        one = self.unsure == 1
        told = "1 picture could" if one else f"{self.unsure} pictures could"
        return f" ({told} not be told: label {'it' if one else 'them'} first)"
