"""The pictures of one export: the selection joined with what is known of each file.

Not for writing anything.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from diversity.errors import ExportError
from diversity.export import captions, names
from diversity.export.base import ExportOptions
from diversity.plural import count

if TYPE_CHECKING:
    import polars as pl

TAKEN = "another picture is called so too"
NEARLY = "another picture's name differs only in case or Unicode form"
REFUSED = "not every system and trainer takes the name"


@dataclass(frozen=True)
class Item:
    """One picture to export.

    Attributes:
        key: The picture's key.
        path: Relative to the root, forward slashes; "shard.tar/000.jpg" inside a tar.
        stem: Safe file name without extension, unique in the export.
        found: The caption as it was found; "" for none.
        text: The caption to train with: trigger first, several lines kept; "" for none.
        concept: Class tokens that stand in for a missing caption.
        weight: Relative number of exposures.
        earlier: Repeats the picture had before, 1 for none.
        rank: Place in the selection.
        reason: Why it was selected.
        renamed: Why `stem` is not the original's: `TAKEN`, `NEARLY` or `REFUSED`; "" where it is.
    """

    key: str
    path: str
    stem: str
    found: str
    text: str
    concept: str
    weight: float
    earlier: int
    rank: int
    reason: str
    renamed: str = ""


def gather(
    selection: pl.DataFrame, images: pl.DataFrame, options: ExportOptions, suited: Callable[[str], str] = str
) -> list[Item]:
    """The selected pictures, by rank.

    Args:
        selection, images: The tables.
        options: Of the export.
        suited: Safe stem → one that means nothing else to the trainer, not longer by more than a letter.

    Raises:
        ExportError: nothing is selected, a picture is unknown, or a weight is not a positive number.
    """
    columns = ["key", "path", "caption", "repeats", "concept"]
    rows = selection.unique("key").join(images.select(columns).unique("key"), on="key", how="left")
    rows = rows.sort("rank", "key")
    if rows.is_empty():
        raise ExportError("Nothing was exported.", "The selection is empty.", "Select pictures first.")
    unknown = rows.filter(rows["path"].is_null())
    if not unknown.is_empty():
        raise ExportError(
            f"{count(len(unknown), 'selected picture is', 'selected pictures are')} not in the images table.",
            "The selection is older than the last scan.",
            "Run `diversity select` again.",
        )
    found = [row for row in rows.iter_rows(named=True)]
    wanted = {row["key"]: PurePosixPath(row["path"]).stem for row in found}
    stems = names.unique([(key, suited(names.safe(stem))) for key, stem in wanted.items()])
    why = _renamed(wanted, stems)
    return [replace(_item(row, stems[row["key"]], options), renamed=why[row["key"]]) for row in found]


def uncaptioned(items: Sequence[Item]) -> list[str]:
    """A warning where pictures have no caption: at most one sentence."""
    bare = [item.path for item in items if not item.found.strip()]
    if not bare:
        return []
    first = ", ".join(sorted(bare)[:3])
    has = f"{len(bare)} of {count(len(items), 'picture')} {'has' if len(bare) == 1 else 'have'} no caption"
    return [f"{has} ({first}{', …' if len(bare) > 3 else ''})."]


def _renamed(wanted: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Key → why the stem that was given is not the one that was wanted; "" where it is."""
    alike, equal = Counter(map(names.folded, wanted.values())), Counter(wanted.values())

    def why(key: str, stem: str) -> str:
        if given[key] == unicodedata.normalize("NFC", stem):
            return ""
        if equal[stem] > 1:
            return TAKEN
        return NEARLY if alike[names.folded(stem)] > 1 else REFUSED

    return {key: why(key, stem) for key, stem in wanted.items()}


def _item(row: dict[str, object], stem: str, options: ExportOptions) -> Item:
    weight = row["weight"]
    if not isinstance(weight, float) or not math.isfinite(weight) or weight <= 0:
        raise ExportError(
            f"{row['path']} has the weight {weight}.", "Weights are positive numbers.", "Run `diversity select` again."
        )
    found = str(row["caption"] or "")
    repeats = row["repeats"]
    return Item(
        key=str(row["key"]),
        path=str(row["path"]),
        stem=stem,
        found=found,
        text=captions.with_trigger(captions.without(found, options.leave_out), options.trigger),
        concept=_concept(row, options),
        weight=weight,
        earlier=repeats if isinstance(repeats, int) and repeats > 0 else 1,
        rank=int(str(row["rank"])),
        reason=str(row["reason"] or ""),
    )


def _concept(row: dict[str, object], options: ExportOptions) -> str:
    """Class tokens: asked for, else of a kohya folder, else the trigger, else the folder's name."""
    own = row["concept"] if row["repeats"] is not None else None
    for text in (options.concept, own, options.trigger, row["concept"]):
        words = " ".join(str(text or "").split())
        if words:
            return words
    return "subject"
