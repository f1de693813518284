"""Memorisation: exact copiers, fresh generators, and the near-copies that fool the usual metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.evaluate.memorisation import memorisation

D = 64
Rows = NDArray[np.float64]


def unit(rows: Rows) -> Rows:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def views(n: int, copies: int, seed: int, spread: float = 0.02) -> tuple[Rows, NDArray[np.int64]]:
    """n different pictures with near-copies of each, and their groups."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(n, D)))
    rows = unit(np.repeat(centres, copies, axis=0) + spread * rng.normal(size=(n * copies, D)) / np.sqrt(D))
    return rows, np.repeat(np.arange(n), copies)


def naive(generated: Rows, training: Rows) -> tuple[float, float]:
    """The uncorrected gap ratio and AuthPct, as commonly computed."""
    d = np.sqrt(np.clip(2 - 2 * generated @ training.T, 0, None))
    ordered = np.sort(d, axis=1)
    among = np.sqrt(np.clip(2 - 2 * training @ training.T, 0, None))
    np.fill_diagonal(among, np.inf)
    authentic = d.min(axis=1) > among.min(axis=1)[d.argmin(axis=1)]
    return float((ordered[:, 0] / ordered[:, 1] < 1 / 3).mean()), float(authentic.mean())


@pytest.mark.parametrize("copies", [1, 5])
def test_an_exact_copier_is_fully_memorised_also_on_a_set_of_near_copies(copies: int) -> None:
    training, groups = views(20, copies, seed=0)
    found = memorisation(training[::copies].copy(), training, groups)
    assert found.copied.value == 1
    assert found.authentic.value == 0
    assert found.nearer.value == pytest.approx(1)
    assert found.alike.value == 1
    assert found.authentic_excess.below(0)
    assert found.pairs.nearest.tolist() == list(range(0, 20 * copies, copies))


def test_the_usual_metrics_call_the_same_copier_safe() -> None:
    rows, of = views(20, 10, seed=0)
    seen = np.tile(np.arange(10) < 5, 20)  # five near-copies of every view were trained on, five are what it draws
    gap_ratio, authentic = naive(rows[~seen], rows[seen])
    corrected = memorisation(rows[~seen], rows[seen], of[seen])
    assert gap_ratio < 0.01
    assert authentic > 0.2
    assert corrected.copied.value == 1
    assert corrected.authentic.value == 0


def test_fresh_pictures_score_the_null_and_not_a_hundred_percent() -> None:
    nulls, excesses, nearers, copied = [], [], [], []
    for seed in range(40):
        training, groups = views(20, 1, seed)
        fresh = unit(np.random.default_rng(900 + seed).normal(size=(20, D)))
        found = memorisation(fresh, training, groups)
        nulls.append(found.authentic.value)
        excesses.append(found.authentic_excess.value)
        nearers.append(found.nearer.value)
        copied.append(found.copied.value)
    assert 0.35 < np.mean(nulls) < 0.75
    assert abs(np.mean(excesses)) < 0.05
    assert abs(np.mean(nearers) - 0.5) < 0.05
    assert np.mean(copied) == 0


def test_intervals_of_fresh_pictures_hold_the_null() -> None:
    held = 0
    for seed in range(60):
        training, groups = views(15, 1, seed)
        found = memorisation(unit(np.random.default_rng(seed + 500).normal(size=(15, D))), training, groups).nearer
        held += found.low <= 0.5 <= found.high
    assert held >= 50


def test_shrinking_to_the_middle_is_nearer_but_not_copied() -> None:
    rng = np.random.default_rng(0)
    middle = rng.normal(size=D) * 0.5
    training = unit(rng.normal(size=(40, D)) + middle)
    found = memorisation(unit(0.5 * rng.normal(size=(20, D)) + middle), training, np.arange(40))
    assert found.nearer.above(0.5)
    assert found.copied.value == 0


def test_near_copies_do_not_change_what_fresh_pictures_score() -> None:
    fresh = unit(np.random.default_rng(7).normal(size=(30, D)))
    plain = memorisation(fresh, *views(20, 1, seed=3))
    crowded = memorisation(fresh, *views(20, 6, seed=3))
    assert crowded.nearer.value == pytest.approx(plain.nearer.value, abs=0.1)
    assert crowded.copied.value == plain.copied.value == 0
    assert crowded.authentic_excess.value == pytest.approx(plain.authentic_excess.value, abs=0.2)


def test_half_copies_are_counted_as_half() -> None:
    training, groups = views(20, 3, seed=5)
    fresh = unit(np.random.default_rng(6).normal(size=(20, D)))
    found = memorisation(np.concatenate([fresh, training[::3]]), training, groups)
    assert found.copied.value == pytest.approx(0.5)
    assert found.copied.low < 0.5 < found.copied.high


def test_one_repeated_prompt_is_one_piece_of_evidence() -> None:
    training, groups = views(10, 1, seed=8)
    burst = np.repeat(training[:1], 30, axis=0)
    alone = memorisation(burst, training, groups, np.zeros(30))
    many = memorisation(burst, training, groups)
    assert alone.copied.n == 1
    assert alone.copied.low < many.copied.low


def test_two_groups_are_too_few_but_still_show_their_pairs() -> None:
    training, groups = views(2, 3, seed=1)
    found = memorisation(training, training, groups)
    assert "fewer than 3" in found.reason
    assert np.isnan(found.copied.value)
    assert found.pairs.similarity.tolist() == pytest.approx([1.0] * 6)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(3, 8), copies=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_order_of_pictures_and_names_of_groups_do_not_matter(n: int, copies: int, seed: int) -> None:
    training, groups = views(n, copies, seed)
    rng = np.random.default_rng(seed)
    generated = unit(rng.normal(size=(7, D)))
    order = rng.permutation(len(training))
    one = memorisation(generated, training, groups)
    two = memorisation(generated, training[order], np.array([f"g{g}" for g in groups[order]]))
    assert one.copied == two.copied
    assert one.authentic == two.authentic
    assert one.nearer.value == pytest.approx(two.nearer.value)
    assert order[two.pairs.nearest].tolist() == one.pairs.nearest.tolist()
