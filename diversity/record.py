"""`curation.json`: what every stage was run with, so that it can be skipped, repeated and believed.

Not for results: those are tables.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diversity import workspace
from diversity.errors import WorkspaceError

if TYPE_CHECKING:
    from diversity.config import Config

FILE = "curation.json"


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
    except (ValueError, AttributeError) as error:
        raise WorkspaceError(f"{path} cannot be read.", f"{error}.", "Delete it and run again.") from None
    return dict(found)


def save(folder: Path, record: dict[str, Any]) -> None:
    """Write the record atomically."""
    workspace.write_text(folder / FILE, json.dumps(record, indent=1, ensure_ascii=False, default=str))


def file_hash(path: Path) -> str:
    """16 hex digits over the bytes of `path`."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def digest(value: object) -> str:
    """16 hex digits over `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def with_last_selection(folder: Path, config: Config) -> Config:
    """`config` with the selection's settings of the last run: exporting or reporting must not choose anew."""
    from diversity.config import SelectConfig

    last = load(folder)["stages"].get("select", {}).get("settings", {}).get("select")
    return config if last is None else config.model_copy(update={"select": SelectConfig(**last)})
