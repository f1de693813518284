"""Which pictures each step sees: a weighted, deterministic order whose whole state is (seed, epoch, cursor).

Not for reading pictures: a batch is a tuple of row numbers, all of one bucket, so neither workers nor caches can change
the order.

An epoch is the sum of all exposures per epoch (one per picture of the selection, on average). How often each picture is
shown in it:

- exact: Tijdeman's chairman assignment (1980, "The chairman assignment problem", Discrete Mathematics 32): after every
  epoch each picture was shown its share of all exposures so far, to less than one. Fractions carry over, so nothing is
  lost to rounding.
- iid: every exposure is drawn by itself with probability proportional to the weight.

Within an epoch the showings of one picture are spread (the j-th of c lies in the j-th c-th part), else random.
A batch is filled by the pictures of one bucket. What is left in a bucket at an epoch's end is carried over to the next
epoch ("carry": every batch is full, nothing is lost) or shown as a smaller batch ("keep").
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training import keyed

IntArray = NDArray[np.int64]
Mode = Literal["exact", "iid"]
Partial = Literal["carry", "keep"]

_UNITS = 2**31  # shares are whole numbers of this, so that every comparison is exact


@dataclass(frozen=True)
class SamplerState:
    """Where a sampler stands.

    Attributes:
        epoch: From 0.
        cursor: Batches of this epoch that were taken.
    """

    epoch: int = 0
    cursor: int = 0


@dataclass(frozen=True)
class SamplerRules:
    """How the order is made; see the module."""

    batch_size: int
    seed: int = 0
    mode: Mode = "exact"
    partial: Partial = "carry"


class Sampler:
    """Batches without end.

    Args:
        exposures: Exposures per epoch of each row, float64 [n], positive; their rounded sum is the epoch's length.
        buckets: Bucket of each row, [n]; a batch holds rows of one bucket.
        rules: Batch size, seed, mode.
    """

    def __init__(self, exposures: Sequence[float], buckets: Sequence[Hashable], rules: SamplerRules) -> None:
        wanted = np.asarray(exposures, np.float64)
        if len(wanted) != len(buckets) or not len(wanted):
            raise ValueError("one bucket per row, and at least one row")
        if not np.all(np.isfinite(wanted)) or wanted.min() <= 0:
            raise ValueError("exposures are positive numbers")
        self.rules = rules
        self.length = max(1, round(float(wanted.sum())))
        self.shares: NDArray[np.float64] = wanted / wanted.sum()
        self._buckets = list(buckets)
        self._epoch = self._cursor = 0
        self._begin()

    @property
    def state(self) -> SamplerState:
        """Where the next batch will be taken."""
        return SamplerState(self._epoch, self._cursor)

    def restore(self, state: SamplerState) -> None:
        """Go to `state` of a sampler with the same arguments."""
        self._begin()
        while self._epoch < state.epoch:
            self._next_epoch()
        self._cursor = state.cursor

    def __next__(self) -> tuple[int, ...]:
        """The rows of the next batch."""
        while self._cursor >= len(self._batches):
            self._next_epoch()
        self._cursor += 1
        return self._batches[self._cursor - 1]

    def _begin(self) -> None:
        self._counts = Apportionment(self.shares, self.length)
        self._waiting: dict[Hashable, list[int]] = {bucket: [] for bucket in self._buckets}
        self._epoch = self._cursor = 0
        self._batches = self._fill()

    def _next_epoch(self) -> None:
        self._epoch, self._cursor = self._epoch + 1, 0
        self._batches = self._fill()

    def _fill(self) -> list[tuple[int, ...]]:
        """The batches of the current epoch, in order of completion."""
        rng = keyed.generator(self.rules.seed, "order", self._epoch)
        batches = []
        for row in self._order(rng):
            queue = self._waiting[self._buckets[row]]
            queue.append(row)
            if len(queue) == self.rules.batch_size:
                batches.append(tuple(queue))
                queue.clear()
        if self.rules.partial == "keep":
            left = [queue for queue in self._waiting.values() if queue]
            batches += [tuple(left[i]) for i in rng.permutation(len(left))]
            for queue in left:
                queue.clear()
        return batches

    def _order(self, rng: np.random.Generator) -> list[int]:
        """Rows of one epoch, one per exposure."""
        if self.rules.mode == "iid":
            return [int(row) for row in rng.choice(len(self.shares), self.length, p=self.shares)]
        counts = self._counts.next()
        rows = np.repeat(np.arange(len(counts)), counts)
        turn = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        place = (turn + rng.random(len(rows))) / counts[rows]
        return [int(row) for row in rows[np.argsort(place, kind="stable")]]


class Apportionment:
    """Whole numbers of showings per epoch that never leave the wanted ones by one or more.

    Args:
        shares: float64 [n], positive, sum 1.
        length: Showings per epoch.
    """

    def __init__(self, shares: NDArray[np.float64], length: int) -> None:
        self._part: IntArray = np.maximum(np.rint(shares * _UNITS).astype(np.int64), 1)
        self._whole = int(self._part.sum())
        self._slack = -(-self._whole // max(2 * len(shares) - 2, 1)) if len(shares) > 1 else 0
        self._length = length
        self._owed: IntArray = np.zeros(len(shares), np.int64)  # wanted less shown, in parts of `_whole`

    def next(self) -> IntArray:
        """Showings of each row in the next epoch: int64 [n], sum `length`."""
        counts = np.zeros(len(self._part), np.int64)
        for _ in range(self._length):
            self._owed += self._part
            due = np.where(self._owed >= self._slack, (self._whole - self._slack - self._owed) / self._part, np.inf)
            row = int(np.argmin(due))  # the one whose debt would first reach a whole showing
            self._owed[row] -= self._whole
            counts[row] += 1
        return counts
