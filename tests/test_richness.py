"""Claims about richness: what scores must be on sets whose answer is known, and how far intervals can be trusted."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity import rarefaction, richness, tables
from diversity.config import RichnessConfig
from diversity.coverage import coverage, covered, nearest, reach, wilson
from diversity.richness import Pictures, effective_rank, score, spectrum, turntable_coverage, vendi, view_entropy

ORDERS = (1.0, 2.0, math.inf)


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cloud(seed, n, d, spread=1.0):
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=d) + spread * rng.normal(size=(n, d)))


def naive_vendi(vectors, p, q):
    """Straight from the definition, n × n, one eigenvalue at a time."""
    n, rows = len(p), vectors.astype(float)
    kernel = [[math.sqrt(p[i] * p[j]) * float(rows[i] @ rows[j]) for j in range(n)] for i in range(n)]
    values = [v for v in np.linalg.eigvalsh(np.array(kernel)).tolist() if v > 1e-12]
    if q == 1:
        return math.exp(-sum(v * math.log(v) for v in values))
    if q == math.inf:
        return 1 / max(values)
    return sum(v**q for v in values) ** (1 / (1 - q))


sets = st.tuples(st.integers(0, 10_000), st.integers(1, 25), st.integers(2, 12))


@settings(max_examples=50, deadline=None)
@given(sets, st.sampled_from([*ORDERS, 0.5, 3.0]), st.booleans())
def test_vendi_equals_the_definition_with_and_without_weights(shape, q, weighted):
    seed, n, d = shape
    vectors = cloud(seed, n, d)
    weights = np.random.default_rng(seed).uniform(0.1, 3, n) if weighted else np.ones(n)
    assert vendi(vectors, weights, order=q) == pytest.approx(naive_vendi(vectors, weights / weights.sum(), q), rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(sets, st.integers(2, 5))
def test_copies_that_split_their_weight_change_nothing(shape, copies):
    seed, n, d = shape
    vectors, weights = cloud(seed, n, d), np.random.default_rng(seed).uniform(0.1, 3, n)
    many = np.repeat(vectors, copies, axis=0)
    for q in ORDERS:
        assert vendi(many, np.repeat(weights, copies) / copies, order=q) == pytest.approx(
            vendi(vectors, weights, order=q), rel=1e-6
        )


@settings(max_examples=50, deadline=None)
@given(sets)
def test_higher_orders_are_smaller_and_all_lie_between_one_and_n(shape):
    seed, n, d = shape
    vectors = cloud(seed, n, d)
    one, two, most = (vendi(vectors, order=q) for q in ORDERS)
    assert 1 - 1e-9 <= most <= two + 1e-9 <= one + 2e-9
    assert one <= effective_rank(vectors) + 1e-9 <= min(n, d) + 2e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_dual_equals_primal(seed, d):
    """n > d takes the d × d form; padding with zero columns forces the n × n one."""
    vectors = cloud(seed, 3 * d, d)
    padded = np.concatenate([vectors, np.zeros((3 * d, 3 * d), np.float32)], axis=1)
    weights = np.random.default_rng(seed).uniform(0.1, 3, 3 * d)
    dual, primal = spectrum(vectors, weights), spectrum(padded, weights)
    assert len(dual) == d < len(primal) == 3 * d
    assert dual == pytest.approx(primal[-d:], abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(sets)
def test_order_of_pictures_and_rotation_of_the_space_do_not_matter(shape):
    seed, n, d = shape
    vectors, rng = cloud(seed, n, d), np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert vendi(vectors[rng.permutation(n)] @ turn) == pytest.approx(vendi(vectors), rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_identical_pictures_act_like_one_and_orthogonal_ones_like_n(n):
    same, apart = np.tile(unit([[1, 2, 3]]), (n, 1)), np.eye(n, dtype=np.float32)
    for q in ORDERS:
        assert vendi(same, order=q) == pytest.approx(1, abs=1e-5)
        assert vendi(apart, order=q) == pytest.approx(n)
    assert effective_rank(apart) == pytest.approx(n)
    assert effective_rank(same) == pytest.approx(1, abs=1e-3)


def test_effective_rank_of_k_orthogonal_kinds_is_k_however_many_pictures_each_has():
    rows = np.repeat(np.eye(5, dtype=np.float32), 6, axis=0)
    assert effective_rank(rows) == pytest.approx(5, rel=1e-4)
    assert effective_rank(rows[:12]) == pytest.approx(2, rel=1e-4)


def test_the_right_centre_opens_the_cone_and_the_sets_own_mean_would_lie():
    """A burst is one picture with or without an outside centre, and looks rich only around its own mean."""
    rng = np.random.default_rng(0)
    cone, kinds = np.full(32, 1.0), rng.normal(size=(20, 32))
    rich = unit(cone + kinds)
    burst = unit(cone + kinds[:1] + 0.02 * rng.normal(size=(20, 32)))
    centre = unit(cone + rng.normal(size=(500, 32))).mean(axis=0)
    assert vendi(rich) < 0.6 * vendi(rich, centre=centre)
    assert vendi(burst, centre=centre) < 1.1
    assert vendi(burst, centre=burst.mean(axis=0)) > 10


def test_pictures_on_the_centre_have_no_direction():
    assert vendi(unit([[1, 0], [1, 0]]), centre=np.array([1.0, 0.0])) == 1.0


def test_view_entropy_counts_equal_views_and_leaves_unsure_out():
    assert math.exp(view_entropy(("a", "b", "c", "unsure", "unsure"))) == pytest.approx(3)
    assert view_entropy(("unsure",)) == 0.0
    assert math.exp(view_entropy(("a", "b"), np.array([3.0, 1.0]))) < 2


def test_taxonomy_coverage_counts_groups_not_pictures():
    cells, targets = ("a", "a", "b"), {"a": 2, "b": 1, "c": 1, "d": 0}
    assert richness.taxonomy_coverage(cells, np.array([0, 1, 2]), targets) == pytest.approx(2 / 3)
    assert richness.taxonomy_coverage(cells, np.array([0, 0, 2]), targets) == pytest.approx(1 / 3)
    assert math.isnan(richness.taxonomy_coverage(cells, np.arange(3), {}))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-720, 720), min_size=1, max_size=20), st.floats(0.5, 180))
def test_turntable_coverage_equals_a_fine_count_around_the_circle(azimuths, step):
    grid = np.arange(0, 360, 0.05)
    off = np.abs((grid[:, None] - np.array(azimuths) + 180) % 360 - 180).min(axis=1)
    assert turntable_coverage(np.array(azimuths), step) == pytest.approx((off <= step).mean(), abs=0.02)


def test_turntable_coverage_of_eight_even_views_is_whole_and_of_unknown_ones_unknown():
    assert turntable_coverage(np.arange(8) * 45.0) == pytest.approx(1)
    assert turntable_coverage(np.array([0.0, np.nan])) == pytest.approx(45 / 360)
    assert math.isnan(turntable_coverage(np.array([np.nan])))


# intervals -----------------------------------------------------------------------------------------------------------


def spectral(rows):
    return lambda picked: richness._spectral_values(rows[picked].astype(np.float64), np.ones(len(picked)))


def long_tail(rng, groups):
    centres = np.random.default_rng(7).normal(size=(15, 12))
    share = np.arange(1, 16.0) ** -1
    return unit(centres[rng.choice(15, groups, p=share / share.sum())] + 0.4 * rng.normal(size=(groups, 12)))


@pytest.mark.parametrize(("groups", "m"), [(30, 30), (60, 20)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(groups, m):
    rng, sets = np.random.default_rng(1), 120
    truth = np.mean([spectral(long_tail(rng, m))(np.arange(m)) for _ in range(1_000)], axis=0)
    held = np.zeros(4)
    for seed in range(sets):
        rows = long_tail(rng, groups)
        found = rarefaction.rarefied(spectral(rows), groups, m, 50, seed=seed)
        held += (found.low <= truth) & (truth <= found.high)
    assert (held / sets >= 0.82).all(), held / sets  # 0.9 less three standard errors of 120 sets
    assert (held[:3] / sets <= 0.98).all(), held / sets


def test_the_bootstrap_with_replacement_misses_the_truth():
    rng, n = np.random.default_rng(1), 30
    truth = np.mean([spectral(long_tail(rng, n))(np.arange(n)) for _ in range(500)], axis=0)
    held = np.zeros(4)
    for _ in range(50):
        rows = long_tail(rng, n)
        low, high = np.quantile([spectral(rows)(rng.integers(0, n, n)) for _ in range(60)], [0.05, 0.95], axis=0)
        held += (low <= truth) & (truth <= high)
    assert held[3] / 50 < 0.5  # effective rank


def test_the_whole_set_interval_counts_copies_as_one_draw():
    """Ten groups of ten copies are ten independent pictures, not a hundred."""
    rows = long_tail(np.random.default_rng(0), 10)
    many, owner = np.repeat(rows, 10, axis=0), np.repeat(np.arange(10), 10)
    grouped = rarefaction.whole(spectral(many), owner)
    alone = rarefaction.whole(spectral(rows), np.arange(10))
    naive = rarefaction.whole(spectral(many), np.arange(100))
    assert grouped.value == pytest.approx(alone.value, rel=1e-4)
    assert (grouped.high - grouped.low)[:3] == pytest.approx((alone.high - alone.low)[:3], rel=1e-3)
    assert ((naive.high - naive.low) < 0.6 * (grouped.high - grouped.low))[:3].all()


def test_rarefying_makes_small_and_large_sets_of_one_source_alike():
    rng = np.random.default_rng(3)
    small, large = long_tail(rng, 40), long_tail(rng, 600)
    config = RichnessConfig(rarefy_to=20)
    rows = [
        dict(score(Pictures(v, np.arange(len(v))), config=config).select("measure", "value").iter_rows())
        for v in (small, large)
    ]
    apart = [abs(math.log(rows[0][name] / rows[1][name])) for name in ("set.vendi_1", "set.vendi_1_rarefied")]
    assert apart[1] < 0.2
    intervals = score(Pictures(small, np.arange(40)), config=config).filter(pl.col("measure") == "set.vendi_1_rarefied")
    assert intervals["low"][0] < rows[1]["set.vendi_1_rarefied"] < intervals["high"][0]


@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_pictures_give_values_and_say_why_there_is_no_interval(n):
    frame = score(Pictures(cloud(0, n, 8), np.arange(n), ("a/front",) * n), {"a/front": 2})
    row = frame.filter(pl.col("measure") == "set.vendi_1").row(0, named=True)
    assert 1 <= row["value"] <= n + 1e-9
    assert row["low"] is row["high"] is None
    assert "fewer than 5" in json.loads(row["settings"])["reason"]


@pytest.mark.parametrize("n", [0, 5, 41])
def test_the_frame_has_the_columns_of_the_contract_and_finite_values(n):
    frame = score(Pictures(np.ones((n, 4), np.float32) / 2, np.arange(n), ("a",) * n), {"a": 1}, scope="selection")
    assert frame.schema == pl.Schema(tables.SCORES)
    assert frame["measure"].str.starts_with("selection.").all()
    assert frame["value"].is_finite().all()


def test_a_selection_is_scored_by_taking_its_rows_and_weights():
    pictures = Pictures(cloud(0, 30, 8), np.arange(30), ("a",) * 30, azimuths=np.arange(30.0) * 12)
    part = pictures.take(np.array([3, 4, 9, 20, 21, 22]), np.array([3.0, 1, 1, 1, 1, 1]))
    assert len(part) == 6
    frame = score(part, scope="selection", settings={"encoder": "x"})
    row = frame.filter(pl.col("measure") == "selection.vendi_1").row(0, named=True)
    assert row["value"] == pytest.approx(vendi(pictures.vectors[[3, 4, 9, 20, 21, 22]], np.array([3.0, 1, 1, 1, 1, 1])))
    assert json.loads(row["settings"]) | {"encoder": "x", "weighted": True} == json.loads(row["settings"])


def test_scores_are_the_same_every_time():
    pictures = Pictures(cloud(0, 90, 8), np.arange(90))
    assert score(pictures).equals(score(pictures))


# coverage ------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.data())
def test_coverage_grows_with_the_subset_and_is_whole_for_the_reference_itself(seed, n, data):
    vectors = cloud(seed, n, 6)
    rows = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n))
    values = [coverage(vectors, vectors[rows[:k]]).value for k in range(len(rows) + 1)]
    assert values == sorted(values)
    assert coverage(vectors, vectors).value == 1.0
    assert all(len(set(rows[:k])) / n <= value + 1e-9 for k, value in enumerate(values))


def test_reach_is_the_kth_other_group_by_brute_force():
    vectors = np.repeat(cloud(0, 12, 6), 2, axis=0)
    owner = np.repeat(np.arange(12), 2)
    cosines = vectors.astype(np.float64) @ vectors.T
    found = reach(vectors, owner, k=3)
    for i in range(24):
        others = sorted((max(cosines[i][owner == g]) for g in range(12) if g != owner[i]), reverse=True)
        assert found[i] == pytest.approx(others[2], abs=1e-5)


def test_a_random_subset_covers_what_the_formula_says():
    rng, vectors = np.random.default_rng(0), cloud(0, 600, 5)
    shares = [coverage(vectors, vectors[rng.permutation(600)[:120]], level=None).value for _ in range(10)]
    assert np.mean(shares) == pytest.approx(1 - 0.8**6, abs=0.03)


def test_coverage_within_a_given_reach_and_of_nothing():
    reference = unit([[1, 0], [0, 1], [1, 1]])
    assert covered(reference, reference[:1], 0.7).tolist() == [True, False, True]
    assert coverage(reference, reference[:0]).value == 0.0
    assert coverage(reference, reference[:1], within=0.99, level=None).low is None
    assert math.isnan(coverage(reference[:0], reference).value)
    similarity, row = nearest(reference, reference[[2, 0]])
    assert row.tolist() == [1, 0, 0]
    assert similarity[0] == pytest.approx(1)


def test_who_is_barely_out_of_reach_is_not_covered():
    """As prdc counts: 5e-6 of cosine is rounding for FAISS, and no reason to count a picture."""
    angles = np.array([0.0, 0.5])
    reference = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    edge = np.arccos(np.cos(0.5) + np.array([5e-6, -5e-6]))
    within, beyond = np.stack([np.cos(-edge), np.sin(-edge)], axis=1).astype(np.float32)
    assert covered(reference, within[None], reach(reference, k=1)).tolist() == [True, False]
    assert covered(reference, beyond[None], reach(reference, k=1)).tolist() == [False, False]


def test_coverage_counts_as_in_double_precision():
    reference, subset = cloud(0, 900, 40), cloud(1, 90, 40)
    exact = reference.astype(np.float64)
    kth = np.sort(exact @ exact.T, axis=1)[:, -6]
    nearest_of_all = (exact @ subset.astype(np.float64).T).max(axis=1)
    assert np.abs(nearest_of_all - kth).min() > 5e-7
    assert covered(reference, subset, reach(reference, k=5)).tolist() == (nearest_of_all >= kth).tolist()


def test_a_group_counts_once_in_coverage():
    reference = unit([[1, 0], [1, 0], [1, 0], [0, 1]])
    assert coverage(reference, reference[:1], np.array([0, 0, 0, 1]), within=0.9).value == 0.5


def test_wilson_intervals_hold_a_share_as_often_as_they_say():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(2_000):
        low, high = wilson(rng.binomial(60, 0.7) / 60, 60, 0.9)
        hits += low <= 0.7 <= high
    assert 0.87 <= hits / 2_000 <= 0.93
    assert wilson(0.0, 5, 0.9)[0] == 0.0
    assert wilson(1.0, 5, 0.9)[1] == pytest.approx(1.0)
