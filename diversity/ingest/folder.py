"""Walk a tree of folders once, in a fixed order, leaving out what is not the user's pictures.

Not for what the files mean: kohya names, metadata files and tars have readers of their own.
"""

from __future__ import annotations

import logging
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diversity import workspace

EXPORT_MANIFEST = "diversity-manifest.json"
SKIPPED = frozenset({workspace.FOLDER, "__MACOSX", "@eaDir", "$RECYCLE.BIN"})  # ours; then systems' thumbnails and bins
LABELS = ("-masklabel", "-condlabel")  # OneTrainer's masks and controls lie beside their picture under these names

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder: its place and the names of its visible files.

    Attributes:
        location: On disk.
        parts: Names from the root down to it; () for the root.
        files: Names of its files, sorted.
    """

    location: Path
    parts: tuple[str, ...]
    files: tuple[str, ...]

    def relative(self, name: str) -> str:
        """Path of the file `name`, relative to the root, with forward slashes."""
        return "/".join((*self.parts, name))


def walk(root: Path) -> Iterator[Folder]:
    """Every folder below `root` and itself, each real folder once.

    Hidden folders and files, workspaces, exports and the folders in `SKIPPED` are left out. Links to folders are
    followed after all real folders, so a linked folder inside the tree is read under its own name, and loops end.
    """
    seen: set[str] = set()
    queue: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    linked: list[tuple[Path, tuple[str, ...]]] = []
    while queue or linked:
        location, parts = queue.pop() if queue else linked.pop(0)
        real = os.path.realpath(location)
        if real in seen:
            continue
        seen.add(real)
        listing = _list(location)
        if listing is None or (parts and _is_ours(location, listing[0])):
            continue
        files, folders, links = listing
        queue += [(location / name, (*parts, name)) for name in reversed(folders)]
        linked += [(location / name, (*parts, name)) for name in links]
        yield Folder(location, parts, files)


def without_labels(files: tuple[str, ...]) -> tuple[str, ...]:
    """`files` without masks and controls of pictures among them: `1-masklabel.png` beside `1.jpg`."""
    stems = {posixpath.splitext(name)[0] for name in files}
    return tuple(name for name in files if not _is_label(posixpath.splitext(name)[0], stems))


def _is_label(stem: str, stems: set[str]) -> bool:
    return any(stem.endswith(label) and stem.removesuffix(label) in stems for label in LABELS)


def _list(location: Path) -> tuple[tuple[str, ...], list[str], list[str]] | None:
    """Sorted names of files, folders and linked folders; None where the folder may not be read."""
    files, folders, links = [], [], []
    try:
        with os.scandir(location) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in SKIPPED:
                    continue
                if not _is_dir(entry):
                    files.append(entry.name)
                elif entry.is_symlink():
                    links.append(entry.name)
                else:
                    folders.append(entry.name)
    except OSError as error:
        logger.warning("The folder %s was left out: %s", location, error.strerror or error)
        return None
    return tuple(sorted(files)), sorted(folders), sorted(links)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_ours(location: Path, files: tuple[str, ...]) -> bool:
    """Whether the folder is a workspace or an export of this engine."""
    return EXPORT_MANIFEST in files or workspace.is_workspace(location)
