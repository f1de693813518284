"""A curated and a monotonous selection of one set, equally large, and pictures that neither of them knows.

For showing what a set's richness does to a LoRA (`diversity demo`). Not for training or measuring it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from diversity import targets, taxonomy
from diversity.errors import SelectionError

if TYPE_CHECKING:
    from diversity.dataset import Dataset

CURATED, MONOTONOUS = "curated", "monotonous"


@dataclass(frozen=True)
class Contrast:
    """Two selections of one set.

    Attributes:
        cell: The view that all pictures of the monotonous one show: "headshot/front".
        of: Pictures of that view, near-copies among them.
        pictures: In each of the two.
        unseen: Paths of pictures that are in neither, nor near-copies of one that is; spread over the views.
    """

    cell: str
    of: int
    pictures: int
    unseen: tuple[str, ...]


def contrast(dataset: Dataset, pictures: int, unseen: int) -> Contrast:
    """Write the selections `curated` and `monotonous`.

    Curated are the first pictures of the set's selection, with its weights: the order is greedy, so they are what a
    smaller budget would keep. Monotonous are pictures of the commonest view as they lie in the folder.

    Args:
        dataset: A curated set.
        pictures: In each; fewer where the selection or the view has fewer.
        unseen: Most pictures of neither.

    Raises:
        SelectionError: no view is known.
        WorkspaceError: the set was not curated.
    """
    chosen = dataset.read("selection").sort("rank")
    copies = dataset.read("duplicates").select("key", "group", "kind", "variant_of")
    cells = _cells(dataset, dict(copies.select("key", "group").iter_rows()))
    by_cell: dict[str, list[str]] = defaultdict(list)
    for key in dataset.usable.sort("path")["key"]:
        if cells.get(key, ""):
            by_cell[cells[key]].append(key)
    if not by_cell:
        raise SelectionError("No view of these pictures is known.", "", "Run `diversity curate` on them first.")
    cell = max(sorted(by_cell), key=lambda name: len(by_cell[name]))
    size = min(pictures, chosen.height, len(by_cell[cell]))
    curated, monotonous = chosen.head(size), by_cell[cell][:size]
    alone = [(key, rank, None, 1.0, f"of the view {cell}") for rank, key in enumerate(monotonous)]
    dataset.write(f"selection/{CURATED}", curated)
    dataset.write(f"selection/{MONOTONOUS}", pl.DataFrame(alone, schema=chosen.schema, orient="row"))
    apart = _apart(copies, {*curated["key"], *monotonous})
    paths = dict(dataset.usable.select("key", "path").iter_rows())
    found = _spread([key for key in paths if key in apart], cells, unseen)
    return Contrast(cell, len(by_cell[cell]), size, tuple(paths[key] for key in found))


def _cells(dataset: Dataset, groups: Mapping[str, str]) -> dict[str, str]:
    """Key → "framing/side"; "" where either is unsure."""
    rules = taxonomy.load(dataset.config.views.taxonomy)
    found = targets.find(dataset.read("views"), groups, rules).cells
    return {key: "" if taxonomy.UNSURE in cell.split("/") else cell for key, cell in found.items()}


def _apart(copies: pl.DataFrame, used: Collection[str]) -> set[str]:
    """One picture of every group that no used one belongs to, nor is a variant of, nor has as a variant."""
    group = dict(copies.select("key", "group").iter_rows())
    names = {
        key: {own, group.get(like, like)} if like else {own}
        for key, own, like in copies.select("key", "group", "variant_of").iter_rows()
    }
    known = {name for key in used for name in names.get(key, {key})}
    distinct = copies.filter(pl.col("kind") != "copy")["key"]
    return {key for key in distinct if not names[key] & known}


def _spread(keys: Sequence[str], cells: Mapping[str, str], most: int) -> list[str]:
    """At most `most` of `keys`: one of every view, then a second one, …; in the order of `keys` within a view."""
    turn: dict[str, int] = defaultdict(int)
    ranked = []
    for place, key in enumerate(keys):
        cell = cells.get(key, "")
        if cell:
            ranked.append((turn[cell], cell, place, key))
            turn[cell] += 1
    return [key for *_, key in sorted(ranked)[:most]]
