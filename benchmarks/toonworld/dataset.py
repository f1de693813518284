"""Rendered pictures as training batches: memory-mapped pixels, augmentation, captions with a truth matrix. No model
code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.toonworld.captions import full_caption, partial_caption, visible_values

Picture = NDArray[np.uint8]
AXES = (
    "framing",
    "side",
    "background",
    "hair_colour",
    "hair_style",
    "outfit_kind",
    "outfit_colour",
    "shoes_kind",
    "pose",
    "prop",
)
PICTURES_PER_CHARACTER = 8
FULL_CAPTION_SHARE = 0.12
ITEMS_PER_TEXT = 2


@dataclass(frozen=True)
class Batch:
    """``first`` and ``second`` uint8 [b, s, s, 3]: two versions of the same moments; ``texts`` of every second
    picture, with ``true[i, j]`` saying whether text j is true of picture i; ``classes`` int64 [b] per axis, -1 where
    the picture does not show it; ``groups`` int64 [b], equal for one moment; ``azimuth`` float32 [b], radians.
    """

    first: Picture
    second: Picture
    texts: list[str]
    true: NDArray[np.bool_]
    classes: dict[str, NDArray[np.int64]]
    groups: NDArray[np.int64]
    azimuth: NDArray[np.float32]


def axis_values(row: Mapping[str, object]) -> dict[str, str]:
    """Visible values of one picture per axis (clothes and shoes split in kind and colour)."""
    values = visible_values(row)
    for slot in ("outfit", "shoes"):
        if slot in values:
            colour, values[f"{slot}_kind"] = values[slot].split(" ", 1)
            values[f"{slot}_colour"] = colour
    return values


class ToonSet:
    """A packed folder of renders (images.npy, labels.parquet), one split of it."""

    def __init__(self, folder: Path, split: str) -> None:
        import polars as pl

        table = pl.read_parquet(folder / "labels.parquet").filter(pl.col("split") == split)
        self.pixels = np.load(folder / "images.npy", mmap_mode="r")
        self.rows = table.to_dicts()
        self.index = table["index"].to_numpy()
        self.values = [visible_values(row) for row in self.rows]
        self.axes = [axis_values(row) for row in self.rows]
        self.groups = np.unique(table["dup_group"].to_numpy(), return_inverse=True)[1].astype(np.int64)
        self.characters = np.unique(table["character"].to_numpy(), return_inverse=True)[1]
        self.by_character = [np.flatnonzero(self.characters == c) for c in range(self.characters.max() + 1)]
        self.members = [np.flatnonzero(self.groups == g) for g in range(self.groups.max() + 1)]
        self.names = {axis: sorted({v[axis] for v in self.axes if axis in v}) for axis in AXES}

    def __len__(self) -> int:
        return len(self.rows)

    def picture(self, item: int) -> Picture:
        """Pixels uint8 [s, s, 3] of one row."""
        return np.asarray(self.pixels[self.index[item]])

    def batch(self, seed: int, step: int, count: int, size: int) -> Batch:
        """The ``step``-th batch of ``count`` pictures at ``size`` pixels: several characters, several pictures of
        each.
        """
        rng = np.random.default_rng([seed, step])
        people = rng.choice(len(self.by_character), count // PICTURES_PER_CHARACTER, replace=False)
        items = np.concatenate([rng.choice(self.by_character[p], PICTURES_PER_CHARACTER) for p in people])
        first, second = np.empty((count, size, size, 3), np.uint8), np.empty((count, size, size, 3), np.uint8)
        for slot, item in enumerate(items):
            other = item if rng.random() < 0.4 else int(rng.choice(self.members[self.groups[item]]))
            mirrored = rng.random() < 0.5
            for target, source in ((first, int(item)), (second, other)):
                picture = self.picture(source)
                target[slot] = augment(picture[:, ::-1] if mirrored else picture, size, rng)
        texts, true = self._texts(items, rng)
        classes = {
            axis: np.array([self.names[axis].index(self.axes[i][axis]) if axis in self.axes[i] else -1 for i in items])
            for axis in AXES
        }
        azimuth = np.radians([float(self.rows[i]["azimuth"]) for i in items]).astype(np.float32)
        return Batch(first, second, texts, true, classes, self.groups[items], azimuth)

    def _texts(self, items: NDArray[np.int64], rng: np.random.Generator) -> tuple[list[str], NDArray[np.bool_]]:
        texts, stated = [], []
        for item in items[::ITEMS_PER_TEXT]:
            if rng.random() < FULL_CAPTION_SHARE:
                texts.append(full_caption(self.rows[item], rng))
                stated.append(self.values[item])
            else:
                text, said = partial_caption(self.values[item], rng)
                texts.append(text)
                stated.append(said)
        true = np.array([[all(self.values[i].get(k) == v for k, v in said.items()) for said in stated] for i in items])
        return texts, true


def augment(picture: Picture, size: int, rng: np.random.Generator) -> Picture:
    """A re-shot version of a square uint8 picture at ``size`` pixels: crop, squash, shift, colour, blur, noise, JPEG,
    low resolution.
    """
    picture = _crop(picture, rng)
    if rng.random() < 0.25:
        small = max(20, int(picture.shape[0] * rng.uniform(0.25, 0.7)))
        picture = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.3:
        quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(12, 80))]
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR)
    shrink = picture.shape[0] > size
    mode = cv2.INTER_AREA if shrink and rng.random() < 0.6 else cv2.INTER_LINEAR
    values = cv2.resize(picture, (size, size), interpolation=mode).astype(np.float32)
    values = recolour(values, rng)
    if rng.random() < 0.15:
        values = cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.4, 1.6)))
    if rng.random() < 0.15:
        values += rng.normal(0, rng.uniform(2, 14), values.shape).astype(np.float32)
    if rng.random() < 0.12:
        _cover(values, rng)
    return np.clip(values, 0, 255).astype(np.uint8)


def _crop(picture: Picture, rng: np.random.Generator) -> Picture:
    """A random window of 78-100 % of each side, sometimes tilted by a few degrees."""
    size = picture.shape[0]
    if rng.random() < 0.2:
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.normal(0, 5)), 1.0)
        picture = cv2.warpAffine(np.ascontiguousarray(picture), turn, (size, size), borderMode=cv2.BORDER_REFLECT)
    if rng.random() < 0.25:
        return np.ascontiguousarray(picture)
    high, wide = (int(size * s) for s in rng.uniform(0.78, 1.0, 2))
    top, left = int(rng.integers(size - high + 1)), int(rng.integers(size - wide + 1))
    return np.ascontiguousarray(picture[top : top + high, left : left + wide])


def recolour(values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Brightness, contrast, colour cast, saturation; sometimes grey."""
    if rng.random() < 0.75:
        gain = rng.uniform(0.7, 1.35) * (1 + rng.normal(0, 0.05, 3))
        values = (values - 128) * rng.uniform(0.75, 1.25) + 128
        values = values * gain.astype(np.float32) + np.float32(rng.normal(0, 8))
    amount = 0.0 if rng.random() < 0.07 else rng.uniform(0.5, 1.3) if rng.random() < 0.4 else 1.0
    if amount != 1.0:
        grey = values.mean(axis=2, keepdims=True)
        values = grey + (values - grey) * np.float32(amount)
    return values.astype(np.float32)


def _cover(values: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Paint a random rectangle (an overlay) in place."""
    size = values.shape[0]
    high, wide = (int(size * s) for s in rng.uniform(0.08, 0.35, 2))
    top, left = int(rng.integers(size - high)), int(rng.integers(size - wide))
    values[top : top + high, left : left + wide] = rng.uniform(0, 255, 3)


def plain(picture: Picture, size: int) -> Picture:
    """The picture resized without augmentation, uint8 [size, size, 3]."""
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


def corpus(rows: Sequence[Mapping[str, object]], seed: int) -> list[str]:
    """Captions that a vocabulary is learned from."""
    rng = np.random.default_rng([seed, 606])
    return [full_caption(row, rng) for row in rows] + [partial_caption(visible_values(row), rng)[0] for row in rows]
