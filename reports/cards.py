"""Pictures as a page shows them: a card each, and every thumbnail once.

Not for the page of a curation, which shows a set's own pictures (`rows.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shown:
    """One picture of the page: a sample, or a training picture beside it.

    Attributes:
        index: Its place among the page's cards.
        thumb: Number of its thumbnail; None where there is none.
        name: The file's name.
        path: Below its folder.
        status: "copy", "sample" or "source".
        rows: What its card says.
    """

    index: int
    thumb: int | None
    name: str
    path: str
    status: str
    rows: dict[str, str]

    @property
    def alt(self) -> str:
        """Alternative text."""
        return f"{self.name}, {self.status}"

    def card(self) -> dict[str, Any]:
        """What the page's script shows when the picture is opened."""
        card: dict[str, Any] = {"name": self.name, "path": self.path, "rows": self.rows}
        return card if self.thumb is None else card | {"thumb": self.thumb}


class Book:
    """Cards and thumbnails, each picture once."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.thumbnails: list[bytes] = []
        self._known: dict[bytes, int] = {}

    def add(self, path: str, jpeg: bytes | None, status: str, rows: dict[str, str]) -> Shown:
        """A card more; see `Shown` for its parts."""
        thumb = None
        if jpeg is not None:
            thumb = self._known.setdefault(jpeg, len(self.thumbnails))
            if thumb == len(self.thumbnails):
                self.thumbnails.append(jpeg)
        shown = Shown(len(self.shown), thumb, path.rsplit("/", 1)[-1], path, status, rows)
        self.shown.append(shown)
        return shown
