"""The split: disjoint, complete, pure by cluster, and blind to names and order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.split import split


def picture(i: int) -> str:
    return f"{i * 2654435761 % 2**32:08x}"


@pytest.mark.parametrize("share", [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5])
def test_for_every_size_the_parts_are_disjoint_complete_and_of_the_wanted_size(share: float) -> None:
    for n in range(1, 301):
        found = split([picture(i) for i in range(n)], [[str(i)] for i in range(n)], share=share, seed=1)
        assert sorted(found.train + found.held_out) == list(range(n))
        assert len(found.held_out) == min(max(1, round(share * n)), n - 1)
        assert set(found.twins) <= set(found.train)
        assert len(found.twins) == min(len(found.held_out), len(found.train))


sets = st.lists(st.integers(0, 8), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(sets, st.floats(0.01, 0.9), st.integers(0, 5))
def test_no_cluster_is_on_both_sides(groups: list[int], share: float, seed: int) -> None:
    found = split([picture(i) for i in range(len(groups))], [[str(g)] for g in groups], share=share, seed=seed)
    assert not {groups[i] for i in found.train} & {groups[i] for i in found.held_out}
    assert sorted(found.train + found.held_out) == list(range(len(groups)))
    assert found.train


@settings(max_examples=60, deadline=None)
@given(sets, st.floats(0.05, 0.6), st.randoms(use_true_random=False))
def test_order_and_names_do_not_matter(groups: list[int], share: float, rng: random.Random) -> None:
    contents = [picture(i) for i in range(len(groups))]
    order = list(range(len(groups)))
    rng.shuffle(order)
    one = split(contents, [[str(g)] for g in groups], share=share, seed=4)
    other = split([contents[i] for i in order], [[f"renamed {groups[i]}"] for i in order], share=share, seed=4)
    for name in ("train", "held_out", "twins"):
        assert {contents[i] for i in getattr(one, name)} == {contents[order[i]] for i in getattr(other, name)}


def test_a_variant_of_a_copy_links_their_clusters() -> None:
    groups = [["a"], ["a", "b"], ["b"], ["c"]]  # the second is a variant of the first and has a copy
    for seed in range(20):
        found = split([picture(i) for i in range(4)], groups, share=0.5, seed=seed)
        assert len({row in found.held_out for row in (0, 1, 2)}) == 1


def test_one_content_in_two_groups_is_one_cluster() -> None:
    for seed in range(20):
        found = split(["same", "same", "x", "y"], [["a"], ["b"], ["c"], ["d"]], share=0.5, seed=seed)
        assert len({row in found.held_out for row in (0, 1)}) == 1


def test_protected_pictures_are_trained_on_with_their_clusters() -> None:
    groups = [["a"], ["a"], ["b"], ["c"]]
    for seed in range(20):
        found = split([picture(i) for i in range(4)], groups, share=0.9, seed=seed, protected=[0])
        assert {0, 1} <= set(found.train)


def test_nothing_is_held_out_when_nothing_shall_be() -> None:
    assert split(["a", "b"], [["1"], ["2"]], share=0).held_out == ()


def test_the_seed_chooses_others() -> None:
    contents, groups = [picture(i) for i in range(60)], [[str(i)] for i in range(60)]
    assert len({split(contents, groups, share=0.1, seed=seed).held_out for seed in range(5)}) > 1
