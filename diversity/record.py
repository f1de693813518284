"""`curation.json`: what every stage was run with, so that it can be skipped, repeated and believed.

Not for results: those are tables.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diversity import workspace
from diversity.config import DEFAULT_SELECTION, SelectConfig
from diversity.errors import SelectionError, WorkspaceError

if TYPE_CHECKING:
    from diversity.config import Config

FILE = "curation.json"
PER_SELECTION = ("select", "export", "report", "elbow")  # stages and notes of which every selection has its own


def load(folder: Path) -> dict[str, Any]:
    """The record of the workspace `folder`; empty where there is none.

    Raises:
        WorkspaceError: the file cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return {"stages": {}}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found.get("stages"), dict):
            raise ValueError("it has no stages")
    except (ValueError, AttributeError, RecursionError) as error:
        raise WorkspaceError(f"{path} cannot be read.", f"{error}.", "Delete it and run again.") from None
    return dict(found)


def save(folder: Path, record: dict[str, Any]) -> None:
    """Write the record atomically."""
    workspace.write_text(folder / FILE, json.dumps(record, indent=1, ensure_ascii=False, default=str))


def preset(folder: Path) -> str | None:
    """The preset of the last run in the workspace `folder`; None where there was none, or the record is broken."""
    try:
        found = load(folder).get("preset")
    except (WorkspaceError, OSError):  # whatever runs next says so
        return None
    return found if isinstance(found, str) else None


def remember_preset(folder: Path, name: str) -> None:
    """So that later commands need not name it again."""
    known = load(folder)
    if known.get("preset", "character") != name:
        save(folder, known | {"preset": name})


def control(folder: Path, pictures: Path) -> Path | None:
    """The folder of control pictures of the last run in the workspace `folder` of `pictures`; None as for `preset`."""
    try:
        found = load(folder).get("control")
    except (WorkspaceError, OSError):  # whatever runs next says so
        return None
    return pictures / found if isinstance(found, str) else None


def remember_control(folder: Path, pictures: Path, found: Path | None) -> None:
    """So that later commands need not name it again, nor take its pictures for targets; None forgets it.

    Inside `pictures` it is kept relative to them, so that it is found when both have moved. One that cannot be is not
    remembered: the run that named it fails, and later ones must not.
    """
    if found is not None and (not found.is_dir() or pictures.is_relative_to(found)):
        return
    known = load(folder)
    inside = found is not None and found.is_relative_to(pictures)
    text = None if found is None else found.relative_to(pictures).as_posix() if inside else str(found)
    if known.get("control") != text:
        save(folder, known | {"control": text})


def file_hash(path: Path) -> str:
    """16 hex digits over the bytes of `path`."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def digest(value: object) -> str:
    """16 hex digits over `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def key(name: str, selection: str) -> str:
    """Under which key the record holds what is `name` for one selection: bare for the default one."""
    return name if selection == DEFAULT_SELECTION else f"{name}/{selection}"


def of_selection(record: dict[str, Any], selection: str) -> dict[str, Any]:
    """A part of a record as if `selection` were the only one: its own entries under bare names, no others'."""
    found = {name: value for name, value in record.items() if "/" not in name}
    for name in PER_SELECTION:
        found.pop(name, None)
        if key(name, selection) in record:
            found[name] = record[key(name, selection)]
    return found


def with_last_selection(folder: Path, config: Config) -> Config:
    """`config` with the settings that its selection was made with: exporting or reporting must not choose anew.

    Raises:
        SelectionError: a selection other than the default was named and never made.
    """
    name = config.select.name
    last = load(folder)["stages"].get(key("select", name), {}).get("settings", {}).get("select")
    if last is None and name != DEFAULT_SELECTION:
        raise SelectionError(
            f"There is no selection '{name}'.", "It was never made.", f"Run `diversity select --name {name}` first."
        )
    return config if last is None else config.model_copy(update={"select": SelectConfig(**last)})
