"""Steps and rank follow from what there is to learn, visibly, and the user's word wins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from training import advice
from training.advice import Richness


def test_steps_are_exposures_times_distinct_pictures_over_the_batch() -> None:
    found = advice.steps(Richness(60, 40, 0.0), exposures=100, per_step=4)
    assert found.value == 1000
    assert "100 exposures of each of 40 distinct pictures" in found.reason
    assert "4 pictures a step: 1000 steps" in found.reason


def test_cut_outs_need_fewer() -> None:
    full, half, cut = (advice.steps(Richness(40, 40, f), exposures=100, per_step=4).value for f in (0, 0.5, 1))
    assert full > half > cut
    assert cut == 600
    assert "cut-outs" in advice.steps(Richness(40, 40, 0.5), exposures=100, per_step=4).reason


def test_pictures_of_other_folders_add_steps_so_that_the_selection_gets_its_exposures() -> None:
    alone = advice.steps(Richness(40, 40, 0), exposures=100, per_step=4).value
    assert advice.steps(Richness(40, 40, 0), exposures=100, per_step=4, share=0.5).value == 2 * alone


@given(st.integers(1, 500), st.integers(1, 500), st.floats(0, 1), st.integers(1, 64))
def test_more_distinct_pictures_never_mean_fewer_steps_or_a_lower_rank(a: int, b: int, flat: float, batch: int) -> None:
    low, high = sorted((a, b))
    one, other = Richness(500, low, flat), Richness(500, high, flat)
    assert advice.rank(one).value <= advice.rank(other).value
    steps = [advice.steps(found, exposures=100, per_step=batch).value for found in (one, other)]
    assert advice.LEAST <= steps[0] <= steps[1]


def test_near_copies_add_nothing() -> None:
    assert advice.steps(Richness(400, 40, 0), exposures=100, per_step=4) == advice.steps(
        Richness(40, 40, 0), exposures=100, per_step=4
    )
