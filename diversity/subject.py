"""Is this the subject, and alone? Pictures of somebody else are found before richness takes them for rare views.

Not for dropping anything: a person does that. What is compared is up to a `SubjectEncoder`: the subject's colours, the
encoder in use, or an identity model from an ONNX file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diversity.errors import EncoderError
from diversity.onnx_model import OnnxModel

if TYPE_CHECKING:
    from diversity.encoders.base import ImageEncoder

Float32Array = NDArray[np.float32]
Floats = NDArray[np.float64]
UInt8Array = NDArray[np.uint8]

SPREADS = 3.0  # robust standard deviations below the middle: one in 740 where scores are normal
FEWEST = 5  # pictures and references together, below which nothing is said
TOLD = 1 / 3  # what the references count for in a score, the set counts for the rest
STRANGERS = 0.25  # share of a set that may be of others before they become its subject

_QUARTILE = 0.6745  # standard deviations from the middle of a normal distribution to its quartiles
_SIDE = 128  # pixels: figures need no more
_APART = 12.0  # CIELAB distance from the border's colour, from which on a pixel is the subject's
_SECOND = 0.35  # a second figure has at least this share of the first one's area
_SEVERAL = re.compile(
    r"([2-6]|multiple|several|two|three)\+?_?\s*(girls|boys|others|people|persons|characters|women|men)|couple|group|crowd"
)


class SubjectEncoder(Protocol):
    """Turns pictures into vectors that are near where the subject is the same.

    Attributes:
        id: Names what is compared; equal ids give equal vectors.
        name: What a person reads.
        spreads, slack: Where its line is, see `check`.
    """

    id: str
    name: str
    spreads: float
    slack: float

    def encode(self, pictures: Sequence[Image.Image]) -> Float32Array:
        """All RGB pictures that are compared, references among them → float32 [n, dim], unit rows."""
        ...


class InUse:
    """The encoder that the set was scanned with: sees shapes and textures, and views more than identity."""

    spreads, slack = SPREADS, 0.0

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder
        self.id, self.name = encoder.id, f"the {encoder.name}"

    def encode(self, pictures: Sequence[Image.Image]) -> Float32Array:
        """Its own vectors."""
        return self._encoder.encode_images(pictures)


class Onnx:
    """An identity model such as CCIP from a local ONNX file: one picture input [n, 3, h, w], one vector output [n, d].

    Args:
        file: The model. Pixels go in as 0..1, less `mean`, over `std`.
        mean, std: Per channel.

    Raises:
        EncoderError: onnxruntime is not installed, or the file is no such model.
    """

    spreads, slack = SPREADS, 0.0

    def __init__(self, file: Path, mean: Sequence[float] = (0.0,) * 3, std: Sequence[float] = (1.0,) * 3) -> None:
        self._model = OnnxModel(file, "--by")
        shape = self._model.shape
        if self._model.inputs != 1 or len(shape) != 4 or shape[1] != 3:
            raise EncoderError(
                f"{file} does not take pictures.",
                f"Its first input is {list(shape)}.",
                "It needs one input [n, 3, h, w].",
            )
        width, height = (side if isinstance(side, int) else 384 for side in (shape[3], shape[2]))  # CCIP: 384
        self._size = width, height
        self._mean, self._std = (np.asarray(values, np.float32)[:, None, None] for values in (mean, std))
        self.id = f"onnx-{self._model.digest}"
        self.name = f"the identity model {file.name}"

    def encode(self, pictures: Sequence[Image.Image]) -> Float32Array:
        """The model's first output, flattened, as unit rows."""
        found = self._model.run(pictures, self._prepared)
        vectors = found.reshape(len(found), -1)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)

    def _prepared(self, picture: Image.Image) -> Float32Array:
        small = picture.convert("RGB").resize(self._size, Image.Resampling.BICUBIC)
        pixels = np.asarray(small, np.float32).transpose(2, 0, 1) / 255
        return np.asarray((pixels - self._mean) / self._std, np.float32)


@dataclass(frozen=True)
class Check:
    """How like the subject each picture is.

    Attributes:
        scores: float64 [n], weighted mean of the cosines to the references and to the set.
        threshold: Below it a picture is off the subject; -inf where there are too few to say.
        off: bool [n].
    """

    scores: Floats
    threshold: float
    off: NDArray[np.bool_]


def check(
    vectors: Float32Array, references: Float32Array | None = None, spreads: float = SPREADS, slack: float = 0.0
) -> Check:
    """Which pictures are of somebody else.

    A picture's score is its mean cosine to the other pictures, and for a third to the references. The quarter of the
    pictures that is least alike does not vouch for others: strangers would for one another. The line is `spreads`
    robust standard deviations and `slack` below the middle of references and set; the deviation is that of the lower
    half, from the quartile, because rare views make scores lopsided and up to a quarter may be strangers. No picture
    is off that is as high as the lowest reference: that one is the subject.

    Args:
        vectors: float32 [n, d], unit rows, of the set.
        references: float32 [r, d], unit rows, of pictures that surely show the subject, not among `vectors`.
        spreads, slack: The encoder's.
    """
    known = np.empty((0, vectors.shape[1]), np.float32) if references is None else references
    together = np.concatenate([known, vectors]).astype(np.float64)
    count, total = len(known), len(together)
    if total < FEWEST:
        return Check(np.ones(len(vectors)), -np.inf, np.zeros(len(vectors), bool))
    told = np.arange(total) < count
    scores = _scores(together, np.ones(total, bool), told)
    alike = np.round(scores, 9) >= np.round(np.quantile(scores, STRANGERS), 9)
    scores = _scores(together, alike | told, told)
    middle, low = float(np.median(scores)), float(np.quantile(scores, STRANGERS))
    threshold = middle - spreads * max((middle - low) / _QUARTILE, 1e-6) - slack
    if count:
        threshold = min(threshold, float(scores[:count].min()))
    own = scores[count:]
    return Check(own, threshold, own < threshold)


def _scores(vectors: Floats, vouching: NDArray[np.bool_], told: NDArray[np.bool_]) -> Floats:
    """Mean cosine of every row to those that vouch, and for a part to those told; never to itself."""
    crowd = _mean_cosine(vectors, vouching)
    if not told.any():
        return crowd
    known = np.where(told & (told.sum() == 1), crowd, _mean_cosine(vectors, told))  # one reference has no other
    return np.asarray((1 - TOLD) * crowd + TOLD * known, np.float64)


def _mean_cosine(vectors: Floats, to: NDArray[np.bool_]) -> Floats:
    own = np.where(to, (vectors * vectors).sum(1), 0.0)
    return np.asarray((vectors @ vectors[to].sum(0) - own) / np.maximum(to.sum() - to, 1), np.float64)


def several(picture: Image.Image | None, caption: str | None) -> str:
    """Why a picture seems to show more than one figure; "" where it does not."""
    if caption:
        for chunk in re.split(r"[,.;\n]", caption.lower()):
            if found := _SEVERAL.fullmatch(chunk.strip()):
                return f'the caption says "{found[0].strip()}"'
    if picture is None:
        return ""
    _, subject = lab_and_subject(np.asarray(picture.convert("RGB"), np.uint8))
    if not 0.02 < subject.mean() < 0.6:  # no plain background to tell figures from
        return ""
    mask = cv2.morphologyEx(subject.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    areas = np.sort(cv2.connectedComponentsWithStats(mask)[2][1:, cv2.CC_STAT_AREA])[::-1]
    if len(areas) > 1 and areas[1] >= _SECOND * areas[0]:
        return f"{int((areas >= _SECOND * areas[0]).sum())} separate figures stand before the background"
    return ""


def opened(jpeg: bytes) -> Image.Image:
    """A stored thumbnail as a picture."""
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def apart_from_border(picture: Image.Image) -> NDArray[np.bool_]:
    """[h, w] of the picture made small, what differs from its left, right and top border: a subject on plain ground."""
    return lab_and_subject(np.asarray(picture.convert("RGB"), np.uint8))[1]


def lab_and_subject(pixels: UInt8Array, side: int = _SIDE) -> tuple[Floats, NDArray[np.bool_]]:
    """CIELAB of a picture made small, and what differs from the border at the left, right or top of the same line.

    Args:
        pixels: RGB, uint8 [h, w, 3].
        side: Longest side of what is returned, in pixels.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).astype(np.float64)
    edge = max(2, round(side / 43))
    left, right, top = lab[:, :edge].mean(1)[:, None], lab[:, -edge:].mean(1)[:, None], lab[:edge].mean(0)[None]
    far = np.min([np.linalg.norm(lab - border, axis=2) for border in (left, right, top)], axis=0)
    return lab, far > _APART
