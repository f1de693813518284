"""The seam between pictures and vectors: what every encoder offers. Not for loading one: see `load_encoder`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Float32Array = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]


@runtime_checkable
class ImageEncoder(Protocol):
    """Turns pictures into unit vectors.

    Attributes:
        id: Names model, weights hash, preprocessing and dtype; safe as a file name; equal ids give equal vectors.
        name: What a person reads, for example "embedded toon encoder".
        dim: Length of a vector.
    """

    id: str
    name: str
    dim: int

    def prepare(self, pixels: UInt8Array) -> UInt8Array:
        """One RGB picture, uint8 [h', w', 3] of any size → uint8 [h, w, 3] at the encoder's input size; thread-safe."""
        ...

    def encode_prepared(self, batch: UInt8Array) -> Float32Array:
        """uint8 [n, h, w, 3] from `prepare` → float32 [n, dim], unit rows."""
        ...

    def encode_images(self, pictures: Sequence[Image.Image]) -> Float32Array:
        """RGB pictures → float32 [n, dim], unit rows."""
        ...


@runtime_checkable
class TextEncoder(ImageEncoder, Protocol):
    """An encoder with a text side in the same space.

    Attributes:
        logit_scale: Learned inverse temperature of image–text similarities.
    """

    logit_scale: float

    def encode_texts(self, texts: Sequence[str]) -> Float32Array:
        """Texts → float32 [n, dim], unit rows."""
        ...
