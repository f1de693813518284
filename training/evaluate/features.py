"""What sees pictures for the measures: the encoder in use, or a copy detector or DINOv2 from a local file.

Not for curating: that is `diversity.encoders`. Numbers of different features are never compared.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from diversity.errors import EncoderError

if TYPE_CHECKING:
    from diversity.config import EncoderConfig
    from diversity.encoders.base import TextEncoder

BATCH = 16
SIDE = 288  # pixels of the square that a TorchScript copy detector is shown
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's

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


class InUse:
    """The encoder that a set was curated with, and its mean picture.

    Attributes:
        id, name: Of the encoder.
        centre: float64 [d], or None where the encoder tells none; see `diversity.richness`.
    """

    def __init__(self, encoder: TextEncoder, centre: NDArray[np.float64] | None) -> None:
        self._encoder, self.centre = encoder, centre
        self.id, self.name = encoder.id, encoder.name

    def encode_images(self, pictures: Sequence[Image.Image]) -> Vectors:
        """RGB pictures → float32 [n, d], unit rows."""
        return self._encoder.encode_images(pictures)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts → float32 [n, d], unit rows."""
        return self._encoder.encode_texts(texts)


def in_use(config: EncoderConfig) -> InUse:
    """The encoder that `config` names.

    Raises:
        EncoderError: it cannot be loaded.
    """
    from diversity.encoders import load_encoder, resolve

    spec = resolve(config)
    return InUse(load_encoder(config, spec), spec.centre())


class TorchScript:
    """A network saved by `torch.jit`, such as SSCD: pixels normalised as for ImageNet in, vectors out."""

    def __init__(self, file: Path, device: str = "cpu") -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # torch's own successor cannot read these files
                self._network: Any = torch.jit.load(str(file), map_location=device).eval()  # type: ignore[no-untyped-call]
        except (OSError, RuntimeError, ValueError) as error:
            raise _unreadable(file, error) from None
        self._device = device
        self.name = file.stem
        with file.open("rb") as handle:
            digest = hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=6)).hexdigest()
        self.id = f"{file.stem}-{digest}"

    def encode_images(self, pictures: Sequence[Image.Image]) -> Vectors:
        """RGB pictures → float32 [n, d], unit rows."""
        found = []
        for start in range(0, len(pictures), BATCH):
            pixels = np.stack([_square(picture) for picture in pictures[start : start + BATCH]])
            normal = (pixels / 255 - np.array(MEAN)) / np.array(DEVIATION)
            batch = torch.from_numpy(normal.astype(np.float32)).permute(0, 3, 1, 2).to(self._device)
            with torch.inference_mode():
                found.append(self._network(batch).float().cpu().numpy())
        return _unit(found)


class Dino:
    """A DINOv2 model in a folder of transformers' layout; its class token is the vector."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        from transformers import AutoImageProcessor, AutoModel

        try:
            self._prepare: Any = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                folder, local_files_only=True
            )
            self._network: Any = AutoModel.from_pretrained(folder, local_files_only=True).to(device).eval()
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise _unreadable(folder, error) from None
        self._device = device
        self.name = folder.name
        digest = hashlib.blake2b(digest_size=6)
        for _, tensor in sorted(self._network.state_dict().items()):
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        self.id = f"{folder.name}-{digest.hexdigest()}"

    def encode_images(self, pictures: Sequence[Image.Image]) -> Vectors:
        """RGB pictures → float32 [n, d], unit rows."""
        found = []
        for start in range(0, len(pictures), BATCH):
            some = [picture.convert("RGB") for picture in pictures[start : start + BATCH]]
            given = self._prepare(images=some, return_tensors="pt").to(self._device)
            with torch.inference_mode():
                found.append(self._network(**given).last_hidden_state[:, 0].float().cpu().numpy())
        return _unit(found)


def from_file(path: Path, device: str = "cpu") -> Features:
    """Features from a TorchScript file (SSCD) or a folder (DINOv2).

    Raises:
        EncoderError: it is not there, or is neither.
    """
    path = path.expanduser()
    if path.is_dir():
        return Dino(path, device)
    if path.is_file():
        return TorchScript(path, device)
    raise EncoderError(f"There is nothing at {path}.", "", "Give a TorchScript file (SSCD) or a folder (DINOv2).")


def _square(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _unit(parts: Sequence[NDArray[np.floating]]) -> Vectors:
    rows = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = (rows / np.where(length > 0, length, 1)).astype(np.float32)
    return unit


def _unreadable(path: Path, error: Exception) -> EncoderError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return EncoderError(f"{path} could not be loaded.", f"{reason}.", "Give a TorchScript file or a DINOv2 folder.")
