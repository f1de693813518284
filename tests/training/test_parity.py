"""The loss is diffusers' own, step by step, optimiser included (T1)."""

from __future__ import annotations

from pathlib import Path

import pytest
from sets import small_set

from benchmarks.training_parity import CASES, Case, difference


def marked(case: Case) -> object:
    """All on and all off in the quick suite, the mixed cases in the slow one."""
    mixed = (case.gamma is None) != (case.offset == 0)
    return pytest.param(case, id=case.name, marks=[pytest.mark.slow] if mixed else [])


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_twenty_steps_have_the_losses_of_diffusers_own_loop(
    case: Case, sd1_folder: Path, v_folder: Path, tmp_path: Path
) -> None:
    folder = sd1_folder if case.model == "sd1" else v_folder
    assert difference(folder, case, small_set(tmp_path, 8, sizes=[(64, 64)])) <= 1e-6
