"""Runs one adapter in one interpreter, in a process of its own, and reads what it answered and what that took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import Absent, last_line

ADAPTERS = Path(__file__).parent / "adapters"
ROOT = Path(__file__).parents[2]
MINUTES = 10  # that one run may take


@dataclass(frozen=True)
class Answer:
    """What one run gave.

    Attributes:
        found: The adapter's own answer.
        seconds: Wall seconds of the work, models loaded in it; without imports and without reading the inputs.
        cpu: Processor seconds of the work, child processes included.
        imports: Wall seconds of the imports.
        reading: Wall seconds of reading the inputs into memory.
        peak_mb: Largest resident memory of the process, or of its largest child where that is more; None where the
            system does not tell.
        version: Of the peer.
    """

    found: dict[str, Any]
    seconds: float
    cpu: float
    imports: float
    reading: float
    peak_mb: float | None
    version: str


def warm(job: Mapping[str, Any]) -> None:
    """Read every file that `job` names, so that whoever runs first does not wait for the disk alone."""
    for value in job.values():
        place = Path(value) if isinstance(value, str) else None
        if place is None or not place.is_absolute():
            continue
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file():
                file.read_bytes()


def run(adapter: str, job: Mapping[str, Any], python: Path | None = None) -> Answer:
    """Run `adapters/<adapter>.py` on `job`.

    Args:
        adapter: Its name.
        job: JSON-able values; "scratch" is added, an empty folder that it may write to.
        python: Its interpreter; None: this one, with the project on its path.

    Raises:
        Absent: it fails, with the last line that it said, or takes too long.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if python is None:
        environment["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory(prefix="diversity-peers-") as scratch:
        asked, answered = Path(scratch) / "job.json", Path(scratch) / "answer.json"
        work = Path(scratch) / "work"
        work.mkdir()
        asked.write_text(json.dumps({**job, "scratch": str(work)}), encoding="utf-8")
        command = [str(python or sys.executable), str(ADAPTERS / "_run.py"), adapter, str(asked), str(answered)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, timeout=60 * MINUTES, check=False, cwd=scratch
            )
        except subprocess.TimeoutExpired:
            raise Absent(f"it did not end within {MINUTES} minutes") from None
        if done.returncode or not answered.is_file():
            raise Absent(f"it fails: {last_line(done.stderr)}")
        return Answer(**json.loads(answered.read_text(encoding="utf-8")))
