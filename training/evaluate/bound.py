"""Binding of one LoRA: tags that always come with one look in its set, and what they drag along when drawn.

Not for the formulas: `binding.py` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diversity import taxonomy
from diversity.binding import Binding, bindings
from diversity.captions import Matcher, normal_tag, parse
from training.evaluate.binding import difference_in_differences
from training.evaluate.drawing import Place, draw
from training.evaluate.estimate import Estimate
from training.evaluate.measures import group_mean
from training.evaluate.rows import Rows
from training.evaluate.seen import Seen
from training.evaluate.sets import Prompt
from training.evaluate.settings import EvaluateSettings

if TYPE_CHECKING:
    from training.base import Base
    from training.lora import Adapter

SHOWN = 24  # bindings that become rows, the strongest first


@dataclass(frozen=True)
class Bound:
    """One bound tag, after training.

    Attributes:
        tag: As in the captions.
        look: The look it is bound to.
        dragged: Likeness to that look's pictures that adding the tag brings with the LoRA beyond what it brings with
            the base, other looks' pictures taken off.
    """

    tag: str
    look: str
    dragged: Estimate


def bound(
    base: Base,
    adapter: Adapter,
    seen: Seen,
    how: tuple[EvaluateSettings, Path | None],
    rows: Rows,
) -> tuple[tuple[Binding, ...], tuple[Bound, ...]]:
    """Tags bound in the training set; for the strongest, what they drag along when they are added to subject prompts.

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
        rows.add("binding.after", result.dragged, tag=result.tag, look=result.look)
    return tuple(found), after


def _tags(caption: str, trigger: str) -> frozenset[str]:
    """What a caption says, without the trigger and without words for the view, which is the look itself."""
    known = _matcher().tags(caption)
    return frozenset(tag for tag, group in known if group is None and tag != normal_tag(trigger))


@cache
def _matcher() -> Matcher:
    return Matcher(taxonomy.load())


def _after(base: Base, adapter: Adapter, seen: Seen, one: Binding, how: tuple[EvaluateSettings, Path | None]) -> Bound:
    from diversity.progress import Silent

    settings, cache = how
    prompts = [p for p in seen.sets.of_kind("novel") if one.tag not in parse(p.text).tags]
    pairs = [(Prompt(p.text, "novel"), Prompt(f"{p.text}, {one.tag}", "novel")) for p in prompts]
    places = {
        Place(prompt, weight): settings.novel_seeds
        for pair in pairs
        for prompt in pair
        for weight in (settings.weight, 0.0)
    }
    gallery = draw(base, adapter, places, seen.sets, settings, (cache, Silent()))
    drawn = Seen(gallery, seen.sets, seen.features, None, cache)
    train = seen.sets.train
    inside = [row for row, view in enumerate(train.views) if (view or "unsure") == one.look]
    outside = [row for row in range(len(train)) if row not in set(inside)]
    line = group_mean(train, seen.train, inside) - group_mean(train, seen.train, outside)
    score = drawn.drawn.astype(np.float64) @ line

    def side(which: int, weight: float) -> np.ndarray:
        return np.array([score[gallery.rows(Place(pair[which], weight))] for pair in pairs])

    w = settings.weight
    return Bound(one.tag, one.look, difference_in_differences(side(1, w), side(0, w), side(1, 0.0), side(0, 0.0)))
