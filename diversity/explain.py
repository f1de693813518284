"""One picture's story, from the tables: what it is, what it was taken for, why it stayed or went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity.decisions import find_picture, standing

if TYPE_CHECKING:
    from diversity.dataset import Dataset

SOURCES = {  # of a label, in words
    "user": "said by hand",
    "caption": "read from the caption",
    "prompt": "as the encoder sees it",
    "probe": "learnt from pictures with captions or labels",
}
SHOWN = 6  # copies that are named
QUALITY = ("sharpness", "brightness", "contrast", "quality")


@dataclass(frozen=True)
class Explanation:
    """Everything known about one picture.

    Attributes:
        path: Relative to the root.
        status: "kept", "dropped", "problem" or "undecided" (nothing was selected yet).
        why: One sentence.
        weight: Its weight where kept.
        picture: Its row of `images`.
        views: axis → "label (how sure, and who said so)".
        duplicates: Its row of `duplicates`, with the keeper's path.
        copies: Paths that it stands for.
    """

    path: str
    status: str
    why: str
    weight: float | None
    picture: dict[str, Any]
    views: dict[str, str]
    duplicates: dict[str, Any]
    copies: list[str]

    def text(self) -> str:
        """For a terminal."""
        lines = [f"{self.path}: {self.status}. {self.why}"]
        if self.weight is not None:
            lines.append(f"  weight    {self.weight:.2f} (1 is the mean)")
        row = self.picture
        if row["width"]:
            flags = ", ".join(row["flags"]) or "none"
            lines.append(
                f"  picture   {row['width']}×{row['height']} {row['format']}, {row['size']:,} bytes; flags: {flags}"
            )
            lines.append("  quality   " + ", ".join(f"{q} {row[q]:.2f}" for q in QUALITY if row[q] is not None))
        lines += [f"  {axis:<9} {label}" for axis, label in self.views.items()]
        said_by = f" ({row['caption_path']})" if row["caption"] and row["caption_path"] else ""
        lines.append(f"  caption   {row['caption'] or 'none'}{said_by}")
        if self.copies:
            many = "1 copy" if len(self.copies) == 1 else f"{len(self.copies)} copies"
            more = f" and {len(self.copies) - SHOWN} more" if len(self.copies) > SHOWN else ""
            lines.append(f"  stands for {many}: {', '.join(self.copies[:SHOWN])}{more}")
        return "\n".join(lines)


def explain(dataset: Dataset, file: str) -> Explanation:
    """The story of one picture.

    Raises:
        InputError: `file` is not in the set.
        WorkspaceError: nothing was scanned yet.
    """
    row = find_picture(dataset, file)
    paths = dict(dataset.images.select("key", "path").iter_rows())
    duplicate = _row(dataset, "duplicates", row["key"])
    copies: list[str] = []
    if duplicate:
        frame = dataset.read("duplicates")
        copies = [
            paths.get(k, "a file that is gone")
            for k in frame.filter((pl.col("keeper") == row["key"]) & (pl.col("kind") == "copy"))["key"]
        ]
        duplicate["keeper_path"] = paths.get(duplicate["keeper"])
    status, why, weight = _fate(dataset, row, paths)
    by_hand = standing(dataset, "pin", "drop").get(row["key"])
    if by_hand:
        why += f" Decided by hand: {by_hand}."
    return Explanation(row["path"], status, why, weight, row, _views(dataset, row["key"]), duplicate, sorted(copies))


def _fate(dataset: Dataset, row: dict[str, Any], paths: dict[str, str]) -> tuple[str, str, float | None]:
    if row["problem"]:
        return "problem", f"{row['problem'][0].upper()}{row['problem'][1:]}", None
    chosen = _row(dataset, "selection", row["key"])
    if chosen:
        return "kept", _sentence(chosen["reason"]), chosen["weight"]
    dropped = _row(dataset, "dropped", row["key"])
    if dropped:
        keeper = f" Its keeper is {paths[dropped['keeper']]}." if dropped["keeper"] in paths else ""
        return "dropped", _sentence(dropped["reason"]) + keeper, None
    return "undecided", "Nothing was selected yet: run `diversity curate`.", None


def _views(dataset: Dataset, key: str) -> dict[str, str]:
    if not dataset.has("views"):
        return {}
    rows = dataset.read("views").filter(pl.col("key") == key).to_dicts()
    return {r["axis"]: f"{r['label']} ({how_sure(r['confidence'], r['source'])})" for r in rows}


def how_sure(confidence: float, source: str | None) -> str:
    """`98 % sure, read from the caption`; where nothing could say anything, that."""
    if source is None:
        return "no caption, label or encoder says"
    return f"{100 * confidence:.0f} % sure, {SOURCES.get(source, source)}"


def _row(dataset: Dataset, table: str, key: str) -> dict[str, Any]:
    if not dataset.has(table):
        return {}
    found = dataset.read(table).filter(pl.col("key") == key)
    return found.row(0, named=True) if len(found) else {}


def _sentence(text: str | None) -> str:
    text = (text or "").strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") or not text else ".")
