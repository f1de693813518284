"""Is this the subject, and alone? Pictures of somebody else are found before richness takes them for rare views.

Not for dropping anything: a person does that. What is compared is up to a `SubjectEncoder`: the subject's colours, the
encoder in use, or an identity model from an ONNX file.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diversity.errors import EncoderError

if TYPE_CHECKING:
    from diversity.encoders.base import ImageEncoder

Float32Array = NDArray[np.float32]
Floats = NDArray[np.float64]
UInt8Array = NDArray[np.uint8]

PROJECTION = Path(__file__).parent / "assets" / "subject" / "palette.npz"
SPREADS = 3.0  # robust standard deviations below the middle: one in 740 where scores are normal
FEWEST = 5  # pictures and references together, below which nothing is said

_SIDE = 128  # pixels: colours need no more
_CHROMA, _LIGHT = 8.0, 8  # width of a colour's cell in CIELAB's a and b; cells of lightness
_CELLS = 19  # of a and of b, from -66 on
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
    """

    id: str
    name: str

    def encode(self, pictures: Sequence[Image.Image]) -> Float32Array:
        """RGB pictures → float32 [n, dim], unit rows."""
        ...


class Palette:
    """The colours of what stands before the background: hair, skin and clothes. Needs no model.

    Colours are looked at in the directions that told rendered characters apart, whatever the light, the framing and the
    background (`benchmarks/subject_palette.py`). Two subjects in the same colours are the same to it, and a subject
    that changes clothes is not.
    """

    id, name = "palette-1", "colours of the subject"

    def __init__(self) -> None:
        with np.load(PROJECTION) as stored:
            self._mean, self._directions = (stored[name].astype(np.float32) for name in ("mean", "directions"))

    def encode(self, pictures: Sequence[Image.Image]) -> Float32Array:
        """Projected palettes, float32 [n, 24]."""
        projected = (np.stack([cells(picture) for picture in pictures]) - self._mean) @ self._directions
        lengths = np.linalg.norm(projected, axis=1, keepdims=True)
        return np.asarray(projected / np.maximum(lengths, 1e-12), np.float32)


class InUse:
    """The encoder that the set was scanned with: sees shapes and textures, and views more than identity."""

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

    def __init__(self, file: Path, mean: Sequence[float] = (0.0,) * 3, std: Sequence[float] = (1.0,) * 3) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise EncoderError(
                f"{file.name} cannot be used.", "onnxruntime is not installed.", "pip install 'diversity[subject]'"
            ) from None
        try:
            data = file.expanduser().read_bytes()
            self._session: Any = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no base class
            raise EncoderError(f"{file} is no ONNX model that can be read.", f"{error}.", "Check the file.") from None
        inputs, shape = self._session.get_inputs(), self._session.get_inputs()[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3:
            raise EncoderError(
                f"{file} does not take pictures.", f"Its first input is {shape}.", "It needs one input [n, 3, h, w]."
            )
        self._input, self._single = inputs[0].name, shape[0] == 1
        width, height = (side if isinstance(side, int) else 384 for side in (shape[3], shape[2]))  # CCIP: 384
        self._size = width, height
        self._mean, self._std = (np.asarray(values, np.float32)[:, None, None] for values in (mean, std))
        self.id = f"onnx-{hashlib.blake2b(data, digest_size=4).hexdigest()}"
        self.name = f"the identity model {file.name}"

    def encode(self, pictures: Sequence[Image.Image]) -> Float32Array:
        """The model's first output, flattened, as unit rows."""
        rows = []
        batches = range(0, len(pictures), 1 if self._single else 16)
        for start in batches:
            batch = np.stack([self._prepared(p) for p in pictures[start : start + batches.step]])
            rows.append(np.asarray(self._session.run(None, {self._input: batch})[0], np.float32))
        vectors = np.concatenate([row.reshape(len(row), -1) for row in rows])
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
        scores: float64 [n], mean cosine to the references and to the rest of the set.
        threshold: Below it a picture is off the subject; -inf where there are too few to say.
        off: bool [n].
    """

    scores: Floats
    threshold: float
    off: NDArray[np.bool_]


def check(vectors: Float32Array, references: Float32Array | None = None) -> Check:
    """Which pictures are of somebody else.

    A picture's score is its mean cosine to the references and to the other pictures, half and half; without references
    to the other pictures alone: the subject is what most pictures show. Off are scores more than `SPREADS` robust
    standard deviations (1.4826 × the median absolute deviation; Hampel 1974) below the middle of references and set,
    but none that is as high as the lowest reference's: that one is the subject.

    Args:
        vectors: float32 [n, d], unit rows, of the set.
        references: float32 [r, d], unit rows, of pictures that surely show the subject, not among `vectors`.
    """
    known = np.empty((0, vectors.shape[1]), np.float32) if references is None else references
    together = np.concatenate([known, vectors]).astype(np.float64)
    count, total = len(known), len(together)
    if total < FEWEST:
        return Check(np.ones(len(vectors)), -np.inf, np.zeros(len(vectors), bool))
    alike = together @ together.T
    np.fill_diagonal(alike, 0.0)
    scores = alike.sum(1) / (total - 1)
    if count:
        others = np.full(total, float(count))
        others[:count] = max(count - 1, 1)
        to_known = alike[:, :count].sum(1) / others
        to_known[:count] = to_known[:count] if count > 1 else scores[:count]
        scores = (scores + to_known) / 2
    middle = float(np.median(scores))
    spread = 1.4826 * float(np.median(np.abs(scores - middle)))
    threshold = middle - SPREADS * max(spread, 1e-6)
    if count:
        threshold = min(threshold, float(scores[:count].min()))
    own = scores[count:]
    return Check(own, threshold, own < threshold)


def cells(picture: Image.Image) -> Float32Array:
    """Square roots of the share of each colour in the subject, so that cosine is the Bhattacharyya coefficient."""
    lab, subject = _lab_and_subject(np.asarray(picture.convert("RGB"), np.uint8))
    light = np.clip(lab[..., 0] / 100 * _LIGHT, 0, _LIGHT - 1).astype(int)
    a, b = (np.clip((lab[..., i] + 66) / _CHROMA, 0, _CELLS - 1).astype(int) for i in (1, 2))
    codes = (light * _CELLS + a) * _CELLS + b
    weight = subject + 1e-3  # a picture that is all background still has colours
    counts = np.bincount(codes.ravel(), weights=weight.ravel(), minlength=_LIGHT * _CELLS * _CELLS)
    return np.asarray(np.sqrt(counts / counts.sum()), np.float32)


def several(picture: Image.Image | None, caption: str | None) -> str:
    """Why a picture seems to show more than one figure; "" where it does not."""
    if caption:
        for chunk in re.split(r"[,.;\n]", caption.lower()):
            if found := _SEVERAL.fullmatch(chunk.strip()):
                return f'the caption says "{found[0].strip()}"'
    if picture is None:
        return ""
    _, subject = _lab_and_subject(np.asarray(picture.convert("RGB")))
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
    return _lab_and_subject(np.asarray(picture.convert("RGB"), np.uint8))[1]


def _lab_and_subject(pixels: UInt8Array) -> tuple[Floats, NDArray[np.bool_]]:
    """CIELAB of a picture made small, and what differs from the border at the left, right or top of the same line."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).astype(np.float64)
    left, right, top = lab[:, :3].mean(1)[:, None], lab[:, -3:].mean(1)[:, None], lab[:3].mean(0)[None]
    far = np.min([np.linalg.norm(lab - border, axis=2) for border in (left, right, top)], axis=0)
    return lab, far > _APART
