"""A training set and sample folders of known making, from the embedded sample set."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw

from diversity.commands.demo import SAMPLE_SET
from diversity.dataset import Dataset

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


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two thirds of the sample set's groups are trained on, one third is held out."""
    root = tmp_path_factory.mktemp("picking")
    labels = pl.read_csv(SAMPLE_SET / "labels.csv").filter(pl.col("kind").is_in(["original", "frame", "jpeg"]))
    groups = labels["dup_group"].unique().sort().to_list()
    held = set(groups[::3])
    pictures = root / "mira" / "10_mira"
    pictures.mkdir(parents=True)
    trained, fresh = [], []
    for row in labels.sort("file").to_dicts():
        file = SAMPLE_SET / row["file"]
        caption = file.with_suffix(".txt")
        if row["dup_group"] not in held:
            if len(list(pictures.glob("*.[jwp]*"))) >= 48:
                continue
            shutil.copy(file, pictures / file.name)
            if caption.is_file():
                shutil.copy(caption, pictures / caption.name)
            if row["kind"] == "original":
                trained.append(pictures / file.name)
        elif row["kind"] == "original" and caption.is_file() and "mira" in caption.read_text():
            fresh.append((file, caption.read_text().strip()))
    return World(pictures.parent, root / "workspace", trained, fresh)


Make = Callable[..., Path]


@pytest.fixture(scope="session")
def sample_folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Writes a kohya-like sample folder: for each step what its subject and its unrelated pictures are."""

    def make(steps: dict[int, tuple[str, float]], subjects: int = 8, unrelated: int = 4) -> Path:
        folder = tmp_path_factory.mktemp("run") / "sample"
        folder.mkdir(parents=True)
        chosen = world.fresh[:: max(1, len(world.fresh) // subjects)][:subjects]
        lines = [caption for _, caption in chosen] + list(UNRELATED[:unrelated])
        (folder / "prompt.txt").write_text("".join(f"{line} --d 7\n" for line in lines))
        tint = np.asarray(Image.open(world.trained[3]).convert("RGB").resize((256, 256)), np.float64)
        for step, (kind, share) in steps.items():
            for i in range(len(lines)):
                if i < len(chosen):
                    drawn = subject(world, kind, i, chosen)
                else:
                    base = np.asarray(scene(i), np.float64)
                    drawn = Image.fromarray(np.rint((1 - share) * base + share * tint).astype(np.uint8))
                drawn.save(folder / f"mira_{step:06}_{i:02}_20230814{step:06}_7.png")
        return folder

    return make


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
