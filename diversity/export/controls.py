"""Control pictures of edit sets (before and after, sketch and drawing): found for every target, or said to be missing.

Not for masks, and not for choosing targets: a control follows its target wherever that goes.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from diversity.errors import ExportError
from diversity.export.items import Item
from diversity.ingest.source import is_picture_name
from diversity.record import file_hash


class Controls:
    """The pictures of a folder, by the path that they share with their targets, extension apart.

    Args:
        folder: Of control pictures.
        root: The pictures' folder, that targets' paths are relative to.

    Raises:
        ExportError: `folder` is not a folder.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        if not folder.is_dir():
            raise ExportError(
                f"There are no control pictures in {folder}.",
                "It is not a folder.",
                "Check what --control names; `--set export.control=none` forgets it.",
            )
        self._folder, self._root = folder, root
        self._by_path: dict[str, Path] = {}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for file in sorted(file for file in folder.rglob("*") if is_picture_name(file.name) and file.is_file()):
            path = _stem(file.relative_to(folder).as_posix())
            self._by_path.setdefault(path, file)
            self._by_name[path.rpartition("/")[2]].append(file)

    def find(self, path: str) -> Path | None:
        """The control of the target at `path`; None where there is none, or several are called so."""
        stem = _stem(path)
        named = self._by_name.get(stem.rpartition("/")[2], [])
        return self._by_path.get(stem, named[0] if len(named) == 1 else None)

    def of(self, item: Item) -> Path:
        """The control of a target: of the same path, else the only one of the same name.

        Raises:
            ExportError: there is none, several are called so, or it is the target itself.
        """
        found = self.find(item.path)
        if found is not None:
            self._refuse_itself(item.path, found)
            return found
        named = self._by_name.get(_stem(item.path).rpartition("/")[2], [])
        why = f"{len(named)} pictures in {self._folder} are called so." if named else f"Looked in {self._folder}."
        raise ExportError(
            f"{item.path} has no control picture of its own.",
            why,
            "Give it one of the same name, or drop the target: a pair is exported whole or not at all.",
        )

    def _refuse_itself(self, path: str, control: Path) -> None:
        target = self._root / path
        if target.exists() and control.samefile(target):
            raise ExportError(
                f"{path} is its own control picture.",
                f"It lies in {self._folder} as well, or is a link to a file there.",
                "Give it a control of its own, or drop the target.",
            )


def hashes(folder: Path, root: Path, paths: Mapping[str, str]) -> dict[str, str]:
    """Key → hash of the control's bytes, for the targets (key → path below `root`) that have one in `folder`.

    Raises:
        ExportError: `folder` is not a folder.
    """
    controls = Controls(folder, root)
    found = ((key, controls.find(path)) for key, path in paths.items())
    return {key: file_hash(file) for key, file in found if file is not None}


def _stem(path: str) -> str:
    return unicodedata.normalize("NFC", PurePosixPath(path).with_suffix("").as_posix())
