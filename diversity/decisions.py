"""What people decided by hand: appended to a table that survives retouching (same path) and renaming (same content).

Not for acting on it: duplicates, selection and views do.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity import tables, workspace
from diversity.errors import InputError

if TYPE_CHECKING:
    from diversity.dataset import Dataset

UNDO = "undo"


def find_picture(dataset: Dataset, text: str) -> dict[str, Any]:
    """The row of `images` that `text` names: a path relative to the root, a path on disk, or a unique file name.

    Raises:
        InputError: no picture, or more than one, is called so.
    """
    found = _called(dataset, text)
    if len(found) == 1:
        return found.row(0, named=True)
    if len(found) > 1:
        several = ", ".join(found["path"].head(3))
        raise InputError(f"{len(found)} pictures are called {text}.", f"For example {several}.", "Give the whole path.")
    if set("*?") & set(text):
        why = "Patterns are filled in by the shell, if at all, and only with files where you are."
        raise InputError(f"{text} is not in the set.", why, f"Name the pictures, or write {dataset.root / text}.")
    names = {path.rpartition("/")[2]: path for path in dataset.images["path"]}
    wanted = text.replace("\\", "/").rpartition("/")[2]
    near = [names[name] for name in difflib.get_close_matches(wanted, names, 1, 0.6)]
    hint = f"Did you mean {near[0]}?" if near else "Run `diversity scan` if it is new."
    raise InputError(f"{text} is not in the set.", f"{dataset.root} was scanned without it.", hint)


def is_picture(dataset: Dataset, text: str) -> bool:
    """Whether `text` names a picture of the set, or several."""
    return not _called(dataset, text).is_empty()


def _called(dataset: Dataset, text: str) -> pl.DataFrame:
    """Rows of `images` that `text` may mean: one where it is a path."""
    images = dataset.images
    candidates = [text, text.replace("\\", "/")]
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # names too long, homes unknown: no path on disk
        resolved = Path(text).expanduser().resolve() if text.startswith("~/") else Path(text).resolve()
        if resolved.is_relative_to(dataset.root):
            candidates.append(resolved.relative_to(dataset.root).as_posix())
    for path in candidates:
        found = images.filter(pl.col("path") == path)
        if len(found):
            return found
    return images.filter(pl.col("path").str.split("/").list.last() == candidates[1])


def add(dataset: Dataset, what: str, files: Sequence[str], *, value: str = "", undo: bool = False) -> list[str]:
    """Append one decision per file; the paths decided on.

    Args:
        dataset: A scanned set.
        what: "pin", "drop" or "label".
        files: Pictures as `find_picture` understands them.
        value: The label, as "axis=label", for "label".
        undo: Take an earlier decision back.

    Raises:
        InputError: a file is not in the set.
        WorkspaceError: the workspace is in use.
    """
    rows = [find_picture(dataset, file) for file in files]
    shared = set(dataset.images.filter(pl.col("content").is_duplicated())["content"].drop_nulls())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    new = pl.DataFrame(
        [
            {
                "key": row["key"],
                "content": None if row["content"] in shared else row["content"],  # else it would jump to the other
                "path": row["path"],
                "what": what,
                "value": UNDO if undo else value,
                "when": now,
            }
            for row in rows
        ],
        schema=tables.DECISIONS,
    )
    with workspace.locked(dataset.folder):
        dataset.write("decisions", pl.concat([load(dataset), new]))
    return [row["path"] for row in rows]


def unusable(dataset: Dataset, paths: Sequence[str]) -> dict[str, str]:
    """Path → problem of those of `paths` that cannot be used, so that nothing can be selected of them."""
    bad = dataset.images.filter(pl.col("path").is_in(list(paths)) & pl.col("problem").is_not_null())
    return dict(bad.select("path", "problem").iter_rows())


def refresh(dataset: Dataset) -> None:
    """Note what the pictures decided on look like now: after a retouch, a later renaming is followed too.

    For the end of a scan, which holds the workspace.
    """
    decided = load(dataset)
    images = dataset.images.select("key", "content")
    alone = images.filter(pl.col("content").is_not_null() & ~pl.col("content").is_duplicated())
    now = decided.join(images.select("key"), on="key", how="semi").select("key").unique()
    now = now.join(alone, on="key", how="left").rename({"content": "now"})
    joined = decided.join(now.with_columns(here=True), on="key", how="left", maintain_order="left")
    content = pl.when(pl.col("here").fill_null(False)).then("now").otherwise("content").alias("content")
    fresh = joined.with_columns(content).select(decided.columns)
    if not fresh.equals(decided):
        dataset.write("decisions", fresh)


def load(dataset: Dataset) -> pl.DataFrame:
    """Every decision, the oldest first."""
    return dataset.read("decisions") if dataset.has("decisions") else tables.empty(tables.DECISIONS)


def standing(dataset: Dataset, *whats: str) -> dict[str, str]:
    """Key → what holds now, of the kinds `whats`: the newest decision on a picture wins, and an undone one is none.

    A decision follows its picture by path; where no file has that path any more, by content.
    """
    images = dataset.images
    keys = set(images["key"])
    by_content = dict(images.filter(pl.col("content").is_not_null()).select("content", "key").iter_rows())
    latest: dict[str, str | None] = {}
    for row in load(dataset).iter_rows(named=True):
        key = row["key"] if row["key"] in keys else by_content.get(row["content"])
        if key is not None and row["what"] in whats:
            if row["value"] != UNDO:
                latest[key] = row["what"]
            elif latest.get(key) == row["what"]:
                latest[key] = None
    return {key: what for key, what in latest.items() if what is not None}
