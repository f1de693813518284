"""The subject check in the dataset report: what is perhaps somebody else, before richness calls it rare.

Computes nothing: `diversity subject` wrote the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from reports.rows import Picture


@dataclass(frozen=True)
class Odd:
    """A picture with what the check said of it."""

    picture: Picture
    reason: str


@dataclass(frozen=True)
class Section:
    """The odd pictures that are still in use.

    Attributes:
        off: Perhaps of somebody else, the least like the subject first.
        several: Perhaps of more than one figure.
        looked: Pictures of the set that were checked.
        new: Pictures of the set that came since.
        dropped: Odd pictures that were dropped by hand since, or are gone.
    """

    off: tuple[Odd, ...]
    several: tuple[Odd, ...]
    looked: int
    new: int
    dropped: int

    @property
    def sentence(self) -> str:
        """What there is to look at first; "" where nothing is."""
        parts = []
        if self.off:
            parts.append(
                f"{len(self.off)} {'picture is' if len(self.off) == 1 else 'pictures are'} perhaps of somebody else"
            )
        if self.several:
            parts.append(f"{len(self.several)} perhaps of several figures")
        return ", ".join(parts)


def section(subject: pl.DataFrame, pictures: Sequence[Picture], decisions: dict[str, str]) -> Section:
    """The rows of the table `subject` that are odd, of pictures that are there and not dropped by hand.

    Args:
        subject: key, path, score, threshold, state, reason.
        pictures: Of the set.
        decisions: Key → what stands by hand, "drop" or "pin".
    """
    usable = {picture.key: picture for picture in pictures if picture.problem is None}
    found: dict[str, list[Odd]] = {"off": [], "several": []}
    dropped = 0
    for key, state, reason in subject.select("key", "state", "reason").iter_rows():
        if state not in found:
            continue
        if key not in usable or decisions.get(key) == "drop":
            dropped += 1
        elif decisions.get(key) != "pin":
            found[state].append(Odd(usable[key], reason or ""))
    checked = set(subject["key"])
    looked = sum(key in checked for key in usable)
    return Section(tuple(found["off"]), tuple(found["several"]), looked, len(usable) - looked, dropped)
