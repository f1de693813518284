"""What a set looks like now, in a dozen lines: read from the tables, for the end of a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity import record

if TYPE_CHECKING:
    from diversity.dataset import Dataset

RICHNESS = "set.effective_rank"
NEUTRAL = ("flat_background", "cut_out")  # facts about a picture, not faults


@dataclass(frozen=True)
class Summary:
    """Counts and paths; None where a stage has not run.

    Attributes:
        pictures: Files that could be used.
        problems: Files that could not.
        flagged: Flag → pictures that carry it (listed, not dropped).
        copies: Pictures that are copies of a keeper.
        variants: Pictures that are alike but worth keeping.
        richness: measure → (value, low, high) of the main measures.
        missing: Cells with no picture, with advice.
        rare: Cells below target, with advice.
        thieves: Cells that take attention from the others.
        kept: Pictures in the selection.
        encoder: What saw the pictures.
        encoder_note: Why that one.
        exports: What was written, and where.
        report: The HTML file.
        workspace: The folder of tables.
    """

    pictures: int
    problems: int
    flagged: dict[str, int]
    copies: int | None
    variants: int | None
    richness: dict[str, tuple[float, float, float]]
    missing: list[dict[str, Any]] | None
    rare: list[dict[str, Any]] | None
    thieves: list[dict[str, Any]] | None
    kept: int | None
    encoder: str
    encoder_note: str
    exports: list[dict[str, Any]]
    report: str | None
    workspace: str

    def text(self) -> str:
        """For a terminal."""
        lines = [self._pictures()]
        if self.copies is not None:
            variants = f", {_count(self.variants or 0, 'variant')} kept beside their like" if self.variants else ""
            lines.append(f"{_count(self.copies, 'copy', 'copies')} of others, each with a named keeper{variants}.")
        if RICHNESS in self.richness:
            value, low, high = self.richness[RICHNESS]
            span = f" ({low:.0f}–{high:.0f})" if low == low else ""
            lines.append(f"All together act like about {value:.0f} different pictures{span}.")
        for name, rows in (("Missing", self.missing), ("Rare", self.rare), ("Too many", self.thieves)):
            lines += list(dict.fromkeys(f"{name}: {row['advice'] or row['cell']}" for row in rows or []))
        if self.kept is not None:
            lines.append(f"Selected {_count(self.kept, 'picture')}, each with a weight.")
        lines.append(f"Seen by the {self.encoder}. {self.encoder_note}")
        lines += [f"Exported for {e['format']}: {e['folder']}" for e in self.exports]
        lines += [f"Tables: {self.workspace}"]
        lines += [f"Report: {self.report}"] if self.report else []
        return "\n".join(lines)

    def _pictures(self) -> str:
        problems = f"; {_count(self.problems, 'file')} could not be used" if self.problems else ""
        flags = ", ".join(f"{n} {flag.replace('_', ' ')}" for flag, n in self.flagged.items() if flag not in NEUTRAL)
        return f"{_count(self.pictures, 'picture')}{problems}." + (f" Worth a look: {flags}." if flags else "")


def of(dataset: Dataset) -> Summary:
    """The summary of what the workspace holds.

    Raises:
        WorkspaceError: nothing was scanned yet.
    """
    images = dataset.images
    usable = images.filter(pl.col("problem").is_null())
    known = record.load(dataset.folder)
    kinds = dataset.read("duplicates")["kind"] if dataset.has("duplicates") else None
    report = dataset.folder / "reports" / "curation.html"
    flags = usable["flags"].explode().drop_nulls().value_counts(sort=True)
    return Summary(
        pictures=len(usable),
        problems=len(images) - len(usable),
        flagged=dict(sorted(flags.iter_rows(), key=lambda row: (-row[1], row[0]))),
        copies=None if kinds is None else int((kinds == "copy").sum()),
        variants=None if kinds is None else int((kinds == "variant").sum()),
        richness=_richness(dataset),
        missing=_cells(dataset, "missing"),
        rare=_cells(dataset, "rare"),
        thieves=_cells(dataset, "thief"),
        kept=len(dataset.read("selection/default")) if dataset.has("selection/default") else None,
        encoder=known.get("encoder", {}).get("name", ""),
        encoder_note=known.get("encoder", {}).get("note", ""),
        exports=known.get("export", []),
        report=str(report) if report.is_file() else None,
        workspace=str(dataset.folder),
    )


def _richness(dataset: Dataset) -> dict[str, tuple[float, float, float]]:
    if not dataset.has("scores"):
        return {}
    rows = dataset.read("scores").filter(pl.col("value").is_not_null())
    return {r["measure"]: (r["value"], _number(r["low"]), _number(r["high"])) for r in rows.to_dicts()}


def _cells(dataset: Dataset, state: str) -> list[dict[str, Any]] | None:
    if not dataset.has("targets"):
        return None
    return dataset.read("targets").filter(pl.col("state") == state).to_dicts()


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"
