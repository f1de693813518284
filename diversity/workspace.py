"""The folder on disk that belongs to a set of pictures: where it is, its marker, its lock, atomic files.

Not for what the tables mean: that is `tables.py` and `dataset.py`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diversity.errors import WorkspaceError

FOLDER = "_diversity"
MARKER = "diversity-workspace.json"
VERSION = 1


def default_location(pictures: Path) -> Path:
    """`_diversity/<name>/` beside the pictures, or in the user's data folder where that place is read-only."""
    beside = pictures.parent / FOLDER / pictures.name
    if beside.exists() or _writable(pictures.parent):
        return beside
    import platformdirs

    where = hashlib.blake2b(str(pictures).encode(), digest_size=6).hexdigest()
    return Path(platformdirs.user_data_dir("diversity")) / f"{pictures.name}-{where}"


def check(folder: Path, pictures: Path) -> bool:
    """Whether `folder` is a workspace already; it may also be empty or not there yet.

    Raises:
        WorkspaceError: the folder is in use for something else or for other pictures, or is of another version.
    """
    if is_workspace(folder):
        owner = owner_of(folder) or pictures
        if _is_folder(owner) and not _same(owner, pictures) and folder != default_location(pictures):
            raise WorkspaceError(
                f"The workspace {folder} belongs to {owner}.",
                f"Its tables would be overwritten by those of {pictures}.",
                "Pass another folder with --workspace.",
            )
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorkspaceError(
            f"{folder} is not a workspace.",
            "It holds files but no marker of ours.",
            "Pass an empty folder with --workspace.",
        )
    return False


def owner_of(folder: Path) -> Path | None:
    """The pictures that the workspace `folder` says it is of; None where it does not say.

    Raises:
        WorkspaceError: it is of another version.
    """
    try:
        known = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        found = known["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        known, found = {}, "unreadable"
    if found != VERSION:
        raise WorkspaceError(
            f"The workspace {folder} is of version {found}.",
            f"This release reads version {VERSION}.",
            "Move it away or pass another folder with --workspace.",
        )
    return Path(str(known["pictures"])) if "pictures" in known else None


def prepare(folder: Path, pictures: Path) -> None:
    """Make the workspace where there is none yet.

    Raises:
        WorkspaceError: it cannot be made there, or see `check`.
    """
    marker = json.dumps({"version": VERSION, "pictures": str(pictures)}, indent=1)
    if check(folder, pictures):
        if (folder / MARKER).read_text(encoding="utf-8") != marker:  # both were moved or renamed
            write_text(folder / MARKER, marker)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    write_text(folder / MARKER, marker)


def is_workspace(folder: Path) -> bool:
    """Whether `folder` carries the marker: ingest never reads such folders."""
    return (folder / MARKER).is_file()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not."""
    temporary = path.parent / f".{path.name[:40]}.{secrets.token_hex(4)}.tmp"  # not mkstemp: others may read the result
    try:
        with plainly(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Remove what killed writers left; only while the workspace is held."""
    places = [folder, *(place for place in folder.iterdir() if place.is_dir() and place.name not in ("export", "runs"))]
    for place in places:
        for left in place.glob(".*.tmp"):
            left.unlink(missing_ok=True)


@contextmanager
def plainly(path: Path) -> Iterator[None]:
    """Say plainly what keeps `path` from being written.

    Raises:
        WorkspaceError: the disk is full, or the place is closed to us.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WorkspaceError(
                f"{path.name} could not be written.", "The disk is full.", "Free some space and run again."
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise _unwritable(path, error) from None
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically, as UTF-8 with LF ends."""
    write_bytes(path, text.encode("utf-8"))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the workspace for writing.

    Raises:
        WorkspaceError: another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except PermissionError as error:
        raise _unwritable(folder, error) from None
    except Timeout:
        raise WorkspaceError(
            f"The workspace {folder} is in use.", "Another diversity process is writing to it.", "Wait for it to end."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _unwritable(path: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(
        f"{path} cannot be written.", f"{error.strerror or error}.", "Pass another folder with --workspace."
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that this system does not allow: noted on another one
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _writable(folder: Path) -> bool:
    """Whether a file can be made in `folder`: tried, because access bits lie on Windows and network mounts."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
