"""Pictures and folders that the tests of pick are made of."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from diversity.dataset import Dataset

Make = Callable[..., Path]
UNRELATED = ("a bowl of fruit on a table", "a lighthouse on a cliff", "a street in the rain", "a red bicycle")


def scene(seed: int, size: int = 256) -> Image.Image:
    """Shapes in many colours: what a base model might draw for a prompt without the subject."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (size, size), tuple(int(v) for v in rng.integers(40, 200, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y, w, h = (int(v) for v in (*rng.integers(0, size - 20, 2), *rng.integers(20, size // 2, 2)))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x, y, x + w, y + h), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return image


def spoilt(picture: Image.Image, seed: int) -> Image.Image:
    """A copy as a model draws it: cropped a little, soft, another exposure, noise, JPEG."""
    rng = np.random.default_rng(seed)
    w, h = picture.size
    crop = picture.convert("RGB").crop((int(0.02 * w), int(0.03 * h), int(0.98 * w), int(0.99 * h)))
    soft = crop.resize((128, 128)).resize((256, 256))
    pixels = np.asarray(soft, np.float64) * 0.94 + 4 + rng.normal(0, 4, (256, 256, 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=70)
    return Image.open(buffer).convert("RGB")


@dataclass(frozen=True)
class World:
    """The set, and pictures of the subject that are not in it.

    Attributes:
        pictures: The training folder.
        trained: Files of distinct training pictures.
        fresh: (file, caption) of pictures of groups that were held out.
    """

    pictures: Path
    workspace: Path
    trained: list[Path]
    fresh: list[tuple[Path, str]]

    def open(self) -> Dataset:
        return Dataset.open(self.pictures, workspace_folder=self.workspace, overrides={"encoder": {"model": "toon"}})


def subject(world: World, kind: str, i: int, chosen: list[tuple[Path, str]]) -> Image.Image:
    if kind == "base":
        return scene(100 + i)
    if kind == "fresh":
        return Image.open(chosen[i][0]).convert("RGB").resize((256, 256))
    if kind == "copies":
        return spoilt(Image.open(world.trained[(5 * i) % len(world.trained)]), i)
    one = np.asarray(Image.open(world.fresh[0][0]).convert("RGB").resize((256, 256)), np.float64)  # "stuck": a face
    noise = np.random.default_rng(i).normal(0, 3, one.shape)
    return Image.fromarray(np.clip(one + noise, 0, 255).astype(np.uint8))
