"""A training set and sample folders of known making, from the embedded sample set."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from picking_world import UNRELATED, Make, World, scene, subject
from PIL import Image

from diversity.commands.demo import SAMPLE_SET


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
