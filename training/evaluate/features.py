"""What sees pictures for the measures: the encoder in use, or a copy detector or DINOv2 from a local file.

Not for curating: that is `diversity.encoders`. Numbers of different features are never compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Vectors = NDArray[np.float32]


class Features(Protocol):
    """Turns pictures into unit vectors; an encoder of `diversity.encoders` is one.

    Attributes:
        id: Equal ids give equal vectors.
        name: What a person reads.
    """

    id: str
    name: str

    def encode_images(self, pictures: Sequence[Image.Image]) -> Vectors:
        """RGB pictures → float32 [n, d], unit rows."""
        ...
