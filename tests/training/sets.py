"""A small curated set: pictures on disk and the tables that the trainer reads, without running the encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from diversity import Dataset, decode, tables, workspace
from diversity.ingest import list_sources

SIZES = [(64, 64), (64, 64), (96, 64), (64, 64), (64, 96), (64, 64), (96, 64), (64, 64), (64, 64), (64, 96)]
TAGS = ["red hat", "blue shoes", "green dress", "smile", "full body", "from behind", "white", "black", "boy", "hero"]


def picture(i: int, size: tuple[int, int], folder: Path) -> Path:
    """A picture that differs from every other: a coloured disc on a gradient."""
    rng = np.random.default_rng(i)
    y, x = np.mgrid[: size[1], : size[0]]
    shade = np.stack([x * 255 / size[0], y * 255 / size[1], np.full(x.shape, 25 * i % 255)], -1)
    inside = (x - rng.uniform(20, 44)) ** 2 + (y - rng.uniform(20, 44)) ** 2 < rng.uniform(8, 18) ** 2
    shade[inside] = rng.uniform(0, 255, 3)
    path = folder / f"{i:03d}.png"
    Image.fromarray(shade.astype(np.uint8)).save(path)
    return path


def small_set(
    folder: Path,
    n: int = 10,
    *,
    weights: list[float] | None = None,
    sizes: list[tuple[int, int]] | None = None,
    groups: list[int] | None = None,
) -> Dataset:
    """`n` pictures with captions under `folder`, curated: selection "default" with `weights`."""
    root = folder / "pictures"
    root.mkdir(parents=True)
    for i in range(n):
        picture(i, (sizes or SIZES)[i % len(sizes or SIZES)], root)
        (root / f"{i:03d}.txt").write_text(f"the girl, {TAGS[i % len(TAGS)]}, looking at viewer")
    return curated(root, folder / "workspace", weights=weights, groups=groups)


def curated(
    root: Path, folder: Path, *, weights: list[float] | None = None, groups: list[int] | None = None
) -> Dataset:
    """The tables that curation leaves for the pictures in `root`."""
    dataset = Dataset.open(root, workspace_folder=folder)
    workspace.prepare(folder, root)
    rows = []
    for i, source in enumerate(list_sources(root, dataset.config.scan)):
        found = decode.decode(source.read(), max_pixels=10**8)
        rows.append(
            {
                "key": f"{i:016x}",
                "content": found.content,
                "path": source.path,
                "size": source.size,
                "mtime_ns": source.mtime_ns,
                "width": found.width,
                "height": found.height,
                "caption": source.caption,
                "flags": ["cut_out"] if found.alpha is not None else [],
            }
        )
    images = pl.DataFrame(rows)
    dataset.write("images", with_nulls(images, tables.IMAGES))
    labels = [f"{g:016x}" for g in groups or range(len(rows))]
    copies = images.select("key").with_columns(group=pl.Series(labels), keeper=pl.Series(labels), kind=pl.lit("keeper"))
    dataset.write("duplicates", with_nulls(copies, tables.DUPLICATES))
    select(dataset, weights or [1.0] * len(rows))
    return dataset


def select(dataset: Dataset, weights: list[float], name: str = "default") -> None:
    """Write a selection of the first pictures, with `weights`."""
    keys = dataset.images.sort("path")["key"].head(len(weights))
    chosen = pl.DataFrame({"key": keys, "rank": range(len(weights)), "weight": [float(w) for w in weights]})
    dataset.write(f"selection/{name}", with_nulls(chosen, tables.SELECTION))


def with_nulls(frame: pl.DataFrame, schema: tables.Schema) -> pl.DataFrame:
    absent = [name for name in schema if name not in frame.columns]
    return frame.with_columns(pl.lit(None).alias(name) for name in absent)
