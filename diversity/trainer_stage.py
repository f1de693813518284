"""The stage `trainer`: what a trainer would make of every picture that is no copy → the table `trainer`.

Not for the geometry (`trainer_view.py`), nor for counting over a selection (`trainer_summary.py`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from diversity import tables
from diversity.sizes import Faces, Sizes, sizes
from diversity.stages import Context, Stage
from diversity.trainer_view import BucketRules, place


def _trainer(context: Context) -> None:
    from diversity.subject import opened

    dataset, config = context.dataset, context.dataset.config.trainer
    copies = dataset.read("duplicates").filter(pl.col("kind") == "copy")
    pictures = dataset.usable.join(copies, on="key", how="anti", maintain_order="left")
    thumbnails = dict(dataset.read("thumbnails").iter_rows())
    small = [thumbnails.get(content) for content in pictures["content"]]
    faces = None if config.face_model is None else Faces(config.face_model)
    with ThreadPoolExecutor(dataset.config.scan.threads) as pool:
        measured = list(pool.map(lambda jpeg: Sizes() if jpeg is None else sizes(opened(jpeg), faces), small))
    rows: list[dict[str, Any]] = []
    for resolution in config.resolutions:
        rules = BucketRules(resolution, config.step)
        for (key, width, height), found in zip(
            pictures.select("key", "width", "height").iter_rows(), measured, strict=True
        ):
            rows.append({"key": key, "resolution": resolution, **seen(width, height, found, rules)})
    dataset.write("trainer", pl.DataFrame(rows, schema=tables.TRAINER))


def seen(width: int, height: int, found: Sizes, rules: BucketRules) -> dict[str, Any]:
    """The columns of `tables.TRAINER` for one picture of that size in pixels."""
    placed = place(width, height, rules)
    sides = [
        min(share * side * placed.scale, bucket)
        for share, side, bucket in zip((found.width, found.height), (width, height), placed.bucket, strict=True)
        if share is not None
    ]
    face = None if found.face is None else min(found.face * height * placed.scale, placed.bucket[1])
    return {
        "bucket_width": placed.bucket[0],
        "bucket_height": placed.bucket[1],
        "scale": placed.scale,
        "lost": placed.lost,
        "subject": max(sides) if sides else None,
        "face": face,
    }


STAGE = Stage(("images", "thumbnails", "duplicates"), ("trainer",), ("trainer",), _trainer)
