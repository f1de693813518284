"""The loss gap: nulls, an overfitted grid, honest intervals, grouped folds, advice on checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluate import estimate
from training.evaluate.loss_gap import LEAST_GROUPS, Losses, advise, folds, gap, pool

TIMESTEPS = np.linspace(0.05, 0.95, 10)


def grid(effects: dict[str, float], *, groups: int = 6, copies: int = 2, seed: int = 0, spread: float = 0.02) -> Losses:
    """Losses whose LoRA is exp(effect of the role) of the base, with some spread between groups."""
    rng = np.random.default_rng(seed)
    names, roles = [], []
    for role in effects:
        for g in range(groups):
            names += [f"{role}-{g}"] * copies
            roles += [role] * copies
    base = np.exp(rng.normal(size=(len(names), 1, 1)) + rng.normal(0, 0.3, (len(names), len(TIMESTEPS), 4)))
    own = {name: rng.normal(0, spread) for name in sorted(set(names))}
    shift = np.array([effects[r] + own[n] for r, n in zip(roles, names, strict=True)])
    return Losses(base * np.exp(shift)[:, None, None], base, TIMESTEPS, np.array(names), np.array(roles))


def test_identity_lora_has_exactly_no_gap() -> None:
    losses = grid({"train": 0.0, "held_out": 0.0, "prior": 0.0}, spread=0)
    found = gap(Losses(losses.base, losses.base, losses.timesteps, losses.groups, losses.roles))
    assert (found.gap.value, found.gap.low, found.gap.high) == (0, 0, 0)
    assert found.prior is not None
    assert found.prior.value == 0
    assert found.verdict == "no gap"


def test_overfitted_losses_are_told_in_the_words_of_the_design() -> None:
    found = gap(grid({"train": -0.40, "held_out": 0.09, "prior": 0.05}))
    assert found.gap.value == pytest.approx(0.49, abs=0.05)
    assert found.verdict == "overfit"
    assert found.sentence().startswith("33 % better than the base on pictures it saw, ") or "better" in found.sentence()
    assert found.prior is not None
    assert found.prior.above(0)
    assert set(found.bands) == {"low", "mid", "high"}


def test_a_lora_that_still_helps_on_unseen_pictures_is_not_called_overfit() -> None:
    assert gap(grid({"train": -0.3, "held_out": -0.15})).verdict == "gap"


def test_no_verdict_below_four_held_out_groups() -> None:
    found = gap(grid({"train": -0.4, "held_out": 0.1}, groups=LEAST_GROUPS - 1))
    assert found.verdict == "too few groups"
    assert found.gap.value > 0.4


def test_picture_complexity_does_not_move_the_gap() -> None:
    losses = grid({"train": -0.2, "held_out": 0.1})
    hard = np.where(losses.roles == "held_out", 50.0, 1.0)[:, None, None]
    scaled = Losses(losses.lora * hard, losses.base * hard, losses.timesteps, losses.groups, losses.roles)
    assert gap(scaled).gap.value == pytest.approx(gap(losses).gap.value)


def test_more_copies_of_a_group_change_nothing() -> None:
    losses = grid({"train": -0.2, "held_out": 0.1}, copies=1)
    burst = np.concatenate([np.arange(len(losses.groups)), np.zeros(9, int)])  # nine more of the first picture
    more = Losses(losses.lora[burst], losses.base[burst], losses.timesteps, losses.groups[burst], losses.roles[burst])
    assert gap(more).gap.value == pytest.approx(gap(losses).gap.value)


def test_a_group_on_both_sides_is_refused() -> None:
    losses = grid({"train": 0.0, "held_out": 0.0})
    leaky = np.array(["same"] * len(losses.groups))
    with pytest.raises(ValueError, match="both trained on and held out"):
        gap(Losses(losses.lora, losses.base, losses.timesteps, leaky, losses.roles))


def test_a_gap_in_high_noise_alone_shows_in_its_band() -> None:
    losses = grid({"train": 0.0, "held_out": 0.0}, spread=0.01)
    late = (losses.timesteps > 2 / 3)[None, :, None] & (losses.roles == "train")[:, None, None]
    bands = gap(Losses(losses.lora * np.where(late, 0.7, 1), losses.base, TIMESTEPS, losses.groups, losses.roles)).bands
    assert bands["high"].above(0.2)
    assert abs(bands["low"].value) < 0.05


def test_welch_holds_the_truth_where_the_percentile_bootstrap_does_not() -> None:
    rng = np.random.default_rng(0)
    welch = bootstrap = 0
    rounds = 400
    for _ in range(rounds):
        held, train = rng.normal(0, 1.5, 4), rng.normal(0, 1, 20)
        found = estimate.difference(held, train, "groups")
        welch += found.low <= 0 <= found.high
        draws = held[rng.integers(0, 4, (300, 4))].mean(1) - train[rng.integers(0, 20, (300, 20))].mean(1)
        low, high = np.quantile(draws, [0.05, 0.95])
        bootstrap += low <= 0 <= high
    assert 0.86 <= welch / rounds <= 0.95
    assert bootstrap / rounds < 0.84


def test_advice_is_the_checkpoint_of_least_held_out_loss_and_says_when_overfitting_begins() -> None:
    path = {250: (-0.1, -0.05), 500: (-0.2, -0.12), 1000: (-0.3, -0.02), 1500: (-0.4, 0.1)}
    found = advise({s: gap(grid({"train": t, "held_out": v}, seed=1)) for s, (t, v) in path.items()})
    assert (found.step, found.overfits_from) == (500, 1000)
    assert found.steps == (500,)


def test_checkpoints_that_differ_by_chance_alone_are_all_advised_about() -> None:
    rng = np.random.default_rng(3)
    path = {}
    for step in (500, 1000, 1500):
        losses = grid({"train": -0.2, "held_out": -0.1}, seed=2, spread=0.0)
        jitter = np.exp(rng.normal(0, 0.05, len(losses.groups)))[:, None, None]
        path[step] = gap(Losses(losses.lora * jitter, losses.base, TIMESTEPS, losses.groups, losses.roles))
    assert advise(path).overfits_from is None


def test_no_advice_below_four_groups() -> None:
    found = advise({100: gap(grid({"train": 0.0, "held_out": 0.0}, groups=3))})
    assert found.step is None
    assert "fewer than 4" in found.reason


@given(sizes=st.lists(st.integers(1, 5), min_size=2, max_size=12), k=st.integers(2, 12), seed=st.integers(0, 1000))
def test_folds_are_pure_even_and_independent_of_order(sizes: list[int], k: int, seed: int) -> None:
    groups = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    if k > len(sizes):
        with pytest.raises(ValueError, match="folds"):
            folds(groups, k)
        return
    fold = folds(groups, k)
    of = dict(zip(groups, fold.tolist(), strict=True))
    assert [of[g] for g in groups] == fold.tolist()
    held = np.bincount(list(of.values()), minlength=k)
    assert held.max() - held.min() <= 1
    order = np.random.default_rng(seed).permutation(len(groups))
    assert folds([groups[i] for i in order], k).tolist() == fold[order].tolist()


def test_pooled_folds_find_the_gap_that_hard_and_easy_pictures_would_hide() -> None:
    rng = np.random.default_rng(4)
    names = np.array([f"g{i}" for i in range(9)])
    ease = rng.normal(0, 0.5, 9)  # far larger than the gap
    fold = folds(names.tolist(), 3)
    parts = []
    for f in range(3):
        base = np.ones((9, len(TIMESTEPS), 2))
        shift = ease - 0.2 * (fold != f) + rng.normal(0, 0.02, 9)
        roles = np.where(fold == f, "held_out", "train")
        parts.append(gap(Losses(base * np.exp(shift)[:, None, None], base, TIMESTEPS, names, roles)))
    found = pool(parts)
    assert found.n == 9
    assert found.low < 0.2 < found.high
    assert found.above(0.1)
