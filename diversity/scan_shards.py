"""What a running scan of many pictures has found so far, chunk by chunk, so that a killed one is gone on with.

Not the tables themselves: those are written once, when the scan ends; rewriting them after every chunk would cost time
that grows with the square of the number of pictures.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from diversity import tables

if TYPE_CHECKING:
    from diversity.dataset import Dataset
    from diversity.encoders.base import Float32Array
    from diversity.scan import Found

FOLDER = "scanning"


def write(dataset: Dataset, found: Found, encoder_id: str) -> None:
    """Keep one chunk, beside those that are there."""
    number = len(list((dataset.folder / FOLDER).glob("*-images.parquet")))
    dataset.write(f"{FOLDER}/{number:06}-embeddings", embeddings_frame(found.vectors))
    dataset.write(f"{FOLDER}/{number:06}-thumbnails", thumbnails_frame(found.thumbnails))
    rows = pl.DataFrame(found.rows, schema=tables.IMAGES).with_columns(encoder=pl.lit(encoder_id))
    dataset.write(f"{FOLDER}/{number:06}-images", rows)  # last: a chunk without it does not count


def read(dataset: Dataset, encoder_id: str | None) -> tuple[pl.DataFrame, dict[str, bytes], dict[str, Float32Array]]:
    """Images, thumbnails and vectors by content of all chunks of a scan with the encoder `encoder_id`."""
    images, thumbnails, vectors = [tables.empty(tables.IMAGES)], dict[str, bytes](), dict[str, "Float32Array"]()
    for file in sorted((dataset.folder / FOLDER).glob("*-images.parquet")):
        rows = dataset.read(f"{FOLDER}/{file.stem}")
        if rows["encoder"].first() == encoder_id:
            images.append(tables.conform(rows, tables.IMAGES))
            name = file.stem.removesuffix("images")
            thumbnails.update(dataset.read(f"{FOLDER}/{name}thumbnails").iter_rows())
            vectors.update(vectors_of(dataset.read(f"{FOLDER}/{name}embeddings")))
    return pl.concat(images), thumbnails, vectors


def clear(dataset: Dataset) -> None:
    """Forget all chunks."""
    shutil.rmtree(dataset.folder / FOLDER, ignore_errors=True)


def thumbnails_frame(thumbnails: dict[str, bytes]) -> pl.DataFrame:
    """`tables.THUMBNAILS`, by content."""
    return pl.DataFrame(sorted(thumbnails.items()), schema=tables.THUMBNAILS, orient="row")


def embeddings_frame(vectors: dict[str, Float32Array]) -> pl.DataFrame:
    """`content`, `vector` (float16 array): half the size, and it rounds off the bits that hardware disagrees on."""
    dim = len(next(iter(vectors.values()))) if vectors else 1
    contents = sorted(vectors)
    matrix = np.stack([vectors[c] for c in contents]).astype(np.float16) if contents else np.empty((0, dim), np.float16)
    return pl.DataFrame(
        {"content": pl.Series(contents, dtype=pl.String), "vector": pl.Series(matrix, dtype=pl.Array(pl.Float16, dim))}
    )


def vectors_of(stored: pl.DataFrame) -> dict[str, Any]:
    """Content → float32 [dim] of an embeddings table."""
    if stored.is_empty():
        return {}
    return dict(zip(stored["content"], stored["vector"].to_numpy().astype(np.float32), strict=True))
