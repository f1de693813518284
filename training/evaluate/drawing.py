"""The pictures that an evaluation looks at: which are wanted, and drawing them; the base's own are kept and shared.

Not for what they show: that is `lora.py` and the measures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.evaluate.kept import Array, kept
from training.evaluate.prompts import of_captions
from training.evaluate.sets import EvaluationSets, Kind, Prompt
from training.evaluate.settings import EvaluateSettings
from training.generate import SAMPLER, GenerationPlan, generate

if TYPE_CHECKING:
    from diversity.progress import Advance, Progress
    from training.base import Base
    from training.lora import Adapter


@dataclass(frozen=True)
class Place:
    """What makes a picture, but for its seed.

    Attributes:
        prompt: Of the sets.
        weight: Of the LoRA; 0 is the base.
        bare: Drawn without the trigger word.
        keyword_weight: Of the trigger word.
    """

    prompt: Prompt
    weight: float
    bare: bool = False
    keyword_weight: float = 1.0

    def text(self, trigger: str) -> str:
        """The prompt as drawn."""
        if self.bare:
            return self.prompt.bare
        return weighted(self.prompt.text, trigger, self.keyword_weight)

    @property
    def base(self) -> Place:
        """The same of the base alone."""
        return Place(self.prompt, 0.0, self.bare, self.keyword_weight)


@dataclass(frozen=True)
class DrawnPicture:
    """One picture and what made it.

    Attributes:
        picture: RGB.
        place: Prompt, weight, keyword weight.
        text: As drawn.
        seed: Of its noise.
    """

    picture: Image.Image = field(repr=False)
    place: Place
    text: str
    seed: int


def wanted(sets: EvaluationSets, settings: EvaluateSettings) -> dict[Place, int]:
    """Every place with its number of seeds, those of the base too.

    At the main weight everything is drawn, captions of training pictures there alone; at the further ones subject,
    unrelated and novel prompts with the seeds of a sweep; keyword weights are tried on novel prompts, which are the
    ones that ask for something beside the subject.
    """
    found: dict[Place, int] = {}
    for prompt in sets.prompts:
        main = {"subject": settings.seeds, "novel": settings.novel_seeds, "unrelated": settings.unrelated_seeds}
        swept = {
            "subject": settings.sweep_seeds,
            "novel": settings.sweep_novel_seeds,
            "unrelated": settings.sweep_unrelated_seeds,
        }
        found[Place(prompt, settings.weight)] = main[prompt.kind]
        for weight in settings.weights:
            if weight != settings.weight and swept[prompt.kind]:
                found[Place(prompt, weight)] = min(swept[prompt.kind], main[prompt.kind])
        if prompt.kind == "subject" and prompt.bare:
            found[Place(prompt, settings.weight, bare=True)] = settings.untriggered_seeds
        if prompt.kind == "novel" and weighted(prompt.text, sets.trigger, 0.5) != prompt.text:
            for keyword in settings.keyword_weights:
                found[Place(prompt, settings.weight, keyword_weight=keyword)] = settings.novel_seeds
    for prompt, seeds in of_captions(sets.train, settings.caption_pictures, settings.first_seed).items():
        found[Place(prompt, settings.weight)] = seeds
    for place, seeds in list(found.items()):
        found[place.base] = max(seeds, found.get(place.base, 0))
    return found


def weighted(text: str, trigger: str, weight: float) -> str:
    """`text` with its trigger at a keyword weight; as it is at 1, or where it does not hold the trigger."""
    if weight == 1 or not trigger:
        return text
    return re.sub(rf"(?<!\w){re.escape(trigger)}(?!\w)", lambda _: f"({trigger}:{weight:g})", text, count=1)


class Gallery:
    """All drawn pictures of an evaluation, by place; seeds of a place are the first ones of the settings.

    Args:
        pictures: Every picture, those of a place in the order of their seeds.
    """

    def __init__(self, pictures: Iterable[DrawnPicture]) -> None:
        self.pictures = tuple(pictures)
        self._rows: dict[Place, list[int]] = {}
        for row, one in enumerate(self.pictures):
            self._rows.setdefault(one.place, []).append(row)

    def rows(self, place: Place) -> list[int]:
        """Rows of `pictures` of one place; empty where nothing was drawn."""
        return self._rows.get(place, [])

    def pairs(self, place: Place) -> list[tuple[int, int]]:
        """(picture, the base's picture) at equal prompt and seed."""
        return list(zip(self.rows(place), self.rows(place.base), strict=False))

    def places(self, kind: Kind, weight: float, *, bare: bool = False, keyword_weight: float = 1.0) -> list[Place]:
        """The places of a kind of prompt, in the order of the prompts."""
        return [
            place
            for place in self._rows
            if place.prompt.kind == kind
            and (place.weight, place.bare, place.keyword_weight) == (weight, bare, keyword_weight)
        ]


def draw(
    base: Base,
    adapter: Adapter,
    places: dict[Place, int],
    sets: EvaluationSets,
    settings: EvaluateSettings,
    kept_in: tuple[Path | None, Progress],
) -> Gallery:
    """Draw every place.

    Args:
        base: What to draw with.
        adapter: On it.
        places: Place → number of seeds.
        sets: For the trigger.
        settings: Steps, guidance, size, seeds.
        kept_in: Folder for the base's own pictures and those of an adapter that says what it is kept as (None: none
            are kept), and who is told.
    """
    cache, progress = kept_in
    found: dict[Place, Sequence[Image.Image]] = {}
    with progress.task("pictures", sum(places.values())) as advance:
        for place, count in places.items():
            text = place.text(sets.trigger)
            if place.weight == 0 or adapter.kept_as:
                arrays = _kept(base, adapter if place.weight else None, (text, place.weight), count, (settings, cache))
                found[place] = [Image.fromarray(array) for array in arrays]
                advance(count)
            else:
                found[place] = _drawn(base, adapter, (text, place.weight), count, settings, advance)
    seeds = range(settings.first_seed, settings.first_seed + max(places.values(), default=0))
    return Gallery(
        DrawnPicture(picture, place, place.text(sets.trigger), seed)
        for place, pictures in found.items()
        for picture, seed in zip(pictures, seeds, strict=False)
    )


def _drawn(
    base: Base,
    adapter: Adapter | None,
    what: tuple[str, float],
    count: int,
    settings: EvaluateSettings,
    advance: Advance,
) -> list[Image.Image]:
    """`count` seeds of one text at one weight; None: the base alone."""
    text, weight = what
    plan = GenerationPlan(
        prompts=(text,),
        seeds=tuple(range(settings.first_seed, settings.first_seed + count)),
        weights=(weight,),
        negative=settings.negative,
        steps=settings.steps,
        guidance=settings.guidance,
        size=settings.size,
        batch=settings.batch,
    )
    pictures = []
    for sample in generate(base, [] if adapter is None else [adapter], plan):
        pictures.append(sample.picture)
        advance(1)
    return pictures


def _kept(
    base: Base,
    adapter: Adapter | None,
    what: tuple[str, float],
    count: int,
    how: tuple[EvaluateSettings, Path | None],
) -> Array:
    """uint8 [count, h, w, 3], kept on disk; None: of the base alone."""
    (text, weight), (settings, cache) = what, how
    keys = ("first_seed", "steps", "guidance", "negative", "batch")
    key = {
        "base": (base.fingerprint, base.schedule),
        "dtype": str(base.dtype),
        "text": text,
        "count": count,
        "sampler": SAMPLER,
        "size": settings.size or base.resolution,
        **{name: getattr(settings, name) for name in keys},
        **({} if adapter is None else {"lora": (adapter.kept_as, weight)}),
    }

    def make() -> Array:
        drawn = _drawn(base, adapter, (text, weight if adapter else 1.0), count, settings, lambda _: None)
        return np.stack([np.asarray(picture) for picture in drawn])

    return kept(cache, "drawn", key, make)
