"""Everything that is measured on one picture, from one decode: columns, thumbnail, and the picture for the encoder.

Not for walking folders (`ingest`) nor for running many at a time (`stages.py`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diversity import hashing, quality
from diversity.config import ScanConfig
from diversity.decode import BACKGROUND, BadPicture, Decoded, decode
from diversity.ingest.source import Source

LOSSLESS = frozenset({"PNG", "BMP", "DIB", "GIF", "TIFF", "PPM", "ICO", "PSD", "QOI", "TGA"})
REDUCED = 512  # least longest side that a large picture is cheaply reduced to, before anything else looks at it
WEBP = {"quality": 80, "method": 1}  # 1: a third of the default's time for 2 % more bytes

cv2.setNumThreads(1)  # the scan runs one picture per thread


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What is known about one picture.

    Attributes:
        columns: Values of `tables.IMAGES` by name, without those that the source gives; with a problem, those of the
            pixels are absent.
        thumbnail: WebP on white, longest side `config.thumbnail`; None with a problem.
        picture: RGB, upright, on mid grey, for `encoder.prepare`; None with a problem.
    """

    columns: dict[str, object]
    thumbnail: bytes | None
    picture: Image.Image | None


def measure_source(source: Source, config: ScanConfig) -> Measured:
    """Read and measure one source; never raises: what is wrong becomes the column `problem`."""
    if source.size > 16 * config.max_pixels + (1 << 20):
        return _bad(None, f"The file has {source.size} bytes, more than any picture within the limit of pixels.")
    try:
        data = source.read()
    except OSError as error:
        return _bad(None, f"The file cannot be read: {(error.strerror or str(error)).rstrip('.')}.")
    except MemoryError:
        return _bad(None, "The file does not fit into memory.")
    return measure(data, config)


def measure(data: bytes, config: ScanConfig) -> Measured:
    """Decode and measure the picture file `data`; never raises: what is wrong becomes the column `problem`."""
    digest = hashlib.sha256(data).hexdigest()[:32]
    try:
        decoded = decode(data, max_pixels=config.max_pixels)
        return _measure(decoded, data, digest, config.thumbnail)
    except BadPicture as reason:
        return _bad(digest, str(reason))
    except MemoryError:
        return _bad(digest, "The picture does not fit into memory.")


def _measure(decoded: Decoded, data: bytes, digest: str, thumbnail: int) -> Measured:
    reduced = _reduced(decoded.picture, max(REDUCED, thumbnail))
    opacity = None if decoded.alpha is None else _reduced(decoded.alpha, max(REDUCED, thumbnail))
    small = _fitted(np.asarray(reduced), quality.SMALL)
    judged = quality.assess(
        decoded.pixels,
        small,
        None if opacity is None else _fitted(np.asarray(opacity), quality.SMALL),
        bits=None if decoded.format in LOSSLESS else 8.0 * len(data),
        frames=decoded.frames,
    )
    columns = {
        "bytes_hash": digest,
        "content": decoded.content,
        "width": decoded.width,
        "height": decoded.height,
        "format": decoded.format,
        "mode": decoded.mode,
        "frames": decoded.frames,
        "phash": hashing.phash(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)),
        **judged.columns(),
        "problem": None,
    }
    return Measured(columns, _thumbnail(reduced, opacity, thumbnail), decoded.picture)


def _bad(digest: str | None, reason: str) -> Measured:
    return Measured({"bytes_hash": digest, "problem": reason}, None, None)


def _reduced(picture: Image.Image, least: int) -> Image.Image:
    """`picture` averaged over whole blocks of pixels, its longest side still at least `least`."""
    factor = max(picture.size) // least
    if factor < 2:
        return picture
    return picture.reduce((min(factor, picture.width), min(factor, picture.height)))


def _fitted(pixels: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """`pixels` uint8 [h, w] or [h, w, 3] with a longest side of at most `longest`; never enlarged."""
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(pixels)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    fitted: NDArray[np.uint8] = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return fitted


def _thumbnail(reduced: Image.Image, opacity: Image.Image | None, longest: int) -> bytes:
    """WebP of the picture on white: what lies on mid grey is lifted by its transparency."""
    pixels = _fitted(np.asarray(reduced), longest)
    if opacity is not None:
        clear = 255 - _fitted(np.asarray(opacity), longest)[..., None].astype(np.float32)
        lifted = pixels + clear * ((255 - BACKGROUND) / 255)
        pixels = np.clip(np.rint(lifted), 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", **WEBP)
    return file.getvalue()
