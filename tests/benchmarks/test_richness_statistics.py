"""Planted effects are found, nothing is found where nothing is, at the nominal rate; Holm, AUC and intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from benchmarks.richness import statistics

WHO = np.repeat([f"c{i}" for i in range(8)], 5)


def noisy(seed: int, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Richness by arm, and an endpoint with an effect of it, of the character, and noise."""
    rng = np.random.default_rng(seed)
    x = np.tile(np.arange(5.0), 8) + rng.normal(0, 0.1, 40)
    return x, effect * x + np.repeat(rng.normal(0, 1, 8), 5) + rng.normal(0, 1, 40)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=20))
def test_rank_correlation_is_scipys(pairs):
    x, y = (np.array(side, float) for side in zip(*pairs, strict=True))
    found = statistics.spearman(x, y)
    if len(set(x)) < 2 or len(set(y)) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(x, y).statistic)


def test_a_planted_correlation_is_found_beside_differences_between_characters():
    found = statistics.correlation(*noisy(0, -0.8), WHO)
    assert found.high < 0
    assert found.p < 0.01
    assert (found.n, found.characters) == (40, 8)


def test_no_correlation_is_found_at_the_nominal_rate():
    """p of permutations within characters: uniform where there is none, whatever characters differ by."""
    rejected = 0
    for seed in range(200):
        x, y = noisy(seed, 0.0)
        null = statistics.permuted(x, y, WHO, seed, rounds=199)
        p = (1 + (np.abs(null) >= abs(statistics.spearman(x, y)) - 1e-12).sum()) / 200
        rejected += p <= 0.05
    assert 2 <= rejected <= 20  # 10 expected; outside with a chance below 1 in 500


def test_permuting_stays_within_characters():
    """An effect between characters alone is no effect of richness."""
    x = np.repeat(np.arange(8.0), 5)
    null = statistics.permuted(x, x + 0.0, WHO, rounds=50)
    assert np.allclose(null, 1.0)


def test_too_few_characters_tell_nothing():
    x, y = noisy(0, 1.0)
    assert not statistics.correlation(x[:15], y[:15], WHO[:15]).known


def test_the_interval_of_paired_differences_holds_the_truth():
    """95 % of the time, with eight characters."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        found = statistics.paired({str(i): value for i, value in enumerate(rng.normal(0.2, 1, 8))})
        inside += found.low <= 0.2 <= found.high
    assert 365 <= inside <= 394


def test_characters_are_resampled_before_loras():
    """40 LoRAs of two kinds of characters know less of characters than 40 independent ones would."""
    y = np.repeat(np.arange(8.0), 5)
    low, high = statistics.resampled(lambda rows: float(y[rows].mean()), WHO)
    apart = np.array([f"l{i}" for i in range(40)])
    narrow = statistics.resampled(lambda rows: float(y[rows].mean()), apart)
    assert high - low > 1.5 * (narrow[1] - narrow[0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_never_below_the_uncorrected_and_keeps_the_order(p):
    corrected = statistics.holm(p)
    assert all(after >= before for before, after in zip(p, corrected, strict=True))
    assert max(corrected) <= 1
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()


def test_holm_by_hand():
    assert statistics.holm([0.04, 0.01, float("nan"), 0.03]) == pytest.approx([0.06, 0.03, np.nan, 0.06], nan_ok=True)


def test_false_alarms_of_several_tests_stay_near_the_nominal_rate():
    nulls = [statistics.permuted(*noisy(seed, 0.0), WHO, 0, rounds=1000) for seed in range(5)]
    assert 0.005 <= statistics.false_alarms(nulls) <= 0.08
    assert statistics.false_alarms(nulls[:1]) == pytest.approx(0.05, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=15))
def test_auc_is_the_share_of_pairs_in_order(rows):
    scores, labels = np.array([s for s, _ in rows], float), np.array([label for _, label in rows])
    found = statistics.auc(scores, labels)
    if labels.all() or not labels.any():
        assert np.isnan(found)
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels] for b in scores[~labels]]
    assert found == pytest.approx(np.mean(pairs))


def test_leaving_a_character_out_finds_signal_and_not_noise():
    rng = np.random.default_rng(3)
    labels = rng.random(40) < 0.5
    signal, noise = labels[:, None] + rng.normal(0, 0.5, (40, 1)), rng.normal(0, 1, (40, 6))
    assert statistics.auc(statistics.left_out(signal, labels, WHO), labels) > 0.8
    # Features that name the character tell its own labels only if it is not left out.
    named = np.eye(8)[np.repeat(np.arange(8), 5)]
    by_character = np.repeat(np.arange(8) % 2 == 0, 5)
    assert statistics.auc(statistics.left_out(named, by_character, WHO), by_character) < 0.6
    assert 0.2 < statistics.auc(statistics.left_out(noise, labels, WHO), labels) < 0.8


def test_rows_that_are_not_fitted_on_are_told_and_teach_nothing():
    rng = np.random.default_rng(0)
    labels = rng.random(40) < 0.5
    features = (labels + rng.normal(0, 0.1, 40))[:, None]
    fitted = np.arange(40) % 2 == 0
    told = statistics.left_out(features, labels, WHO, fitted)
    assert statistics.auc(told[~fitted], labels[~fitted]) > 0.95
    turned = np.where(fitted, labels, ~labels)
    np.testing.assert_array_equal(told, statistics.left_out(features, turned, WHO, fitted))
    assert not np.array_equal(told, statistics.left_out(features, turned, WHO))
