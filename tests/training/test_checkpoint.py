"""Checkpoints: whole or not there, the newest readable one wins, a full disk costs nothing that was there."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from diversity.errors import WorkspaceError
from training import checkpoint


def lora(folder: Path) -> None:
    (folder / "lora.safetensors").write_bytes(b"weights")


def test_the_newest_state_is_loaded_and_only_two_are_kept_with_all_lora_files(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        checkpoint.save(tmp_path, step, {"step": step, "x": torch.tensor([step])}, lora)
    state = checkpoint.load(tmp_path)
    assert state is not None
    assert state["step"] == 30
    assert [path.name for path in checkpoint.found(tmp_path)] == ["step-000020", "step-000030"]
    assert len(list(tmp_path.glob("step-*/lora.safetensors"))) == 3


def test_a_broken_state_is_passed_over(tmp_path: Path) -> None:
    for step in (10, 20):
        checkpoint.save(tmp_path, step, {"step": step}, lora)
    (tmp_path / "step-000020" / checkpoint.STATE).write_bytes(b"half")
    state = checkpoint.load(tmp_path)
    assert state is not None
    assert state["step"] == 10


def test_a_full_disk_is_said_plainly_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 10, {"step": 10}, lora)

    def full(folder: Path) -> None:
        lora(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WorkspaceError, match="disk is full"):
        checkpoint.save(tmp_path, 20, {"step": 20}, full)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000010"]
    state = checkpoint.load(tmp_path)
    assert state is not None
    assert state["step"] == 10


def test_what_a_killed_run_left_half_written_is_ignored_and_removed_by_the_next_one(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 10, {"step": 10}, lora)
    half = tmp_path / ".step-000020.abcd.tmp"
    half.mkdir()
    (half / checkpoint.STATE).write_bytes(b"half")
    state = checkpoint.load(tmp_path)
    assert state is not None
    assert state["step"] == 10
    assert half.exists()  # looking at a run that is being written must not disturb it
    checkpoint.save(tmp_path, 30, {"step": 30}, lora)
    assert not half.exists()


def test_saving_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    for value in (1, 2):
        checkpoint.save(tmp_path, 10, {"value": value}, lora)
    state = checkpoint.load(tmp_path)
    assert state is not None
    assert state["value"] == 2
