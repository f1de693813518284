"""List every picture under a root, with its caption, from whatever layouts are found there.

Not for the layouts themselves: each has a module beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from diversity.config import ScanConfig
from diversity.errors import InputError
from diversity.ingest import embedded, kohya, webdataset
from diversity.ingest import folder as folders
from diversity.ingest.folder import Folder
from diversity.ingest.imagefolder import Metadata
from diversity.ingest.records import Records, Said
from diversity.ingest.source import Source, is_picture_name, shown


def list_sources(root: Path, config: ScanConfig) -> list[Source]:
    """Every file under `root` that is named like a picture, and every picture in its tars, sorted by path.

    A text beside the picture wins over a metadata file, that over a JSON record beside it, and that over what is
    written inside the picture. Nothing is decoded: a file that is no picture, or is gone
    by the time it is read, is found out later. Folders and tars that cannot be read are logged and left out.

    Raises:
        InputError: `root` is not a folder.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder.", "", "Give the folder that holds the pictures.")
    root = root.absolute()
    tree = list(folders.walk(root))
    metadata = Metadata()
    for folder in tree:
        metadata.add(folder)
    sources = {source.path: source for folder in tree for source in _folder_sources(root, folder, metadata, config)}
    return [sources[path] for path in sorted(sources)]


def _folder_sources(root: Path, folder: Folder, metadata: Metadata, config: ScanConfig) -> Iterator[Source]:
    """The pictures that lie in `folder` itself, and in the tars there."""
    sidecars = kohya.Sidecars(folder, config.caption_extensions)
    records = Records(folder)
    repeats, concept = kohya.concept_of(root, folder.parts)
    for name in folders.without_labels(folder.files):
        location = folder.location / name
        if is_picture_name(name):
            size, mtime = _stat(location)
            path = shown(folder.relative(name))
            said, record = records.of(name) or (Said(None), "")
            caption, said_by = (
                sidecars.caption(name)
                or metadata.caption(folder.relative(name))
                or ((said.caption, record) if said.caption else None)
                or _inside(location, path)
            )
            yield Source(path, location, size, mtime, None, caption, said_by, repeats, concept, said.apart)
        elif name.lower().endswith(webdataset.SUFFIX) and location.is_file():
            tar = shown(folder.relative(name))
            _, mtime = _stat(location)
            for member in webdataset.members(location, config.caption_extensions):
                said_by = member.caption_name and f"{tar}/{member.caption_name}"
                path = f"{tar}/{member.name}"
                yield Source(
                    path, location, member.size, mtime, member.offset, member.caption, said_by, repeats, concept
                )


def _inside(location: Path, path: str) -> tuple[str | None, str | None]:
    """The caption inside a picture file, and the picture's own path as the file that says it."""
    caption = embedded.caption(location) if location.is_file() else None
    return (caption, path) if caption else (None, None)


def _stat(location: Path) -> tuple[int, int]:
    """Size and time of a file; zeros where it is gone or may not be looked at."""
    try:
        stat = location.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
