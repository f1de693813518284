"""The one pass over the pictures: each is read and decoded once, measured, hashed, thumbnailed and encoded.

Not for what is measured (`measure.py`) or where pictures come from (`ingest/`).
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from diversity import tables

if TYPE_CHECKING:
    from diversity.config import ScanConfig
    from diversity.encoders import TextEncoder
    from diversity.encoders.base import Float32Array, UInt8Array
    from diversity.ingest import Source
    from diversity.measure import Measured
    from diversity.progress import Advance

    Measure = Callable[[Sequence[Source]], Iterable[Measured]]

BATCH = 16  # pictures per forward pass; always this many (padded), so that a vector never depends on its batch
LOOK = 8  # pictures per piece of work: handing over costs about as much as a tenth of a picture
WAITING_BYTES = 256 * 2**20  # decoded pictures held while the encoder is still loading


@dataclass(frozen=True)
class Input:
    """A picture that waits for its forward pass.

    Attributes:
        content: Its hash.
        pixels: uint8 [h, w, 3], as decoded, or as the encoder wants it.
        prepared: Which of the two.
    """

    content: str
    pixels: UInt8Array
    prepared: bool


@dataclass(frozen=True)
class Seen:
    """What the pass gives for one source: its row, and what is keyed by content."""

    row: dict[str, Any]
    thumbnail: bytes | None
    input: Input | None


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
    """Runs the pass: one thread a core takes the next piece of work, be it a picture to look at or a batch to encode.

    Args:
        config: Settings of the scan.
        encoder: A future, so that pictures are decoded while the encoder is still being imported and loaded.
        known: Contents that already have a vector and need none.
        measure: `measure_source` of each source, called by several threads at once; here or in other processes.
    """

    def __init__(
        self, config: ScanConfig, encoder: Future[TextEncoder], known: frozenset[str], measure: Measure
    ) -> None:
        self._encoder, self._measure, self._workers = encoder, measure, config.threads
        self._known, self._lock, self._waiting = set(known), threading.Lock(), 0

    def run(self, sources: Sequence[Source], advance: Advance) -> Found:
        """Look at every source; the order of rows is that of `sources`.

        Raises:
            EncoderError: the encoder could not be loaded.
        """
        found = Found()
        waiting: list[Input] = []
        encoding: deque[Future[dict[str, Float32Array]]] = deque()
        with ThreadPoolExecutor(self._workers, "scan") as pool, _quick_switching():
            for seen in self._ahead(pool, sources):
                found.rows.append(seen.row)
                if seen.thumbnail is not None:
                    found.thumbnails[seen.row["content"]] = seen.thumbnail
                if seen.input is not None:
                    waiting.append(seen.input)
                while len(waiting) >= BATCH and self._encoder.done():
                    encoding.append(pool.submit(self._encode, waiting[:BATCH]))
                    del waiting[:BATCH]
                while len(encoding) > 2 * self._workers:
                    found.vectors.update(encoding.popleft().result())
                advance(1)
            if waiting:
                self._encoder.result()
            encoding.extend(pool.submit(self._encode, waiting[i : i + BATCH]) for i in range(0, len(waiting), BATCH))
            for future in encoding:
                found.vectors.update(future.result())
        return found

    def _ahead(self, pool: ThreadPoolExecutor, sources: Sequence[Source]) -> Iterator[Seen]:
        """Results in order, with enough work queued that the workers never wait for the consumer."""
        queue: deque[Future[list[Seen]]] = deque()
        depth = (4 if self._encoder.done() else 128) * self._workers
        try:
            for start in range(0, len(sources), LOOK):
                queue.append(pool.submit(self._look, sources[start : start + LOOK]))
                if len(queue) >= depth:
                    yield from queue.popleft().result()
            while queue:
                yield from queue.popleft().result()
        finally:
            for future in queue:
                future.cancel()

    def _look(self, sources: Sequence[Source]) -> list[Seen]:
        return [self._seen(*pair) for pair in zip(sources, self._measure(sources), strict=True)]

    def _seen(self, source: Source, measured: Measured) -> Seen:
        columns = source_columns(source)
        row = {**dict.fromkeys(tables.IMAGES), **columns, **measured.columns}
        return Seen(row, measured.thumbnail, self._input(row["content"], measured.pixels))

    def _input(self, content: str | None, pixels: UInt8Array | None) -> Input | None:
        """The encoder's input; or the pixels themselves, within a memory budget, while the encoder is loading."""
        if pixels is None or content is None:
            return None
        with self._lock:
            if content in self._known:
                return None
            self._known.add(content)
            wait = not self._encoder.done() and self._waiting + pixels.nbytes <= WAITING_BYTES
            self._waiting += pixels.nbytes if wait else 0
        return Input(content, pixels if wait else self._encoder.result().prepare(pixels), not wait)

    def _encode(self, batch: list[Input]) -> dict[str, Float32Array]:
        """Content → vector, by one forward pass padded to the one batch size."""
        encoder = self._encoder.result()
        _one_core()
        inputs = [part.pixels if part.prepared else encoder.prepare(part.pixels) for part in batch]
        padding = [inputs[0]] * (BATCH - len(inputs))
        vectors = encoder.encode_prepared(np.stack(inputs + padding))[: len(batch)]
        return {part.content: vector for part, vector in zip(batch, vectors, strict=True)}


@contextmanager
def _quick_switching() -> Iterator[None]:
    """Pass Python's lock on after 2 ms rather than 5: workers need it briefly and often, an import in between long."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.002)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _one_core() -> None:
    """Run this thread's forward passes on its own core: threads inside an operation would fight with the workers."""
    import torch

    torch.set_num_threads(1)
