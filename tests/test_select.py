"""Claims about choosing: rare ones stay, picks are unique, greedy is near the best, order and threads do not matter."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity.config import SelectConfig
from diversity.errors import SelectionError
from diversity.select import graph
from diversity.select.choose import choose, elbow, left_out
from diversity.select.facility import facility_location, lazy_greedy
from diversity.select.pool import Pool, first_picks
from diversity.select.strategies import STRATEGIES, strategy

NAMES = sorted(STRATEGIES)
NESTED = sorted(set(NAMES) - {"kmeans"})
ORDERLESS = ("facility_location", "herding", "k_center", "quality")
WITH_GAINS = ("facility_location", "k_center")


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pool_of(vectors, *, protected=(), pinned=(), initial=(), cells=None, targets=None, neighbours=None):
    n = len(vectors)
    keys = tuple(f"{i:04d}" for i in range(n))
    flags = {name: np.isin(np.arange(n), rows) for name, rows in (("protected", protected), ("pinned", pinned))}
    quality = np.linspace(0.2, 0.9, n)[::-1] if n else np.empty(0)
    return Pool(
        keys,
        vectors,
        np.ones(n, np.int64),
        cells or ("full_body/front",) * n,
        targets or {},
        quality,
        **flags,
        initial=np.array(initial, np.int64),
        neighbours=neighbours,
    )


def cloud(seed, n, d=6, kinds=4):
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=(kinds, d))[rng.integers(0, kinds, n)] + 0.4 * rng.normal(size=(n, d)))


def served(vectors, picks):
    """The naive objective, independent of the code under test."""
    similarity = np.clip(vectors.astype(np.float64) @ vectors.T.astype(np.float64), 0, 1)
    np.fill_diagonal(similarity, 1.0)
    return similarity[:, list(picks)].max(axis=1).sum() if len(picks) else 0.0


@st.composite
def pools(draw, least=1):
    n = draw(st.integers(least, 24))
    vectors = cloud(draw(st.integers(0, 10_000)), n)
    some = st.lists(st.integers(0, n - 1), unique=True, max_size=n)
    cells = tuple(draw(st.lists(st.sampled_from(["a/front", "b/back", "unsure"]), min_size=n, max_size=n)))
    return pool_of(vectors, protected=draw(some), pinned=draw(some), initial=draw(some), cells=cells)


@settings(max_examples=40, deadline=None)
@given(pools(), st.integers(1, 30), st.sampled_from(NAMES))
def test_no_rare_pinned_or_earlier_picture_is_lost_and_the_named_least_budget_works(pool, keep, name):
    must = set(pool.initial) | set(np.flatnonzero(pool.pinned | pool.protected))
    if len(must) > keep:
        with pytest.raises(SelectionError) as caught:
            choose(pool, SelectConfig(keep=keep, strategy=name))
        assert f"--keep {len(must)}" in caught.value.todo
        keep = len(must)
    chosen = choose(pool, SelectConfig(keep=keep, strategy=name))
    assert must <= set(chosen.order.tolist())
    assert len(chosen.order) == len(set(chosen.order.tolist())) == min(keep, len(pool))


@settings(max_examples=40, deadline=None)
@given(pools(), st.sampled_from(NESTED), st.integers(0, 3))
def test_greedy_and_ranked_strategies_are_nested(pool, name, seed):
    whole = strategy(name)(pool, len(pool), seed=seed)
    least = len(first_picks(pool, len(pool)))
    assert whole.nested
    for k in range(least, len(pool) + 1):
        assert strategy(name)(pool, k, seed=seed).order.tolist() == whole.order[:k].tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(1, 4))
def test_facility_location_is_within_one_minus_one_over_e_of_brute_force(seed, n, k):
    vectors = cloud(seed, n)
    found = served(vectors, facility_location(pool_of(vectors), k).order)
    best = max(served(vectors, picks) for picks in itertools.combinations(range(n), min(k, n)))
    assert found >= (1 - 1 / np.e) * best - 1e-3


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_lazy_greedy_equals_plain_greedy(seed, n):
    """Each pick is the first among those that add most, by the naive objective on the same rounded similarities."""
    vectors = cloud(seed, n)
    table = graph.dense(vectors).matrix.astype(np.int64)
    best, expected = np.zeros(n, np.int64), []
    for _ in range(n):
        gains = np.maximum(table - best, 0).sum(axis=1)
        gains[expected] = -1
        expected.append(int(np.argmax(gains)))
        best = np.maximum(best, table[expected[-1]])
    assert facility_location(pool_of(vectors), n).order.tolist() == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(0.02, 0.5))
def test_picks_are_unique_and_gains_never_rise_under_ties_and_saturation(seed, n, share):
    """0/1 similarities, where apricot 0.6.1 picks some candidates twice."""
    rng = np.random.default_rng(seed)
    links = rng.random((n, n)) < share
    links = links | links.T | np.eye(n, dtype=bool)
    rows, columns = np.nonzero(links)
    indptr = np.searchsorted(rows, np.arange(n + 1))
    whole = (graph.Dense(np.where(links, graph.ONE, 0).astype(np.uint16)),)
    whole += (graph.Sparse(indptr, columns, np.full(len(columns), graph.ONE, np.uint16)),)
    first, second = (lazy_greedy(similar, n, np.empty(0, np.int64)) for similar in whole)
    assert sorted(first.order.tolist()) == list(range(n))
    assert (np.diff(first.gain) <= 0).all()
    assert first.gain.sum() == n
    assert first.order.tolist() == second.order.tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 30), st.sampled_from(ORDERLESS))
def test_the_order_of_the_pool_does_not_matter_to_strategies_that_do_not_draw(seed, n, name):
    """The pool is in canonical order by contract; beyond it, only exact ties may depend on the order."""
    vectors = cloud(seed, n, d=16)
    shuffle = np.random.default_rng(seed).permutation(n)
    k = max(1, n // 2)
    one = pool_of(vectors)
    other = Pool(
        tuple(one.keys[i] for i in shuffle), vectors[shuffle], one.group_size, one.cells, {}, one.quality[shuffle],
        one.protected, one.pinned,
    )  # fmt: skip
    picks = strategy(name)(one, k, seed=0).order
    again = shuffle[strategy(name)(other, k, seed=0).order]
    gap = {"facility_location": abs(served(vectors, picks) - served(vectors, again)) < 1e-2}.get(name, False)
    assert gap or set(picks.tolist()) == set(again.tolist())


def test_the_number_of_threads_does_not_matter():
    code = (
        "import numpy as np; from test_select import cloud, pool_of; from diversity.select.choose import choose;"
        "from diversity.config import SelectConfig;"
        "c = choose(pool_of(cloud(3, 400, 32, 40)), SelectConfig(keep=60));"
        "print(c.order.tolist(), c.weight.round(9).tolist())"
    )
    here = str(Path(__file__).parent)
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": here},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(answers) == 1


def test_compiled_and_plain_gains_are_equal():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, graph.ONE + 1, (2, 70_000)).astype(np.uint16)
    assert graph._gain(True)(*rows) == graph._gain(False)(*rows)
    full = np.full(70_000, graph.ONE, np.uint16)
    assert graph._gain(True)(full, np.zeros_like(full)) == 70_000 * graph.ONE


def test_the_neighbour_graph_comes_close_to_the_dense_answer():
    vectors = cloud(1, 1_500, d=32, kinds=60)
    sparse = facility_location(pool_of(vectors, neighbours=graph.neighbour_graph(vectors, 64)), 80)
    dense = facility_location(pool_of(vectors), 80)
    assert served(vectors, sparse.order) >= 0.995 * served(vectors, dense.order)
    assert (np.diff(sparse.gain) <= 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_tiny_pools_and_budgets_above_the_pool_keep_all(name, n):
    chosen = choose(pool_of(cloud(0, n)), SelectConfig(keep=n + 7, strategy=name))
    assert sorted(chosen.order.tolist()) == list(range(n))
    assert chosen.weight.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_pool_gives_an_empty_selection(name):
    assert len(choose(pool_of(np.empty((0, 4), np.float32)), SelectConfig(strategy=name)).order) == 0


@pytest.mark.parametrize("name", NAMES)
def test_identical_pictures_are_picked_once_each(name):
    picks = choose(pool_of(np.tile(unit([[1, 2, 3]]), (9, 1))), SelectConfig(keep=6, strategy=name)).order
    assert len(set(picks.tolist())) == 6


def test_earlier_pinned_and_protected_come_first_in_that_order():
    pool = pool_of(cloud(2, 20), initial=(9, 4), pinned=(4, 7), protected=(1, 9))
    assert choose(pool, SelectConfig(keep=8)).order[:4].tolist() == [9, 4, 7, 1]


def test_the_error_tells_rare_from_pinned():
    with pytest.raises(SelectionError, match=r"2 pinned, 3 rare.*Keep 5 or more \(--keep 5\)"):
        choose(pool_of(cloud(0, 9), pinned=(0, 1), protected=(2, 3, 4)), SelectConfig(keep=4))


def test_every_kept_picture_says_why():
    cells = ("full_body/back",) * 2 + ("headshot/front",) * 10
    pool = pool_of(
        cloud(0, 12), protected=(0, 1), pinned=(5,), initial=(8,), cells=cells, targets={"full_body/back": 5}
    )
    chosen = choose(pool, SelectConfig(keep=6))
    reasons = dict(zip(chosen.order.tolist(), chosen.reason, strict=True))
    assert reasons[0] == reasons[1] == "rare view (full body, back): 2, want 5"
    assert (reasons[5], reasons[8]) == ("pinned by hand", "kept from the earlier selection")
    assert all(reason.startswith("adds most coverage") for reason in chosen.reason[4:])


def test_auto_keeps_one_of_each_kind_and_never_less_than_what_must_stay():
    kinds = np.repeat(np.eye(12, dtype=np.float32), 10, axis=0)
    vectors = unit(kinds + 0.02 * np.random.default_rng(0).normal(size=kinds.shape))
    chosen = choose(pool_of(vectors), SelectConfig(keep="auto"))
    assert len(chosen.order) == chosen.elbow == 12
    assert {i // 10 for i in chosen.order.tolist()} == set(range(12))
    guarded = choose(pool_of(vectors, protected=range(30)), SelectConfig(keep="auto"))
    assert len(guarded.order) >= 30


def test_auto_needs_gains():
    with pytest.raises(SelectionError, match="no elbow"):
        choose(pool_of(cloud(0, 9)), SelectConfig(keep="auto", strategy="random"))
    assert elbow(np.full(4, np.nan)) is None
    assert elbow(np.zeros(4)) == 1


def test_an_unknown_strategy_is_an_error_that_names_the_known_ones():
    with pytest.raises(SelectionError, match="facility_location, random"):
        strategy("best")


def test_left_out_pictures_name_their_most_alike_kept_one():
    vectors = unit([[1, 0, 0], [1, 0.1, 0], [0, 1, 0], [0, 1, 0.1]])
    pool = pool_of(vectors)
    frame = left_out(pool, np.array([0, 2]))
    assert dict(frame.select("key", "keeper").iter_rows()) == {"0001": "0000", "0003": "0002"}
    assert len(left_out(pool, np.arange(4))) == 0


def test_the_frame_has_the_columns_of_the_contract():
    pool = pool_of(cloud(0, 5))
    frame = choose(pool, SelectConfig(keep=3)).frame(pool)
    assert frame.columns == ["key", "rank", "gain", "weight", "reason"]
    assert frame["rank"].to_list() == [0, 1, 2]


@pytest.mark.parametrize("name", WITH_GAINS)
def test_gains_fall_after_what_must_stay(name):
    found = strategy(name)(pool_of(cloud(5, 50), protected=(3, 30)), 50, seed=0)
    assert (np.diff(found.gain[2:]) <= 1e-9).all()
