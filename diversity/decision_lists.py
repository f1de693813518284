"""Decisions as a list for people: what stands now, to CSV and from CSV.

Not for a single decision: that is `decisions.py`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity import decisions, workspace
from diversity.errors import InputError
from diversity.listed import Finder, read_csv
from diversity.plural import count

if TYPE_CHECKING:
    from diversity.dataset import Dataset

COLUMNS = ("path", "what", "value", "content")  # content finds a picture that has another name in the other set
WHATS = ("pin", "drop", "label")


@dataclass(frozen=True)
class TakenIn:
    """What a list changed.

    Attributes:
        added: Decisions that are new.
        known: Decisions that stood already.
        missing: Paths in the list that are not in the set.
    """

    added: int
    known: int
    missing: tuple[str, ...]

    def text(self) -> str:
        """For a terminal."""
        lines = [f"{count(self.added, 'decision')} taken in, {self.known} stood already."]
        return "\n".join([*lines, *(f"not in this set: {path}" for path in self.missing)])


def standing(dataset: Dataset) -> pl.DataFrame:
    """Every decision that holds now, with `COLUMNS`, by path.

    Raises:
        WorkspaceError: nothing was scanned yet.
        InputError: a label that stands is not in the taxonomy.
    """
    from diversity import taxonomy, views

    images = dataset.images.select("key", "path", "content")
    rows = [(key, what, "") for key, what in decisions.standing(dataset, "pin", "drop").items()]
    rules = taxonomy.load(dataset.config.views.taxonomy)
    labels = views.decided_labels(decisions.load(dataset), dataset.images, rules)
    rows += [
        (key, "label", f"{axis}={label}") for key, axis, label in labels.select("key", "axis", "label").iter_rows()
    ]
    frame = pl.DataFrame(rows, schema={"key": pl.String, "what": pl.String, "value": pl.String}, orient="row")
    return frame.join(images, on="key").select(COLUMNS).sort("path", "what", "value")


def write(dataset: Dataset, file: Path) -> int:
    """Write what stands to a CSV (UTF-8, path first, written whole or not at all); the number of rows.

    Raises:
        InputError: `file` is a folder.
    """
    target = file.expanduser().resolve()
    if target.is_dir():
        raise InputError(f"{file} is a folder.", "", f"Name a file, for example {file / 'decisions.csv'}.")
    frame = standing(dataset)
    with workspace.atomic(target) as temporary:
        frame.write_csv(temporary)
    return len(frame)


def read(dataset: Dataset, file: Path) -> TakenIn:
    """Take in a CSV that `write` wrote, or a list of labels: `file`, `axis`, `label`, or `file` and a column per axis.

    A picture is found by its path, else by its content, or by its bare name in lists without a content. What stands
    already is not added again, and lines on pictures that are not in this set are reported and left out.

    Raises:
        InputError: the file cannot be read, lacks columns, or holds a decision that there is not.
    """
    wanted = _rows(dataset, file)
    finder = Finder(dataset.images["path"].to_list(), dataset.root)
    by_content = dict(dataset.images.drop_nulls("content").select("content", "path").iter_rows())
    stands = {(path, what, value) for path, what, value, _ in standing(dataset).iter_rows()}
    files: dict[tuple[str, str], list[str]] = defaultdict(list)
    known, missing = 0, []
    for row in wanted:
        path = finder.path(row["path"], by_name=row["content"] is None) or by_content.get(row["content"])
        if path is None:
            missing.append(row["path"])
        elif _stands(stands, path, row["what"], row["value"]):
            known += 1
        else:
            files[row["what"], row["value"]].append(path)
    check(dataset, sorted({value for what, value in files if what == "label" and value != decisions.UNDO}))
    for (what, value), named in files.items():
        decisions.add(dataset, what, named, value=value)
    return TakenIn(sum(len(named) for named in files.values()), known, tuple(missing))


def _stands(stands: set[tuple[str, str, str]], path: str, what: str, value: str) -> bool:
    """Whether a line says what holds already: the decision itself, or that there is none."""
    if value == decisions.UNDO:
        return not any((path, what) == (its_path, its_what) for its_path, its_what, _ in stands)
    return (path, what, value) in stands


def check(dataset: Dataset, labels: list[str]) -> None:
    """Refuse a label, "axis=label", that the taxonomy lacks, before it is stored.

    Raises:
        InputError: it does.
    """
    from diversity import taxonomy

    rules = taxonomy.load(dataset.config.views.taxonomy)
    for text in labels:
        axis, _, label = text.partition("=")
        names = rules.axes[axis].names if axis in rules.axes else ()
        if not names:
            raise InputError(f"There is no axis '{axis}'.", f"There are {', '.join(rules.axes)}.", "Write axis=label.")
        if label not in (*names, "unsure"):
            raise InputError(f"There is no {axis} '{label}'.", f"There are {', '.join(names)} and unsure.")


def _rows(dataset: Dataset, file: Path) -> list[dict[str, Any]]:
    from diversity import taxonomy, views

    frame = read_csv(file)
    labels = views.long_form(frame, taxonomy.load(dataset.config.views.taxonomy))
    if labels is not None:
        frame = labels.select(path="file", what=pl.lit("label"), value=pl.format("{}={}", "axis", "label"))
    elif not {"path", "what"} <= set(frame.columns):
        raise InputError(
            f"{file} has the columns {', '.join(frame.columns)}.",
            "Decisions need 'path' and 'what' (and 'value' for labels); labels 'file', 'axis' and 'label', or 'file' "
            "and a column per axis.",
            "Rename the columns.",
        )
    for name in COLUMNS:
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, pl.String).alias(name))
    rows = frame.select(COLUMNS).drop_nulls(["path", "what"]).to_dicts()
    for row in rows:
        row["what"], row["value"] = row["what"].strip().lower(), (row["value"] or "").strip()
        if row["what"] not in WHATS:
            raise InputError(
                f"{file} holds the decision '{row['what']}'.", f"There are {', '.join(WHATS)}.", "Mend it."
            )
        if row["what"] != "label" and row["value"] not in ("", decisions.UNDO):
            raise InputError(
                f"{file} says '{row['what']}' of {row['path']} with the value '{row['value']}'.",
                f"Only labels have values, axis=label; {row['what']} has none, or '{decisions.UNDO}'.",
                "Mend it.",
            )
    return rows
