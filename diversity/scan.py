"""The one pass over the pictures: each is read and decoded once, measured, hashed, thumbnailed and encoded.

Not for what is measured (`measure.py`) or where pictures come from (`ingest/`).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from diversity import tables

if TYPE_CHECKING:
    from PIL.Image import Image

    from diversity.config import ScanConfig
    from diversity.encoders import TextEncoder
    from diversity.encoders.base import Float32Array, UInt8Array
    from diversity.ingest import Source
    from diversity.progress import Advance

BATCH = 32  # pictures per forward pass; always this many (padded), so that a vector never depends on its batch
UNREADABLE = "The file cannot be read"  # how the problem of a file begins that could not be opened (`measure.py`)
WAITING_BYTES = 256 * 2**20  # decoded pictures held while the encoder is still loading


@dataclass(frozen=True)
class Seen:
    """What the pass gives for one source: its row, and what is keyed by content."""

    row: dict[str, Any]
    thumbnail: bytes | None
    prepared: UInt8Array | Image | None


@dataclass
class Found:
    """The tables of a pass, growing batch by batch."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    thumbnails: dict[str, bytes] = field(default_factory=dict)
    vectors: dict[str, Float32Array] = field(default_factory=dict)


def key_of(path: str) -> str:
    """The key of a picture: 16 hex digits over its path relative to the root."""
    return blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def source_columns(source: Source) -> dict[str, Any]:
    """The columns of `images` that are known without opening the file."""
    return {
        "key": key_of(source.path),
        "path": source.path,
        "size": source.size,
        "mtime_ns": source.mtime_ns,
        "caption": source.caption,
        "caption_path": source.caption_path,
        "repeats": source.repeats,
        "concept": source.concept,
        "source": None,
        "time": None,
        "frame": None,
    }


class Scanner:
    """Runs the pass: decode workers in threads, the forward pass in the calling thread.

    Args:
        config: Settings of the scan.
        encoder: A future, so that pictures are decoded while the encoder is still being imported and loaded.
        known: Contents that already have a vector and need none.
    """

    def __init__(self, config: ScanConfig, encoder: Future[TextEncoder], known: frozenset[str]) -> None:
        self._config, self._encoder = config, encoder
        self._known, self._lock, self._waiting = set(known), threading.Lock(), 0
        self._workers = config.workers or os.cpu_count() or 1

    def run(self, sources: Sequence[Source], advance: Advance) -> Found:
        """Look at every source; the order of rows is that of `sources`.

        Raises:
            EncoderError: the encoder could not be loaded.
        """
        found = Found()
        batch: list[tuple[str, UInt8Array | Image]] = []
        with ThreadPoolExecutor(self._workers, "decode") as pool, _quick_switching():
            for seen in self._ahead(pool, sources):
                found.rows.append(seen.row)
                if seen.thumbnail is not None:
                    found.thumbnails[seen.row["content"]] = seen.thumbnail
                if seen.prepared is not None:
                    batch.append((seen.row["content"], seen.prepared))
                if len(batch) == BATCH:
                    self._encode(batch, found)
                advance(1)
            self._encode(batch, found)
        return found

    def _ahead(self, pool: ThreadPoolExecutor, sources: Sequence[Source]) -> Iterator[Seen]:
        """Results in order, with enough work queued that the workers never wait for the consumer."""
        queue: list[Future[Seen]] = []
        depth = 4 * BATCH if self._encoder.done() else 64 * BATCH
        iterator = iter(sources)
        try:
            for source in iterator:
                queue.append(pool.submit(self._look, source))
                if len(queue) >= depth:
                    yield queue.pop(0).result()
            while queue:
                yield queue.pop(0).result()
        finally:
            for future in queue:
                future.cancel()

    def _look(self, source: Source) -> Seen:
        from diversity.measure import measure_source

        columns = source_columns(source)
        measured = measure_source(source, self._config)
        row = {**dict.fromkeys(tables.IMAGES), **columns, **measured.columns}
        return Seen(row, measured.thumbnail, self._prepare(row["content"], measured.picture))

    def _prepare(self, content: str | None, picture: Image | None) -> UInt8Array | Image | None:
        """The encoder's input; or the picture itself, within a memory budget, while the encoder is loading."""
        if picture is None or content is None:
            return None
        with self._lock:
            if content in self._known:
                return None
            self._known.add(content)
            size = 3 * picture.width * picture.height
            wait = not self._encoder.done() and self._waiting + size <= WAITING_BYTES
            self._waiting += size if wait else 0
        return picture if wait else self._encoder.result().prepare(picture)

    def _encode(self, batch: list[tuple[str, UInt8Array | Image]], found: Found) -> None:
        """Encode and empty `batch`, padded to the one batch size."""
        if not batch:
            return
        encoder = self._encoder.result()
        inputs = [part if isinstance(part, np.ndarray) else encoder.prepare(part) for _, part in batch]
        padding = [inputs[0]] * (BATCH - len(inputs))
        vectors = encoder.encode_prepared(np.stack(inputs + padding))[: len(batch)]
        found.vectors.update((content, vector) for (content, _), vector in zip(batch, vectors, strict=True))
        batch.clear()


def embeddings_frame(vectors: dict[str, Float32Array]) -> pl.DataFrame:
    """`content`, `vector` (float16 array): half the size, and it rounds off the bits that hardware disagrees on."""
    dim = len(next(iter(vectors.values()))) if vectors else 1
    contents = sorted(vectors)
    matrix = np.stack([vectors[c] for c in contents]).astype(np.float16) if contents else np.empty((0, dim), np.float16)
    return pl.DataFrame(
        {"content": pl.Series(contents, dtype=pl.String), "vector": pl.Series(matrix, dtype=pl.Array(pl.Float16, dim))}
    )


@contextmanager
def _quick_switching() -> Iterator[None]:
    """Let decode workers in between the byte code of a long import, which would else hold each of them 5 ms a time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
