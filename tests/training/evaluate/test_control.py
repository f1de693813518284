"""Prompt control, trigger leak, variety, the weight sweep: nulls, positive controls, and what rules a weight out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluate.adherence import control, trigger_leak
from training.evaluate.sweep import Limits, Point, sweep
from training.evaluate.variety import across, variety

Rows = NDArray[np.float64]


def unit(rows: Rows) -> Rows:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def scores(prompts: int = 8, seeds: int = 4, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    return 0.3 + rng.normal(0, 0.1, (prompts, 1)) + rng.normal(0, 0.02, (prompts, seeds))


def test_identity_lora_loses_no_control_and_leaks_nothing() -> None:
    base = scores()
    found = control(base, base)
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
    leak = trigger_leak((base, base), (base, base))
    assert leak.leak.value == 0
    assert "no sure effect" in leak.share.reason


def test_lost_control_is_sure_although_prompts_differ_ten_times_more() -> None:
    base = scores()
    lora = base - 0.03
    lora[5] -= 0.2
    found = control(lora, base)
    assert found.difference.below(0)
    assert found.worst == 5
    assert found.difference.n == 8


def test_a_trigger_that_does_nothing_leaks_everything() -> None:
    base = scores(seed=1)
    lora = base + 0.4 + np.random.default_rng(2).normal(0, 0.01, base.shape)
    assert trigger_leak((lora, base), (lora, base)).share.value == pytest.approx(1)
    assert trigger_leak((base + 0.1, base), (lora, base)).share.value == pytest.approx(0.25, abs=0.03)


def test_unequal_prompts_or_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        control(scores(seeds=4), scores(seeds=3))
    with pytest.raises(ValueError, match="shapes"):
        variety(np.zeros((2, 8, 4)), np.zeros((2, 7, 4)))


def test_unchanged_generations_keep_all_their_variety() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(5, 8, 32)))
    found = variety(rows, rows)
    assert (found.ratio.value, found.ratio.low, found.ratio.high) == (1, 1, 1)


def test_one_picture_for_every_seed_is_the_least_variety() -> None:
    base = unit(np.random.default_rng(0).normal(size=(5, 8, 32)))
    stuck = np.repeat(base[:, :1], 8, axis=1)
    found = variety(stuck, base)
    assert found.lora.value == pytest.approx(1, abs=1e-6)
    assert found.ratio.value == pytest.approx(1 / found.base.value, rel=0.05)
    assert found.ratio.below(1)


def test_fresh_seeds_of_the_same_kind_do_not_lose_variety() -> None:
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        first, second = (unit(rng.normal(size=(6, 8, 32)) + 1) for _ in range(2))
        found = variety(first, second).ratio
        held += found.low <= 1 <= found.high
    assert held >= 32


def test_three_seeds_are_too_few() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(5, 3, 32)))
    assert "fewer than 4 seeds" in variety(rows, rows).ratio.reason


def test_prompts_answered_alike_are_lost_variety_and_unchanged_ones_are_not() -> None:
    base = unit(np.random.default_rng(0).normal(size=(10, 32)))
    same = across(base, base)
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))
    stuck = across(np.repeat(base[:1], 10, axis=0), base)
    assert stuck.below(0.5)
    assert "fewer than 4" in across(base[:3], base[:3]).reason


WEIGHTS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def points(**costs: dict[float, float]) -> list[Point]:
    rng = np.random.default_rng(0)
    ease = rng.normal(0, 0.05, 12)
    made = []
    for w in WEIGHTS:
        face = 0.5 + 0.4 * min(w / 0.5, 1) + ease + rng.normal(0, 0.005, 12)
        shoes = 0.5 + 0.4 * max((w - 0.7) / 0.3, 0) + ease + rng.normal(0, 0.005, 12)
        extra = {name: values.get(w, 0.0) for name, values in costs.items()}
        made.append(Point(w, {"headshot": face, "shoes": shoes}, **extra))
    return made


def test_shoes_that_appear_only_at_full_weight_are_named() -> None:
    found = sweep(points())
    assert found.views["headshot"].holds == WEIGHTS[1:]
    assert found.views["shoes"].holds == (1.0,)
    assert found.band == (1.0, 1.0)
    assert "shoes breaks below 1" in found.sentence()


def test_colour_at_high_weights_closes_the_band() -> None:
    easy = [Point(p.weight, {"headshot": p.fidelity["headshot"]}, colour=0.3 * (p.weight > 0.75)) for p in points()]
    found = sweep(easy)
    assert found.band == (0.5, 0.7)
    assert found.against[0.8] == ("colours migrate",)


def test_views_and_costs_that_exclude_each_other_leave_no_weight() -> None:
    found = sweep(points(copies={1.0: 0.2}))
    assert found.band is None
    assert found.sentence().startswith("no weight is usable")
    assert "copies appear" in found.against[1.0]


def test_identity_lora_has_no_usable_weight_because_it_shows_nothing() -> None:
    same = points()[0].fidelity
    found = sweep([Point(w, same) for w in WEIGHTS])
    assert found.band is None
    assert found.failing == ("headshot", "shoes")
    assert found.unlearned  # so that nobody is told to add pictures of every view
    assert "too few steps" in found.sentence()
    assert not sweep(points()).unlearned


def test_a_view_that_no_weight_shows_is_a_matter_for_the_data() -> None:
    flat = points()[0].fidelity["shoes"]
    found = sweep([Point(p.weight, {**p.fidelity, "shoes": flat}) for p in points()])
    assert found.failing == ("shoes",)
    assert found.band == (0.5, 1.0)


def test_lost_control_is_measured_from_the_base() -> None:
    found = sweep(points(control={w: 0.3 - 0.2 * w for w in WEIGHTS}), Limits(control=0.15))
    assert "prompts are no longer followed" in found.against[0.8]
    assert "prompts are no longer followed" not in found.against[0.7]


def test_a_sweep_needs_the_base() -> None:
    with pytest.raises(ValueError, match="weight 0"):
        sweep(points()[1:])
