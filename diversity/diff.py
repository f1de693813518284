"""What changed between two states of a set, or between two sets: pictures, selection, richness.

Not for judging which is better: numbers are set side by side, with their intervals.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity import record, workspace
from diversity.config import Config
from diversity.dataset import Dataset

if TYPE_CHECKING:
    from diversity.progress import Progress

SHOWN = 12  # paths per kind of change on a terminal
MEASURES = {
    "set.pictures": "pictures",
    "set.distinct": "distinct pictures",
    "set.effective_rank": "acts like different pictures",
    "set.vendi_1": "richness (Vendi score)",
    "set.taxonomy_coverage": "share of wanted views that are there",
}
STAGES = ("scan", "label", "dedup", "views", "select", "score")


@dataclass(frozen=True)
class Change:
    """One measure, before and after.

    Attributes:
        measure: As in `scores.parquet`.
        before, after: (value, low, high, n); an interval is None where there is none.
        comparable: Whether both were seen by the same encoder with the same settings.
        verdict: One sentence.
    """

    measure: str
    before: tuple[float, float | None, float | None, int]
    after: tuple[float, float | None, float | None, int]
    comparable: bool
    verdict: str


@dataclass(frozen=True)
class Diff:
    """From one state to another; paths are relative to their set.

    Attributes:
        before, after: The workspaces.
        came: Pictures that are only in the second.
        went: Pictures that are only in the first.
        renamed: Path before → path after, of the same pixels.
        retouched: Paths whose pixels changed.
        captions: Paths whose caption changed.
        selected, unselected: Pictures in both that entered or left the selection.
        richness: Measures that both have.
        unscored: Workspaces that were never scored, so that richness cannot be compared.
    """

    before: str
    after: str
    came: tuple[str, ...]
    went: tuple[str, ...]
    renamed: dict[str, str]
    retouched: tuple[str, ...]
    captions: tuple[str, ...]
    selected: tuple[str, ...]
    unselected: tuple[str, ...]
    richness: tuple[Change, ...]
    unscored: tuple[str, ...]

    def text(self) -> str:
        """For a terminal."""
        kinds = {"came": self.came, "went": self.went, "retouched": self.retouched, "caption changed": self.captions}
        kinds |= {"renamed": tuple(f"{old} → {new}" for old, new in self.renamed.items())}
        kinds |= {"now selected": self.selected, "no longer selected": self.unselected}
        lines = []
        for name, paths in kinds.items():
            if paths:
                more = f", and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
                lines.append(f"{len(paths)} {name}: {', '.join(paths[:SHOWN])}{more}")
        lines = [*(lines or ["The pictures are the same."]), *(change.verdict for change in self.richness)]
        if self.unscored:
            which = " and ".join(self.unscored)
            lines.append(f"Richness cannot be compared: never scored (`diversity score`): {which}.")
        return "\n".join(lines)


def state(folder: Path, config: Path | None = None, progress: Progress | None = None) -> Dataset:
    """A state of a set: a workspace as it is, or a folder of pictures, brought up to date first.

    Bringing up to date repeats the last selection; it does not choose anew.

    Raises:
        InputError: `folder` is neither.
        WorkspaceError: a workspace is of another version, or lacks what is compared.
    """
    folder = folder.expanduser().resolve()
    if not workspace.is_workspace(folder):
        dataset = Dataset.open(folder, config=config)
        dataset.config = record.with_last_selection(dataset.folder, dataset.config)
        return dataset.run(*STAGES, progress=progress)
    return Dataset(workspace.owner_of(folder) or folder, folder, Config())


def compare(before: Dataset, after: Dataset) -> Diff:
    """What is different in `after`.

    Pictures are the same where their pixels are. Of several with the same pixels, as many as both states have are the
    same; equal paths first.

    Raises:
        WorkspaceError: one of them was never scanned.
    """
    old, new = _pictures(before), _pictures(after)
    stayed = {path for path in old if path in new and old[path]["content"] == new[path]["content"]}
    retouched = {path for path in old if path in new} - stayed
    gone, fresh = sorted(set(old) - set(new)), sorted(set(new) - set(old))
    by_content: dict[str, list[str]] = {}
    for path in fresh:
        by_content.setdefault(new[path]["content"], []).append(path)
    renamed = {}
    for path in gone:
        if found := by_content.get(old[path]["content"]):
            renamed[path] = found.pop(0)
    pairs = {path: path for path in stayed | retouched} | renamed
    chosen, chosen_now = _selected(before), _selected(after)
    both = sorted(pairs.items(), key=lambda pair: pair[1]) if chosen is not None and chosen_now is not None else []
    was, now = chosen or set(), chosen_now or set()
    return Diff(
        before=str(before.folder),
        after=str(after.folder),
        came=tuple(path for path in fresh if path not in set(renamed.values())),
        went=tuple(path for path in gone if path not in renamed),
        renamed=renamed,
        retouched=tuple(sorted(retouched)),
        captions=tuple(sorted(new[b]["path"] for a, b in pairs.items() if old[a]["caption"] != new[b]["caption"])),
        selected=tuple(b for a, b in both if b in now and a not in was),
        unselected=tuple(b for a, b in both if a in was and b not in now),
        richness=_richness(before, after),
        unscored=tuple(dict.fromkeys(str(d.folder) for d in (before, after) if not d.has("scores"))),
    )


def _pictures(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Rows of `images` by path; a file that could not be read is known by its bytes."""
    frame = dataset.images.with_columns(pl.coalesce("content", "bytes_hash", pl.lit("")).alias("content"))
    return {row["path"]: row for row in frame.select("path", "content", "caption").to_dicts()}


def _selected(dataset: Dataset) -> set[str] | None:
    if not dataset.has("selection"):
        return None
    keys = dataset.read("selection").select("key")
    return set(keys.join(dataset.images.select("key", "path"), on="key")["path"])


def _richness(before: Dataset, after: Dataset) -> tuple[Change, ...]:
    if not before.has("scores") or not after.has("scores"):
        return ()
    old, new = ({row["measure"]: row for row in d.read("scores").to_dicts()} for d in (before, after))
    return tuple(
        _change(old[name], new[name])
        for name in MEASURES
        if name in old and name in new and None not in (old[name]["value"], new[name]["value"])
    )


def _change(old: dict[str, Any], new: dict[str, Any]) -> Change:
    """Intervals that do not meet are called a change; others only say what they are."""
    settings = [json.loads(row["settings"]) for row in (old, new)]
    keys = ("encoder", "kernel", "centre")
    comparable = all(settings[0].get(key) == settings[1].get(key) for key in keys)
    name = MEASURES[old["measure"]]
    values = [f"{row['value']:.3g}{_span(row)}" for row in (old, new)]
    if not comparable:
        verdict = f"{name}: {values[0]} and {values[1]}, seen by different encoders and not comparable."
    elif None in (old["low"], new["low"]):
        verdict = f"{name}: {values[0]} → {values[1]}."
    else:
        apart = new["low"] > old["high"] or new["high"] < old["low"]
        word = ("more" if new["value"] > old["value"] else "less") if apart else "no clear change"
        verdict = f"{name}: {values[0]} → {values[1]}: {word}; of {old['n']} and {new['n']} pictures."
    sides = [(row["value"], row["low"], row["high"], row["n"]) for row in (old, new)]
    return Change(old["measure"], sides[0], sides[1], comparable, verdict)


def _span(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f" ({row['low']:.3g}–{row['high']:.3g})"
