"""Two characters under two trigger words in one LoRA: which words those are, and how far the two run into one another.

Not for the formula: `binding.blend` has it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diversity.export.captions import tags
from training.evaluate.binding import Blend, blend
from training.evaluate.drawing import Place, draw
from training.evaluate.rows import Rows
from training.evaluate.seen import Seen
from training.evaluate.sets import Material, Prompt
from training.evaluate.settings import EvaluateSettings

if TYPE_CHECKING:
    from training.base import Base
    from training.lora import Adapter

CONCEPT = re.compile(r"\d+_(.+)")  # kohya's folder of one concept: repeats and name
OWN, OTHER = 0.8, 0.2  # share of captions that hold a folder's word: at least of its own, at most of the other's
LEAST_GROUPS = 2  # of pictures that each character is placed by


@dataclass(frozen=True)
class Blended:
    """The blend of one LoRA.

    Attributes:
        words: The two trigger words.
        found: How far each is drawn towards the other.
    """

    words: tuple[str, str]
    found: Blend


def concepts(train: Material) -> tuple[str, str] | None:
    """The words of two characters, from kohya's folders `10_mira` and `10_anna`; None where it is not two.

    A folder's word must stand in its own captions and not in the other's.
    """
    folders: dict[str, list[int]] = {}
    for row, name in enumerate(train.names):
        first, _, rest = name.partition("/")
        match = CONCEPT.fullmatch(first)
        folders.setdefault(match[1] if match and rest else "", []).append(row)
    if len(folders) != 2 or "" in folders:
        return None
    (one, ones), (two, twos) = sorted(folders.items())
    for words in ((one, two), (one.split()[0], two.split()[0])):
        shares = [[_share(train, rows, word) for rows in (ones, twos)] for word in words]
        if min(shares[0][0], shares[1][1]) >= OWN and max(shares[0][1], shares[1][0]) <= OTHER:
            return words
    return None


def blended(
    base: Base, adapter: Adapter, seen: Seen, how: tuple[EvaluateSettings, Path | None], rows: Rows
) -> Blended | None:
    """How far subject prompts under one word come towards the other's pictures, at the main weight.

    Real pictures are the held-out ones where both characters have two groups of them, else those trained on, which a
    LoRA that copies is near to: the rows say which.

    Args:
        base: What to draw with.
        adapter: On it.
        seen: Pictures and prompts; the words are `seen.sets.concepts`.
        how: Settings, and the folder for the base's own pictures.
        rows: Takes the result.
    """
    if not seen.sets.concepts:
        return None
    if seen.features is None:
        rows.note("There is no encoder, so it is not told how far the two characters run into one another.")
        return None
    real = _real(seen)
    if real is None:
        one, two = seen.sets.concepts
        rows.note(
            f"How far “{one}” and “{two}” run into one another is not told: it takes {LEAST_GROUPS} moments of each "
            "whose captions hold one of the two words alone."
        )
        return None
    to, vectors, groups = real
    asked = [_asked(base, adapter, seen, word, how) for word in seen.sets.concepts]
    found = blend((asked[0][0], asked[1][0]), vectors, groups, (asked[0][1], asked[1][1]))
    told = {"features": seen.features.id, "to": to, "weight": how[0].weight}
    one, two = seen.sets.concepts
    rows.add("blend.towards", found.first, word=one, other=two, **told)
    rows.add("blend.towards", found.second, word=two, other=one, **told)
    rows.number("blend.apart", found.apart, found.first.n, "prompts", **told)
    return Blended((one, two), found)


def _share(train: Material, rows: Sequence[int], word: str) -> float:
    return float(np.mean([_holds(train.captions[row], word) for row in rows]))


def _holds(caption: str, word: str) -> bool:
    """Whether a caption holds every tag of a trigger word, wherever each stands."""
    return all(re.search(rf"(?<!\w){re.escape(tag)}(?!\w)", caption, re.IGNORECASE) for tag in tags(word))


Pair = tuple[NDArray[np.floating], NDArray[np.floating]]


def _real(seen: Seen) -> tuple[str, Pair, tuple[NDArray[np.str_], NDArray[np.str_]]] | None:
    """(which, vectors, groups) of the real pictures of both."""
    held, vectors = seen.sets.reference, seen.reference
    there = [("held_out", held, vectors)] if held is not None and vectors is not None else []
    for to, material, rows in (*there, ("train", seen.sets.train, seen.train)):
        mine = [_only(material, seen.sets.concepts, which) for which in (0, 1)]
        groups = [np.array([material.groups[row] for row in some]) for some in mine]
        if all(len(np.unique(one)) >= LEAST_GROUPS for one in groups):
            return to, (rows[mine[0]], rows[mine[1]]), (groups[0], groups[1])
    return None


def _only(material: Material, words: Sequence[str], which: int) -> list[int]:
    """Rows of the pictures whose captions hold one of the words and not the other."""
    return [
        row
        for row, caption in enumerate(material.captions)
        if _holds(caption, words[which]) and not _holds(caption, words[1 - which])
    ]


def _asked(
    base: Base, adapter: Adapter, seen: Seen, word: str, how: tuple[EvaluateSettings, Path | None]
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """(vectors, number of its prompt for each) of the subject prompts under a word; those that are drawn are taken."""
    from diversity.progress import Silent

    settings, cache = how
    if word == seen.sets.trigger:
        rows, units = seen.units(seen.gallery.places("subject", settings.weight))
        return seen.drawn[rows], units
    prompts = [Prompt(_named(p.text, seen.sets.trigger, word), "subject") for p in seen.sets.of_kind("subject")]
    places = {Place(prompt, settings.weight): settings.seeds for prompt in prompts}
    other = Seen(
        draw(base, adapter, places, seen.sets, settings, (cache, Silent())), seen.sets, seen.features, None, cache
    )
    rows, units = other.units(list(places))
    return other.drawn[rows], units


def _named(text: str, trigger: str, word: str) -> str:
    """A subject prompt under another word."""
    if not trigger:
        return f"{word}, {text}"
    return re.sub(rf"(?<!\w){re.escape(trigger)}(?!\w)", lambda _: word, text, count=1)
