"""The colours of a set's subject, apart from the backgrounds: what the subject check compares by default.

Not for deciding who is somebody else (`subject.py`), and not for palettes of what a model draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diversity.subject import Float32Array, lab_and_subject

PROJECTION = Path(__file__).parent / "assets" / "subject" / "palette.npz"

_SIDE = 64  # pixels: colours need no more
_EDGE = 3  # pixels at the left, right and top that say which colours stand at the border
_LIGHT, _CHROMA = 8, 15  # cells of CIELAB's lightness, and of its a and b
_BEND, _WIDTH = 8.0, 0.4  # a cell of a or b is `_WIDTH` wide after arsinh(x / `_BEND`): 3 near grey, 26 at 64
_CELLS = _LIGHT * _CHROMA * _CHROMA
_SHOWN = 0.005  # share of a picture from which on it surely shows a colour; twice that of a border
_ODDS = 1e-3  # pictures with a colour, as a share, that say nothing yet of where it belongs
_LEAST = 1e-3  # weight of the border's colours: a picture that is all background still has some
_CHUNK = 256  # pictures at a time, 2 MB of cells each


@dataclass(frozen=True)
class Look:
    """The colours of one picture.

    Attributes:
        cells: int64 [k], the cells of colour it has.
        shares: float32 [3, k], for each the share of the picture that is apart from the border, that is like it, and
            the share of the border itself.
    """

    cells: NDArray[np.int64]
    shares: Float32Array


class Palette:
    """The colours of what stands before the background: hair, skin and clothes. Needs no model.

    What is like a picture's own border may be background, or the subject that fills the picture, as in a close-up of
    shoes. The other pictures tell: colours that are the subject's elsewhere count, colours of borders do not. All are
    then looked at in the directions that told rendered characters apart, whatever the light, the framing and the
    background (`benchmarks/subject_palette.py`). Two subjects in the same colours are the same to it, and a subject
    that changes clothes is not.
    """

    id, name = "palette-2", "colours of the subject"
    spreads, slack = 1.7, 0.085  # set on rendered characters and on the sets of `benchmarks/subject.py`

    def __init__(self) -> None:
        with np.load(PROJECTION) as stored:
            self._mean, self._directions = (stored[name].astype(np.float32) for name in ("mean", "directions"))

    def encode(self, pictures: Sequence[Image.Image]) -> Float32Array:
        """Projected palettes, float32 [n, 64], unit rows; of pictures that are looked at together."""
        return self.vectors([look(picture) for picture in pictures])

    def vectors(self, looks: Sequence[Look]) -> Float32Array:
        """The same, of looks taken before."""
        projected = np.concatenate([(roots(part) - self._mean) @ self._directions for part in subject_shares(looks)])
        lengths = np.linalg.norm(projected, axis=1, keepdims=True)
        return np.asarray(projected / np.maximum(lengths, 1e-12), np.float32)


def look(picture: Image.Image) -> Look:
    """Which colours a picture has, and where."""
    lab, subject = lab_and_subject(np.asarray(picture.convert("RGB"), np.uint8), _SIDE)
    light = np.clip(lab[..., 0] / 100 * _LIGHT, 0, _LIGHT - 1).astype(np.int64)
    bent = np.arcsinh(lab[..., 1:] / _BEND) / _WIDTH + _CHROMA / 2
    a, b = np.moveaxis(np.clip(np.floor(bent), 0, _CHROMA - 1).astype(np.int64), -1, 0)
    codes = (light * _CHROMA + a) * _CHROMA + b
    edge = np.zeros(codes.shape, bool)
    edge[:, :_EDGE] = edge[:, -_EDGE:] = edge[:_EDGE] = True
    counts = [np.bincount(codes[where], minlength=_CELLS) for where in (subject, ~subject, edge)]
    shares = np.stack(counts) / np.array([codes.size, codes.size, edge.sum()])[:, None]
    cells = np.flatnonzero(shares.any(0))
    return Look(cells, shares[:, cells].astype(np.float32))


def subject_shares(looks: Sequence[Look]) -> Iterator[Float32Array]:
    """The share of each colour in the subject, float32 [≤ 256, cells], rows add up to 1; in chunks, in order.

    A picture's pixels apart from its border all count. Pixels that are like the border count by the odds of their
    colour in the *other* pictures: how many show it apart from their borders, over that and how many have it at the
    border; but all pixels of a colour for no more than the mean share that it has in the others, evened out: a
    background in the colour of the subject's skin is no skin.
    """
    shown, bordering, usual = (np.zeros(_CELLS, np.float32) for _ in range(3))
    for apart, _, edge in _dense(looks):
        usual += _even(apart).sum(0)
        shown += _surely(apart, _SHOWN).sum(0)
        bordering += _surely(edge, 2 * _SHOWN).sum(0)
    others = max(len(looks) - 1, 1)
    for apart, like, edge in _dense(looks):
        own = (shown - _surely(apart, _SHOWN)) / others
        foreign = (bordering - _surely(edge, 2 * _SHOWN)) / others
        most = (usual - _even(apart)) / others
        given = np.minimum(like * own / (own + foreign + _ODDS), most)
        weighted = apart + np.maximum(given, like * _LEAST)
        yield weighted / weighted.sum(1, keepdims=True)


def roots(shares: Float32Array) -> Float32Array:
    """Square roots of the shares, evened out over neighbouring cells: dot products are Bhattacharyya coefficients."""
    return np.asarray(np.sqrt(_even(shares)), np.float32)


def _dense(looks: Sequence[Look]) -> Iterator[tuple[Float32Array, Float32Array, Float32Array]]:
    for start in range(0, len(looks), _CHUNK):
        part = looks[start : start + _CHUNK]
        found = np.zeros((3, len(part), _CELLS), np.float32)
        for at, one in enumerate(part):
            found[:, at, one.cells] = one.shares
        yield found[0], found[1], found[2]


def _surely(shares: Float32Array, enough: float) -> Float32Array:
    """0..1: whether colours are there."""
    return np.asarray(np.minimum(1, _even(shares) / enough), np.float32)


def _even(shares: Float32Array) -> Float32Array:
    """A quarter of each cell goes to each neighbour, along lightness, a and b; [n, cells] → the same."""
    found = shares.reshape(-1, _LIGHT, _CHROMA, _CHROMA)
    for axis in (1, 2, 3):
        padded = np.concatenate([found.take([0], axis), found, found.take([-1], axis)], axis)
        count = found.shape[axis]
        before, after = (padded.take(range(start, start + count), axis) for start in (0, 2))
        found = found / 2 + (before + after) / 4
    return np.asarray(found.reshape(len(shares), -1), np.float32)
