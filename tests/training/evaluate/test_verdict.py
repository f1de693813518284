"""What a verdict may claim: nothing that too few pictures, too wide an interval, or no effect leave open."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from training.evaluate.adherence import Control, Leak
from training.evaluate.drift import Drift
from training.evaluate.estimate import Estimate
from training.evaluate.lora import Findings
from training.evaluate.loss_gap import Losses, LossGap, gap
from training.evaluate.rows import ROWS
from training.evaluate.sweep import Point, Sweep, sweep
from training.evaluate.variety import Variety
from training.evaluate.verdict import Verdict, judge

NOTHING = Findings({}, None, None, {}, None, None, None, {}, None, None, (), ())


def between(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 6, "prompts")


def gap_of(held_out: list[float], trained: float = -0.6) -> LossGap:
    deltas = np.array([trained + 0.01 * i for i in range(8)] + held_out)
    base = np.ones((len(deltas), 3, 1))
    roles = np.array(["train"] * 8 + ["held_out"] * len(held_out))
    groups = np.array([str(i) for i in range(len(deltas))])
    return gap(Losses(np.exp(deltas)[:, None, None] * base, base, np.array([0.2, 0.5, 0.8]), groups, roles))


def verdict(findings: Findings) -> Verdict:
    evaluation = SimpleNamespace(findings=findings, rows=pl.DataFrame(schema=ROWS))
    return judge(evaluation, SimpleNamespace(train=range(8)))  # type: ignore[arg-type]


def state_of(found: Verdict, topic: str) -> str:
    return next(one.state for one in found.evidence if one.topic == topic)


def views(gain: float) -> Sweep:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, 6)
    return sweep([Point(w, {"full_body/back": 0.4 + gain * w + noise * (1 + w)}) for w in (0.0, 0.7, 1.0)])


@pytest.mark.parametrize("held_out", [[0.4], [0.4, 0.41, 0.39]])
def test_a_huge_gap_over_too_few_moments_is_not_called_no_sign(held_out: list[float]) -> None:
    found = verdict(replace(NOTHING, gaps={"held_out": gap_of(held_out)}))
    assert found.state == "open"
    assert "cannot be told" in found.headline
    assert "No sign" not in found.headline
    assert "49 % worse" in found.headline
    assert "--folds" in found.headline


def test_without_held_out_pictures_it_names_what_would_tell() -> None:
    found = verdict(NOTHING)
    assert found.state == "open"
    assert "--held-out" in found.headline


def leak(low: float, value: float, high: float, effect: Estimate | None = None) -> Leak:
    return Leak(between(0.1, 0.05, 0.2), effect or between(0.3, 0.2, 0.4), between(value, low, high))


@pytest.mark.parametrize(
    ("share", "state"), [((-0.2, 0.9, 2.0), "open"), ((0.5, 0.9, 1.2), "bad"), ((0.0, 0.1, 0.2), "good")]
)
def test_a_leak_whose_interval_spans_everything_is_open(share: tuple[float, float, float], state: str) -> None:
    assert state_of(verdict(replace(NOTHING, leak=leak(*share))), "leak") == state


@pytest.mark.parametrize(("low", "high", "state"), [(0.3, 1.5, "open"), (0.8, 1.1, "good"), (0.3, 0.6, "bad")])
def test_variety_is_good_only_where_it_is_sure(low: float, high: float, state: str) -> None:
    ratio = between((low + high) / 2, low, high)
    found = verdict(replace(NOTHING, variety=Variety(ratio, ratio, ratio, 4)))
    assert state_of(found, "variety") == state


@pytest.mark.parametrize(("low", "high", "state"), [(0.5, 0.9, "open"), (0.2, 0.6, "good"), (0.8, 1.3, "bad")])
def test_drift_is_told_at_the_highest_weight_and_only_where_it_is_sure(low: float, high: float, state: str) -> None:
    share, little = between((low + high) / 2, low, high), between(0.1, 0.05, 0.2)
    drifts = {0.7: Drift(little, little, little), 1.0: Drift(share, share, share)}
    found = verdict(replace(NOTHING, drift=drifts))
    assert state_of(found, "drift") == state
    assert (found.state == "drifts") == (state == "bad") == any("lower weight" in one for one in found.data)


@pytest.mark.parametrize(("low", "high", "state"), [(-0.4, 0.4, "open"), (-0.03, 0.1, "good"), (-0.3, -0.1, "bad")])
def test_control_is_good_only_where_it_is_sure(low: float, high: float, state: str) -> None:
    change = between((low + high) / 2, low, high)
    found = verdict(replace(NOTHING, control={"text": Control(change, change, change, 0)}))
    assert state_of(found, "control") == state


NO_GAP = {"held_out": gap_of([-0.61, -0.55, -0.58, -0.54, -0.6])}


def test_nothing_learnt_that_can_be_told_is_not_sound() -> None:
    none = leak(-0.5, 0.1, 0.8, between(0.01, -0.1, 0.1))
    found = verdict(replace(NOTHING, gaps=NO_GAP, sweep=views(0.0), leak=none))
    assert found.state == "unlearnt"
    assert found.headline.startswith("Its pictures show nothing for sure yet: ")
    assert found.headline.endswith(" better than the base on pictures it did not.")


def test_one_sure_effect_is_enough_to_be_sound() -> None:
    assert verdict(replace(NOTHING, gaps=NO_GAP, sweep=views(0.0), leak=leak(0.0, 0.1, 0.2))).state == "sound"
    assert verdict(replace(NOTHING, gaps=NO_GAP, sweep=views(0.3))).state == "sound"
    assert verdict(replace(NOTHING, gaps=NO_GAP)).state == "sound"  # neither was measured
