"""The weighted sampler: exact counts, fair draws, and an order that is all in (seed, epoch, cursor)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.sampler import Apportionment, Sampler, SamplerRules, SamplerState

weight_lists = st.lists(st.floats(0.02, 5.0), min_size=1, max_size=24)


@settings(max_examples=60, deadline=None)
@given(weight_lists, st.integers(1, 12))
def test_after_every_epoch_each_picture_was_shown_its_share_to_less_than_one(weights: list[float], epochs: int) -> None:
    shares = np.array(weights) / sum(weights)
    length = max(1, round(sum(weights)))
    counts, shown = Apportionment(shares, length), np.zeros(len(weights), int)
    for epoch in range(1, epochs + 1):
        now = counts.next()
        assert now.sum() == length
        assert now.min() >= 0
        shown += now
        assert np.abs(shown - epoch * length * shares).max() < 1


def test_equal_weights_show_every_picture_once_an_epoch() -> None:
    counts = Apportionment(np.full(37, 1 / 37), 37)
    for _ in range(5):
        assert counts.next().tolist() == [1] * 37


def test_a_weight_of_two_and_a_half_is_shown_five_times_in_two_epochs() -> None:
    sampler = Sampler([2.5, 0.75, 0.75], [0, 0, 0], SamplerRules(1))
    shown = Counter(next(sampler)[0] for _ in range(16))  # four epochs
    assert shown == {0: 10, 1: 3, 2: 3}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 3.0), st.integers(0, 3)), min_size=1, max_size=20),
    st.integers(1, 5),
    st.sampled_from(["carry", "keep"]),
)
def test_every_batch_is_of_one_bucket_and_no_showing_is_lost(
    rows: list[tuple[float, int]], batch: int, partial: str
) -> None:
    weights, buckets = [w for w, _ in rows], [b for _, b in rows]
    sampler = Sampler(weights, buckets, SamplerRules(batch, seed=3, partial=partial))
    shown: Counter[int] = Counter()
    for _ in range(40):
        taken = next(sampler)
        assert len({buckets[row] for row in taken}) == 1
        assert len(taken) == batch or (partial == "keep" and 0 < len(taken) < batch)
        shown.update(taken)
    total, shares = sum(shown.values()), sampler.shares
    late = 0 if partial == "keep" else (batch - 1) * len(set(buckets))  # still waiting for their batch to fill
    for row, share in enumerate(shares):
        assert abs(shown[row] - total * share) <= 1 + late + sampler.length * share + 1


def test_keep_shows_an_epoch_exactly_and_carry_fills_every_batch() -> None:
    keep = Sampler([1.0] * 7, [0, 0, 0, 0, 0, 1, 1], SamplerRules(4, partial="keep"))
    sizes = [len(next(keep)) for _ in range(3)]
    assert sorted(sizes) == [1, 2, 4]
    assert keep.state == SamplerState(0, 3)
    carry = Sampler([1.0] * 7, [0, 0, 0, 0, 0, 1, 1], SamplerRules(4))
    assert {len(next(carry)) for _ in range(14)} == {4}
    assert carry.state.epoch >= 7  # 14 batches of 4 are 8 epochs of 7


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 3.0), st.integers(0, 2)), min_size=1, max_size=12),
    st.integers(1, 4),
    st.sampled_from(["exact", "iid"]),
    st.integers(0, 30),
)
def test_a_restored_sampler_goes_on_exactly(rows: list[tuple[float, int]], batch: int, mode: str, taken: int) -> None:
    weights, buckets = [w for w, _ in rows], [b for _, b in rows]
    rules = SamplerRules(batch, seed=11, mode=mode)
    one, other = Sampler(weights, buckets, rules), Sampler(weights, buckets, rules)
    for _ in range(taken):
        next(one)
    other.restore(one.state)
    assert [next(one) for _ in range(20)] == [next(other) for _ in range(20)]


def test_the_seed_changes_the_order_and_nothing_else() -> None:
    def order(seed: int) -> list[int]:
        sampler = Sampler([1.0] * 20, [0] * 20, SamplerRules(4, seed=seed))
        return [row for _ in range(5) for row in next(sampler)]

    assert order(1) != order(2)
    assert order(1) == order(1)
    assert sorted(order(1)) == sorted(order(2)) == list(range(20))


def test_showings_of_a_heavy_picture_are_spread_over_the_epoch() -> None:
    sampler = Sampler([4.0] + [0.75] * 16, [0] * 17, SamplerRules(1, seed=5))
    order = [next(sampler)[0] for _ in range(16)]
    places = [place for place, row in enumerate(order) if row == 0]
    assert len(places) == 4
    assert max(b - a for a, b in pairwise(places)) <= 12
    assert len({place // 8 for place in places}) == 2


def test_independent_draws_follow_the_weights() -> None:
    """χ² over 20 seeds: the sum of 20 statistics with 9 degrees of freedom each has 180, standard deviation 19."""
    weights = np.array([0.2, 0.3, 0.5, 0.8, 1.0, 1.0, 1.2, 1.5, 1.5, 2.0])
    statistic = 0.0
    for seed in range(20):
        sampler = Sampler(weights.tolist(), [0] * 10, SamplerRules(10, seed=seed, mode="iid"))
        shown = np.bincount([row for _ in range(200) for row in next(sampler)], minlength=10)
        wanted = 2000 * weights / weights.sum()
        statistic += float(((shown - wanted) ** 2 / wanted).sum())
    assert 180 - 4 * 19 < statistic < 180 + 4 * 19


def test_exact_counts_vary_less_than_independent_draws() -> None:
    def spread(mode: str) -> float:
        sampler = Sampler([1.0] * 10, [0] * 10, SamplerRules(10, mode=mode))
        shown = np.bincount([row for _ in range(50) for row in next(sampler)], minlength=10)
        return float(np.abs(shown - 50).max())

    assert spread("exact") == 0
    assert spread("iid") > 0


@pytest.mark.parametrize("weights", [[], [0.0, 1.0], [-1.0], [float("nan")]])
def test_impossible_exposures_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"row|positive"):
        Sampler(weights, [0] * len(weights), SamplerRules(2))
