"""Checkpoints that survive a kill or a power cut: written aside, flushed, renamed; the last two can be resumed from.

Not for what is in them: the loop hands over its state and gets it back.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from diversity.errors import WorkspaceError

STATE = "state.pt"  # what a resumed run needs; only the newest `KEPT` checkpoints have it
KEPT = 2

State = dict[str, Any]


def save(folder: Path, step: int, state: State, write: Callable[[Path], None]) -> Path:
    """Write one checkpoint; the folder it lies in.

    Args:
        folder: Of all checkpoints of a run.
        step: Steps done.
        state: For resuming; tensors, numbers, text, lists and dicts.
        write: Writes what else belongs to the checkpoint (the LoRA files) into the folder given to it.

    Raises:
        WorkspaceError: the disk is full or may not be written; earlier checkpoints are as they were.
    """
    target = folder / f"step-{step:06d}"
    aside = folder / f".{target.name}.{secrets.token_hex(4)}.tmp"
    for left in folder.glob(".step-*.tmp"):  # of a run that was killed here
        shutil.rmtree(left, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        write(aside)
        torch.save(state, aside / STATE)
        _flush(aside)
        if target.exists():
            shutil.rmtree(target)
        aside.replace(target)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
        full = getattr(error, "errno", None) == errno.ENOSPC or shutil.disk_usage(folder).free < 1 << 20
        why = "The disk is full." if full else f"{str(error).splitlines()[0].rstrip('.')}."
        raise WorkspaceError(
            f"The checkpoint of step {step} could not be written.", why, "Mend that and run the same command again."
        ) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    for older in found(folder)[:-KEPT]:
        (older / STATE).unlink(missing_ok=True)
    return target


def found(folder: Path) -> list[Path]:
    """The checkpoints in `folder` that can be resumed from, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / STATE).is_file())


def load(folder: Path) -> State | None:
    """The state of the newest checkpoint that can be read; None where there is none."""
    for path in reversed(found(folder)):
        try:
            state: State = torch.load(path / STATE, map_location="cpu", weights_only=True)
        except Exception:  # half a file makes the reader raise nearly anything
            continue
        return state
    return None


def _flush(folder: Path) -> None:
    """Make the system write the files to the disk before the folder gets its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
