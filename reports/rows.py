"""What the page says of one picture, one view, one score: joined rows of the tables.

Not for reading the tables or counting over them: that is `facts.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from reports import words


@dataclass(frozen=True)
class Picture:
    """One file with all that the tables say about it.

    Attributes:
        index: Its place in the report, in path order.
        aspect: Width over height.
        thumb: Number of its thumbnail; None where there is none. Files with equal pixels share one.
        status: A key of `words.STATUSES`.
        reason: Why it is kept, dropped or unusable.
        likeness: What de-duplication says of it.
        keeper: Index of the picture it is a copy of.
        alike: Index of the picture it is a variant of.
        labels: (axis, label, confidence, source).
        cell: "framing/side"; None where either is unsure.
        rare: It is in use and its cell is rare.
    """

    index: int
    key: str
    path: str
    caption: str
    size: str
    aspect: float
    problem: str | None
    flags: tuple[str, ...]
    thumb: int | None
    status: str
    reason: str
    keeper: int | None
    alike: int | None
    likeness: str
    similarity: float | None
    tier: str | None
    weight: float | None
    gain: float | None
    rank: int | None
    labels: tuple[tuple[str, str, float, str], ...]
    cell: str | None
    rare: bool
    decision: str

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return PurePosixPath(self.path).name or self.path

    def label(self, axis: str) -> str:
        """Label on `axis`, "" where there is none."""
        return next((label for found, label, *_ in self.labels if found == axis), "")

    @property
    def view(self) -> str:
        """Framing and side in words."""
        shown = [words.name(self.label(axis)) for axis in ("framing", "side") if self.label(axis)]
        return ", ".join(shown)

    @property
    def alt(self) -> str:
        """Alternative text of its thumbnail."""
        return ", ".join(part for part in (self.name, self.view, words.STATUSES[self.status]) if part)


@dataclass(frozen=True)
class Bound:
    """One tag that is tied to a view.

    Attributes:
        tag: As in the captions.
        pictures: How many carry it, copies among them.
        look: "framing/side".
        share: Share of its distinct pictures that show the look, 0..1.
        elsewhere: Share of all other distinct pictures that do.
    """

    tag: str
    pictures: int
    look: str
    share: float
    elsewhere: float


@dataclass(frozen=True)
class Target:
    """One cell of the framing × side table."""

    cell: str
    have: int
    want: int
    state: str
    advice: str
    pictures: tuple[Picture, ...]

    @property
    def phrase(self) -> str:
        """The cell in words."""
        return words.cell_phrase(self.cell)


@dataclass(frozen=True)
class Ask:
    """One piece of advice, with the cells it is about: several where a framing is wanted over all sides together."""

    targets: tuple[Target, ...]

    @property
    def state(self) -> str:
        """State of its cells."""
        return self.targets[0].state

    @property
    def advice(self) -> str:
        """The sentence."""
        return self.targets[0].advice

    @property
    def have(self) -> int:
        """Distinct pictures in its cells."""
        return sum(target.have for target in self.targets)

    @property
    def want(self) -> int:
        """Distinct pictures wanted; what cells that share an advice lack is lacking once, not once each."""
        if self.state == "missing":
            return sum(target.want for target in self.targets)
        lacks = [target.want - target.have for target in self.targets]
        return self.have + max(lacks) if self.state == "rare" else sum(target.want for target in self.targets)

    @property
    def phrase(self) -> str:
        """Its cells in words."""
        if len(self.targets) == 1:
            return words.cell_phrase(self.targets[0].cell)
        framing, side = ({target.cell.split("/")[place] for target in self.targets} for place in (0, 1))
        return words.cell_phrase(framing.pop() if len(framing) == 1 else f"unsure/{side.pop()}")

    @property
    def pictures(self) -> list[Picture]:
        """Pictures of its cells."""
        return [picture for target in self.targets for picture in target.pictures]


@dataclass(frozen=True)
class Score:
    """One row of `scores.parquet`; `scope` is what its name has before the dot: "set", "selection", or ""."""

    scope: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    settings: dict[str, Any]

    @property
    def row(self) -> str:
        """Its name in the table."""
        return f"{self.scope}.{self.measure}" if self.scope else self.measure

    @property
    def words(self) -> words.MeasureWords:
        """Its name and meaning."""
        return words.measure_words(self.measure)

    def text(self, name: str = "value") -> str:
        """`value`, `low` or `high` as shown."""
        return words.number(getattr(self, name), share=self.words.share)

    @property
    def interval(self) -> str:
        """`19–27`, or "" where none was estimated."""
        return words.span(self.low, self.high, share=self.words.share)
