"""WebDataset tars: pictures with `.txt` or `.json` members of the same key, found without unpacking anything.

Not for compressed tars, whose members cannot be read at an offset.
"""

from __future__ import annotations

import json
import logging
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from diversity.ingest.source import is_picture_name, shown
from diversity.ingest.text import MAX_BYTES, caption_of, clean, decode_text

SUFFIX = ".tar"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """A picture inside a tar: its name there, its place in bytes, its caption and the member that holds it."""

    name: str
    offset: int
    size: int
    caption: str | None
    caption_name: str | None


@dataclass(slots=True)
class _Contents:
    """What one pass over a tar found, by cleaned name; a later member replaces an earlier one, as unpacking would."""

    pictures: dict[str, tuple[int, int]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


def members(path: Path, caption_extensions: tuple[str, ...]) -> Iterator[Member]:
    """The pictures in the tar at `path`, sorted by name; a broken tar gives what lies before the damage."""
    extensions = (*(extension.lower() for extension in caption_extensions), ".json")
    contents = _Contents()
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                _take(tar, info, contents, extensions)
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        logger.warning("The tar %s is damaged or not a tar: %s", path, error)
    for name, (offset, size) in sorted(contents.pictures.items()):
        found = _caption(name, contents.texts, extensions)
        yield Member(name, offset, size, *(found or (None, None)))


def _take(tar: tarfile.TarFile, info: tarfile.TarInfo, contents: _Contents, extensions: tuple[str, ...]) -> None:
    """Note a member; links, folders, sparse files, devices and hidden names are left out."""
    name = clean_name(info.name)
    base = posixpath.basename(name)
    if not info.isreg() or info.issparse() or not base or base.startswith("."):
        return
    if is_picture_name(base):
        contents.pictures[name] = info.offset_data, info.size
    elif posixpath.splitext(base)[1].lower() in extensions and info.size <= MAX_BYTES:
        file = tar.extractfile(info)
        if file is not None and (text := _text(base, file.read())):
            contents.texts[name] = text


def clean_name(name: str) -> str:
    """A member's name as a harmless relative path: no root, no `..`, valid Unicode."""
    parts = shown(name).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def _text(base: str, data: bytes) -> str | None:
    text = decode_text(data)
    if not base.lower().endswith(".json"):
        return clean(text)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return caption_of(record) if isinstance(record, dict) else None


def _caption(name: str, texts: dict[str, str], extensions: tuple[str, ...]) -> tuple[str, str] | None:
    """Caption and its member's name: same name up to the last dot, else up to the first (WebDataset's key)."""
    folder, base = posixpath.split(name)
    for stem in (posixpath.splitext(base)[0], base.split(".", 1)[0]):
        for extension in extensions:
            member = posixpath.join(folder, stem + extension)
            if member in texts:
                return texts[member], member
    return None
