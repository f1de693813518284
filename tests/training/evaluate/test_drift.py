"""Drift of unrelated pictures: nothing moves, everything is another picture, half the way; refused shapes."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluate.drift import drift


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def base() -> np.ndarray:
    return unit(np.random.default_rng(0).normal(size=(6, 4, 64)))


def test_a_lora_that_changes_nothing_has_no_drift(base: np.ndarray) -> None:
    found = drift(base, base)
    assert found.change.value == pytest.approx(0, abs=1e-12)
    assert found.share.value == pytest.approx(0, abs=1e-12)
    assert found.chance.value == pytest.approx(1, abs=0.1)  # seeds without anything in common


def test_one_that_draws_other_pictures_drifts_as_far_as_other_seeds_do(base: np.ndarray) -> None:
    found = drift(np.roll(base, 1, axis=1), base)
    assert found.share.value == pytest.approx(1, abs=0.1)
    assert found.share.low < 1 < found.share.high


def test_the_further_it_moves_the_more(base: np.ndarray) -> None:
    other = unit(np.random.default_rng(1).normal(size=base.shape))
    shares = [drift(unit((1 - way) * base + way * other), base).share.value for way in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert shares == sorted(shares)
    assert shares[0] < 0.01 < 0.2 < shares[2] < 0.4


def test_what_all_pictures_share_is_taken_away(base: np.ndarray) -> None:
    """Beside a large common part cosines are all near 1; change and chance are those of what is not common."""
    centre = np.full(64, 3.0)
    told = drift(np.roll(base, 1, axis=1) + centre, base + centre, centre)
    plain = drift(np.roll(base, 1, axis=1), base)
    assert told.change.value == pytest.approx(plain.change.value)
    assert drift(np.roll(base, 1, axis=1) + centre, base + centre).change.value < 0.1 * plain.change.value


def test_prompts_are_the_unit_and_a_single_seed_has_no_chance(base: np.ndarray) -> None:
    assert drift(np.roll(base, 1, axis=1), base).share.n == 6
    single = drift(base[:, :1], base[:, :1])
    assert single.change.value == pytest.approx(0, abs=1e-12)
    assert np.isnan(single.share.value)
    with pytest.raises(ValueError, match="shapes"):
        drift(base[:, :2], base)
