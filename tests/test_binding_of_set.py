"""Binding: a planted binding is found, permuted tags are free, bursts are one observation."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from diversity import tables
from diversity.binding import Binding, bindings, of_set

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


def table(tags: list[set[str]], group: str | None = None) -> pl.DataFrame:
    rows = [(f"k{i}", tag, group) for i, some in enumerate(tags) for tag in sorted(some)]
    return pl.DataFrame(rows, schema=tables.TAGS, orient="row")


def keyed(values: list[str]) -> dict[str, str]:
    return {f"k{i}": value for i, value in enumerate(values)}


def test_a_tag_of_all_sides_of_the_full_body_is_bound_to_the_full_body() -> None:
    looks = [LOOKS[i % 4] for i in range(40)]
    boots = [{"boots"} if look.startswith("full_body") and i % 10 else set() for i, look in enumerate(looks)]
    frame = of_set(table(boots), keyed(looks), keyed([f"g{i}" for i in range(40)]))
    row = frame.row(0, named=True)
    assert (row["tag"], row["state"], row["look"]) == ("boots", "bound", "full_body")
    assert row["pictures"] == row["n"] == sum(map(len, boots))
    assert row["share"] == 1
    bodies = sum(look.startswith("full_body") for look in looks)
    assert row["elsewhere"] == pytest.approx((bodies - row["n"]) / (40 - row["n"]))


def test_views_that_are_not_sure_and_dropped_pictures_are_left_out() -> None:
    tags, looks, groups = dataset()
    sure = of_set(table(tags), keyed(looks), keyed(groups), gone={"k0"})
    assert not sure.filter(pl.col("tag") == "hat").height  # on the dropped picture alone
    assert sure.row(0, named=True)["look"] == LOOKS[0]
    assert of_set(table(tags), keyed(["unsure"] * 40), keyed(groups)).is_empty()


def test_tags_that_speak_of_the_view_are_not_asked() -> None:
    tags, looks, groups = dataset()
    assert of_set(table(tags, "framing"), keyed(looks), keyed(groups)).is_empty()
