"""Strategies of the benchmark on pools whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.strategies import rivals
from benchmarks.strategies.rivals import Candidates
from benchmarks.strategies.table import CURATED, TABLE
from diversity.errors import SelectionError
from diversity.select.pool import Pool

SEEDS = st.integers(0, 10_000)


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def candidates(vectors, *, place=None, sharpness=None, protected=()):
    n = len(vectors)
    return Candidates(
        keys=tuple(f"{i:04d}" for i in range(n)),
        vectors=np.asarray(vectors, np.float32),
        group_size=np.ones(n, np.int64),
        cells=tuple(("a", "b")[i % 2] for i in range(n)),
        targets={},
        quality=np.linspace(0, 1, n),
        protected=np.isin(np.arange(n), protected),
        pinned=np.zeros(n, bool),
        place=np.arange(n) if place is None else np.asarray(place),
        sharpness=np.linspace(1, 0, n) if sharpness is None else np.asarray(sharpness, float),
    )


def cloud(seed, n, d=6):
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=(4, d))[rng.integers(0, 4, n)] + 0.5 * rng.normal(size=(n, d)))


def cosines(vectors):
    return vectors.astype(np.float64) @ vectors.T.astype(np.float64)


def greedy(n, k, value):
    """The naive greedy answer's values: what each pick of the best candidate added to `value` of a set."""
    picks, gains = [], []
    for _ in range(k):
        before = value(picks)
        gain, best = max((value([*picks, i]) - before, -i) for i in range(n) if i not in picks)
        picks.append(-best)
        gains.append(gain)
    return picks, gains


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 14))
def test_graph_cut_is_plain_greedy_on_its_objective(seed, n):
    vectors = cloud(seed, n)
    similar = np.clip(cosines(vectors), 0, None)

    def cut(picks):
        return 2 * similar[:, picks].sum() - similar[np.ix_(picks, picks)].sum()

    found = rivals.graph_cut(candidates(vectors), n)
    for at in range(1, n + 1):
        assert found.gain[:at].sum() == pytest.approx(cut(found.order[:at].tolist()), abs=2e-3)
    _, gains = greedy(n, n, cut)
    assert found.gain[0] == pytest.approx(gains[0], abs=1e-3)
    for at in range(n):  # no other candidate would have added more
        before, rest = found.order[:at].tolist(), found.order[at:].tolist()
        assert max(cut([*before, i]) - cut(before) for i in rest) <= found.gain[at] + 2e-3


def test_graph_cut_never_loses_by_a_pick():
    gains = rivals.graph_cut(candidates(cloud(3, 60)), 60).gain
    assert (gains > -1e-3).all()
    assert (np.diff(gains) < 1e-3).all()


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 12))
def test_dpp_raises_the_log_determinant_most_at_every_step(seed, n):
    vectors = cloud(seed, n)
    kernel = cosines(vectors) + rivals.DPP_RIDGE * np.eye(n)

    def volume(picks):
        return np.linalg.slogdet(kernel[np.ix_(picks, picks)])[1] if picks else 0.0

    found = rivals.dpp(candidates(vectors), n)
    for at in range(n):
        before, rest = found.order[:at].tolist(), found.order[at:].tolist()
        best = max(volume([*before, i]) - volume(before) for i in rest)
        assert found.gain[at] == pytest.approx(best, abs=1e-5)


def test_dpp_does_not_take_rounding_of_unit_rows_for_volume():
    """Alone, every unit row is worth the same: float32 rows are 1 to about 1e-7, which is no reason to begin there."""
    vectors = cloud(5, 40)
    vectors[17] *= np.float32(1 + 3e-7)
    assert rivals.dpp(candidates(vectors), 3).order[0] == 0


@pytest.mark.parametrize("name", ["dpp", "k_center", "fps", "facility_location", "semdedup"])
def test_one_of_each_kind_comes_before_any_second_of_a_kind(name):
    kinds = np.repeat(np.eye(6), 5, axis=0)
    vectors = unit(kinds + 0.01 * np.random.default_rng(0).normal(size=kinds.shape))
    order = TABLE[name].pick(candidates(vectors), 6, seed=3).order
    assert {i // 5 for i in order.tolist()} == set(range(6))


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 14))
def test_mmr_weighs_relevance_against_the_nearest_pick(seed, n):
    vectors = cloud(seed, n)
    similar, mean = cosines(vectors), vectors.mean(axis=0)
    relevance = vectors @ (mean / np.linalg.norm(mean))
    order = rivals.mmr(candidates(vectors), n).order.tolist()
    assert relevance[order[0]] == pytest.approx(relevance.max(), abs=1e-4)
    for at in range(1, n):
        value = 0.5 * relevance - 0.5 * similar[order[:at]].max(axis=0)
        assert value[order[at]] >= max(value[i] for i in order[at:]) - 1e-4


def test_fps_starts_anywhere_and_then_goes_farthest():
    vectors = cloud(1, 30)
    starts = {int(rivals.random_start_fps(candidates(vectors), 5, seed=seed).order[0]) for seed in range(20)}
    assert len(starts) > 5
    order = rivals.random_start_fps(candidates(vectors), 5, seed=0).order
    nearest = cosines(vectors)[order[:4]].max(axis=0)
    assert nearest[order[4]] == pytest.approx(np.delete(nearest, order[:4]).min(), abs=1e-4)


def test_the_semdedup_rule_drops_because_of_what_it_dropped():
    """Of a row a–b–c alike one by one, b goes for a and c for b, though c is like nothing that stays."""
    angles = np.radians([0, 20, 40, 90])
    vectors = unit(np.stack([np.cos(angles), np.sin(angles)], 1))
    scores = rivals.semdedup_scores(vectors, 0, clusters=1)  # the centroid is nearest to c, then b, a, d last
    order = np.argsort(vectors @ vectors.mean(axis=0))
    dropped = set(np.flatnonzero(scores >= np.cos(np.radians(21))).tolist())
    kept = [i for i in range(4) if i not in dropped]
    orphans = [i for i in dropped if (vectors[kept] @ vectors[i]).max() < np.cos(np.radians(21))]
    assert order.tolist() == [3, 0, 1, 2]
    assert (kept, orphans) == ([0, 3], [2])


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 25))
def test_semdedup_scores_are_the_largest_cosine_to_one_ranked_before(seed, n):
    vectors = cloud(seed, n)
    scores = rivals.semdedup_scores(vectors, 0, clusters=1)
    centre = vectors.mean(axis=0)
    order = np.argsort(np.round(vectors @ centre, 5), kind="stable")
    similar = cosines(vectors)
    for rank, i in enumerate(order):
        expected = similar[i, order[:rank]].max() if rank else -1.0
        assert scores[i] == pytest.approx(expected, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 60), st.integers(1, 60))
def test_every_nth_is_evenly_spaced_in_the_order_of_the_folder(seed, n, k):
    rng = np.random.default_rng(seed)
    pool = candidates(cloud(seed, n), place=rng.permutation(n))
    picks = rivals.every_nth(pool, k, seed=seed).order
    places = np.sort(pool.place[picks])
    assert len(set(picks.tolist())) == min(k, n)
    gaps = np.diff(places)
    assert gaps.size == 0 or (gaps >= int(n / min(k, n))).all()
    assert gaps.size == 0 or (gaps <= int(np.ceil(n / min(k, n)))).all()


def test_the_blur_filter_keeps_the_sharpest_and_what_has_no_edges_last():
    pool = candidates(cloud(0, 5), sharpness=[0.2, np.nan, 3.0, -1.0, 2.0])
    assert rivals.sharpest(pool, 5).order.tolist() == [2, 4, 0, 3, 1]


def test_the_frame_filter_keeps_the_first_of_every_shot():
    shots = np.repeat(np.eye(4), 6, axis=0)
    vectors = unit(shots + 0.01 * np.random.default_rng(1).normal(size=shots.shape))
    shuffle = np.random.default_rng(2).permutation(24)
    pool = candidates(vectors[shuffle], place=shuffle)  # row i is frame shuffle[i]
    picks = rivals.adjacent(pool, 4).order
    assert sorted(pool.place[picks].tolist()) == [0, 6, 12, 18]


def test_frame_filters_say_what_they_need():
    whole = candidates(cloud(0, 4))
    bare = Pool(
        whole.keys, whole.vectors, whole.group_size, whole.cells, {}, whole.quality, whole.protected, whole.pinned
    )
    with pytest.raises(SelectionError, match="order and sharpness"):
        TABLE["every_nth"].pick(bare, 2, seed=0)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 20), st.integers(1, 25), st.sampled_from(sorted(TABLE)), st.data())
def test_every_row_keeps_its_budget_and_what_must_stay(seed, n, k, name, data):
    protected = data.draw(st.lists(st.integers(0, max(n - 1, 0)), unique=True, max_size=min(n, k)))
    pool = candidates(cloud(seed, n) if n else np.empty((0, 6), np.float32), protected=protected)
    picks = TABLE[name].pick(pool, k, seed=seed).order.tolist()
    assert len(picks) == len(set(picks)) == min(k, n)
    assert set(protected) <= set(picks)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_rows_that_claim_not_to_draw_do_not(name):
    pool = candidates(cloud(7, 40))
    answers = {tuple(TABLE[name].pick(pool, 10, seed=seed).order.tolist()) for seed in range(4)}
    assert (len(answers) > 1) == TABLE[name].draws


@pytest.mark.parametrize("name", sorted(TABLE))
def test_only_rows_that_admit_it_look_at_labels(name):
    pool = candidates(cloud(8, 40))
    relabelled = Candidates(**{**pool.__dict__, "cells": tuple("z" if i < 37 else "y" for i in range(40))})
    same = all(
        TABLE[name].pick(pool, 10, seed=s).order.tolist() == TABLE[name].pick(relabelled, 10, seed=s).order.tolist()
        for s in range(3)
    )
    assert same != TABLE[name].labels or TABLE[name].pools == (CURATED,)  # ours sees them through what is protected
