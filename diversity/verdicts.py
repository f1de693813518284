"""The rows of the table of duplicates, and the sentence in each that a person reads.

Not for deciding: that is `duplicates.py` with `keepers.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from diversity import tables
from diversity.calibration import Calibration
from diversity.keepers import Judgement, Kept, Links

BITS = 64


@dataclass(frozen=True)
class Writer:
    """Rows of the table, with their sentences.

    Attributes:
        links, kept: what was decided, by distinct content.
        best: the first choice among the pictures of each distinct content.
        lines: the thresholds.
        bits: Hamming distance within which hashes propose.
        shown: says of a pair whether it is a copy by what it shows; None where variants never count as copies.
        covered: pictures that hide what a copy shows, with what covers them.
    """

    links: Links
    kept: Kept
    best: Mapping[int, dict[str, Any]]
    lines: Calibration
    bits: int
    shown: Callable[[int], Judgement] | None = None
    covered: Mapping[int, str] = field(default_factory=dict)

    def row(self, picture: Mapping[str, Any], content: int) -> dict[str, Any]:
        """The row of one picture."""
        first, link = self.best[content], int(self.kept.link[content])
        copied = int(self.kept.keeper[content]) != content
        if picture["key"] != first["key"] and not copied:
            same_file = picture["bytes_hash"] is not None and picture["bytes_hash"] == first["bytes_hash"]
            tier, what = ("bytes", "The same file as") if same_file else ("pixels", "The same pixels as")
            if picture["_pinned"]:
                return _fields(picture, picture, "keeper", None, (1.0, tier, 1.0), "Kept by hand, though a copy.")
            reason = f"{what} {first['path']}{_why(first, picture)}.{_caption(first, picture)}"
            return _fields(picture, first, "copy", None, (1.0, tier, 1.0), reason)
        if link < 0:
            return _fields(picture, picture, "keeper", None, (None, None, None), "")
        other = self.best[int(self.links.first[link] + self.links.second[link]) - content]
        measured = self._measured(link)
        numbers = in_numbers(*measured)
        if copied:
            like = "A mirrored copy of" if self.links.mirrored[link] else "Nearly the same as"
            if self.shown is not None and self.shown(link) == "variant":
                like = "Another pose, expression or detail in the scene of"
            why = _why(other, picture)
            if content in self.covered and not picture["_pinned"] and not other["_pinned"]:
                why = f", which {self.covered[content]} does not cover"
            reason = f"{like} {other['path']} ({numbers}){why}.{_caption(other, picture)}"
            return _fields(picture, other, "copy", None, measured, reason)
        if picture["_pinned"]:
            return _fields(picture, picture, "keeper", None, (None, None, None), "Kept by hand.")
        reason = f"Like {other['path']} ({numbers}), but the pose, the expression, a detail or the view differs: kept."
        return _fields(picture, picture, "variant", other["key"], measured, reason)

    def _measured(self, link: int) -> tuple[float, str, float]:
        distance = int(self.links.distance[link])
        if distance >= 0:
            return 1 - distance / BITS, "hash", 1 - self.bits / BITS
        return float(self.links.cosine[link]), "embedding", self.lines.threshold


def in_numbers(similarity: float, tier: str, threshold: float) -> str:
    """What a reason has in brackets: `hash 0.969, line 0.875`."""
    return f"{tier} {similarity:.3f}, line {threshold:.3f}"


def _fields(
    picture: Mapping[str, Any],
    keeper: Mapping[str, Any],
    kind: str,
    variant_of: str | None,
    measured: tuple[float | None, str | None, float | None],
    reason: str,
) -> dict[str, Any]:
    similarity, tier, threshold = measured
    return {
        "key": picture["key"],
        "group": keeper["key"],
        "keeper": keeper["key"],
        "kind": kind,
        "variant_of": variant_of,
        "similarity": similarity,
        "tier": tier,
        "threshold": threshold,
        "reason": reason,
    }


def _why(keeper: Mapping[str, Any], copy: Mapping[str, Any]) -> str:
    """Why the keeper is preferred: the first priority in which the two differ."""
    if keeper["_pinned"] and not copy["_pinned"]:
        return ", which is kept by hand"
    if (keeper["quality"] or 0) > (copy["quality"] or 0):
        return ", which is of better quality"
    if keeper["width"] * keeper["height"] > copy["width"] * copy["height"]:
        return ", which is larger"
    if keeper["caption"] and not copy["caption"]:
        return ", which has a caption"
    return ""


def _caption(keeper: Mapping[str, Any], copy: Mapping[str, Any]) -> str:
    if not copy["caption"] or keeper["caption"]:
        return ""
    return f' The keeper has no caption, this one has: "{copy["caption"]}".'


def with_counts(rows: list[dict[str, Any]], ranked: list[dict[str, Any]]) -> pl.DataFrame:
    """The rows by content and key; keepers without a sentence get one that counts their copies."""
    schema = tables.DUPLICATES
    frame = pl.DataFrame(rows, schema=schema).with_columns(
        content=pl.Series([row["content"] for row in ranked], dtype=pl.String)
    )
    copies = pl.len().over("group") - 1
    sentence = (
        pl.when(copies == 0)
        .then(pl.lit("No other picture is a copy of it."))
        .otherwise(pl.format("Stands for {} of the same shot.", copies))
    )
    reason = pl.when(pl.col("reason") == "").then(sentence).otherwise(pl.col("reason"))
    return frame.with_columns(reason=reason).sort("content", "key")
