"""Binding: a planted binding is found, permuted tags are free, bursts are one observation; blends of two characters."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluate.binding import Binding, bindings, blend, difference_in_differences

LOOKS = ("headshot/front", "half_body/front", "full_body/side", "full_body/back")


def dataset(n: int = 40, seed: int = 0) -> tuple[list[set[str]], list[str], list[str]]:
    """Pictures of four looks; "smile" is in nine of ten headshots and nowhere else, "red" anywhere, "mira" always."""
    rng = np.random.default_rng(seed)
    looks = [LOOKS[i % 4] for i in range(n)]
    tags = [
        {"mira"}
        | ({"smile"} if look == LOOKS[0] and rng.random() < 0.9 else set())
        | ({"red"} if rng.random() < 0.4 else set())
        for look in looks
    ]
    tags[0].add("hat")
    return tags, looks, [f"g{i}" for i in range(n)]


def by_tag(found: list[Binding]) -> dict[str, Binding]:
    return {b.tag: b for b in found}


def test_a_planted_binding_is_found_and_the_others_are_not() -> None:
    found = bindings(*dataset())
    assert found[0].tag == "smile"
    tags = by_tag(found)
    assert tags["smile"].state == "bound"
    assert tags["smile"].look == LOOKS[0]
    assert tags["smile"].share == 1
    assert tags["red"].state == "free"
    assert tags["mira"].state == "always on"
    assert np.isnan(tags["mira"].information)
    assert tags["hat"].state == "rare"


def test_permuted_tags_have_no_binding() -> None:
    wrong, informations = 0, []
    for seed in range(25):
        tags, looks, groups = dataset(seed=seed)
        order = np.random.default_rng(seed).permutation(len(tags))
        found = by_tag(bindings([tags[i] for i in order], looks, groups, seed=seed))
        wrong += any(b.state == "bound" for b in found.values())
        informations.append(found["smile"].information)
    assert wrong <= 4
    assert abs(np.mean(informations)) < 0.06


def test_a_burst_with_one_caption_is_one_observation() -> None:
    tags: list[set[str]] = [{"wink"}] * 12 + [set()] * 12
    looks = [LOOKS[0]] * 12 + [LOOKS[i % 4] for i in range(12)]
    burst = ["burst"] * 12 + [f"g{i}" for i in range(12)]
    assert by_tag(bindings(tags, looks, burst))["wink"].state == "rare"
    apart = [f"h{i}" for i in range(24)]
    assert by_tag(bindings(tags, looks, apart))["wink"].state == "bound"


def test_a_look_for_every_picture_tells_nothing() -> None:
    tags = [{"smile"} if i % 2 else set() for i in range(20)]
    found = by_tag(bindings(tags, [f"look{i}" for i in range(20)], [f"g{i}" for i in range(20)]))
    assert found["smile"].p == 1
    assert found["smile"].state == "free"


@pytest.mark.parametrize("others", [20, 60, 150])
def test_a_planted_binding_is_found_among_however_many_tags(others: int) -> None:
    rng = np.random.default_rng(1)
    looks = [LOOKS[i % 4] for i in range(80)]
    tags = [{f"t{j}" for j in range(others) if rng.random() < 0.3} for _ in looks]
    for some, look in zip(tags, looks, strict=True):
        some |= {"smile"} if look == LOOKS[0] else set()
    found = by_tag(bindings(tags, looks, [f"g{i}" for i in range(80)]))
    assert [tag for tag, one in found.items() if one.state == "bound"] == ["smile"]
    again = by_tag(bindings(tags, looks, [f"g{i}" for i in range(80)]))
    assert [one.p for one in again.values()] == [one.p for one in found.values()]


def test_perfect_binding_has_full_information() -> None:
    tags = [{"smile"} if i % 2 else set() for i in range(40)]
    found = by_tag(bindings(tags, [LOOKS[i % 2] for i in range(40)], [f"g{i}" for i in range(40)]))
    assert found["smile"].information == pytest.approx(1)


def test_order_of_pictures_does_not_matter() -> None:
    tags, looks, groups = dataset()
    order = np.random.default_rng(1).permutation(len(tags)).tolist()
    again = bindings([tags[i] for i in order], [looks[i] for i in order], [groups[i] for i in order])
    assert [repr(b) for b in again] == [repr(b) for b in bindings(tags, looks, groups)]


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
