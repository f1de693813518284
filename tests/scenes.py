"""Made pictures for tests of copies: scenes with structure, an encoder without weights, and the table of images."""

from __future__ import annotations

import hashlib
import io

import cv2
import numpy as np
import polars as pl
from PIL import Image, ImageDraw

from diversity import tables
from diversity.duplicates import Evidence
from diversity.hashing import phash

SIDE = 160


def scene(seed: int, *, shift: int = 0) -> Image.Image:
    """A picture of about thirty shapes on a gradient; `shift` moves two of the shapes by so many pixels."""
    rng = np.random.default_rng(seed)
    low, high = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
    ramp = np.linspace(0, 1, SIDE)[:, None, None]
    picture = Image.fromarray(np.broadcast_to(low + (high - low) * ramp, (SIDE, SIDE, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for i in range(30):
        x, y = rng.integers(0, SIDE, 2) + (shift if i >= 28 else 0)
        w, h = rng.integers(12, 60, 2)
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        box = (int(x - w // 2), int(y - h // 2), int(x + w // 2), int(y + h // 2))
        (draw.ellipse if i % 2 else draw.rectangle)(box, fill=colour)
    return picture


def with_another_expression(picture: Image.Image) -> Image.Image:
    """The same scene with one small region changed."""
    changed = picture.copy()
    draw = ImageDraw.Draw(changed)
    draw.rectangle((60, 60, 88, 88), fill=(250, 250, 250))
    draw.ellipse((66, 66, 82, 82), fill=(10, 10, 10))
    return changed


def encode(pictures: list[Image.Image]) -> np.ndarray:
    """Float32 [n, 64], unit rows: a colour layout, randomly projected."""
    small = [np.asarray(p.convert("RGB").resize((8, 8), Image.Resampling.BOX), np.float32).ravel() for p in pictures]
    rows = (np.stack(small) / 255 - 0.5) @ np.random.default_rng(0).normal(size=(192, 64)).astype(np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    """`tables.IMAGES` with what the rows say and plausible values elsewhere."""
    base = {"width": 160, "height": 160, "quality": 0.5, "flags": []}
    full = [{**dict.fromkeys(tables.IMAGES), **base, "path": f"{row['key']}.png", **row} for row in rows]
    return pl.DataFrame(full, schema=tables.IMAGES)


def images_of(
    pictures: dict[str, Image.Image], **columns: dict[str, object]
) -> tuple[pl.DataFrame, np.ndarray, Evidence]:
    """What `duplicates.find` takes: one row for every named picture; `columns` gives values by name of the picture."""
    rows, thumbnails = [], {}
    for key, picture in pictures.items():
        pixels = np.asarray(picture.convert("RGB"))
        content = hashlib.blake2b(pixels.tobytes() + str(pixels.shape).encode(), digest_size=16).hexdigest()
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=80)
        thumbnails[content] = buffer.getvalue()
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        row = {"key": key, "content": content, "bytes_hash": f"file-{key}", "phash": phash(grey)}
        rows.append(
            row
            | {"width": picture.width, "height": picture.height}
            | {c: v[key] for c, v in columns.items() if key in v}
        )
    vectors = encode(list(pictures.values())) if pictures else np.empty((0, 64), np.float32)
    return frame(rows), vectors, Evidence(thumbnails, encode)
