"""Binding of one LoRA: tags that always come with one look in its set, and what they drag along when drawn.

Not for the formulas: `binding.py` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diversity import taxonomy
from diversity.binding import Binding, bindings
from diversity.captions import Matcher, parse, trigger_tags
from training.evaluate.binding import Four, difference_in_differences, relief
from training.evaluate.drawing import Place, draw
from training.evaluate.estimate import Estimate, Floats
from training.evaluate.measures import group_mean
from training.evaluate.rows import Rows
from training.evaluate.seen import Seen
from training.evaluate.sets import Prompt
from training.evaluate.settings import EvaluateSettings
from training.prompts import literal

if TYPE_CHECKING:
    from training.base import Base
    from training.lora import Adapter

SHOWN = 24  # bindings that become rows, the strongest first


@dataclass(frozen=True)
class Softened:
    """A bound tag at a lower weight in the prompt, beside the LoRA lowered as far (claim C6).

    Attributes:
        weight: Of the tag; the LoRA's weight is multiplied by it.
        tag: What the softer tag drags along, as `Bound.dragged`.
        lora: What the tag drags along with the weaker LoRA.
        relief: lora - tag: above 0, lowering the tag helps more.
    """

    weight: float
    tag: Estimate
    lora: Estimate
    relief: Estimate


@dataclass(frozen=True)
class Bound:
    """One bound tag, after training.

    Attributes:
        tag: As in the captions.
        look: The look it is bound to.
        dragged: Likeness to that look's pictures that adding the tag brings with the LoRA beyond what it brings with
            the base, other looks' pictures taken off.
        softened: At every keyword weight below 1.
    """

    tag: str
    look: str
    dragged: Estimate
    softened: tuple[Softened, ...]


def bound(
    base: Base,
    adapter: Adapter,
    seen: Seen,
    how: tuple[EvaluateSettings, Path | None],
    rows: Rows,
) -> tuple[tuple[Binding, ...], tuple[Bound, ...]]:
    """Tags bound in the training set; for the strongest, what they drag along when they are added to novel prompts.

    Beside that, whether it helps to lower the weight of such a tag, or of the LoRA.

    Args:
        base: What to draw with.
        adapter: On it.
        seen: The training pictures and prompts.
        how: Settings, and the folder for the base's own pictures.
        rows: Takes the result.
    """
    settings, _ = how
    train = seen.sets.train
    if not any(train.views):
        rows.note("The views of the training pictures are not known, so bound tags are left out.")
        return (), ()
    tags = [_tags(caption, seen.sets.trigger) for caption in train.captions]
    found = bindings(tags, [view or "unsure" for view in train.views], train.groups)
    for one in found[:SHOWN]:
        if one.state in ("bound", "free"):
            value = Estimate(one.information, np.nan, np.nan, one.n, "groups")
            told = {
                "tag": one.tag,
                "look": one.look,
                "share": round(one.share, 4),
                "elsewhere": round(one.elsewhere, 4),
            }
            rows.add("binding.before", value, p=round(one.p, 4), state=one.state, **told)
    worst = [one for one in found if one.state == "bound"][: settings.binding_tags]
    if not worst or seen.features is None:
        return tuple(found), ()
    after = tuple(_after(base, adapter, seen, one, how) for one in worst)
    for result in after:
        told = {"tag": result.tag, "look": result.look}
        rows.add("binding.after", result.dragged, **told)
        for soft in result.softened:
            rows.add("binding.softer", soft.tag, keyword_weight=soft.weight, weight=settings.weight, **told)
            rows.add("binding.weaker", soft.lora, weight=settings.weight * soft.weight, **told)
            rows.add("binding.relief", soft.relief, keyword_weight=soft.weight, **told)
    return tuple(found), after


def _tags(caption: str, trigger: str) -> frozenset[str]:
    """What a caption says, without the trigger and without words for the view, which is the look itself."""
    own = trigger_tags(trigger)
    return frozenset(tag for tag, group in _matcher().tags(caption) if group is None and tag not in own)


@cache
def _matcher() -> Matcher:
    return Matcher(taxonomy.load())


def _after(base: Base, adapter: Adapter, seen: Seen, one: Binding, how: tuple[EvaluateSettings, Path | None]) -> Bound:
    settings = how[0]
    main, lower = (1.0, settings.weight), [weight for weight in settings.keyword_weights if weight < 1]
    plain = [p for p in seen.sets.of_kind("novel") if one.tag not in parse(p.text).tags]
    said = {1.0: literal(one.tag), **{weight: f"({literal(one.tag)}:{weight:g})" for weight in lower}}
    tagged = {weight: [Prompt(f"{p.text}, {words}", "novel") for p in plain] for weight, words in said.items()}

    def four(tag: float, lora: float) -> list[list[Place]]:
        """With the tag at a weight and without it, under the LoRA at a weight and under the base."""
        return [[Place(p, at) for p in some] for at in (lora, 0.0) for some in (tagged[tag], plain)]

    knobs = [main, *((weight, main[1]) for weight in lower), *((1.0, main[1] * weight) for weight in lower)]
    places = [place for knob in knobs for some in four(*knob) for place in some]
    score = _likeness(base, adapter, seen, one, (places, *how))

    def scores(tag: float, lora: float) -> Four:
        shape = (len(plain), settings.novel_seeds)
        sides = (np.array([score[place] for place in some]).reshape(shape) for some in four(tag, lora))
        first, second, third, fourth = sides
        return first, second, third, fourth

    softened = []
    for weight in lower:
        soft, weak = scores(weight, main[1]), scores(1.0, main[1] * weight)
        dragged = difference_in_differences(*soft), difference_in_differences(*weak)
        softened.append(Softened(weight, *dragged, relief(weak, soft)))
    return Bound(one.tag, one.look, difference_in_differences(*scores(*main)), tuple(softened))


def _likeness(
    base: Base,
    adapter: Adapter,
    seen: Seen,
    one: Binding,
    how: tuple[Sequence[Place], EvaluateSettings, Path | None],
) -> dict[Place, Floats]:
    """Place → [seeds] likeness to the bound look's pictures less that to the others; what is drawn already is taken."""
    from diversity.progress import Silent

    places, settings, cache = how
    seeds = settings.novel_seeds
    wanted = {place: seeds for place in places if len(seen.gallery.rows(place)) < seeds}
    gallery = draw(base, adapter, wanted, seen.sets, settings, (cache, Silent()))
    fresh = Seen(gallery, seen.sets, seen.features, None, cache)
    train = seen.sets.train
    inside = [row for row, view in enumerate(train.views) if (view or "unsure") == one.look]
    outside = [row for row in range(len(train)) if row not in set(inside)]
    line = group_mean(train, seen.train, inside) - group_mean(train, seen.train, outside)
    found = {}
    for place in places:
        where = fresh if place in wanted else seen
        found[place] = where.drawn[where.gallery.rows(place)[:seeds]].astype(np.float64) @ line
    return found
