"""Everything that is measured on one picture, from one decode: columns, thumbnail, and the picture for the encoder.

Not for walking folders (`ingest`) nor for running many at a time (`stages.py`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from diversity import hashing, quality
from diversity.decode import BACKGROUND, BadPicture, Decoded, decode
from diversity.ingest.source import UNREADABLE, Source
from diversity.sharpness import block_means

if TYPE_CHECKING:
    from diversity.config import ScanConfig

UInt8Array = NDArray[np.uint8]

LOSSLESS = frozenset({"PNG", "BMP", "DIB", "GIF", "TIFF", "PPM", "ICO", "PSD", "QOI", "TGA"})
JPEG_QUALITY = 82  # thumbnails; a fifth of the time of WebP for a third more bytes

cv2.setNumThreads(1)  # the scan runs one picture per thread


@dataclass(frozen=True, slots=True)
class Sizes:
    """What measuring needs of `ScanConfig`, as plain values: a process that gets these imports no pydantic."""

    max_pixels: int
    thumbnail: int

    @classmethod
    def of(cls, config: ScanConfig) -> Self:
        """Those of `config`."""
        return cls(config.max_pixels, config.thumbnail)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What is known about one picture.

    Attributes:
        columns: Values of `tables.IMAGES` by name, without those that the source gives; with a problem, those of the
            pixels are absent.
        thumbnail: JPEG on white, longest side `config.thumbnail`; None with a problem.
        pixels: uint8 [h, w, 3], RGB, upright, on mid grey, for `encoder.prepare`; None with a problem.
    """

    columns: dict[str, object]
    thumbnail: bytes | None
    pixels: UInt8Array | None


def measure_source(source: Source, config: ScanConfig | Sizes) -> Measured:
    """Read and measure one source; never raises: what is wrong becomes the column `problem`."""
    if source.size > 16 * config.max_pixels + (1 << 20):
        return _bad(None, f"The file has {source.size} bytes, more than any picture within the limit of pixels.")
    try:
        data = source.read()
    except OSError as error:
        return _bad(None, f"{UNREADABLE}: {(error.strerror or str(error)).rstrip('.')}.")
    except MemoryError:
        return _bad(None, "The file does not fit into memory.")
    return measure(data, config)


def measure(data: bytes, config: ScanConfig | Sizes) -> Measured:
    """Decode and measure the picture file `data`; never raises: what is wrong becomes the column `problem`."""
    digest = hashlib.sha256(data).hexdigest()[:32]
    try:
        decoded = decode(data, max_pixels=config.max_pixels)
        return _measure(decoded, data, digest, config.thumbnail)
    except BadPicture as reason:
        return _bad(digest, str(reason))
    except MemoryError:
        return _bad(digest, "The picture does not fit into memory.")


def halvings(pixels: UInt8Array) -> list[UInt8Array]:
    """`pixels` [h, w] or [h, w, 3], then each halved again until the longest side is at most `quality.SMALL`."""
    levels = [pixels]
    while max(levels[-1].shape[:2]) > quality.SMALL:
        levels.append(block_means(levels[-1], 2))
    return levels


def _measure(decoded: Decoded, data: bytes, digest: str, thumbnail: int) -> Measured:
    levels = halvings(decoded.pixels)
    opacities = [] if decoded.alpha is None else halvings(np.asarray(decoded.alpha))
    small = quality.Reduced.of(levels[-1], opacities[-1] if opacities else None)
    judged = quality.assess(
        decoded.pixels,
        small,
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
        "phash": hashing.phash(small.grey),
        **judged.columns(),
        "problem": None,
    }
    return Measured(
        columns,
        _thumbnail(_fitted(levels, thumbnail), _fitted(opacities, thumbnail) if opacities else None),
        decoded.pixels,
    )


def _bad(digest: str | None, reason: str) -> Measured:
    return Measured({"bytes_hash": digest, "problem": reason}, None, None)


def _fitted(levels: list[UInt8Array], longest: int) -> UInt8Array:
    """The picture with a longest side of `longest` pixels, or of up to a fifth less where a halving gives that.

    Made from the level next above; never enlarged.
    """
    nearest = [level for level in levels if max(level.shape[:2]) >= 0.8 * longest][-1:] or levels[:1]
    height, width = nearest[0].shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return nearest[0]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(nearest[0], size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _thumbnail(pixels: UInt8Array, opacity: UInt8Array | None) -> bytes:
    """JPEG of a small picture, laid on white: what lies on mid grey is lifted by its transparency."""
    if opacity is not None:
        lifted = pixels + (255 - opacity[..., None].astype(np.float32)) * ((255 - BACKGROUND) / 255)
        pixels = np.clip(np.rint(lifted), 0, 255).astype(np.uint8)
    _, file = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    return bytes(file)
