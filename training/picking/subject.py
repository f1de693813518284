"""Which prompts ask for the subject: by its trigger word, or by what most captions share.

Not for what else a prompt asks for: that is `diversity.captions`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from diversity.captions import parse
from training.picking.prompts import PLACE

ALWAYS = 0.6  # share of captions from which a tag stands for the subject
# Scripts written without spaces, or with endings on names (Hangul): there a name need not end where a word does.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


def asks_for(words: Sequence[str], prompt: str | None, *, cut: bool = False) -> bool | None:
    """Whether `prompt` holds one of the subject's words as whole words; None where that is not known.

    Args:
        words: As from `subject_words`.
        prompt: None: not known.
        cut: It may be the beginning of a prompt only: what it lacks may stand in the rest.
    """
    if prompt is None:
        return None
    if PLACE.search(prompt):  # ai-toolkit's [trigger]
        return True
    if not words:
        return None
    text = _plain(prompt)
    return True if any(_holds(text, _plain(word)) for word in words) else None if cut else False


def subject_words(frame: pl.DataFrame, trigger: str | None) -> tuple[str, ...]:
    """The trigger where it is named; else tags of most captions that are no view, and the folder's concept.

    Args:
        frame: With `caption` and `concept`.
        trigger: The subject's word.
    """
    if trigger:
        return (_spelt(trigger),)
    captions = [parse(caption).tags for caption in frame["caption"].drop_nulls().to_list()]
    counts: dict[str, int] = {}
    for tags in captions:
        for tag in tags:
            counts[tag] = counts.get(tag, 0) + 1
    common = [tag for tag, n in counts.items() if n >= ALWAYS * len(captions) and n >= 3]
    concepts = frame["concept"].drop_nulls().unique().to_list() if not common else []
    found = (_spelt(word) for word in (*common, *concepts))
    return tuple(dict.fromkeys(word for word in found if len(word) > 1 or _UNSPACED.search(word)))


def _spelt(word: str) -> str:
    return " ".join(re.findall(r"\w+", word.lower()))


def _plain(text: str) -> str:
    """Words with one space between them; booru's underscore is a space."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _holds(text: str, word: str) -> bool:
    if _UNSPACED.search(word):
        return word.replace(" ", "") in text.replace(" ", "")
    return re.search(rf"\b{re.escape(word)}\b", text) is not None
