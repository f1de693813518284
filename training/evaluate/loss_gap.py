"""M1, the loss gap: how much better a LoRA denoises pictures it saw than pictures it did not, against the base.

Not for making the losses. Training loss says nothing (claim C1): a plain background gives a low one, a busy one a high
one. So every loss is divided by the base model's on the same picture, timestep and noise, and pictures that were
trained on are compared with pictures that were held out, group by group.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.errors import NotANumberError
from training.evaluate import estimate
from training.evaluate.estimate import Estimate, Floats

LEAST_GROUPS = 4  # held-out groups below which a gap is reported without a verdict
BANDS = {"low": (0.0, 1 / 3), "mid": (1 / 3, 2 / 3), "high": (2 / 3, 1.0)}  # noise, as a share of the schedule
ROLES = ("train", "held_out", "prior")


@dataclass(frozen=True)
class Losses:
    """Losses on a fixed grid of timesteps and noises.

    Attributes:
        lora: float [n, T, K] > 0: pictures × timesteps × noises.
        base: The same with the adapter off, on the same noise.
        timesteps: float [T], 0 (no noise) .. 1 (all noise).
        groups: [n] label of near-copies: the unit of all intervals.
        roles: [n] of `ROLES`; "prior" are pictures unrelated to the subject.
    """

    lora: Floats
    base: Floats
    timesteps: Floats
    groups: NDArray[np.str_]
    roles: NDArray[np.str_]

    def deltas(self) -> Floats:
        """float64 [n, T]: ln(mean over noises of the LoRA's loss) - ln(the base's); negative is better than the base.

        Raises:
            ValueError: shapes disagree, or a group is both trained and held out.
            NotANumberError: a loss is not positive and finite.
        """
        if self.lora.shape != self.base.shape or self.lora.shape[:2] != (len(self.groups), len(self.timesteps)):
            raise ValueError(f"losses of shapes {self.lora.shape} and {self.base.shape}")
        if not (
            np.isfinite(self.lora).all() and np.isfinite(self.base).all() and min(self.lora.min(), self.base.min()) > 0
        ):
            raise NotANumberError(
                "The losses are not positive numbers.", "The weights of the base or of the LoRA are broken."
            )
        seen = set(self.groups[self.roles == "train"].tolist())
        leaked = seen & set(self.groups[self.roles == "held_out"].tolist())
        if leaked:
            raise ValueError(f"group {sorted(leaked)[0]} is both trained on and held out")
        delta: Floats = np.log(self.lora.mean(axis=2)) - np.log(self.base.mean(axis=2))
        return delta


@dataclass(frozen=True)
class LossGap:
    """What the losses of one checkpoint say.

    Attributes:
        train, held_out: Mean log ratio to the base; -0.4 is 33 % better, +0.09 is 9 % worse.
        gap: held_out - train; above 0 is fitted to the very pictures.
        bands: Gap by amount of noise ("low", "mid", "high"), where the grid has timesteps there.
        prior: Mean log ratio on unrelated pictures; above 0 is forgetting. None without such pictures.
        verdict: "overfit" (held-out pictures got worse than with the base, or not better, and the gap is sure),
            "gap" (a sure gap, yet held-out pictures still gain), "no gap", or "too few groups".
        pictures: float [n], each picture's log ratio, in the order of the losses.
        train_groups, held_out_groups: Group → mean log ratio.
    """

    train: Estimate
    held_out: Estimate
    gap: Estimate
    bands: dict[str, Estimate]
    prior: Estimate | None
    verdict: str
    pictures: Floats = field(repr=False, compare=False)
    train_groups: dict[str, float] = field(repr=False)
    held_out_groups: dict[str, float] = field(repr=False)

    def sentence(self) -> str:
        """The gap in plain words."""
        return (
            f"{words_of(self.train.value)} on pictures it saw, {words_of(self.held_out.value)} on pictures it did not"
        )


def gap(losses: Losses) -> LossGap:
    """The loss gap of one checkpoint.

    Means within groups first, then over groups, so that a burst of eight frames counts once.
    """
    deltas = losses.deltas()
    overall = deltas.mean(axis=1)
    sides = {role: _groups(overall, losses, role) for role in ROLES}
    train, held = (np.array(list(sides[role].values())) for role in ("train", "held_out"))
    bands = {}
    for name, (low, high) in BANDS.items():
        inside = (losses.timesteps >= low) & (losses.timesteps < high if high < 1 else losses.timesteps <= 1)
        if inside.any():
            part = deltas[:, inside].mean(axis=1)
            pair = [np.array(list(_groups(part, losses, role).values())) for role in ("held_out", "train")]
            bands[name] = estimate.difference(pair[0], pair[1], "groups")
    prior = np.array(list(sides["prior"].values()))
    found = estimate.difference(held, train, "groups")
    held_out = estimate.mean(held, "groups")
    return LossGap(
        train=estimate.mean(train, "groups"),
        held_out=held_out,
        gap=found,
        bands=bands,
        prior=estimate.mean(prior, "groups") if len(prior) else None,
        verdict=judged(found, held_out),
        pictures=overall,
        train_groups=sides["train"],
        held_out_groups=sides["held_out"],
    )


@dataclass(frozen=True)
class Advice:
    """Which checkpoint the held-out losses recommend.

    Attributes:
        step: Least mean loss on held-out groups.
        steps: Those no worse than `step` by one standard error of the paired difference.
        overfits_from: First later checkpoint whose held-out loss is sure to be higher while the training loss went on
            falling; None where there is none.
        groups: Held-out groups behind it.
        reason: Why there is no advice; "" where there is.
    """

    step: int | None
    steps: tuple[int, ...]
    overfits_from: int | None
    groups: int
    reason: str = ""


def advise(gaps: Mapping[int, LossGap]) -> Advice:
    """The checkpoint to use, from the gaps of several (step → gap), all on the same pictures.

    Differences between checkpoints are paired by group: pictures differ far more than checkpoints do, and pairing takes
    that out.
    """
    steps = sorted(gaps)
    names = sorted(set.intersection(*(set(gaps[s].held_out_groups) for s in steps))) if steps else []
    if len(names) < LEAST_GROUPS:
        return Advice(None, (), None, len(names), f"fewer than {LEAST_GROUPS} held-out groups")
    table = np.array([[gaps[s].held_out_groups[name] for name in names] for s in steps])
    best = int(table.mean(axis=1).argmin())
    rise = table - table[best]
    error = rise.std(axis=1, ddof=1) / math.sqrt(len(names))
    within = tuple(s for s, r, e in zip(steps, rise.mean(axis=1), error, strict=True) if r <= e)
    overfits = next(
        (
            s
            for i, s in enumerate(steps)
            if i > best
            and estimate.mean(rise[i], "groups").above(0)
            and gaps[s].train.value < gaps[steps[best]].train.value
        ),
        None,
    )
    return Advice(steps[best], within, overfits, len(names))


def folds(groups: Sequence[str], k: int) -> NDArray[np.int64]:
    """[n] fold 0..k-1 of each picture, pure by group, even in groups, the same for any order or file names.

    For sets too small to spare four groups: train k LoRAs, hold each fold out once, and `pool` the gaps.

    Args:
        groups: Label of each picture; use a content hash, so that renaming changes nothing.
        k: 2 .. number of groups.

    Raises:
        ValueError: there are fewer groups than folds, or fewer than two folds.
    """
    labels = sorted(set(groups), key=lambda name: hashlib.blake2b(name.encode(), digest_size=8).digest())
    if not 2 <= k <= len(labels):
        raise ValueError(f"{k} folds of {len(labels)} groups")
    fold = {name: i % k for i, name in enumerate(labels)}
    return np.array([fold[name] for name in groups], np.int64)


def pool(parts: Sequence[LossGap]) -> Estimate:
    """Gap over grouped folds: for each group, its loss while held out minus its mean loss while trained on.

    Paired within the group, so that easy and hard pictures cancel. Groups share the LoRAs they were judged by, so the
    interval is of these pictures, not of other training seeds.
    """
    rows = []
    for name in sorted({name for part in parts for name in part.held_out_groups}):
        held = [part.held_out_groups[name] for part in parts if name in part.held_out_groups]
        seen = [part.train_groups[name] for part in parts if name in part.train_groups]
        if seen:
            rows.append(float(np.mean(held)) - float(np.mean(seen)))
    return estimate.mean(np.array(rows), "groups")


def _groups(values: Floats, losses: Losses, role: str) -> dict[str, float]:
    mine = losses.roles == role
    names = np.unique(losses.groups[mine]).tolist()
    means = estimate.by_unit(values[mine], losses.groups[mine])
    return {str(name): float(value) for name, value in zip(names, means, strict=True)}


def judged(gap: Estimate, held_out: Estimate) -> str:
    """What a gap and the loss on held-out pictures mean: "overfit", "gap", "no gap" or "too few groups"."""
    if held_out.n < LEAST_GROUPS or not gap.known:
        return "too few groups"
    if not gap.above(0):
        return "no gap"
    return "gap" if held_out.below(0) else "overfit"


def words_of(delta: float) -> str:
    """A log ratio of losses in plain words: "33 % better than the base"."""
    if not math.isfinite(delta):
        return "unknown"
    percent = round(abs(1 - math.exp(delta)) * 100)
    if percent == 0:
        return "as good as the base"
    return f"{percent} % {'better' if delta < 0 else 'worse'} than the base"
