"""What a LoRA does, by ground truth: judges' labels of drawn pictures, and pixels of renders. Decides who overfits.

Not with any measure under test: no encoder, no loss, no palette. PROTOCOL.md defines every row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from benchmarks.richness.people import LOOKS
from training import keyed
from training.evaluate import estimate
from training.evaluate.drawing import DrawnPicture
from training.evaluate.estimate import Estimate
from training.evaluate.rows import ROWS
from training.evaluate.sets import Prompt
from training.judges import Judges, agrees

OVERFITTED = 0.10  # `truth.lost` from here on
AGREEMENT = 0.6  # share of held-out renders that must be judged alike before that is a character's look
DRAWS, SIDE = 32, 32  # of the pixel comparison: random subsets, and pixels
NEEDED = ("framing", "side", "background", "hair_colour", "outfit_colour")  # without them nothing is told of control
REPAINTED = ("hair_colour", "outfit_colour")

Labels = Mapping[str, str]
Floats = NDArray[np.float64]
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """One drawn picture and what the judges say of it.

    Attributes:
        prompt: What was asked.
        text: As drawn.
        bare: Without the trigger.
        seed, weight: As drawn; weight 0 is the base.
        labels: Attribute → label, of those that pictures of the asked framing show.
        pixels: float32 [SIDE × SIDE × 3], for the comparison with renders.
    """

    prompt: Prompt
    text: str
    bare: bool
    seed: int
    weight: float
    labels: Labels
    pixels: NDArray[np.float32]


Score = Callable[[Seen], float]
PARTS: dict[str, Callable[[Prompt, str], bool]] = {  # which looks, on which subject prompts
    "identity": lambda prompt, name: True,
    "shoes": lambda prompt, name: name.startswith("shoes"),
    "hair_full_body": lambda prompt, name: name == "hair_colour" and prompt.shows.get("framing") == "full_body",
    "turned_away": lambda prompt, name: prompt.shows.get("side") in ("side", "back_three_quarter", "back"),
}


def look(drawn: Sequence[DrawnPicture], judges: Judges | None) -> list[Seen]:
    """Judge every picture once, by what its asked framing shows; without judges no label is known."""
    found = {} if judges is None else judges.predict([one.picture for one in drawn])

    def shown(name: str, prompt: Prompt) -> bool:
        framing = prompt.shows.get("framing") or prompt.view.split("/")[0]
        return judges is not None and (not framing or framing in judges.attributes[name].framings)

    return [
        Seen(
            one.place.prompt,
            one.text,
            one.place.bare,
            one.seed,
            one.place.weight,
            {name: each.labels[i] for name, each in found.items() if shown(name, one.place.prompt)},
            small(one.picture),
        )
        for i, one in enumerate(drawn)
    ]


def looks_of_renders(judges: Judges, pictures: Sequence[Image.Image], views: Sequence[str]) -> dict[str, str]:
    """A character's looks where no labels are known: what most of its renders are judged to show."""
    found = judges.predict(pictures)
    framings = [view.split("/")[0] for view in views]
    looks = {}
    for name in LOOKS:
        if name not in found:
            continue
        shown = judges.attributes[name].framings
        labels = [label for label, framing in zip(found[name].labels, framings, strict=True) if framing in shown]
        most = max(sorted(set(labels)), key=labels.count, default=None)
        if most is not None and labels.count(most) >= AGREEMENT * len(labels):
            looks[name] = most
    return looks


def small(picture: Image.Image) -> NDArray[np.float32]:
    """A picture as the pixel comparison sees it."""
    pixels = cv2.resize(np.asarray(picture.convert("RGB")), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return pixels.astype(np.float32).ravel() / 255


def rows(seen: Sequence[Seen], weight: float, own: Labels) -> pl.DataFrame:
    """All rows of ground truth at one weight, in the columns of `ROWS`.

    Args:
        seen: With the base's pictures (weight 0) at the same prompts and seeds.
        weight: Of the LoRA.
        own: The character's looks.
    """
    pairs = _pairs(seen, weight)
    asked = [p for p in pairs if p[0].prompt.kind != "unrelated" and not p[0].bare]
    others = [p for p in pairs if p[0].prompt.kind == "unrelated" and p[0].prompt.asks]
    subject = [p for p in asked if p[0].prompt.kind == "subject"]
    control, unrelated = _change(asked, _asked_right), _change(others, _asked_right)
    broken = [_by_prompt([(lora.text, _broken(lora, base)) for lora, base in pairs]) for pairs in (asked, others)]
    found: dict[str, Estimate] = {
        "truth.control": control,
        "truth.unrelated": unrelated,
        "truth.lost": lost(control, unrelated),
        "truth.broken": _halves(*broken),
        "truth.repaint": _change(others, lambda one: _repainted(one, own)),
    }
    for part, counts in PARTS.items():
        score = _looks_right(counts)
        found[f"truth.{part}"] = _level([lora for lora, _ in subject], score)
        found[f"truth.{part}_gain"] = _change(subject, score)
    return table(found, {"weight": weight})


def lost(control: Estimate, unrelated: Estimate) -> Estimate:
    """Share of asked attributes that the base shows less that which the LoRA shows: both kinds of prompts weigh
    equally.
    """
    change = _halves(control, unrelated)
    return replace(change, value=-change.value, low=-change.high, high=-change.low)


def copied(
    generated: Rows, prompts: Sequence[str], train: Rows, groups: Sequence[str], own: Rows, key: str
) -> Estimate:
    """Share of pictures nearer to a training picture than to any held-out one drawn alike; 0.5 is chance, whatever the
    set: the two-sample form of Meehan et al. 2020 with pictures that are really held out.

    Both sides have equally many distinct pictures: one of each of m groups against m held-out ones, m the lesser,
    averaged over `DRAWS` draws.

    Args:
        generated: [m, d] subject pictures at one weight: pixels as from `small`, or vectors of an encoder.
        prompts: [m], the unit.
        train: [n, d].
        groups: Near-copies share one; [n].
        own: [k, d] held-out pictures, all of different groups.
        key: Names the draws.
    """
    if not len(generated) or not len(own) or not len(train):
        return estimate.unknown("prompts", "nothing was drawn or held out")
    names, label = sorted(set(groups)), np.array(groups)
    to_train = _distances(generated, train)
    by_group = np.stack([to_train[:, label == name].min(axis=1) for name in names], axis=1)
    to_own, count = _distances(generated, own), min(len(names), len(own))
    wins = np.zeros(len(generated))
    for draw in range(DRAWS):
        rng = keyed.generator("copied", key, draw)
        some, held = (rng.choice(n, count, replace=False) for n in (len(names), len(own)))
        near, far = by_group[:, some].min(axis=1), to_own[:, held].min(axis=1)
        wins += (near < far) + 0.5 * (near == far)
    return estimate.mean(estimate.by_unit(wins / DRAWS, np.array(prompts)), "prompts")


def confusion(seen: Sequence[Seen], forms: tuple[Labels, Labels], words: tuple[str, str]) -> Estimate:
    """Two forms under two words: share of telling looks that are the other form's, less the base's.

    Args:
        seen: All pictures.
        forms: Looks of the first and the second form; only those that differ are counted.
        words: Their trigger words.
    """
    telling = [name for name in LOOKS if name in forms[0] and name in forms[1] and forms[0][name] != forms[1][name]]

    def other(one: Seen) -> float:
        mine = 0 if one.text.startswith(words[0]) else 1
        free = [name for name in telling if name in one.prompt.shows and name not in one.prompt.asks]
        judged = [name for name in free if name in one.labels]
        return float(np.mean([one.labels[name] == forms[1 - mine][name] for name in judged])) if judged else np.nan

    asked = [pair for pair in _pairs(seen, 1.0) if not pair[0].bare and pair[0].text.startswith(words)]
    return _change(asked, other)


def table(found: Mapping[str, Estimate], settings: Mapping[str, object]) -> pl.DataFrame:
    """Estimates as rows; an interval that is not known is null."""
    shared = json.dumps(dict(settings), sort_keys=True)

    def number(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return pl.DataFrame(
        [(name, number(e.value), number(e.low), number(e.high), e.n, e.unit, shared) for name, e in found.items()],
        schema=ROWS,
        orient="row",
    )


def _pairs(seen: Sequence[Seen], weight: float) -> list[tuple[Seen, Seen]]:
    """(LoRA, base) at equal text and seed."""
    base = {(one.text, one.seed): one for one in seen if one.weight == 0}
    mine = [one for one in seen if one.weight == weight]
    return [(one, base[one.text, one.seed]) for one in mine if (one.text, one.seed) in base]


def _change(pairs: Iterable[tuple[Seen, Seen]], score: Score) -> Estimate:
    """Mean over prompts of the LoRA's score less the base's."""
    return _by_prompt([(lora.text, score(lora) - score(base)) for lora, base in pairs])


def _asked_right(one: Seen) -> float:
    judged = [name for name in one.prompt.asks if name in one.labels]
    return float(np.mean([agrees(one.labels[name], one.prompt.shows[name]) for name in judged])) if judged else np.nan


def _broken(lora: Seen, base: Seen) -> float:
    """Share of the asked attributes that the base shows and the LoRA does not; what the LoRA adds does not make up."""
    judged = [name for name in lora.prompt.asks if name in lora.labels]
    right = [[agrees(one.labels[name], one.prompt.shows[name]) for name in judged] for one in (base, lora)]
    return float(np.mean([was and not now for was, now in zip(*right, strict=True)])) if judged else np.nan


def _repainted(one: Seen, own: Labels) -> float:
    free = [n for n in REPAINTED if n in one.prompt.asks and own.get(n) not in (None, one.prompt.shows[n])]
    judged = [name for name in free if name in one.labels]
    return float(np.mean([one.labels[name] == own[name] for name in judged])) if judged else np.nan


def _looks_right(counts: Callable[[Prompt, str], bool]) -> Score:
    """Share of the looks that a prompt should show without asking for them."""

    def score(one: Seen) -> float:
        looks = [name for name in one.prompt.shows if name not in one.prompt.asks and name in one.labels]
        right = [agrees(one.labels[name], one.prompt.shows[name]) for name in looks if counts(one.prompt, name)]
        return float(np.mean(right)) if right else np.nan

    return score


def _level(seen: Iterable[Seen], score: Score) -> Estimate:
    return _by_prompt([(one.text, score(one)) for one in seen])


def _halves(first: Estimate, second: Estimate) -> Estimate:
    """Mean of two estimates, however many prompts each has."""
    value = (first.value + second.value) / 2
    half = float(np.hypot(first.high - first.low, second.high - second.low)) / 4
    return Estimate(value, value - half, value + half, min(first.n, second.n), "prompts")


def _by_prompt(scored: Iterable[tuple[str, float]]) -> Estimate:
    """Mean over prompts; pictures without a score are left out."""
    kept = [(text, value) for text, value in scored if np.isfinite(value)]
    values, texts = np.array([value for _, value in kept]), np.array([text for text, _ in kept])
    return estimate.mean(estimate.by_unit(values, texts) if len(kept) else values, "prompts")


def _distances(rows: Rows, others: Rows) -> Floats:
    """Root mean square differences [n, m]."""
    return np.array([np.sqrt(((others - row) ** 2).mean(axis=1)) for row in rows], np.float64)
