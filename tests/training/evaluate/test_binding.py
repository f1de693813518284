"""What a tag drags along after training; blends of two characters."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluate.binding import blend, difference_in_differences


def test_what_a_tag_does_under_the_base_too_is_no_binding() -> None:
    rng = np.random.default_rng(0)
    plain = rng.normal(0.3, 0.1, (10, 4))
    shared = plain + 0.2
    none = difference_in_differences(shared + 0.1, plain + 0.1, shared, plain)
    assert none.value == pytest.approx(0)
    dragged = difference_in_differences(shared + 0.3 + rng.normal(0, 0.02, (10, 4)), plain + 0.1, shared, plain)
    assert dragged.above(0.15)
    with pytest.raises(ValueError, match="shapes"):
        difference_in_differences(shared, plain, shared, plain[:5])


def two_characters(n: int, seed: int, d: int = 64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    axis = np.zeros(d)
    axis[0] = 2.0
    return rng.normal(0, 0.5, (n, d)) - axis / 2, rng.normal(0, 0.5, (n, d)) + axis / 2


def test_separate_characters_are_told_apart_without_bias_although_references_are_few() -> None:
    firsts, seconds = [], []
    for seed in range(40):
        real, asked = two_characters(8, seed), two_characters(24, 900 + seed)
        groups = (np.arange(8), np.arange(8))
        found = blend(asked, real, groups, (np.arange(24) % 6, np.arange(24) % 6))
        firsts.append(found.first.value)
        seconds.append(found.second.value)
    assert abs(np.mean(firsts)) < 0.05
    assert abs(np.mean(seconds)) < 0.05


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_mixture_is_placed_where_it_was_mixed(share: float) -> None:
    real, (one, two) = two_characters(30, 0), two_characters(60, 1)
    mixed = (one * (1 - share) + two * share, two * (1 - share) + one * share)
    found = blend(mixed, real, (np.arange(30), np.arange(30)), (np.arange(60) % 10, np.arange(60) % 10))
    assert found.first.value == pytest.approx(share, abs=0.06)
    assert found.second.value == pytest.approx(share, abs=0.06)
    assert found.apart == pytest.approx(1 - 2 * share, abs=0.1)


def test_a_character_of_one_group_cannot_be_placed() -> None:
    real = two_characters(4, 0)
    with pytest.raises(ValueError, match="two groups"):
        blend(real, real, (np.zeros(4), np.arange(4)), (np.arange(4), np.arange(4)))
