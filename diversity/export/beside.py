"""What lies beside a picture and belongs to it alone: captions, records, caches, masks.

Not for what these files say: the scan reads captions, trainers the rest.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from functools import cache
from pathlib import Path

from diversity.ingest.folder import LABELS
from diversity.ingest.source import is_picture_name, normal

_SUFFIXES = (".txt", ".caption", ".json", ".yaml", ".npz")


class Beside:
    """Finds the files that go with a picture.

    Args:
        root: The pictures' folder.
        staying: Paths of pictures that stay, relative to it: what they share stays with them.
        captions: Suffixes of captions, beside the usual ones.
    """

    def __init__(self, root: Path, staying: Collection[str], captions: Collection[str] = ()) -> None:
        self._stems = {normal(posixpath.splitext(path)[0]) for path in staying}
        self._suffixes = {*_SUFFIXES, *(suffix.lower() for suffix in captions)}
        self._names = cache(lambda folder: _files(root / folder))

    def of(self, path: str) -> list[str]:
        """Files that belong to the picture at `path` alone, relative to the root: `1.txt`, `1.jpg.json`, a mask.

        Files of its stem may belong to a picture of another extension as well: then they are not its alone.
        """
        folder, name = posixpath.split(path)
        whole, stem = normal(name), normal(posixpath.splitext(name)[0])
        alone = normal(posixpath.splitext(path)[0]) not in self._stems
        labels = {stem + label for label in LABELS} if alone else set()
        found = []
        for other in self._names(folder):
            base, suffix = posixpath.splitext(normal(other))
            said = suffix.lower() in self._suffixes and (base == whole or (base == stem and alone))
            if said or (base in labels and is_picture_name(other)):
                found.append(posixpath.join(folder, other))
        return found


def _files(folder: Path) -> list[str]:
    try:
        return sorted(file.name for file in folder.iterdir() if file.is_file())
    except OSError:  # the inside of a tar
        return []
