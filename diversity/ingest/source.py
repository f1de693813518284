"""Source: one picture file, or one picture inside a tar, with what was said about it.

Not for what is in the picture.
"""

from __future__ import annotations

import os
import posixpath
import unicodedata
from dataclasses import dataclass
from pathlib import Path

UNREADABLE = "The file cannot be read"  # how the problem of a file begins that could not be opened or read

PICTURE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "bmp", "dib", "gif", "tif", "tiff", "avif", "heic"),
        *("heif", "hif", "jxl", "jp2", "j2k", "ppm", "pgm", "pbm", "pnm", "ico", "tga", "qoi", "psd"),
    )
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where one picture lies, and what its folder says about it.

    Attributes:
        path: Relative to the pictures' root, forward slashes; "shard.tar/000.jpg" inside a tar. Always valid Unicode:
            bytes of a file name that are not are escaped.
        location: The file on disk: the picture, or the tar that holds it.
        size: Bytes of the picture; 0 where the file could not be looked at.
        mtime_ns: When `location` was last written.
        offset: First byte of the picture inside `location`; None: `location` is the picture.
        caption: What the picture shows, stripped; None: nothing was said.
        caption_path: The file that said it, relative to the root.
        repeats: N of a kohya folder `N_name`.
        concept: Name of that kohya folder, or of the folder that holds the picture.
        apart: (group, tag) of what was said that the picture does not show: artist, rating, quality, meta.
    """

    path: str
    location: Path
    size: int
    mtime_ns: int
    offset: int | None = None
    caption: str | None = None
    caption_path: str | None = None
    repeats: int | None = None
    concept: str | None = None
    apart: tuple[tuple[str, str], ...] = ()

    def read(self) -> bytes:
        """The picture's bytes.

        Raises:
            OSError: the file is gone, may not be read, is no regular file, or ends before the picture does.
        """
        if not self.location.is_file():
            raise FileNotFoundError("The file is gone, or is not a regular file.")
        if self.offset is None:
            return self.location.read_bytes()
        with self.location.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) < self.size:
            raise OSError("The tar ends before the picture does.")
        return data


def shown(name: str) -> str:
    """`name` as valid Unicode: what a file system gives in other encodings is escaped, never lost."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    return name


def normal(name: str) -> str:
    """One spelling for names that macOS writes decomposed and others composed."""
    return unicodedata.normalize("NFC", name)


def is_picture_name(name: str) -> bool:
    """Whether `name` ends like a picture, in any case."""
    return posixpath.splitext(name)[1].lower() in PICTURE_SUFFIXES
