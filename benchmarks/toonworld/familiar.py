"""What the encoder knows: ``python -m benchmarks.toonworld.familiar --data DIR --encoder FOLDER``.

Writes into the encoder's folder ``prototypes.npy`` (float32 [256, dim], unit rows: k-means centres of the embeddings of
training renders) and ``abilities.json`` (``familiar_above``: the cosine to the nearest prototype that 95 % of the
renders of held-out characters reach). `diversity.encoders.familiarity` reads both. Never computed from a set that is
judged.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from diversity.encoders.base import TextEncoder
from diversity.encoders.familiarity import ABILITIES, PROTOTYPES

COUNT = 256
MOST = 8192  # renders of a split that are looked at
PERCENTILE = 5  # medians of whole characters lie well above it, so that other styles of drawing are still familiar


def embedded(folder: Path, split: str, encoder: TextEncoder) -> NDArray[np.float32]:
    """Vectors of a seeded sample of one split of a packed folder of renders: float32 [n, dim], unit rows."""
    rows = pl.read_parquet(folder / "labels.parquet").filter(pl.col("split") == split)["index"].to_numpy()
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[:MOST])
    renders = np.load(folder / "images.npy", mmap_mode="r")
    return encoder.encode_images([Image.fromarray(renders[row]) for row in chosen])


def prototypes(vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Spherical k-means centres of float32 [n, dim], unit rows: float32 [count, dim], unit rows."""
    import faiss

    means = faiss.Kmeans(vectors.shape[1], count, niter=30, nredo=1, seed=0, spherical=True, min_points_per_centroid=16)
    means.train(np.ascontiguousarray(vectors))
    centres: NDArray[np.float32] = means.centroids / np.linalg.norm(means.centroids, axis=1, keepdims=True)
    return centres.astype(np.float32)


def main() -> None:
    """Embed renders and write both files."""
    from diversity.config import EncoderConfig
    from diversity.encoders import load_encoder

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of benchmarks.toonworld.render")
    parser.add_argument("--encoder", type=Path, required=True)
    options = parser.parse_args()
    encoder = load_encoder(EncoderConfig(model=f"local-dir:{options.encoder}", device="cpu"))
    centres = prototypes(embedded(options.data, "train", encoder), COUNT)
    best = (embedded(options.data, "held_out", encoder) @ centres.T).max(axis=1)
    above = round(float(np.percentile(best, PERCENTILE)), 3)
    np.save(options.encoder / PROTOTYPES, centres)
    (options.encoder / ABILITIES).write_text(json.dumps({"familiar_above": above}) + "\n")
    print(f"{len(centres)} prototypes; held-out renders: median {np.median(best):.3f}, familiar above {above}")


if __name__ == "__main__":
    main()
