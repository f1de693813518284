"""A tagger from a local ONNX file, and how far drawn pictures show the tags that their prompts ask for.

Not for tagging a training set. Nothing is fetched.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diversity.captions import normal_tag, parse
from diversity.errors import EncoderError
from diversity.onnx_model import OnnxModel
from training.evaluate.measures import bare_words

if TYPE_CHECKING:
    from training.evaluate.drawing import Gallery

MODEL, TAGS = "model.onnx", "selected_tags.csv"
GENERAL = "0"  # category of tags that say what a picture shows; 4 are characters, 9 ratings
SIDE = 448  # pixels, where the model takes any square

Float32Array = NDArray[np.float32]


class Tagger:
    """A network in the layout of the WD taggers (SmilingWolf's `wd-*-tagger`, v1.4 and v3).

    `model.onnx` takes [n, h, w, 3]: float32, 0..255, channels in the order blue, green, red; pictures are padded with
    white to squares and made as large as it says. It gives [n, tags], probabilities. `selected_tags.csv` beside it has
    a line per tag in that order, with the columns `name` and `category` among others.

    Args:
        path: The folder, or the model in it.

    Attributes:
        id: Equal ids give equal numbers.
        name: What a person reads.

    Raises:
        EncoderError: onnxruntime is not installed, a file is missing, or they are no such tagger.
    """

    def __init__(self, path: Path) -> None:
        path = path.expanduser()
        file = path / MODEL if path.is_dir() else path
        self._model = OnnxModel(file, "--tagger")
        shape = self._model.shape
        if self._model.inputs != 1 or len(shape) != 4 or shape[3] != 3:
            raise EncoderError(
                f"{file} is no such tagger.", f"Its first input is {list(shape)}.", "It needs one input [n, h, w, 3]."
            )
        self._size = shape[2] if isinstance(shape[2], int) else SIDE, shape[1] if isinstance(shape[1], int) else SIDE
        self._known, self._count = _tags(file.with_name(TAGS))
        self._longest = max(map(len, self._known), default=0)
        self.id = f"{file.parent.name}-{self._model.digest}"
        self.name = f"the tagger {file.parent.name}"

    def asked(self, text: str) -> tuple[int, ...]:
        """Columns of the tags that a prompt asks for, each once, in the order of the words.

        Tags are compared as `diversity.captions.normal_tag` spells them. Between two commas the longest tags count,
        from left to right: "on a beach, red dress" asks for `beach` and `red_dress`, not for `dress`.
        """
        found: dict[int, None] = {}
        for chunk in parse(text).tags:
            words, at = _words(chunk), 0
            while at < len(words):
                lengths = range(min(self._longest, len(words) - at), 0, -1)
                length = next((n for n in lengths if words[at : at + n] in self._known), 0)
                if length:
                    found[self._known[words[at : at + length]]] = None
                at += max(length, 1)
        return tuple(found)

    def probabilities(self, pictures: Sequence[Image.Image]) -> Float32Array:
        """At least one picture → float32 [n, tags], 0..1.

        Raises:
            EncoderError: the model gives something else.
        """
        found = self._model.run(pictures, self._prepared)
        if found.shape != (len(pictures), self._count):
            raise EncoderError(
                f"{self.name} and its tags do not go together.",
                f"It gives {list(found.shape)} for {len(pictures)} pictures, and {TAGS} has {self._count} tags.",
                "Take both files from one place.",
            )
        if not (found.min() >= -1e-3 and found.max() <= 1 + 1e-3):
            raise EncoderError(
                f"{self.name} gives no probabilities.",
                f"Its numbers lie between {found.min():.3g} and {found.max():.3g}.",
                "Use a model that ends in a sigmoid.",
            )
        return found

    def _prepared(self, picture: Image.Image) -> Float32Array:
        side = max(picture.size)
        square = Image.new("RGB", (side, side), "white")
        square.paste(picture.convert("RGB"), ((side - picture.width) // 2, (side - picture.height) // 2))
        pixels = np.asarray(square.resize(self._size, Image.Resampling.BICUBIC), np.float32)
        return np.ascontiguousarray(pixels[..., ::-1])


class Tagged:
    """What a tagger sees in the pictures of novel prompts; each picture looked at once.

    Args:
        tagger: Sees them.
        gallery: What was drawn.
        trigger: The subject's word, which is not asked for.
    """

    def __init__(self, tagger: Tagger, gallery: Gallery, trigger: str) -> None:
        self.tagger, self._gallery, self._trigger = tagger, gallery, trigger

    def score(self, row: int) -> float:
        """Mean probability, 0..1, of the tags that the prompt of a drawn picture asks for; nan without any.

        Why not the share of them above a threshold. The threshold at which such taggers are as precise as complete
        differs from one to the next (0.26, 0.38 and 0.53 by the model cards of wd-vit-tagger-v3,
        wd-v1-4-swinv2-tagger-v2 and wd-eva02-large-tagger-v3), and the share moves in steps: two seeds of a prompt
        with one tag have three values. The mean probability is that share averaged over all thresholds from 0 to 1
        (p = ∫ 1[p > t] dt), with nothing to choose.
        """
        seen = self._seen.get(row)
        return float("nan") if seen is None else seen

    @cached_property
    def _seen(self) -> Mapping[int, float]:
        asked: dict[int, list[int]] = {}
        for row, one in enumerate(self._gallery.pictures):
            prompt = one.place.prompt
            if prompt.kind == "novel" and not one.place.bare and one.place.keyword_weight == 1:
                columns = self.tagger.asked(bare_words(prompt, self._trigger))
                asked |= {row: list(columns)} if columns else {}
        if not asked:
            return {}
        found = self.tagger.probabilities([self._gallery.pictures[row].picture for row in asked])
        return {row: float(one[columns].mean()) for one, (row, columns) in zip(found, asked.items(), strict=True)}


def _tags(file: Path) -> tuple[dict[tuple[str, ...], int], int]:
    """Words of a tag → its column, of general tags; and how many columns there are."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as handle:
            lines = list(csv.DictReader(handle))
        known = {_words(one["name"]): column for column, one in enumerate(lines) if one["category"].strip() == GENERAL}
    except FileNotFoundError:
        what = f"There is no file {file}."
        raise EncoderError(what, "It should list the tags.", "Put it beside the model.") from None
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise EncoderError(f"{file} lists no tags.", f"{what}.", "It needs the columns name and category.") from None
    known.pop((), None)
    if not known:
        raise EncoderError(
            f"{file} lists no tags.", "None has the category 0.", "It needs the columns name and category."
        )
    return known, len(lines)


def _words(tag: str) -> tuple[str, ...]:
    """The words of a tag as they are compared, without full stops at their ends; emoticons stay."""
    return tuple(word.rstrip(".!?:") or word for word in normal_tag(tag).split())
