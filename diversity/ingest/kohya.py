"""kohya's conventions: folders `N_name` that say how often a picture is shown, captions in sidecar files.

Not for writing such folders: that is the kohya exporter.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from diversity.ingest.folder import Folder
from diversity.ingest.source import normal, shown
from diversity.ingest.text import read_text

_NAME = re.compile(r"([0-9]{1,3})_(.+)", re.DOTALL)  # four digits are a year ("2024_holiday"), not repeats


def parse_name(name: str) -> tuple[int, str] | None:
    """Repeats and concept of a folder `N_name`, N up to 999; None where the name is not of that form."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def concept_of(root: Path, parts: tuple[str, ...]) -> tuple[int | None, str | None]:
    """Repeats and concept of a folder: from the nearest `N_name` up to the root, else its own name without repeats."""
    names = [root.name, *parts]
    for name in reversed(names):
        if found := parse_name(name):
            return found[0], shown(found[1])
    return None, shown(names[-1]) or None


class Sidecars:
    """The caption files of one folder, by the picture's stem ("001.txt") or its whole name ("001.jpg.txt")."""

    def __init__(self, folder: Folder, extensions: tuple[str, ...]) -> None:
        self._folder = folder
        self._extensions = tuple(extension.lower() for extension in extensions)
        self._names: dict[str, str] = {}
        for name in folder.files:
            stem, extension = posixpath.splitext(name)
            if extension.lower() in self._extensions:
                self._names.setdefault(normal(stem) + extension.lower(), name)

    def caption(self, name: str) -> tuple[str, str] | None:
        """Caption and relative path of the first sidecar of the picture `name` that says something."""
        stem = posixpath.splitext(name)[0]
        for base in (normal(stem), normal(name)):
            for extension in self._extensions:
                sidecar = self._names.get(base + extension)
                text = read_text(self._folder.location / sidecar) if sidecar else None
                if sidecar and text:
                    return text, shown(self._folder.relative(sidecar))
        return None
