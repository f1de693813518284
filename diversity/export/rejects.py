"""Pictures that were not selected, moved out of the user's folder on request, and back again.

Nothing moves unless a person asks for it, nothing is deleted, and a journal is written before the first file moves.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diversity import workspace
from diversity.errors import ExportError
from diversity.export.base import MANIFEST
from diversity.export.beside import Beside
from diversity.export.controls import Controls
from diversity.export.journal import Journal, read
from diversity.plural import count

if TYPE_CHECKING:
    from diversity.dataset import Dataset

FOLDER = "_rejects"  # not a name that kohya reads as `<repeats>_<concept>`


@dataclass(frozen=True)
class Moved:
    """What was moved.

    Attributes:
        folder: Where rejects are kept.
        paths: Files moved, relative to the folder of rejects: of the set as in it, controls from elsewhere below
            `journal.CONTROLS`.
        left: Files that stayed where they were, and why.
    """

    folder: str
    paths: tuple[str, ...]
    left: dict[str, str]

    def text(self, done: str) -> str:
        """For a terminal."""
        lines = [f"{count(len(self.paths), 'file')} {done}: {self.folder}"]
        return "\n".join([*lines, *(f"left in place: {path}: {why}" for path, why in self.left.items())])


def place_for(dataset: Dataset, folder: Path | None = None) -> Path:
    """Where rejects go: `folder`, else `_rejects/<name>` beside the pictures."""
    return (folder or dataset.root.parent / FOLDER / dataset.root.name).expanduser().resolve()


def move(dataset: Dataset, folder: Path | None = None) -> Moved:
    """Move every dropped picture of the last selection out of the pictures' folder, with what belongs to it alone.

    That is captions, records and masks beside it, and its control picture in an edit set. What changed since the scan,
    what lies in a tar, and what a kept picture shares stay.

    Raises:
        ExportError: `folder` lies inside the pictures' folder, holds files of another origin, or cannot be written.
        WorkspaceError: nothing was selected yet.
    """
    to = place_for(dataset, folder)
    if to == dataset.root or dataset.root.is_relative_to(to) or to.is_relative_to(dataset.root):
        raise ExportError(f"Rejects cannot go to {to}.", "It is, holds or lies in the folder of the pictures.")
    with workspace.locked(dataset.folder), _explained(to):
        earlier = _journal(dataset, to)
        wanted, left = _wanted(dataset, earlier)
        wanted = [name for name in wanted if not earlier.away(name).exists()]
        journal = earlier.holding(wanted, dataset.config.export.control)
        journal.write()
        moved = []
        for name in wanted:
            if journal.away(name).exists():  # there, upper and lower case may be the same
                left[name] = "another reject has its name there"
                continue
            _bring(journal.home(name), journal.away(name))
            moved.append(name)
        if len(moved) < len(wanted):
            earlier.holding(moved, dataset.config.export.control).write()
    return Moved(str(to), tuple(moved), left)


def undo(dataset: Dataset, folder: Path | None = None) -> Moved:
    """Move everything back that `move` took; what is in its old place by now is left and named.

    Raises:
        ExportError: there are no rejects of these pictures, or a file cannot be moved.
    """
    to = place_for(dataset, folder)
    journal = _journal(dataset, to)
    if not journal.names:
        raise ExportError(f"There are no rejects in {to}.", "Nothing was moved there.", "Check the folder.")
    back, left = [], {}
    with workspace.locked(dataset.folder), _explained(to):
        for name in journal.names:
            if not journal.away(name).is_file():
                continue  # it never left, or was taken away by hand
            if journal.home(name).exists():
                left[name] = "another file has its place by now"
                continue
            _bring(journal.away(name), journal.home(name))
            back.append(name)
        _tidy(replace(journal, names=tuple(sorted(left))))
    return Moved(str(dataset.root), tuple(back), left)


def _journal(dataset: Dataset, folder: Path) -> Journal:
    return read(folder, dataset.root, usual=folder == place_for(dataset))


def _wanted(dataset: Dataset, journal: Journal) -> tuple[list[str], dict[str, str]]:
    """What is to be moved, by its name in the journal, and pictures that are not, with the reason."""
    images = dataset.images
    rows = dataset.read("dropped").join(images, on="key").sort("path").to_dicts()
    left: dict[str, str] = {}
    going: list[str] = []
    for row in rows:
        why = _why_not(dataset.root / row["path"], row) or (
            "an earlier reject is called so" if journal.away(row["path"]).exists() else ""
        )
        if why:
            left[row["path"]] = why
        else:
            going.append(row["path"])
    staying = sorted(set(images["path"]) - set(going) - set(journal.names))
    beside = Beside(dataset.root, staying, dataset.config.scan.caption_extensions)
    wanted = [name for path in going for name in (path, *beside.of(path))]
    return list(dict.fromkeys([*wanted, *_controls(dataset, journal, going, staying)])), left


def _controls(dataset: Dataset, journal: Journal, going: list[str], staying: list[str]) -> list[str]:
    """Control pictures that only pictures in `going` need, by their name in the journal."""
    folder = dataset.config.export.control
    if folder is None:
        return []
    controls = Controls(folder, dataset.root)
    needed = {controls.find(path) for path in staying}
    found = [control for path in going if (control := controls.find(path)) is not None and control not in needed]
    return [journal.control_name(control, folder) for control in found]


def _why_not(file: Path, row: dict[str, Any]) -> str:
    """Why a dropped picture is not moved; "" to move it."""
    try:
        stat = file.stat()
    except OSError:
        return "it lies in a tar, or is gone"
    return "" if (stat.st_size, stat.st_mtime_ns) == (row["size"], row["mtime_ns"]) else "it changed since the scan"


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


def _tidy(journal: Journal) -> None:
    """Remove what is empty now; the journal stays while a file does."""
    folder = journal.folder
    if journal.names:
        journal.write()
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
