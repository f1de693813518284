"""The loss is diffusers' own, step by step, optimiser included (T1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.training_parity import CASES, Case, difference


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_twenty_steps_have_the_losses_of_diffusers_own_loop(case: Case, sd1_folder: Path, v_folder: Path) -> None:
    assert difference(sd1_folder if case.model == "sd1" else v_folder, case) <= 1e-6
