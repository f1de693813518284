"""The measures of one LoRA at one weight, from what was drawn: memory, control, looks, leak, variety, richness.

Not for weights (`weights.py`) or for the formulas: each measure's own module has those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diversity import richness
from training.evaluate import estimate
from training.evaluate.adherence import Control, Leak, control, trigger_leak
from training.evaluate.drawing import Place
from training.evaluate.drift import Drift, drift
from training.evaluate.estimate import Estimate, Floats
from training.evaluate.memorisation import Memorisation, memorisation
from training.evaluate.rows import Rows
from training.evaluate.seen import Seen
from training.evaluate.sets import Kind, Material, Prompt
from training.evaluate.variety import Variety, variety

if TYPE_CHECKING:
    from training.evaluate.tagger import Tagged

Score = Callable[[int], float]  # of a drawn picture, by its row


@dataclass(frozen=True)
class Remembered:
    """Memorisation, and which drawn pictures it was judged on.

    Attributes:
        found: The numbers; its pairs are in the order of `drawn`.
        drawn: Rows of the gallery.
    """

    found: Memorisation
    drawn: tuple[int, ...]


def memory(seen: Seen, weight: float, rows: Rows) -> Remembered | None:
    """Whether pictures of subject and novel prompts repeat training pictures; the base's beside them."""
    places = [*seen.gallery.places("subject", weight), *seen.gallery.places("novel", weight)]
    return _memory(seen, places, "memory", rows)


def memory_at_captions(seen: Seen, weight: float, rows: Rows) -> Remembered | None:
    """The same of pictures that were asked for with captions of training pictures."""
    return _memory(seen, seen.gallery.places("caption", weight), "memory.captions", rows)


def _memory(seen: Seen, places: Sequence[Place], measure: str, rows: Rows) -> Remembered | None:
    features = seen.features
    if features is None or not places:
        return None
    drawn, units = seen.units(places)
    groups = np.array(seen.sets.train.groups)
    found = memorisation(seen.drawn[drawn], seen.train, groups, units)
    told = {"features": features.id, "weight": places[0].weight}
    for name in ("copied", "authentic_excess", "nearer", "alike"):
        rows.add(f"{measure}.{name}", getattr(found, name), **told)
    own, own_units = seen.units([place.base for place in places])
    plain = memorisation(seen.drawn[own], seen.train, groups, own_units)
    for name in ("copied", "nearer", "alike"):
        rows.add(f"{measure}.{name}", getattr(plain, name), **{**told, "weight": 0.0})
    return Remembered(found, tuple(drawn))


def controls(seen: Seen, weight: float, rows: Rows, tagged: Tagged | None = None) -> dict[str, Control]:
    """How far novel prompts are answered, by judges, by a tagger and by text likeness: name → result."""
    places = seen.gallery.places("novel", weight)
    found: dict[str, Control] = {}
    if places and seen.judged is not None:
        asked = [place for place in places if place.prompt.asks]
        found |= _control(seen, asked, lambda row: seen.right(row, _prompt(seen, row).asks), rows, "judges")
    if places and tagged is not None:
        by_tags = _control(seen, places, tagged.score, rows, "tagger", tagger=tagged.tagger.id)
        if not by_tags:
            rows.note(f"No word of the novel prompts is a tag that {tagged.tagger.name} knows, so it is not asked.")
        found |= by_tags
    by_text = _text_score(seen, places)
    if places and by_text is not None:
        found |= _control(seen, places, by_text, rows, "text")
    elif places and seen.features is not None:
        rows.note(f"{seen.features.name} has no text side, so text likeness is left out.")
    return found


def looks(seen: Seen, weight: float, rows: Rows) -> Control | None:
    """How far the judges see the subject's own looks in pictures of subject prompts, beside the base's."""
    if seen.judged is None:
        return None
    places = [place for place in seen.gallery.places("subject", weight) if _own(place.prompt)]
    score: Score = lambda row: seen.right(row, _own(_prompt(seen, row)))  # noqa: E731
    found = _paired(seen, places, score)
    if found is None:
        return None
    result = control(*found)
    for name in ("lora", "base", "difference"):
        rows.add(f"looks.{name}", getattr(result, name), by="judges", weight=weight)
    for kind in ("subject", "novel"):
        _attributes(seen, kind, weight, rows)
    return result


def leak(seen: Seen, weight: float, rows: Rows) -> Leak | None:
    """How much of the subject comes without its trigger word: likeness to held-out pictures, and looks by judges."""
    bare = seen.gallery.places("subject", weight, bare=True)
    named = [Place(place.prompt, weight) for place in bare]
    if seen.judged is not None and any(_own(place.prompt) for place in bare):
        score: Score = lambda row: seen.right(row, _own(_prompt(seen, row)))  # noqa: E731
        _leak(seen, (bare, named), score, rows, "judges")
    if not bare or seen.features is None or seen.reference is None or seen.sets.reference is None:
        return None
    likeness = likeness_to(seen, seen.sets.reference, seen.reference)
    return _leak(seen, (bare, named), likeness, rows, "features")


def varieties(seen: Seen, weight: float, rows: Rows) -> Variety | None:
    """How different the seeds of a subject prompt are, beside the base's."""
    places = seen.gallery.places("subject", weight)
    if seen.features is None or not places:
        return None
    seeds = min(len(seen.gallery.rows(place)) for place in places)
    own = np.array([seen.gallery.rows(place)[:seeds] for place in places])
    base = np.array([seen.gallery.rows(place.base)[:seeds] for place in places])
    found = variety(seen.drawn[own], seen.drawn[base], seen.centre)
    for name in ("ratio", "lora", "base"):
        rows.add(f"variety.{name}", getattr(found, name), features=seen.features.id, seeds=seeds, weight=weight)
    return found


def drifts(seen: Seen, weight: float, rows: Rows) -> Drift | None:
    """How far unrelated pictures move from the base's own."""
    places = seen.gallery.places("unrelated", weight)
    if seen.features is None or not places:
        return None
    seeds = min(len(seen.gallery.pairs(place)) for place in places)
    pairs = np.array([seen.gallery.pairs(place)[:seeds] for place in places])  # [prompts, seeds, 2]
    found = drift(seen.drawn[pairs[..., 0]], seen.drawn[pairs[..., 1]], seen.centre)
    for name in ("share", "change", "chance"):
        rows.add(f"drift.{name}", getattr(found, name), features=seen.features.id, weight=weight)
    return found


def richnesses(seen: Seen, rows: Rows) -> None:
    """How rich the set that was trained on is, as `diversity score` measures it."""
    if seen.features is None or not len(seen.sets.train):
        return
    train = seen.sets.train
    cells = tuple(view or richness.UNSURE for view in train.views)
    weights = np.array(train.exposures, np.float64) if train.exposures else None
    pictures = richness.Pictures(seen.train, np.array(train.groups), cells, weights)
    told = {"encoder": seen.features.id, "kernel": "cosine" if seen.centre is None else "centred cosine"}
    for one in richness.measures(pictures, centre=seen.centre):
        low, high = (np.nan if end is None else end for end in (one.low, one.high))
        rows.add(f"richness.{one.name}", Estimate(one.value, low, high, one.n, "pictures"), **told)


def likeness_to(seen: Seen, material: Material, vectors: NDArray[np.float32]) -> Score:
    """Mean cosine of a drawn picture with real ones of the view its prompt asks for; of all where there are none."""

    def score(row: int) -> float:
        return float(seen.drawn[row] @ centres[_prompt(seen, row).view])

    views = {one.place.prompt.view for one in seen.gallery.pictures}
    centres = {view: group_mean(material, vectors, of_view(material, view) or range(len(material))) for view in views}
    return score


def of_view(material: Material, view: str) -> list[int]:
    """Rows of the pictures of a view; "full_body" holds "full_body/back"."""
    return [row for row, own in enumerate(material.views) if view and (own == view or own.startswith(f"{view}/"))]


def group_mean(material: Material, vectors: NDArray[np.float32], rows: Sequence[int]) -> Floats:
    """[d] mean over groups of near-copies of the mean picture of each."""
    by_group: dict[str, list[int]] = {}
    for row in rows:
        by_group.setdefault(material.groups[row], []).append(row)
    found: Floats = np.mean([vectors[some].mean(axis=0) for some in by_group.values()], axis=0).astype(np.float64)
    return found


def bare_words(prompt: Prompt, trigger: str) -> str:
    """What text likeness is measured to: the prompt without its trigger."""
    if prompt.words or not trigger:
        return prompt.words or prompt.text
    text = re.sub(rf"(?<!\w){re.escape(trigger)}(?!\w)", "", prompt.text)
    return ", ".join(part for part in (piece.strip() for piece in text.split(",")) if part)


def _control(seen: Seen, places: list[Place], score: Score, rows: Rows, by: str, **more: object) -> dict[str, Control]:
    pair = _paired(seen, places, score)
    if pair is None:
        return {}
    found = control(*pair)
    for name in ("lora", "base", "difference"):
        rows.add(f"control.{name}", getattr(found, name), by=by, kind="novel", weight=places[0].weight, **more)
    return {by: found}


def _leak(seen: Seen, places: tuple[list[Place], list[Place]], score: Score, rows: Rows, by: str) -> Leak | None:
    without, named = (_paired(seen, some, score) for some in places)
    if without is None or named is None:
        return None
    found = trigger_leak(without, named)
    for name in ("leak", "effect", "share"):
        rows.add(f"leak.{name}", getattr(found, name), by=by, weight=places[0][0].weight)
    return found


def _paired(seen: Seen, places: Sequence[Place], score: Score) -> tuple[Floats, Floats] | None:
    """Scores [prompts, seeds] of the LoRA and of the base, prompts whose score is not known left out."""
    if not places:
        return None
    seeds = min(len(seen.gallery.pairs(place)) for place in places)
    pairs = np.array([seen.gallery.pairs(place)[:seeds] for place in places])  # [prompts, seeds, 2]
    scores = np.array([[[score(int(row)) for row in pair] for pair in some] for some in pairs], np.float64)
    known = np.isfinite(scores).all(axis=(1, 2))
    return (scores[known, :, 0], scores[known, :, 1]) if known.any() else None


def _text_score(seen: Seen, places: Sequence[Place]) -> Score | None:
    encode = getattr(seen.features, "encode_texts", None)
    if encode is None or not places:
        return None
    texts = [bare_words(place.prompt, seen.sets.trigger) for place in places]
    vectors = dict(zip([id(place.prompt) for place in places], encode(texts), strict=True))
    return lambda row: float(seen.drawn[row] @ vectors[id(_prompt(seen, row))])


def _attributes(seen: Seen, kind: Kind, weight: float, rows: Rows) -> None:
    """Share of pictures right, attribute by attribute: what the prompt asks for and the subject's own looks apart."""
    places = seen.gallery.places(kind, weight)
    names = dict.fromkeys(name for place in places for name in place.prompt.shows)
    for name in names:
        for asked in (True, False):
            some = [p for p in places if name in p.prompt.shows and (name in p.prompt.asks) is asked]
            for one in (weight, 0.0):
                drawn, units = seen.units([p if one else p.base for p in some])
                right = np.array([seen.right(row, (name,)) for row in drawn])
                if len(drawn) and np.isfinite(right).all():
                    told = {"attribute": name, "asked": asked, "kind": kind, "weight": one}
                    rows.add("truth.right", estimate.share(right, units, "prompts"), **told)


def _own(prompt: Prompt) -> tuple[str, ...]:
    return tuple(name for name in prompt.shows if name not in prompt.asks)


def _prompt(seen: Seen, row: int) -> Prompt:
    return seen.gallery.pictures[row].place.prompt
