"""Peers and the virtual environments that they run in; never dependencies of the project.

Every environment is made once by uv in a cache folder outside the repository. A peer that does not install is absent,
with the reason; so is one whose licence asks the user to install it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from diversity import record
from diversity.workspace import write_bytes

MINUTES = 20  # that one installation may take
READY = "ready.txt"


class Absent(Exception):
    """A peer that cannot be compared with; `str()` is the reason, one line."""


@dataclass(frozen=True)
class Peer:
    """A package that people use instead.

    Attributes:
        requirements: What uv installs; empty: not by us.
        licence: As its project states it.
        note: Why it is not installed by us.
    """

    requirements: tuple[str, ...]
    licence: str
    note: str = ""


PEERS: dict[str, Peer] = {
    "imagededup": Peer(("imagededup==0.3.3.post2",), "Apache-2.0"),
    "cleanvision": Peer(("cleanvision==0.3.7",), "Apache-2.0"),
    "apricot": Peer(("apricot-select==0.6.1", "scikit-learn"), "MIT"),  # it imports scikit-learn without asking for it
    "submodlib": Peer(("submodlib-py==0.0.3",), "MIT"),
    "vendi-score": Peer(("vendi-score==0.0.3",), "MIT"),
    "prdc": Peer(("prdc==0.2",), "MIT"),
    "fiftyone-brain": Peer(("fiftyone==1.22.1", "fiftyone-brain==0.25.0"), "Apache-2.0"),
    "fastdup": Peer((), "CC BY-NC-ND 4.0", "its licence is non-commercial: pass --fastdup PYTHON where you have it"),
}


def cache_folder() -> Path:
    """Where environments are kept unless the user names another place."""
    from platformdirs import user_cache_path

    return user_cache_path("diversity-benchmarks") / "peers"


def python_of(name: str, cache: Path, own: Path | None = None, *, seconds: float = 60.0 * MINUTES) -> Path:
    """The interpreter of a peer's environment, made where it is not there yet.

    Args:
        name: Key of `PEERS`.
        cache: Folder of the environments.
        own: An interpreter that already has the peer.
        seconds: That each step of an installation may take.

    Raises:
        Absent: it cannot be installed, or is not installed by us.
    """
    if own is not None:
        return own
    peer = PEERS[name]
    if not peer.requirements:
        raise Absent(peer.note)
    folder = cache / f"{name}-{record.digest([sys.version_info[:2], peer.requirements])[:8]}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / READY).is_file():
        uv = _uv(cache, seconds)
        shutil.rmtree(folder, ignore_errors=True)
        _run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], seconds)
        _run([*uv, "pip", "install", "-q", "--python", str(python), *peer.requirements], seconds)
        write_bytes(folder / READY, "\n".join(peer.requirements).encode())
    return python


def interpreters(names: Iterable[str], cache: Path, fastdup: Path | None, seconds: float) -> dict[str, Path | Absent]:
    """Peer → its interpreter, or why there is none.

    Args:
        names: Keys of `PEERS`.
        cache: Folder of the environments.
        fastdup: An interpreter that has it.
        seconds: That all installations together may take.
    """
    until = time.monotonic() + seconds
    found: dict[str, Path | Absent] = {}
    for name in names:
        left = min(until - time.monotonic(), 60.0 * MINUTES)
        try:
            found[name] = python_of(name, cache, fastdup if name == "fastdup" else None, seconds=left)
        except Absent as reason:
            found[name] = reason
    return found


def _uv(cache: Path, seconds: float) -> list[str]:
    """The command of uv: on the path, beside this interpreter, or installed into the cache."""
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if found:
        return [found]
    home = cache / "uv"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        _run([sys.executable, "-m", "venv", str(home)], seconds)
    _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "uv"], seconds)
    return [str(python), "-m", "uv"]


def _run(command: list[str], seconds: float) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(seconds, 0.0), check=False)
    except subprocess.TimeoutExpired:
        raise Absent("it does not install in the time that is left for installing") from None
    except OSError as error:
        raise Absent(f"it does not install: {error}") from None
    if done.returncode:
        raise Absent(f"it does not install: {last_line(done.stderr)}")


def last_line(text: str) -> str:
    """The last line that says something, at most 200 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no message"
