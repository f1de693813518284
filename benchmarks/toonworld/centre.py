"""The encoder's mean picture, for richness: ``python -m benchmarks.toonworld.centre --data DIR --encoder FOLDER``.

Writes ``centre.npy`` (float32 [dim]) into the encoder's folder: the mean vector of renders of many characters, which
`diversity.richness` takes away before it compares pictures. Never computed from a set that is judged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

PICTURES = 2048


def main() -> None:
    """Encode a seeded sample of renders and write their mean."""
    from diversity.config import EncoderConfig
    from diversity.encoders import load_encoder

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of benchmarks.toonworld.render")
    parser.add_argument("--encoder", type=Path, required=True)
    options = parser.parse_args()
    renders = np.load(options.data / "images.npy", mmap_mode="r")
    rows = np.sort(np.random.default_rng(0).permutation(len(renders))[:PICTURES])
    encoder = load_encoder(EncoderConfig(model=f"local-dir:{options.encoder}", device="cpu"))
    vectors = encoder.encode_images([Image.fromarray(renders[row]) for row in rows])
    np.save(options.encoder / "centre.npy", vectors.mean(axis=0, dtype=np.float64).astype(np.float32))
    print(f"{len(vectors)} renders; length of their mean {np.linalg.norm(vectors.mean(axis=0)):.3f}")


if __name__ == "__main__":
    main()
