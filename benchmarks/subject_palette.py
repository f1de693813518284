"""Fit which colours tell characters apart: ``python -m benchmarks.subject_palette --renders DIR``.

Palettes of toon-world renders (``benchmarks.toonworld.render``: 2,400 characters before all kinds of backgrounds), then
linear discriminant analysis (Fisher 1936; shrunk within-character covariance): directions in which one character's
palettes stay together and different characters' part. What light, framing and backgrounds do to a palette is so taken
out. The pictures of a character are looked at together, as those of a set are. Cells and shrinkage were chosen on
renders of 14 characters held out of the fit, the number of directions there and on ``kaykit_views``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from diversity.subject_palette import PROJECTION, look, roots, subject_shares

COMPONENTS, SHRINKAGE, DIMENSIONS = 300, 0.1, 64
FEWEST = 4  # pictures of a character


def palettes(
    pictures: NDArray[np.uint8], characters: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Roots of the shares of colours, float32 [n, cells], and whose they are."""
    found, whose = [], []
    for one in np.unique(characters):
        rows = np.flatnonzero(characters == one)
        if len(rows) >= FEWEST:
            looks = [look(Image.fromarray(np.asarray(pictures[row]))) for row in rows]
            found += [roots(shares) for shares in subject_shares(looks)]
            whose += [one] * len(rows)
    return np.concatenate(found), np.array(whose)


def fit(
    palettes: NDArray[np.float32], characters: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean float [cells] and directions float [cells, DIMENSIONS]; `palettes` is centred in place."""
    from scipy.linalg import eigh
    from sklearn.decomposition import TruncatedSVD

    mean = palettes.mean(0)
    palettes -= mean
    basis = TruncatedSVD(COMPONENTS, n_iter=2, random_state=0).fit(palettes).components_.T
    small = palettes @ basis
    middle = small.mean(0)
    within, between = np.zeros((COMPONENTS, COMPONENTS)), np.zeros((COMPONENTS, COMPONENTS))
    for one in np.unique(characters):
        rows = small[characters == one]
        centre = rows.mean(0)
        within += (rows - centre).T @ (rows - centre) / len(small)
        between += len(rows) * np.outer(centre - middle, centre - middle) / len(small)
    within += SHRINKAGE * np.trace(within) / COMPONENTS * np.eye(COMPONENTS)
    directions = eigh(between, within)[1][:, ::-1][:, :DIMENSIONS]
    return mean, basis @ directions


def main(argv: list[str] | None = None) -> None:
    """Fit and write the projection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=PROJECTION)
    options = parser.parse_args(argv)
    pictures = np.load(options.renders / "images.npy", mmap_mode="r")
    characters = pl.read_parquet(options.renders / "labels.parquet")["character"].to_numpy()
    found, whose = palettes(pictures, characters)
    mean, directions = fit(found, whose)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, mean=mean.astype(np.float16), directions=directions.astype(np.float16))
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, from {len(found):,} pictures")


if __name__ == "__main__":
    main()
