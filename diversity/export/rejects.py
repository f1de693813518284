"""Pictures that were not selected, moved out of the user's folder on request, and back again.

Nothing moves unless a person asks for it, nothing is deleted, and a journal is written before the first file moves.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diversity import workspace
from diversity.errors import ExportError
from diversity.export.base import MANIFEST

if TYPE_CHECKING:
    from diversity.dataset import Dataset

FOLDER = "_rejects"  # not a name that kohya reads as `<repeats>_<concept>`
_SIDECARS = (".txt", ".caption", ".json", ".yaml", ".npz")


@dataclass(frozen=True)
class Moved:
    """What was moved.

    Attributes:
        folder: Where rejects are kept.
        paths: Files moved, relative to the pictures' folder, or back to it.
        left: Files that stayed where they were, and why.
    """

    folder: str
    paths: tuple[str, ...]
    left: dict[str, str]

    def text(self, done: str) -> str:
        """For a terminal."""
        lines = [f"{len(self.paths)} files {done}: {self.folder}"]
        return "\n".join([*lines, *(f"left in place: {path}: {why}" for path, why in self.left.items())])


def place_for(dataset: Dataset, folder: Path | None = None) -> Path:
    """Where rejects go: `folder`, else `_rejects/<name>` beside the pictures."""
    return (folder or dataset.root.parent / FOLDER / dataset.root.name).expanduser().resolve()


def move(dataset: Dataset, folder: Path | None = None) -> Moved:
    """Move every dropped picture of the last selection, with its sidecars, out of the pictures' folder.

    What changed since the scan, what lies in a tar, and sidecars that a kept picture shares stay.

    Raises:
        ExportError: `folder` lies inside the pictures' folder, holds files of another origin, or cannot be written.
        WorkspaceError: nothing was selected yet.
    """
    to = place_for(dataset, folder)
    if to == dataset.root or dataset.root.is_relative_to(to) or to.is_relative_to(dataset.root):
        raise ExportError(f"Rejects cannot go to {to}.", "It is, holds or lies in the folder of the pictures.")
    rows = dataset.read("dropped").join(dataset.images, on="key").sort("path").to_dicts()
    kept = dataset.images.filter(~dataset.images["key"].is_in(sorted(row["key"] for row in rows)))["path"]
    stems = {path.rpartition(".")[0] for path in kept}
    left: dict[str, str] = {}
    wanted: list[str] = []
    for row in rows:
        why = _why_not(dataset.root / row["path"], row) or (
            "an earlier reject is called so" if (to / row["path"]).exists() else ""
        )
        if why:
            left[row["path"]] = why
            continue
        wanted.append(row["path"])
        if row["path"].rpartition(".")[0] not in stems:
            wanted += _sidecars(dataset.root, row["path"])
    with workspace.locked(dataset.folder), _explained(to):
        journal = _journal(to)
        wanted = [path for path in dict.fromkeys(wanted) if not (to / path).exists()]
        _write(to, dataset.root, [*journal, *(path for path in wanted if path not in journal)])
        moved = []
        for path in wanted:
            if (to / path).exists():  # there, upper and lower case may be the same
                left[path] = "another reject has its name there"
                continue
            _bring(dataset.root / path, to / path)
            moved.append(path)
        if len(moved) < len(wanted):
            _write(to, dataset.root, [*journal, *(path for path in moved if path not in journal)])
    return Moved(str(to), tuple(moved), left)


def undo(dataset: Dataset, folder: Path | None = None) -> Moved:
    """Move everything back that `move` took; what is in its old place by now is left and named.

    Raises:
        ExportError: there are no rejects of these pictures, or a file cannot be moved.
    """
    to = place_for(dataset, folder)
    journal = _journal(to)
    if not journal:
        raise ExportError(f"There are no rejects in {to}.", "Nothing was moved there.", "Check the folder.")
    back, left = [], {}
    with workspace.locked(dataset.folder), _explained(to):
        for path in journal:
            if not (to / path).is_file():
                continue  # it never left, or was taken away by hand
            if (dataset.root / path).exists():
                left[path] = "another file has its place by now"
                continue
            _bring(to / path, dataset.root / path)
            back.append(path)
        _tidy(to, dataset.root, sorted(left))
    return Moved(str(dataset.root), tuple(back), left)


def _why_not(file: Path, row: dict[str, Any]) -> str:
    """Why a dropped picture is not moved; "" to move it."""
    try:
        stat = file.stat()
    except OSError:
        return "it lies in a tar, or is gone"
    return "" if (stat.st_size, stat.st_mtime_ns) == (row["size"], row["mtime_ns"]) else "it changed since the scan"


def _sidecars(root: Path, path: str) -> Iterator[str]:
    """Files that belong to the picture at `path` alone, relative to `root`."""
    stem = path.rpartition(".")[0]
    for base in (stem, path):
        for suffix in _SIDECARS:
            if (root / f"{base}{suffix}").is_file():
                yield f"{base}{suffix}"


def _journal(folder: Path) -> list[str]:
    """What was ever moved into `folder`.

    Raises:
        ExportError: the folder is in use for something else.
    """
    file = folder / MANIFEST
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return []
    try:
        return [str(path) for path in json.loads(file.read_text(encoding="utf-8"))["rejects"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise ExportError(
            f"{folder} cannot take rejects.", "It holds files of another origin.", "Give a folder of their own."
        ) from None


def _write(folder: Path, root: Path, paths: list[str]) -> None:
    """The manifest makes ingest skip the folder, and is the journal that undo reads."""
    text = json.dumps({"version": 1, "pictures": str(root), "rejects": paths}, indent=1, ensure_ascii=False)
    workspace.write_text(folder / MANIFEST, text + "\n")


def _bring(source: Path, target: Path) -> None:
    """Rename; onto another disk copy whole, then remove."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with workspace.atomic(target) as temporary:
            shutil.copy2(source, temporary)
        source.unlink()


def _tidy(folder: Path, root: Path, left: list[str]) -> None:
    """Remove what is empty now; the journal stays while a file does."""
    if left:
        _write(folder, root, left)
    else:
        (folder / MANIFEST).unlink()
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()
    if not any(folder.iterdir()):
        folder.rmdir()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn a file system's refusal into a sentence."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            "Not every file could be moved.",
            f"{error.strerror or error}.",
            f"What was moved is in {folder}; --undo-rejects brings it back.",
        ) from None
