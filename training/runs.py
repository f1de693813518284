"""The record of every run: where it lies, what it was made from and with, what came of it, and how two runs differ.

Not for training: that is `train.py`, which writes here.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from diversity import __version__, workspace
from diversity.errors import InputError, WorkspaceError

if TYPE_CHECKING:
    from diversity.dataset import Dataset
    from training.base import Base

FOLDER = "runs"
FILE = "run.json"
LORA_FILE = "pytorch_lora_weights.safetensors"
PACKAGES = ("torch", "diffusers", "peft", "accelerate", "transformers", "numpy")
METRICS = {"step": pl.Int64, "measure": pl.String, "value": pl.Float64}

# Where the command line looks for a run that is given by its id alone.
SEARCHED = (
    f"{FOLDER}/*",
    f"*/{FOLDER}/*",
    f"{workspace.FOLDER}/*/{FOLDER}/*",
    f"*/{workspace.FOLDER}/*/{FOLDER}/*",
    f"*/workspace/{FOLDER}/*",
)


class Run:
    """One run's folder.

    Attributes:
        folder: `<workspace>/runs/<id>`.
        record: The content of its run.json.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: dict[str, Any] = _read(folder)

    @classmethod
    def create(cls, parent: Path, name: str, record: dict[str, Any]) -> Self:
        """A new run in `parent` (a workspace), named by time and `name`."""
        stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{_slug(name)}"
        for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
            folder = parent / FOLDER / f"{stem}{suffix}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise WorkspaceError(f"{folder} cannot be made.", f"{error.strerror}.", "Check --workspace.") from None
            full = {"id": folder.name, "created": now(), "state": "running", **record}
            workspace.write_text(folder / FILE, _json(full))
            return cls(folder)
        raise WorkspaceError(f"{parent / FOLDER} holds too many runs of this second.")

    @property
    def id(self) -> str:
        """Name of its folder."""
        return self.folder.name

    @property
    def lora(self) -> Path:
        """The LoRA in diffusers' layout."""
        return self.folder / LORA_FILE

    @property
    def checkpoints(self) -> Path:
        """Folder of its checkpoints."""
        return self.folder / "checkpoints"

    def update(self, **changes: object) -> None:
        """Write changes of the record, atomically."""
        self.record.update(changes)
        workspace.write_text(self.folder / FILE, _json(self.record))

    def write(self, name: str, frame: pl.DataFrame) -> None:
        """Write a table of the run, atomically."""
        buffer = BytesIO()
        frame.write_parquet(buffer)
        workspace.write_bytes(self.folder / f"{name}.parquet", buffer.getvalue())

    def read(self, name: str) -> pl.DataFrame:
        """A table: metrics, exposures, pictures, losses.

        Raises:
            WorkspaceError: it is not there or cannot be read.
        """
        try:
            return pl.read_parquet(self.folder / f"{name}.parquet", glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise WorkspaceError(f"The table '{name}' of {self.id} cannot be read.", f"{error}.") from None

    def has(self, name: str) -> bool:
        """Whether a table was written."""
        return (self.folder / f"{name}.parquet").is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for writing.

        Raises:
            WorkspaceError: another process holds it.
        """
        with workspace.locked(self.folder):
            yield


def every(parent: Path) -> list[Run]:
    """The runs of a workspace, oldest first; unreadable ones are left out."""
    found = []
    for file in sorted((parent / FOLDER).glob(f"*/{FILE}")):
        try:
            found.append(Run(file.parent))
        except WorkspaceError:
            continue
    return sorted(found, key=lambda run: (str(run.record.get("created")), run.id))


def find(text: str | Path, dataset: Dataset | None = None) -> Run:
    """The run that `text` names: its folder, or its id or the beginning of it.

    Args:
        text: As the user gave it.
        dataset: Whose runs are searched; None: those of the workspaces here (see `SEARCHED`).

    Raises:
        InputError: there is no such run, or several.
    """
    path = Path(text).expanduser()
    if (path / FILE).is_file():
        return Run(path.resolve())
    if path.name == FILE and path.is_file():
        return Run(path.resolve().parent)
    patterns = (f"{FOLDER}/*",) if dataset else SEARCHED
    root = dataset.folder if dataset else Path.cwd()
    folders = {file.parent.resolve() for pattern in patterns for file in root.glob(f"{pattern}/{FILE}")}
    exact = [folder for folder in folders if folder.name == str(text)]
    matches = exact or [folder for folder in folders if folder.name.startswith(str(text))]
    if len(matches) == 1:
        return Run(matches[0])
    if matches:
        raise InputError(f"{len(matches)} runs begin with '{text}'.", "", "Give more of the id, or the folder.")
    known = ", ".join(sorted(folder.name for folder in folders)[-3:])
    raise InputError(
        f"There is no run '{text}'.",
        f"The last ones here are {known}." if known else f"No run was found under {root}.",
        "Give the folder of a run, runs/<id> of a workspace.",
    )


def identity(base: Base) -> dict[str, str]:
    """What a run remembers of its base so that another one is told apart: weights, and the noise schedule over them."""
    return {"fingerprint": base.fingerprint, "schedule": base.schedule}


def other_base(run: Run, base: Base) -> str:
    """How `base` differs from the one of `run`, as the end of a sentence; "" where it does not.

    Runs that remember no schedule (before it was recorded) are told apart by weights alone.
    """
    known = run.record.get("base", {})
    if known.get("fingerprint") != base.fingerprint:
        return "its weights are others"
    same = known.get("schedule", base.schedule) == base.schedule
    return "" if same else "its noise schedule, or what it predicts, is another one"


def newest(parent: Path, fingerprint: str) -> Run | None:
    """The newest run of a workspace with this fingerprint."""
    return next((run for run in reversed(every(parent)) if run.record.get("fingerprint") == fingerprint), None)


def unfinished(parent: Path, fingerprint: str) -> Run | None:
    """The newest run of a workspace with this fingerprint, if it did not come to its end."""
    found = newest(parent, fingerprint)
    return None if found is None or found.record.get("state") == "finished" else found


def surroundings() -> dict[str, Any]:
    """Versions, machine and git revision, for the record."""
    versions = {"diversity": __version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in PACKAGES}
    return {"versions": versions, "system": platform.platform(), "git": _revision()}


def now() -> str:
    """Local time with its offset, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def summary(run: Run) -> dict[str, Any]:
    """One line's worth of a run."""
    record, result = run.record, run.record.get("result", {})
    settings = record.get("settings", {})
    return {
        "id": run.id,
        "state": record.get("state"),
        "base": record.get("base", {}).get("name"),
        "selection": settings.get("selection"),
        "pictures": record.get("data", {}).get("train"),
        "steps": f"{record.get('step', 0)}/{settings.get('steps')}",
        "loss": result.get("loss"),
        "held out": result.get("held_out.loss"),
        "gap": result.get("sentence"),
    }


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Settings, data, versions and results in which the runs differ: name → value per run."""
    flat = [_flat({k: run.record.get(k) for k in COMPARED}) for run in runs]
    names = list(dict.fromkeys(name for one in flat for name in one))
    rows = {name: [one.get(name) for one in flat] for name in names}
    return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


COMPARED = ("base", "data", "settings", "versions", "git", "state", "step", "result", "timings")


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return found


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return dict(found)
    except (OSError, ValueError, TypeError) as error:
        raise WorkspaceError(f"{folder / FILE} cannot be read.", f"{error}.", "Delete the run.") from None


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=1, ensure_ascii=False, default=str)


def _slug(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name).strip("-")[:40] or "run"


def _revision() -> dict[str, Any] | None:
    """The commit of this program's own checkout and whether it was changed; None where it is not one."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git(here, "status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(("git", "-C", str(folder), *words), capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
