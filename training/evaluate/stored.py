"""Finding and reading evaluations on disk. Not for writing them: that is `store.py`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from diversity.errors import InputError, WorkspaceError
from training.evaluate.store import FOLDER

FILE = "evaluation.json"


@dataclass(frozen=True)
class Stored:
    """One evaluation as it lies on disk.

    Attributes:
        folder: Its own.
        said: The content of evaluation.json.
        scores: With the columns `rows.ROWS`.
        samples, real, palettes: See `store.py`.
    """

    folder: Path
    said: dict[str, Any]
    scores: pl.DataFrame
    samples: pl.DataFrame
    real: pl.DataFrame
    palettes: pl.DataFrame

    @property
    def name(self) -> str:
        """The run's id, or the LoRA's file name."""
        return str(self.said.get("run") or Path(str(self.said.get("lora", self.folder.name))).name)


def find(what: str | Path) -> Path:
    """The folder of an evaluation: given itself, or by its run's folder or id.

    Raises:
        InputError: there is no such run, or it was not evaluated yet.
    """
    path = Path(what).expanduser()
    for folder in (path, path / FOLDER):
        if (folder / FILE).is_file():
            return folder.resolve()
    from training import runs

    run = runs.find(what)
    if not (run.folder / FOLDER / FILE).is_file():
        raise InputError(f"{run.id} was not evaluated yet.", "", f"Run `diversity evaluate {run.folder}` first.")
    return run.folder / FOLDER


def read(what: str | Path) -> Stored:
    """Read an evaluation.

    Raises:
        InputError: it is not there.
        WorkspaceError: a file of it cannot be read.
    """
    folder = find(what)
    try:
        said = dict(json.loads((folder / FILE).read_text(encoding="utf-8")))
        tables = [
            pl.read_parquet(folder / f"{name}.parquet", glob=False)
            for name in ("scores", "samples", "real", "palettes")
        ]
    except (OSError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
        raise WorkspaceError(f"The evaluation in {folder} cannot be read.", f"{error}.", "Evaluate again.") from None
    return Stored(folder, said, *tables)
