"""Faces in full-body pictures, where they are small and break first (claim C8): found, cut out, and their fidelity.

Not for whole views (`weights.py`), and not for sizes of faces in a training set (`diversity.sizes`).

With a face detector from a file, a crop is a square around the face, twice as high. Without one the toon world alone
is served, whose figures stand before plain grounds: there the crop is the top of the subject. How much of it is a
matter of the figure's proportions, so it is read from the set: the share of the height at which the tops of real
full-body pictures look most like the set's headshots, enlarged by `MARGIN`. On 192 renders of 48 toon characters of
four builds, their heads a sixth to a half of their height, 98 % of these crops hold nine tenths of the head (96 % and
more of every build; `MARGIN` was chosen on 48 others; tests/benchmarks/test_face_crops.py measures it). No fixed share
does for more than one build.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diversity.sizes import THIN, Faces, subject_mask
from training.evaluate import estimate
from training.evaluate.drawing import Place
from training.evaluate.estimate import Floats
from training.evaluate.features import Features
from training.evaluate.measures import group_mean, of_view
from training.evaluate.rows import Rows
from training.evaluate.seen import Seen
from training.evaluate.sets import Material
from training.evaluate.settings import EvaluateSettings
from training.evaluate.views import FACE, spelt

AROUND = 2.0  # side of a crop around a found face, in heights of the face: hair and chin are in it
SHARES = tuple(np.geomspace(0.15, 0.62, 9).tolist())  # of the subject's height, that the head is looked for in
MARGIN = 1.15
ENOUGH = 8  # real pictures that the share is read from

Square = tuple[float, float, float]  # left, top, side in pixels


class Finder(Protocol):
    """Finds the face of a full-body picture.

    Attributes:
        name: Of the way, for rows.
    """

    name: str

    def square(self, picture: Image.Image) -> Square | None:
        """Where it is; None where it is not found."""
        ...


class Detected:
    """By a detector from a local file."""

    name = "detector"

    def __init__(self, faces: Faces) -> None:
        self._faces = faces

    def square(self, picture: Image.Image) -> Square | None:
        """Around the largest face."""
        box = self._faces.box(picture)
        if box is None:
            return None
        left, top, width, height = box
        side = AROUND * height
        return left + width / 2 - side / 2, top + height / 2 - side / 2, side


class Top:
    """The top of a subject before a plain ground.

    Args:
        share: Side of the square, as a share of the subject's height.
    """

    name = "top of the subject"

    def __init__(self, share: float) -> None:
        self.share = share

    def square(self, picture: Image.Image) -> Square | None:
        """From the subject's highest row on, around the middle column of what is there."""
        mask = subject_mask(picture)
        if mask is None:
            return None
        rows = np.flatnonzero(mask.mean(1) > THIN)
        if not len(rows):
            return None
        top, side = int(rows[0]), self.share * (int(rows[-1]) + 1 - int(rows[0]))
        across = mask[top : top + max(2, round(side))].sum(0)
        middle = float(np.median(np.repeat(np.arange(mask.shape[1]), across))) + 0.5
        scale = picture.height / mask.shape[0]
        return (middle - side / 2) * scale, top * scale, side * scale


def cut(picture: Image.Image, square: Square) -> Image.Image:
    """The square of a picture, moved and made smaller where it does not lie inside."""
    side = max(1, min(round(square[2]), *picture.size))
    left, top = (min(max(round(low), 0), most - side) for low, most in zip(square[:2], picture.size, strict=True))
    return picture.crop((left, top, left + side, top + side))


def like_headshots(features: Features, materials: Sequence[Material]) -> Top | None:
    """The top of the subject that looks most like the set's headshots; None without headshots or plain grounds.

    Args:
        features: Sees pictures.
        materials: Real pictures of the subject, those of one set after those of another.
    """
    heads = [m.pictures[row] for m in materials for row in _with_face(m, "headshot")][:ENOUGH]
    bodies = [m.pictures[row] for m in materials for row in _with_face(m, "full_body")]
    bodies = [picture for picture in bodies if Top(SHARES[-1]).square(picture) is not None][:ENOUGH]
    if not heads or not bodies:
        return None
    crops = [crop for share in SHARES for crop in _crops(Top(share), bodies) if crop is not None]
    likeness = features.encode_images(crops) @ features.encode_images(heads).mean(axis=0)
    best = int(likeness.reshape(len(SHARES), len(bodies)).mean(axis=1).argmax())
    return Top(MARGIN * SHARES[best])


def fidelities(
    seen: Seen, settings: EvaluateSettings, detector: Faces | None, rows: Rows
) -> dict[float, dict[str, Floats]]:
    """Weight (0 is the base) → "VIEW/face" → likeness [pictures] of faces in full-body pictures to real ones.

    For every full-body view that is not from behind. Real faces are cut out of held-out pictures of that view, else of
    those trained on, which the row says (`to`). A picture counts where its face is found at every weight; `faces.found`
    says in how many it is found at each: a face that broke may not be.

    Args:
        seen: What was drawn, and the real pictures.
        settings: For the weights.
        detector: Finds faces; None: the top of the subject, in the toon world alone.
        rows: Takes the results.
    """
    found: dict[float, dict[str, Floats]] = {}
    places = [p for p in seen.gallery.places("subject", settings.weight) if _faced(p.prompt.view, "full_body")]
    if seen.features is None or seen.sets.reference is None or not places:
        return found
    finder = _finder(seen, detector, rows)
    if finder is None:
        return found
    for view in dict.fromkeys(place.prompt.view for place in places):
        told = _ideal(seen.features, finder, view, (seen.sets.reference, seen.sets.train))
        drawn = _drawn(seen, [place for place in places if place.prompt.view == view], settings)
        crops = {w: _crops(finder, [seen.gallery.pictures[row].picture for row in some]) for w, some in drawn.items()}
        count = min(map(len, crops.values()))
        both = [i for i in range(count) if all(some[i] is not None for some in crops.values())]
        label, by = f"{view}/{FACE}", finder.name
        for weight, some in crops.items():
            there = np.array([crop is not None for crop in some])
            share = estimate.share(there, np.arange(count), "pictures")
            rows.add("faces.found", share, view=view, weight=weight, by=by)
        if told is None or not both:
            where = "real pictures" if told is None else "any drawn picture at every weight"
            rows.note(f"{spelt(label).capitalize()} is not found in {where}, so its fidelity is left out.")
            continue
        for weight, some in crops.items():
            kept = [crop for i in both if (crop := some[i]) is not None]
            values: Floats = np.asarray(seen.features.encode_images(kept) @ told[0], np.float64)
            found.setdefault(weight, {})[label] = values
            rows.add("fidelity", estimate.mean(values, "pictures"), view=label, weight=weight, to=told[1], by=by)
    return found


def _finder(seen: Seen, detector: Faces | None, rows: Rows) -> Finder | None:
    """What finds faces here; None, and a note, where nothing does."""
    if detector is not None:
        return Detected(detector)
    reference, features = seen.sets.reference, seen.features
    if seen.judged is None or reference is None or features is None:
        rows.note(
            "No face detector is set, so faces in full-body pictures are left out: "
            "`[trainer] face_model` of diversity.toml names YuNet's ONNX file."
        )
        return None
    top = like_headshots(features, (seen.sets.train, reference))
    if top is None:
        rows.note(
            "There are no headshots, or no full-body pictures on plain grounds, to know a head by, so faces in "
            "full-body pictures are left out."
        )
    return top


def _ideal(features: Features, finder: Finder, view: str, real: tuple[Material, Material]) -> tuple[Floats, str] | None:
    """[d] mean real face of a view and where it is from: held-out pictures, else those trained on."""
    for material, name in zip(real, ("held_out", "train"), strict=True):
        some = material.take([row for row in of_view(material, view) if "back" not in material.views[row]])
        crops = _crops(finder, some.pictures)
        there = [row for row, crop in enumerate(crops) if crop is not None]
        if there:
            vectors = features.encode_images([crop for crop in crops if crop is not None])
            return group_mean(some.take(there), vectors, range(len(there))), name
    return None


def _drawn(seen: Seen, places: Sequence[Place], settings: EvaluateSettings) -> dict[float, list[int]]:
    """Weight → rows of the same prompts and seeds."""
    weights = (0.0, *settings.swept)
    seeds = min(len(seen.gallery.rows(Place(place.prompt, w))) for place in places for w in weights)
    return {w: [row for place in places for row in seen.gallery.rows(Place(place.prompt, w))[:seeds]] for w in weights}


def _crops(finder: Finder, pictures: Sequence[Image.Image]) -> list[Image.Image | None]:
    """The face of every picture; None where it is not found."""
    squares = [finder.square(picture) for picture in pictures]
    return [None if one is None else cut(picture, one) for picture, one in zip(pictures, squares, strict=True)]


def _with_face(material: Material, framing: str) -> NDArray[np.int64]:
    """Rows of the pictures of a framing that are not from behind."""
    return np.array([row for row, view in enumerate(material.views) if _faced(view, framing)], np.int64)


def _faced(view: str, framing: str) -> bool:
    """Whether a view is of this framing and shows the face."""
    own, _, side = view.partition("/")
    return own == framing and not side.startswith("back")
