"""What a set looks like now, in a dozen lines: read from the tables, for the end of a command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity import record, stages
from diversity.plural import count

if TYPE_CHECKING:
    from diversity.dataset import Dataset

RICHNESS = "set.effective_rank"
NEUTRAL = ("flat_background", "cut_out")  # facts about a picture, not faults
PRESET_NOTES = {
    "style": "Judged as a style: no view is asked for, and one picture of each scene stays.",
    "outfit": "Judged as an outfit: details and whole figures are asked for, heads less.",
    "concept": "Judged as a concept: every side is asked for, near or far.",
}


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
        preset: What kind of set it was judged as.
        encoder: What saw the pictures.
        encoder_note: Why that one.
        views_note: Why its views were not asked for; empty where they were.
        exports: What was written, and where.
        report: The HTML file.
        workspace: The folder of tables.
        outdated: Stages whose results are older than the last scan or a stage before them; they are left out here.
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
    preset: str
    encoder: str
    encoder_note: str
    views_note: str
    exports: list[dict[str, Any]]
    report: str | None
    workspace: str
    outdated: tuple[str, ...]

    def text(self) -> str:
        """For a terminal."""
        lines = [self._pictures()]
        if self.copies is not None:
            lines.append(self._copies(self.copies))
        if RICHNESS in self.richness:
            value, low, high = self.richness[RICHNESS]
            span = f" ({low:.0f}–{high:.0f})" if low == low else ""
            lines.append(f"All together act like about {value:.0f} different pictures{span}.")
        for name, rows in (("Missing", self.missing), ("Rare", self.rare), ("Too many", self.thieves)):
            lines += list(dict.fromkeys(f"{name}: {row['advice'] or row['cell']}" for row in rows or []))
        if self.kept is not None:
            lines.append(f"Selected {count(self.kept, 'picture')}, each with a weight.")
        if self.preset in PRESET_NOTES:
            lines.append(PRESET_NOTES[self.preset])
        lines.append(f"Seen by the {self.encoder}. {self.encoder_note}")
        lines += [self.views_note] if self.views_note else []
        lines += [line for written in self.exports for line in _exported(written)]
        if self.outdated:
            what = ", ".join(self.outdated)
            lines.append(f"Not shown, because older than the pictures: {what}. Run `diversity curate`.")
        lines += [f"Tables: {self.workspace}"]
        lines += [f"Report: {self.report}"] if self.report else []
        return "\n".join(lines)

    def _copies(self, copies: int) -> str:
        named = f"{count(copies, 'copy', 'copies')} of others, {'each ' if copies > 1 else ''}with a named keeper"
        variants = f", {count(self.variants, 'variant')} kept beside their like" if self.variants else ""
        return f"{named if copies else 'No copies'}{variants}."

    def _pictures(self) -> str:
        problems = f"; {count(self.problems, 'file')} could not be used" if self.problems else ""
        flags = ", ".join(f"{n} {flag.replace('_', ' ')}" for flag, n in self.flagged.items() if flag not in NEUTRAL)
        return f"{count(self.pictures, 'picture')}{problems}." + (f" Worth a look: {flags}." if flags else "")


def of(dataset: Dataset) -> Summary:
    """The summary of what the workspace holds.

    Raises:
        WorkspaceError: nothing was scanned yet.
    """
    images = dataset.images
    usable = images.filter(pl.col("problem").is_null())
    known = record.of_selection(record.load(dataset.folder), dataset.config.select.name)
    ran = record.of_selection(known["stages"], dataset.config.select.name)
    fresh = stages.fresh(dataset)
    kinds = dataset.read("duplicates")["kind"] if "dedup" in fresh else None
    targets = dataset.read("targets") if "views" in fresh else None
    report = report_file(dataset)
    flags = usable["flags"].explode().drop_nulls().value_counts(sort=True)
    return Summary(
        pictures=len(usable),
        problems=len(images) - len(usable),
        flagged=dict(sorted(flags.iter_rows(), key=lambda row: (-row[1], row[0]))),
        copies=None if kinds is None else int((kinds == "copy").sum()),
        variants=None if kinds is None else int((kinds == "variant").sum()),
        richness=_richness(dataset) if "score" in fresh else {},
        missing=_cells(targets, "missing"),
        rare=_cells(targets, "rare"),
        thieves=_cells(targets, "thief"),
        kept=len(dataset.read("selection")) if "select" in fresh else None,
        preset=dataset.config.set.preset,
        encoder=known.get("encoder", {}).get("name", ""),
        encoder_note=known.get("encoder", {}).get("note", ""),
        views_note=(known.get("familiarity") or {}).get("note", "") if "label" in fresh else "",
        exports=known.get("export", []) if "export" in fresh else [],
        report=str(report) if "report" in fresh and report.is_file() else None,
        workspace=str(dataset.folder),
        outdated=tuple(name for name in stages.STAGES if name in ran and name not in fresh),
    )


def report_file(dataset: Dataset) -> Path:
    """Where the report of the selection in the settings lies."""
    name = record.key("curation", dataset.config.select.name).replace("/", "-")
    return dataset.folder / "reports" / f"{name}.html"


def _richness(dataset: Dataset) -> dict[str, tuple[float, float, float]]:
    rows = dataset.read("scores").filter(pl.col("value").is_not_null())
    return {r["measure"]: (r["value"], _number(r["low"]), _number(r["high"])) for r in rows.to_dicts()}


def _cells(targets: pl.DataFrame | None, state: str) -> list[dict[str, Any]] | None:
    return None if targets is None else targets.filter(pl.col("state") == state).to_dicts()


def _exported(written: dict[str, Any]) -> list[str]:
    """Where an export lies; below it what rounding did, what to set in the trainer, what to know before training."""
    warnings = written["warnings"]
    error = [] if any(written["error"] in warning for warning in warnings) else [written["error"]]  # said once
    told = [*error, *written["advice"], *(f"Note: {warning}" for warning in warnings)]
    return [f"Exported for {written['format']}: {written['folder']}", *(f"  {sentence}" for sentence in told)]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
