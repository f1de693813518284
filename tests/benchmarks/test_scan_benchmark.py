"""The scan's benchmark measures what it says, with an encoder of any size."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.scan import PARTS, Parts, one_round, random_clip
from diversity.scan import BATCH

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def test_every_part_and_the_pass_are_measured_on_the_same_pictures(tmp_path: Path) -> None:
    folder, model = tmp_path / "pictures", tmp_path / "model"
    folder.mkdir()
    model.mkdir()
    rng = np.random.default_rng(0)
    for i in range(2 * BATCH + 3):
        Image.fromarray(rng.integers(0, 256, (48, 48, 3), np.uint8)).save(folder / f"{i:03}.png")
    (folder / "broken.png").write_bytes(b"nothing")
    parts = Parts(folder, random_clip(model, TINY), 2 * BATCH + 4)
    assert len(parts.pictures) == len(parts.prepared) == 2 * BATCH + 3
    row = one_round(parts, os.cpu_count() or 1)
    assert all(row[part] > 0 for part in PARTS)
    assert 0 < row["over_limit"] < row["over_all_work"]
    assert 0 < row["pass_seconds"] <= row["pass_wall"]
