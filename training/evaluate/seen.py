"""What the drawn pictures look like to an encoder, to the judges and as palettes; each picture looked at once.

Not for comparing them: that is the measures' matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.evaluate import colour
from training.evaluate.colour import Palette
from training.evaluate.drawing import Gallery, Place
from training.evaluate.estimate import Floats
from training.evaluate.features import Features, Vectors
from training.evaluate.kept import kept
from training.evaluate.sets import EvaluationSets, Material
from training.judges import agrees

if TYPE_CHECKING:
    from training.judges import Judges


class Seen:
    """The pictures of one evaluation.

    Args:
        gallery: What was drawn.
        sets: The real pictures.
        features: Sees both; None: no vectors.
        judges: Judge the drawn ones; None: no judgements.
        cache: Folder for the vectors of real pictures; None: they are not kept.
    """

    def __init__(
        self,
        gallery: Gallery,
        sets: EvaluationSets,
        features: Features | None,
        judges: Judges | None,
        cache: Path | None,
    ) -> None:
        self.gallery, self.sets, self.features = gallery, sets, features
        self._judges, self._cache = judges, cache

    @cached_property
    def drawn(self) -> Vectors:
        """float32 [pictures, d], unit rows."""
        return _encode(self._sure(), [one.picture for one in self.gallery.pictures])

    @cached_property
    def train(self) -> Vectors:
        """float32 [pictures trained on, d], unit rows."""
        return self.of(self.sets.train)

    @cached_property
    def reference(self) -> Vectors | None:
        """float32 [held-out pictures, d], unit rows; None without any."""
        return None if self.sets.reference is None else self.of(self.sets.reference)

    def of(self, material: Material) -> Vectors:
        """Vectors of real pictures, kept between evaluations."""
        features = self._sure()
        key = {"features": features.id, "contents": material.contents}
        found: Vectors = kept(self._cache, "vectors", key, lambda: _encode(features, material.pictures))
        return found

    @cached_property
    def centre(self) -> Floats | None:
        """The encoder's mean picture, where it tells one."""
        found: Floats | None = getattr(self.features, "centre", None)
        return found

    @cached_property
    def palettes(self) -> list[Palette | None]:
        """Of every drawn picture; None where it is blank."""
        return [colour.palette(colour.content(np.asarray(one.picture))) for one in self.gallery.pictures]

    @cached_property
    def training_colours(self) -> list[Floats]:
        """CIELAB colours of every picture trained on, cut-outs excluded."""
        return [colour.content(np.asarray(picture)) for picture in self.sets.train.pictures]

    @cached_property
    def judged(self) -> Sequence[Mapping[str, str]] | None:
        """Attribute → label of every drawn picture; None without judges."""
        if self._judges is None:
            return None
        found = self._judges.predict([one.picture for one in self.gallery.pictures])
        return [{name: said.labels[row] for name, said in found.items()} for row in range(len(self.gallery.pictures))]

    def right(self, row: int, names: Sequence[str] | None = None) -> float:
        """Share of what a picture's prompt says it shows that the judges see; nan where they know none of it."""
        shows = self.gallery.pictures[row].place.prompt.shows
        judged = [] if self.judged is None else self.judged[row]
        known = [name for name in (shows if names is None else names) if name in judged and name in shows]
        if not known or self.judged is None:
            return float("nan")
        return float(np.mean([agrees(self.judged[row][name], shows[name]) for name in known]))

    def units(self, places: Sequence[Place]) -> tuple[list[int], np.ndarray]:
        """Rows of several places, and the number of its prompt for each: the unit of intervals."""
        rows = [row for place in places for row in self.gallery.rows(place)]
        numbers = [number for number, place in enumerate(places) for _ in self.gallery.rows(place)]
        return rows, np.array(numbers, np.int64)

    def _sure(self) -> Features:
        if self.features is None:
            raise ValueError("there is nothing to see pictures with")
        return self.features


def _encode(features: Features, pictures: Sequence[Image.Image]) -> Vectors:
    return np.asarray(features.encode_images(list(pictures)), np.float32)
