"""Claims about weights: positive, mean 1, capped, less in a crowd, and whole repeats whose error is what is said."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_select import cloud, unit

from diversity.config import SelectConfig
from diversity.select.weights import crowd, integer_repeats, weights


def variation(shown, wanted):
    return 0.5 * np.abs(shown / np.sum(shown) - wanted / np.sum(wanted)).sum()


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(0, 1), st.floats(1, 6), st.booleans())
def test_weights_are_positive_average_one_and_capped(seed, n, alpha, cap, labelled):
    rng = np.random.default_rng(seed)
    cells = tuple(rng.choice(["a/front", "a/back", "unsure"], n)) if labelled else None
    found = weights(cloud(seed, n), cells, SelectConfig(alpha=alpha, cap=cap))
    assert (found > 0).all()
    assert found.mean() == pytest.approx(1.0)
    assert found.max() <= cap * np.median(found) * (1 + 1e-9)


def kinds(sizes, noise=0.0):
    """One orthogonal direction per kind, `sizes` pictures of each."""
    rows = np.repeat(np.eye(len(sizes), dtype=np.float32), sizes, axis=0)
    return unit(rows + noise * np.random.default_rng(0).normal(size=rows.shape))


def test_alpha_zero_gives_every_neighbourhood_equal_mass_and_one_leaves_all_equal():
    sizes = [8, 4, 2, 1]
    owner = np.repeat(range(4), sizes)
    even = weights(kinds(sizes), None, SelectConfig(alpha=0, cap=100))
    assert np.bincount(owner, even) == pytest.approx(np.full(4, 15 / 4), rel=1e-3)
    assert weights(kinds(sizes), None, SelectConfig(alpha=1)) == pytest.approx(np.ones(15))
    half = np.bincount(owner, weights(kinds(sizes), None, SelectConfig(alpha=0.5, cap=100)))
    assert half / half.sum() == pytest.approx(np.sqrt(sizes) / np.sqrt(sizes).sum(), rel=1e-3)


def test_variants_share_weight():
    vectors = np.concatenate([kinds([1, 1, 1, 1, 1, 1]), kinds([1, 1, 1, 1, 1, 1])[:1]])  # the first kind twice
    found = weights(vectors, None, SelectConfig(alpha=0))
    assert found[0] + found[-1] == pytest.approx(found[1], rel=1e-3)


def test_one_wrong_label_moves_little():
    vectors = kinds([20, 3], noise=0.05)
    right = ("headshot/front",) * 20 + ("full_body/back",) * 3
    wrong = ("full_body/back", *right[1:])
    one, other = weights(vectors, right), weights(vectors, wrong)
    rare = one[-1]
    assert other[0] < rare * 0.75
    assert other[0] / one[0] < 1.6


def test_unsure_views_fall_back_to_similarity():
    vectors = cloud(0, 30)
    assert weights(vectors, ("unsure",) * 30) == pytest.approx(weights(vectors))


def test_order_of_pictures_does_not_matter():
    vectors, shuffle = cloud(1, 40), np.random.default_rng(0).permutation(40)
    assert weights(vectors[shuffle]) == pytest.approx(weights(vectors)[shuffle], rel=1e-3)


def test_tiny_and_identical_sets():
    assert len(weights(np.empty((0, 4), np.float32))) == 0
    assert weights(cloud(0, 1)).tolist() == [1.0]
    assert weights(np.tile(unit([[1, 2]]), (7, 1))) == pytest.approx(np.ones(7))
    assert (crowd(np.tile(unit([[1, 2]]), (7, 1))) == 7).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.05, 20), min_size=1, max_size=50), st.integers(1, 30))
def test_repeats_are_whole_at_least_one_and_their_error_is_what_is_said(raw, mean):
    wanted = np.array(raw) / np.mean(raw)
    repeats, error = integer_repeats(wanted, mean)
    assert repeats.dtype == np.int64
    assert repeats.min() >= 1
    assert repeats.sum() == mean * len(wanted)
    assert error == pytest.approx(variation(repeats, wanted))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.05, 5), min_size=1, max_size=4), st.integers(1, 4))
def test_no_other_whole_repeats_with_this_sum_are_nearer(raw, mean):
    wanted, n = np.array(raw), len(raw)
    _, error = integer_repeats(wanted, mean)
    total = mean * n
    others = (c for c in itertools.product(range(1, total - n + 2), repeat=n) if sum(c) == total)
    assert error <= min(variation(np.array(c), wanted) for c in others) + 1e-9


def test_more_mean_repeats_round_better():
    wanted = weights(cloud(0, 60))
    errors = [integer_repeats(wanted, mean)[1] for mean in (1, 3, 10, 100)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.003
