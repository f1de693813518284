"""What labels tell of a set's pictures, and what a selection is worth by them. No strategy sees any of it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diversity import richness
from diversity.coverage import covered, reach
from diversity.errors import InputError
from diversity.rarefaction import members

RARE_UP_TO = 3  # a view is rare when the set has at most so many different pictures of it
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Label:
    """The truth about one picture.

    Attributes:
        view: Its view, for example "full_body/back".
        cell: View, pose and background together.
        group: Near-copies of one another share it.
    """

    view: str
    cell: str
    group: str


@dataclass(frozen=True)
class Measure:
    """How a selection is judged.

    Attributes:
        title: What people read.
        meaning: One sentence.
        more_is_better: None: neither.
        share: Whether the value is a share of 1.
        fine: Whether it is told with one digit more.
    """

    title: str
    meaning: str
    more_is_better: bool | None = True
    share: bool = True
    fine: bool = False


MEASURES: dict[str, Measure] = {
    "reached": Measure(
        "cells covered",
        "View × pose × background combinations that are kept, as a share of what can be reached: as many as pictures "
        "may be kept, or all of the set.",
    ),
    "views": Measure("views covered", "Share of the set's views that are kept."),
    "rare": Measure("rare recall", f"Share of the pictures of rare views (at most {RARE_UP_TO} in the set) kept."),
    "copies": Measure("copies left", "Share of the kept pictures that show what another kept one shows.", False),
    "richness": Measure(
        "richness", "Vendi score of what is kept, in an encoder that the strategies did not see.", share=False
    ),
    "coverage": Measure(
        "pool covered", "Share of the set's different pictures with a kept one within reach, in that other encoder."
    ),
    "cpu": Measure("CPU s", "Processor seconds of choosing, without scanning and de-duplication.", False, False),
}


class Judge:
    """Scores selections of one set.

    Args:
        labels: [n] truth of the pictures; None where nothing is known.
        vectors: float32 [n, d], unit rows of an encoder that no strategy used.
    """

    def __init__(self, labels: Sequence[Label] | None, vectors: NDArray[np.float32]) -> None:
        self.labels, self.vectors = labels, vectors
        names = np.arange(len(vectors)) if labels is None else np.array([label.group for label in labels])
        self.groups = np.unique(names, return_inverse=True)[1]
        self.reach = reach(vectors, self.groups)
        self.parts = members(self.groups)
        self.rare = _rare_groups(labels) if labels is not None else frozenset[str]()

    def scores(self, picks: IntArray, budget: int | None = None) -> dict[str, float | None]:
        """Value of every measure but cost for the pictures in rows `picks`; None where it cannot be told.

        Args:
            picks: int [k], rows.
            budget: Pictures that could have been kept; None: as many as were.
        """
        found: dict[str, float | None] = dict.fromkeys(MEASURES)
        del found["cpu"]
        if not len(picks):
            return found
        hit = covered(self.vectors, self.vectors[picks], self.reach)
        found["coverage"] = float(np.mean([hit[part].mean() for part in self.parts]))
        found["richness"] = richness.vendi(self.vectors[picks])
        if self.labels is not None:
            chosen = [self.labels[i] for i in picks.tolist()]
            groups = {label.group for label in chosen}
            if any(x.cell != x.view for x in self.labels):
                most = min(budget or len(picks), len({x.cell for x in self.labels}))
                found["reached"] = len({x.cell for x in chosen}) / most
            found["views"] = len({x.view for x in chosen}) / len({x.view for x in self.labels})
            found["copies"] = 1 - len(groups) / len(chosen)
            found["rare"] = len(groups & self.rare) / len(self.rare) if self.rare else None
        return found


def _rare_groups(labels: Sequence[Label]) -> frozenset[str]:
    """Groups of rare views; none where every view is rare, because then the word says nothing."""
    view = {label.group: label.view for label in labels}
    count = Counter(view.values())
    rare = frozenset(group for group, name in view.items() if count[name] <= RARE_UP_TO)
    return rare if len(rare) < len(view) else frozenset()


def read_labels(
    file: Path, view: Sequence[str], cell: Sequence[str], group: str, *, under: str = ""
) -> dict[str, Label]:
    """Labels from a CSV with a column `file`: path below `under` → label.

    Args:
        file: The CSV.
        view: Columns that make a view.
        cell: Columns that make a cell besides.
        group: Column of near-copies.
        under: Only rows whose file starts with this are read, and it is cut off.

    Raises:
        InputError: the file cannot be read, or lacks a column.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read.", f"{error}.", "Give a CSV with --labels.") from None
    missing = [name for name in ("file", *view, *cell, group) if not rows or name not in rows[0]]
    if missing:
        raise InputError(
            f"{file.name} has no column '{missing[0]}'.",
            f"Its columns are {', '.join(rows[0]) if rows else 'none'}.",
            "Name the columns with --view, --cell and --group.",
        )
    return {
        row["file"].removeprefix(under): Label(
            "/".join(row[name] for name in view), "/".join(row[name] for name in (*view, *cell)), row[group]
        )
        for row in rows
        if row["file"].startswith(under)
    }


def aligned(labels: Mapping[str, Label] | None, paths: Sequence[str]) -> list[Label] | None:
    """The labels of `paths` in order; None where there are none.

    Raises:
        InputError: some pictures have a label and others do not.
    """
    if labels is None:
        return None
    lacking = [path for path in paths if path not in labels]
    if lacking:
        raise InputError(
            f"{len(lacking)} of {len(paths)} pictures have no label.",
            f"One is {lacking[0]}.",
            "Complete the CSV, or leave --labels out.",
        )
    return [labels[path] for path in paths]
