"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]
LINE_EVERY = 10.0  # seconds between plain lines


def rate(done: int, seconds: float) -> str:
    """`12/s`, `1.3/s`; below one a second `4.0 s each`."""
    each = max(seconds, 1e-9) / max(done, 1)
    if each > 1:
        return f"{duration(each)} each"
    return f"{1 / each:.0f}/s" if each < 0.1 else f"{1 / each:.1f}/s"


def duration(seconds: float) -> str:
    """`4.2 s`, `95 s`, `24 min`, `3.1 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7170 else f"{seconds / 3600:.1f} h"


class Progress(Protocol):
    """Where stages report what they do."""

    def note(self, text: str) -> None:
        """Say one sentence."""
        ...

    def task(self, name: str, total: int) -> AbstractContextManager[Advance]:
        """A context manager that yields `advance(n)`."""
        ...


class Silent:
    """Says nothing: the default of the Python API."""

    def note(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Advance]:
        """Count nothing."""
        yield lambda _: None


class Lines:
    """Plain lines for logs and pipes."""

    def note(self, text: str) -> None:
        """Print one line."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Advance]:
        """Print a line every ten seconds and one at the end."""
        start = last = time.monotonic()
        done = 0

        def advance(n: int) -> None:
            nonlocal done, last
            done += n
            now = time.monotonic()
            if now - last >= LINE_EVERY and 0 < done < total:
                last = now
                left = (now - start) / done * (total - done)
                self.note(f"{name}: {done} of {total}, {rate(done, now - start)}, {duration(left)} left")

        yield advance
        seconds = time.monotonic() - start
        if done:
            self.note(f"{name}: {done} in {duration(seconds)}")


class Bars:
    """Bars for a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)

    def note(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False)

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Advance]:
        """Draw a bar with count, rate and time left."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        start = time.monotonic()
        with Progress(*columns, console=self._console, transient=True) as bars:
            row = bars.add_task(name, total=total, rate="")
            done = 0

            def advance(n: int) -> None:
                nonlocal done
                done += n
                bars.update(row, advance=n, rate=rate(done, time.monotonic() - start))

            yield advance
        if done:
            self.note(f"{name}: {done} in {duration(time.monotonic() - start)}")


def for_stderr() -> Progress:
    """Bars on a terminal, lines elsewhere."""
    return Bars() if sys.stderr.isatty() else Lines()
