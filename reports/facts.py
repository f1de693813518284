"""What the tables say about each picture and the set, joined and counted for the page.

Not for wording or layout, and it measures nothing: every estimate comes from `scores.parquet`.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity import record, tables, trainer_summary
from diversity.config import Config
from diversity.decisions import standing
from diversity.subject_check import TABLE as SUBJECT
from reports import subject_section, words
from reports.rows import Ask, Bound, Picture, Score, Target

if TYPE_CHECKING:
    from diversity.dataset import Dataset

SCHEMAS = {
    "images": tables.IMAGES,
    "thumbnails": tables.THUMBNAILS,
    "duplicates": tables.DUPLICATES,
    "views": tables.VIEWS,
    "targets": tables.TARGETS,
    "bindings": tables.BINDINGS,
    "scores": tables.SCORES,
    "map": tables.MAP,
    "trainer": tables.TRAINER,
    "selection": tables.SELECTION,
    "dropped": tables.DROPPED,
    "decisions": tables.DECISIONS,
}


@dataclass
class Facts:
    """All tables of a workspace, read once; a missing one is empty and named in `missing`.

    Attributes:
        curation: `curation.json` of this selection.
        config: Settings.
        checked: The table `subject`; None where `diversity subject` was not run.
        by_hand: Key → "pin" or "drop", what stands.
    """

    root: Path
    frames: dict[str, pl.DataFrame]
    missing: set[str]
    curation: dict[str, Any] = field(default_factory=dict)
    config: Config = field(default_factory=Config)
    checked: pl.DataFrame | None = None
    by_hand: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, dataset: Dataset) -> Facts:
        """Read what is there."""
        missing = {table for table in SCHEMAS if not dataset.has(table)}
        frames = {
            table: tables.empty(schema) if table in missing else dataset.read(table)
            for table, schema in SCHEMAS.items()
        }
        file = dataset.folder / "curation.json"
        try:
            curation = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except ValueError:
            curation = {}
        curation = record.of_selection(curation, dataset.config.select.name) if isinstance(curation, dict) else {}
        stages = curation.get("stages")
        if isinstance(stages, dict):
            curation["stages"] = record.of_selection(stages, dataset.config.select.name)
        checked = dataset.read(SUBJECT) if dataset.has(SUBJECT) else None
        by_hand = {} if "images" in missing else dict(standing(dataset, "pin", "drop"))
        return cls(dataset.root, frames, missing, curation, dataset.config, checked, by_hand)

    @property
    def name(self) -> str:
        """What the set is called."""
        return self.root.name

    def near(self, folder: object) -> str:
        """`folder` as seen from where the pictures' folder lies, where the commands are meant to be run."""
        try:
            return Path(str(folder)).relative_to(self.root.parent).as_posix()
        except ValueError:
            return str(folder)

    def part(self, name: str) -> dict[str, Any]:
        """A section of `curation.json`, {} where it is absent or not a table."""
        found = self.curation.get(name)
        return found if isinstance(found, dict) else {}

    def _by_key(self, table: str) -> dict[str, dict[str, Any]]:
        return {row["key"]: row for row in self.frames[table].iter_rows(named=True)}

    @cached_property
    def thumbnails(self) -> list[bytes]:
        """JPEG bytes, in the order that `Picture.thumb` counts."""
        return (
            self.frames["thumbnails"].filter(pl.col("content").is_in(self._contents)).sort("content")["jpeg"].to_list()
        )

    @property
    def _contents(self) -> list[str]:
        return self.frames["images"]["content"].drop_nulls().unique().to_list()

    @cached_property
    def pictures(self) -> list[Picture]:
        """Every file, in path order."""
        images = list(self.frames["images"].sort("path").iter_rows(named=True))
        index = {row["key"]: place for place, row in enumerate(images)}
        stored = self.frames["thumbnails"].filter(pl.col("content").is_in(self._contents)).sort("content")["content"]
        thumbs = {content: place for place, content in enumerate(stored)}
        labels: dict[str, list[tuple[str, str, float, str]]] = defaultdict(list)
        for row in self.frames["views"].iter_rows(named=True):
            labels[row["key"]].append((row["axis"], row["label"], row["confidence"], row["source"]))
        states = dict(self.frames["targets"].select("cell", "state").iter_rows())
        decisions: dict[str, list[str]] = defaultdict(list)
        for row in self.frames["decisions"].iter_rows(named=True):
            decisions[row["key"]].append(" ".join(part for part in (row["what"], row["value"]) if part))
        rows = {table: self._by_key(table) for table in ("duplicates", "selection", "dropped")}
        found = []
        for row in images:
            key = row["key"]
            joined = {
                **row,
                "duplicate": rows["duplicates"].get(key, {}),
                "chosen": rows["selection"].get(key, {}),
                "dropped": rows["dropped"].get(key, {}),
                "labels": tuple(labels[key]),
                "decision": ", ".join(decisions[key]),
                "thumb": thumbs.get(row["content"]),
            }
            found.append(self._picture(joined, index, states))
        return found

    def _picture(self, row: dict[str, Any], index: dict[str, int], states: dict[str, str]) -> Picture:
        duplicate, chosen, dropped = row["duplicate"], row["chosen"], row["dropped"]
        status = self._status(row)
        by_axis = {axis: label for axis, label, *_ in row["labels"]}
        parts = [by_axis.get("framing"), by_axis.get("side")]
        cell = None if None in parts else f"{parts[0]}/{parts[1]}"
        if "unsure" in parts and cell not in states:  # a detail counts whatever its side; its cell is in the table then
            cell = None
        keeper = index.get(dropped.get("keeper") or (duplicate.get("keeper") if status == "copy" else ""))
        reason = row["problem"] or dropped.get("reason") or chosen.get("reason") or ""
        return Picture(
            index=index[row["key"]],
            key=row["key"],
            path=row["path"],
            caption=row["caption"] or "",
            size=f"{row['width']} × {row['height']}" if row["width"] and row["height"] else "",
            aspect=row["width"] / row["height"] if row["width"] and row["height"] else 1.0,
            problem=row["problem"],
            flags=tuple(row["flags"] or ()),
            thumb=row["thumb"],
            status=status,
            reason=words.readable(reason),
            keeper=None if keeper == index[row["key"]] else keeper,
            alike=index.get(duplicate.get("variant_of") or ""),
            likeness=duplicate.get("reason") or "",
            similarity=duplicate.get("similarity"),
            tier=duplicate.get("tier"),
            weight=chosen.get("weight"),
            gain=chosen.get("gain"),
            rank=chosen.get("rank"),
            labels=row["labels"],
            cell=cell,
            rare=status in ("kept", "undecided") and states.get(cell or "") == "rare",
            decision=row["decision"],
        )

    def _status(self, row: dict[str, Any]) -> str:
        if row["problem"] is not None:
            return "problem"
        if row["chosen"]:
            return "kept"
        if row["duplicate"].get("kind") == "copy":
            return "copy"
        if row["dropped"] or "selection" not in self.missing:
            return "left_out"
        return "undecided"

    @cached_property
    def usable(self) -> list[Picture]:
        """Pictures without a problem."""
        return [picture for picture in self.pictures if picture.problem is None]

    @cached_property
    def unplaced(self) -> list[Picture]:
        """Distinct pictures that count in no view, because what they show is not sure."""
        if "views" in self.missing:
            return []
        return [picture for picture in self.usable if picture.cell is None and picture.status != "copy"]

    @cached_property
    def by_status(self) -> Counter[str]:
        """How many pictures are kept, copies, …"""
        return Counter(picture.status for picture in self.pictures)

    @cached_property
    def targets(self) -> list[Target]:
        """Cells of the table, the most lacking first."""
        members: dict[str, list[Picture]] = defaultdict(list)
        for picture in self.usable:
            if picture.cell is not None and picture.status != "copy":
                members[picture.cell].append(picture)
        cells = [
            Target(
                row["cell"], row["have"], row["want"], row["state"], row["advice"] or "", tuple(members[row["cell"]])
            )
            for row in self.frames["targets"].iter_rows(named=True)
        ]
        if "targets" in self.missing or not self.config.targets.axes:
            cells = [Target(cell, len(found), 0, "ample", "", tuple(found)) for cell, found in members.items()]
        return sorted(cells, key=lambda t: (words.STATE_ORDER.get(t.state, 9), -abs(t.have - t.want), t.cell))

    def in_state(self, state: str) -> list[Ask]:
        """What there is to say about cells that are "missing", "rare", "thief" or "ample", the most lacking first."""
        found: dict[str, list[Target]] = defaultdict(list)
        for target in self.targets:
            if target.state == state:
                found[self._topic(target)].append(target)
        return [Ask(tuple(targets)) for targets in found.values()]

    def _topic(self, target: Target) -> str:
        """What cells share that are asked for together: the advice, and the label that it is about."""
        framing, _, side = target.cell.partition("/")
        about = side if self.config.targets.axes == ("side",) else framing
        return f"{about}: {target.advice}" if target.advice else target.cell

    @cached_property
    def bound(self) -> list[Bound]:
        """Tags that come with one view more often than chance, the most bound first; none where views do not matter."""
        if not self.config.targets.axes:
            return []
        rows = self.frames["bindings"].filter(pl.col("state") == "bound").iter_rows(named=True)
        return [Bound(row["tag"], row["pictures"], row["look"], row["share"], row["elsewhere"]) for row in rows]

    @cached_property
    def subject(self) -> subject_section.Section | None:
        """What the subject check said; None where it was not run."""
        if self.checked is None:
            return None
        return subject_section.section(self.checked, self.pictures, self.by_hand)

    @cached_property
    def trainer(self) -> list[trainer_summary.Seen]:
        """What a trainer will see of what is kept, or of all that is no copy where nothing is chosen yet."""
        kept = [picture.key for picture in self.pictures if picture.status in ("kept", "undecided")]
        paths = {picture.key: picture.path for picture in self.pictures}
        frame = self.frames["trainer"].filter(pl.col("key").is_in(kept))
        return trainer_summary.summarise(frame, self.frames["views"], paths, self.config.trainer.batch_sizes)

    def at_path(self, path: str) -> Picture | None:
        """The picture of that path."""
        return next((picture for picture in self.pictures if picture.path == path), None)

    @cached_property
    def axes(self) -> tuple[list[str], list[str]]:
        """Framings and sides that occur or are wanted: the usual ones first, then the taxonomy's own."""
        cells = [target.cell.split("/", 1) for target in self.targets if "/" in target.cell]
        found = []
        for place, usual in enumerate((words.FRAMINGS, words.SIDES)):
            seen = {cell[place] for cell in cells}
            found.append([label for label in usual if label in seen] + sorted(seen - set(usual)))
        return found[0], found[1]

    @cached_property
    def other_axes(self) -> dict[str, list[tuple[str, int]]]:
        """Axes of the user's own: (label, pictures), the most frequent first."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for picture in self.usable:
            for axis, label, *_ in picture.labels:
                if axis not in ("framing", "side"):
                    found[axis][label] += 1
        return {axis: counter.most_common() for axis, counter in sorted(found.items())}

    @cached_property
    def scores(self) -> list[Score]:
        """Every row of `scores.parquet`."""
        return [
            Score(*_scope(row["measure"]), row["value"], row["low"], row["high"], row["n"], _settings(row["settings"]))
            for row in self.frames["scores"].iter_rows(named=True)
        ]

    def score(self, measure: str, scope: str = "set") -> Score | None:
        """`measure` of the whole set or of "selection", if it could be told."""
        fits = (s for s in self.scores if s.measure == measure and s.scope in (scope, "" if scope == "set" else scope))
        return next((s for s in fits if s.value is not None and s.value == s.value), None)

    @cached_property
    def score_table(self) -> tuple[list[str], list[tuple[Score, list[Score | None]]]]:
        """Scopes, and for each measure its scores in their order (first any of them, for words and settings)."""
        scopes = list(dict.fromkeys(score.scope for score in self.scores))
        usual = [*words.MEASURES, *(f"{measure}_rarefied" for measure in words.MEASURES)]
        order = {measure: place for place, measure in enumerate(usual)}
        rows: dict[str, dict[str, Score]] = defaultdict(dict)
        for score in sorted(self.scores, key=lambda score: order.get(score.measure, len(order))):
            rows[score.measure][score.scope] = score
        return scopes, [(next(iter(row.values())), [row.get(scope) for scope in scopes]) for row in rows.values()]

    @cached_property
    def groups(self) -> list[tuple[Picture, list[Picture]]]:
        """(keeper, its copies), the largest groups first."""
        copies: dict[int, list[Picture]] = defaultdict(list)
        for picture in self.pictures:
            if picture.status == "copy" and picture.keeper is not None:
                copies[picture.keeper].append(picture)
        found = [(self.pictures[keeper], sorted(c, key=lambda p: -(p.similarity or 0))) for keeper, c in copies.items()]
        return sorted(found, key=lambda group: (-len(group[1]), group[0].index))

    @cached_property
    def variants(self) -> list[tuple[Picture, list[Picture]]]:
        """(picture, its variants), the largest sets first."""
        alike: dict[int, list[Picture]] = defaultdict(list)
        for picture in self.pictures:
            if picture.alike is not None and picture.alike != picture.index:
                alike[picture.alike].append(picture)
        found = [(self.pictures[first], others) for first, others in alike.items()]
        return sorted(found, key=lambda group: (-len(group[1]), group[0].index))

    @cached_property
    def weighted(self) -> list[Picture]:
        """Pictures with a weight, the heaviest first."""
        return sorted((p for p in self.pictures if p.weight is not None), key=lambda p: (-(p.weight or 0), p.index))

    @cached_property
    def gains(self) -> tuple[list[float], int | None]:
        """What each pick added, in order, and the elbow's number of picks where one was found."""
        elbow = self.part("elbow")
        stored, keep = elbow.get("gain"), elbow.get("elbow", elbow.get("keep"))
        if not isinstance(stored, list):
            stored = self.frames["selection"].sort("rank")["gain"].to_list()
        gains = [float(gain) for gain in stored if isinstance(gain, (int, float)) and gain == gain]
        return gains, keep if isinstance(keep, int) else None

    @cached_property
    def flagged(self) -> list[tuple[str, list[Picture]]]:
        """(flag, its pictures), those in use only, the most frequent first."""
        found: dict[str, list[Picture]] = defaultdict(list)
        for picture in self.usable:
            for flag in picture.flags:
                found[flag].append(picture)
        return sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))


def original_folder(dataset: Dataset, out: Path) -> str:
    """The pictures' folder as seen from the report, with forward slashes; "" where it is on another drive."""
    try:
        return os.path.relpath(dataset.root, out.resolve().parent).replace(os.sep, "/")
    except ValueError:
        return ""


def _scope(name: str) -> tuple[str, str]:
    scope, _, measure = name.rpartition(".")
    return scope, measure


def _settings(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
