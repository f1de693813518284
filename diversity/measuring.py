"""Measuring in child processes: hundreds of short calls a picture, which threads of one process would take in turns.

They need no torch, so they are at work while the encoder is still being imported, and a file that brings a decoder down
takes a child with it, not the run. Not for what is measured: that is `measure.py`. Run as `python -m
diversity.measuring` by `MeasuringChild` only.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from diversity.ingest.source import UNREADABLE
from diversity.measure import Measured, Sizes, measure_source

if TYPE_CHECKING:
    from diversity.config import ScanConfig
    from diversity.ingest.source import Source

_COUNT = struct.Struct("<I")
_SIZE = struct.Struct("<Q")


class ChildDied(Exception):  # a state of another process, not a fault of the program
    """The child ended before it answered; `str()` is a plain sentence that says how."""


class MeasuringChild:
    """One process that measures one piece of work after the other; ends with its parent."""

    def __init__(self, config: ScanConfig) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "diversity.measuring"],  # -P: no module of the user's folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._child.pid
        self._ask(Sizes.of(config))

    def measure(self, sources: tuple[Source, ...]) -> Iterator[Measured]:
        """`measure_source` of each, one answer at a time: no more than one decoded picture lies in the child.

        Raises:
            ChildDied: the process is gone; the child must not be used again.
        """
        self._ask(sources)
        for _ in sources:
            yield self._answer()

    def alive(self) -> bool:
        """Whether it answers; waits until it has started."""
        try:
            self._ask((None,))
            return self._answer() is None
        except ChildDied:
            return False

    def close(self) -> None:
        """End it."""
        self._child.kill()
        self._child.communicate()

    def _ask(self, thing: object) -> None:
        try:
            _send(self._child.stdin, thing)
        except (OSError, ValueError):  # ValueError: closed here
            raise ChildDied(self._end()) from None

    def _answer(self) -> Any:  # noqa: ANN401
        try:
            return _receive(self._child.stdout)
        except (EOFError, OSError, ValueError):
            raise ChildDied(self._end()) from None

    def _end(self) -> str:
        self.close()
        code = self._child.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"


class MeasuringPool:
    """Children, one for each thread that asks; a context manager that ends them.

    A child that dies is replaced. The picture it was at is tried once more, and marked if it ends that child too. Where
    no child stays alive at all, this process measures.
    """

    def __init__(self, config: ScanConfig, count: int) -> None:
        self._config = config
        self._idle: queue.SimpleQueue[MeasuringChild] = queue.SimpleQueue()
        self.children = [MeasuringChild(config) for _ in range(count)]
        for child in self.children:
            self._idle.put(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.close()

    def measure(self, sources: Sequence[Source]) -> Iterator[Measured]:
        """`measure_source` of each; waits until a child is free."""
        child, left, tried = self._idle.get(), list(sources), False
        try:
            while left:
                try:
                    for measured in child.measure(tuple(left)):
                        del left[0]
                        tried = False
                        yield measured
                except ChildDied as how:
                    fresh = self._replaced(child)
                    if fresh is None:
                        while left:
                            yield measure_source(left.pop(0), self._config)
                    elif tried:
                        del left[0]
                        yield _deadly(str(how))
                    child, tried = fresh or child, not tried
        finally:
            if left:  # the consumer broke off: answers are on their way that nobody will read
                child.close()
            self._idle.put(child)

    def _replaced(self, dead: MeasuringChild) -> MeasuringChild | None:
        """A new child in the place of `dead`; None where that does not come to life."""
        try:
            child = MeasuringChild(self._config)
        except (ChildDied, OSError):
            return None
        self.children[self.children.index(dead)] = child
        return child if child.alive() else None


def _deadly(how: str) -> Measured:
    """What is said of a file that ends the process that reads it."""
    problem = f"{UNREADABLE}: the process that tried was ended ({how}), for want of memory or by a damaged file."
    return Measured({"bytes_hash": None, "problem": problem}, None, None)


def _send(stream: Any, thing: object) -> None:  # noqa: ANN401
    """Pickle `thing`; arrays follow as they lie in memory, so that pixels are copied by the pipe only."""
    buffers: list[pickle.PickleBuffer] = []
    first = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    views = [memoryview(first), *(buffer.raw() for buffer in buffers)]
    stream.write(_COUNT.pack(len(views)) + b"".join(_SIZE.pack(view.nbytes) for view in views))
    for view in views:
        stream.write(view)
    stream.flush()


def _receive(stream: Any) -> Any:  # noqa: ANN401
    """What `_send` sent.

    Raises:
        EOFError: the other end is gone.
    """
    (count,) = _COUNT.unpack(_exactly(stream, _COUNT.size))
    sizes = [_SIZE.unpack(_exactly(stream, _SIZE.size))[0] for _ in range(count)]
    first, *buffers = [_exactly(stream, size) for size in sizes]
    return pickle.loads(first, buffers=buffers)  # from our own process


def _exactly(stream: Any, size: int) -> bytearray:  # noqa: ANN401
    data = bytearray(size)
    if stream.readinto(data) < size:
        raise EOFError
    return data


def _serve() -> None:
    """Answer until the parent closes the pipe. What libraries print must not get between the answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its children
    answers: BinaryIO = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        sizes = _receive(sys.stdin.buffer)
        while True:
            for source in _receive(sys.stdin.buffer):
                _send(answers, source and measure_source(source, sizes))
    except (EOFError, BrokenPipeError):
        pass


if __name__ == "__main__":
    _serve()
