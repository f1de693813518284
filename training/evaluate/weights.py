"""The measures over weights of the LoRA and of its trigger word: colours, fidelity by view, and the usable band.

Not for the formulas: `migration.py` and `sweep.py` have those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluate import colour, estimate
from training.evaluate.adherence import Control
from training.evaluate.colour import Palette
from training.evaluate.drawing import Place
from training.evaluate.estimate import Estimate, Floats
from training.evaluate.measures import group_mean, of_view
from training.evaluate.migration import PARTS, Curve, Migration, curve, migration, relief
from training.evaluate.overlaid import Copies
from training.evaluate.rows import Rows
from training.evaluate.seen import Seen
from training.evaluate.sets import Material
from training.evaluate.settings import EvaluateSettings
from training.evaluate.sweep import Limits, Point, Sweep, sweep
from training.evaluate.views import spelt

Pair = tuple[int, int]  # a drawn picture and the base's at equal prompt and seed


@dataclass(frozen=True)
class Colours:
    """Colour migration.

    Attributes:
        training: The set's palette.
        unrelated: LoRA weight → migration of unrelated prompts.
        curve: The same as a curve; None with one weight.
        keyword: Keyword weight → migration of novel prompts, which hold the trigger, at the main LoRA weight.
        relief: Weight → what lowering the keyword to it helps beyond lowering the LoRA to it.
    """

    training: Palette
    unrelated: dict[float, Migration]
    curve: Curve | None
    keyword: dict[float, Migration]
    relief: dict[float, Estimate]


def colours(seen: Seen, settings: EvaluateSettings, rows: Rows) -> Colours | None:
    """Colour migration at every weight; None where the set or the pictures have no colours."""
    training = colour.pooled(seen.training_colours)
    if training is None:
        rows.note("The training pictures are blank but for cut-out parts, so colours are left out.")
        return None
    control = colour.control(seen.training_colours)
    unrelated = {}
    for weight in settings.swept:
        found = _migration(seen, seen.gallery.places("unrelated", weight), training, control)
        if found is not None:
            unrelated[weight] = found
            _migration_rows(found, rows, prompts="unrelated", weight=weight)
    keyword = {}
    for weight in (*settings.keyword_weights, 1.0):
        places = seen.gallery.places("novel", settings.weight, keyword_weight=weight)
        found = _migration(seen, places, training, control)
        if found is not None and settings.keyword_weights:
            keyword[weight] = found
            _migration_rows(found, rows, prompts="novel", weight=settings.weight, keyword_weight=weight)
    return Colours(
        training, unrelated, _curve(seen, settings, training, rows), keyword, _relief(seen, settings, training, rows)
    )


def fidelities(seen: Seen, settings: EvaluateSettings, rows: Rows) -> dict[float, dict[str, Floats]]:
    """Weight (0 is the base) → view → likeness [pictures] to real ones of that view, the same pictures at each weight.

    Real ones are held out; a view of which none is held out is compared with what was trained on, which rewards
    copying and is said so in the row.
    """
    found: dict[float, dict[str, Floats]] = {}
    if seen.features is None or seen.reference is None or seen.sets.reference is None:
        return found
    places = [place for place in seen.gallery.places("subject", settings.weight) if place.prompt.view]
    seeds = min((len(seen.gallery.rows(Place(p.prompt, w))) for p in places for w in settings.swept), default=0)
    for view in dict.fromkeys(place.prompt.view for place in places):
        told = _ideal(view, (seen.sets.reference, seen.reference), (seen.sets.train, seen.train))
        if told is None:
            rows.note(f"No real picture of the view “{spelt(view)}” is known, so its fidelity is left out.")
            continue
        ideal, to = told
        for weight in (0.0, *settings.swept):
            some = [Place(place.prompt, weight) for place in places if place.prompt.view == view]
            drawn = [row for place in some for row in seen.gallery.rows(place)[:seeds]]
            values: Floats = np.asarray(seen.drawn[drawn] @ ideal, np.float64)
            found.setdefault(weight, {})[view] = values
            rows.add("fidelity", estimate.mean(values, "pictures"), view=view, weight=weight, to=to)
    return found


def looks_by_view(seen: Seen, settings: EvaluateSettings, rows: Rows) -> None:
    """How far judges see the view that was asked for and the subject's own looks, at every weight (claims C8, C12)."""
    if seen.judged is None:
        return
    for first in seen.gallery.places("subject", settings.weight):
        view = first.prompt.view
        for weight in (0.0, *settings.swept) if view and first.prompt.shows else ():
            drawn = seen.gallery.rows(Place(first.prompt, weight))
            right = np.array([seen.right(row) for row in drawn])
            if len(drawn) and np.isfinite(right).all():
                rows.add("looks.view", estimate.mean(right, "pictures"), view=view, weight=weight)


def band(
    fidelity: Mapping[float, Mapping[str, Floats]],
    costs: tuple[Colours | None, Copies | None, Mapping[float, Control]],
    rows: Rows,
) -> Sweep | None:
    """Which weights are usable; None where no view can be followed over two weights.

    Args:
        fidelity: Of `fidelities`.
        costs: Colours, copies, and control by weight.
        rows: Takes the result.
    """
    if len(fidelity) < 3 or not next(iter(fidelity.values())):
        rows.note("Which weights are usable needs held-out pictures and two LoRA weights at least.")
        return None
    tones, copied, control = costs
    base_control = next(iter(control.values())).base.value if control else math.nan
    points = [
        Point(
            weight,
            views,
            control=base_control if weight == 0 else control[weight].lora.value if weight in control else math.nan,
            colour=_value(tones.unrelated[weight].towards["colour"]) if tones and weight in tones.unrelated else 0.0,
            copies=copied.shares[weight].value if copied and weight in copied.shares else 0.0,
        )
        for weight, views in fidelity.items()
    ]
    found = sweep(points, Limits())
    for view, one in found.views.items():
        rows.add("fidelity.gain", one.gain, view=view)
        if one.holds:
            rows.number("fidelity.holds", one.holds[0], len(found.weights), "weights", view=view)
    for weight in found.weights:
        reasons = list(found.against[weight])
        rows.number("band.usable", float(not reasons), 1, "weights", weight=weight, against=reasons)
    if found.band is not None:
        for name, value in zip(("low", "high"), found.band, strict=True):
            rows.number(f"band.{name}", value, len(found.weights), "weights")
    return found


def _migration(seen: Seen, places: Sequence[Place], training: Palette, control: Palette | None) -> Migration | None:
    pairs, units = _pairs(seen, places)
    if not pairs:
        return None
    lora, base = _both(seen, pairs)
    return migration(lora, base, units, training, control)


def _migration_rows(found: Migration, rows: Rows, **told: object) -> None:
    for part in PARTS:
        rows.add("colour.towards", found.towards[part], part=part, **told)
    rows.add("colour.specific", found.specific, **told)
    rows.add("colour.change", found.change, **told)
    if found.chance is not None:
        rows.add("colour.chance", found.chance, **told)


def _curve(seen: Seen, settings: EvaluateSettings, training: Palette, rows: Rows) -> Curve | None:
    """Over LoRA weights, on the unrelated pictures that have colours at all of them."""
    prompts = [place.prompt for place in seen.gallery.places("unrelated", settings.weight)]
    drawn = {w: [seen.gallery.rows(Place(prompt, w)) for prompt in prompts] for w in (0.0, *settings.swept)}
    seeds = min((len(some) for by_prompt in drawn.values() for some in by_prompt), default=0)
    kept = [
        (number, seed)
        for number in range(len(prompts))
        for seed in range(seeds)
        if all(seen.palettes[drawn[w][number][seed]] is not None for w in drawn)
    ]
    if not kept or len(drawn) < 3:
        return None
    palettes = {w: [_sure(seen, some[number][seed]) for number, seed in kept] for w, some in drawn.items()}
    found = curve(palettes, np.array([number for number, _ in kept]), training)
    rows.add("colour.slope", found.slope, knob="lora")
    return found


def _relief(seen: Seen, settings: EvaluateSettings, training: Palette, rows: Rows) -> dict[float, Estimate]:
    """At every weight that both the LoRA and the keyword were drawn at."""
    found = {}
    for weight in settings.keyword_weights:
        softer = seen.gallery.places("novel", settings.weight, keyword_weight=weight)
        weaker = [Place(place.prompt, weight) for place in softer]
        pairs = [
            (number, low, soft)
            for number, (one, other) in enumerate(zip(weaker, softer, strict=True))
            for low, soft in zip(seen.gallery.pairs(one), seen.gallery.pairs(other), strict=False)
            if all(seen.palettes[row] is not None for row in (*low, *soft))
        ]
        if pairs:
            units = np.array([number for number, _, _ in pairs])
            sides = (_both(seen, [low for _, low, _ in pairs]), _both(seen, [soft for _, _, soft in pairs]))
            found[weight] = relief(*sides, units, training)
            rows.add("colour.relief", found[weight], weight=weight)
    return found


def _pairs(seen: Seen, places: Sequence[Place]) -> tuple[list[Pair], NDArray[np.int64]]:
    """Pictures with colours beside the base's, and the number of the prompt of each."""
    found = [
        (pair, number)
        for number, place in enumerate(places)
        for pair in seen.gallery.pairs(place)
        if all(seen.palettes[row] is not None for row in pair)
    ]
    return [pair for pair, _ in found], np.array([number for _, number in found], np.int64)


def _both(seen: Seen, pairs: Sequence[Pair]) -> tuple[list[Palette], list[Palette]]:
    return [_sure(seen, own) for own, _ in pairs], [_sure(seen, base) for _, base in pairs]


def _sure(seen: Seen, row: int) -> Palette:
    found = seen.palettes[row]
    if found is None:
        raise ValueError("a picture without colours was let through")
    return found


def _ideal(view: str, *real: tuple[Material, NDArray[np.float32]]) -> tuple[Floats, str] | None:
    """[d] mean real picture of a view and where it is from: held-out pictures, else those trained on."""
    for (material, vectors), name in zip(real, ("held_out", "train"), strict=True):
        rows = of_view(material, view)
        if rows:
            return group_mean(material, vectors, rows), name
    return None


def _value(found: Estimate) -> float:
    return found.value if math.isfinite(found.value) else 0.0
