"""Buckets: within the area, on the grid, nearest in shape, no picture lost; crops that move together."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from training.buckets import BucketRules, place, sizes

rule_sets = st.builds(
    lambda side, step, aspect, enlarge: BucketRules((side * step) ** 2, step, aspect, enlarge),
    st.integers(1, 16),
    st.sampled_from([8, 16, 32, 64]),
    st.sampled_from([1.0, 1.5, 2.5, 4.0]),
    st.booleans(),
)
sides = st.integers(1, 5000)


@settings(max_examples=60, deadline=None)
@given(rule_sets)
def test_buckets_keep_to_area_step_and_aspect_and_none_could_be_larger(rules: BucketRules) -> None:
    table = sizes(rules)
    assert len(set(table)) == len(table) > 0
    for width, height in table:
        assert width * height <= rules.area
        assert width % rules.step == height % rules.step == 0
        assert max(width, height) <= rules.max_aspect * min(width, height)
        assert (height, width) in table
        assert not any((u, v) != (width, height) and u >= width and v >= height for u, v in table)


@settings(max_examples=150, deadline=None)
@given(rule_sets, sides, sides)
def test_every_picture_finds_a_place_inside_itself(rules: BucketRules, width: int, height: int) -> None:
    placed = place(width, height, rules)
    (across, down), (wide, high) = placed.size, placed.scaled
    assert 0 <= placed.left <= wide - across
    assert 0 <= placed.top <= high - down
    assert abs(placed.left - (wide - across - placed.left)) <= 1
    assert across * down <= rules.area
    assert across % rules.step == down % rules.step == 0
    assert min(wide - across, high - down) <= 1  # one side fits, so no more is cut off than the shape demands


@settings(max_examples=150, deadline=None)
@given(rule_sets, sides, sides)
def test_the_bucket_is_the_nearest_in_shape(rules: BucketRules, width: int, height: int) -> None:
    placed = place(width, height, rules)
    if not rules.enlarge and (placed.size not in sizes(rules)):
        return

    def apart(size: tuple[int, int]) -> float:
        return abs(math.log(size[0] / size[1]) - math.log(width / height))

    assert apart(placed.size) <= min(map(apart, sizes(rules))) + 1e-8


@settings(max_examples=150, deadline=None)
@given(rule_sets, sides, sides)
def test_nothing_is_enlarged_unless_allowed(rules: BucketRules, width: int, height: int) -> None:
    placed = place(width, height, BucketRules(rules.area, rules.step, rules.max_aspect, enlarge=False))
    if min(width, height) >= rules.step:
        assert placed.scaled[0] <= width
        assert placed.scaled[1] <= height
    else:
        assert rules.step in placed.size


def test_stable_diffusion_sizes() -> None:
    rules = BucketRules(512 * 512, 64)
    assert place(1000, 1000, rules).size == (512, 512)
    assert place(1080, 1920, rules).size == (384, 640)
    assert place(1920, 1080, rules).size == (640, 384)
    assert place(300, 300, rules).magnification == 512 / 300
    assert place(300, 300, BucketRules(512 * 512, 64, enlarge=False)).size == (256, 256)


@settings(max_examples=60, deadline=None)
@given(rule_sets, sides, sides)
def test_mirroring_twice_changes_nothing_and_keeps_the_same_part(rules: BucketRules, width: int, height: int) -> None:
    placed = place(width, height, rules)
    other = placed.mirrored()
    assert other.mirrored() == placed
    columns = range(placed.scaled[0])[placed.left : placed.left + placed.size[0]]
    flipped = range(placed.scaled[0])[::-1][other.left : other.left + other.size[0]]
    assert sorted(flipped) == list(columns)


def test_time_ids_are_height_first() -> None:
    placed = place(1920, 1080, BucketRules(512 * 512, 64))
    assert placed.time_ids == (1080, 1920, placed.top, placed.left, 384, 640)
