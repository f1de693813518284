"""What a selection strategy sees and gives: arrays only, so that a strategy is one pure function."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from diversity.errors import SelectionError

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Candidates of a selection, in canonical order (by content, then key); copies are already collapsed to keepers.

    Attributes:
        keys: [n] names of the pictures.
        vectors: float32 [n, d], unit rows.
        group_size: int [n], pictures that each candidate stands for (itself and its copies).
        cells: [n] view cell of each, "framing/side", or its label alone where one axis matters; "unsure" where unknown.
        targets: cell → wanted distinct pictures.
        quality: float [n], 0..1.
        protected: bool [n], rare views that a selection must keep (invariant 2).
        pinned: bool [n], kept by hand.
        initial: int [m], indices of an earlier selection, in order, that this one grows.
        neighbours: (indptr, indices, similarities) CSR over the candidates, or None to compute from vectors.
    """

    keys: tuple[str, ...]
    vectors: NDArray[np.float32]
    group_size: IntArray
    cells: tuple[str, ...]
    targets: dict[str, int]
    quality: NDArray[np.float64]
    protected: NDArray[np.bool_]
    pinned: NDArray[np.bool_]
    initial: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    neighbours: tuple[IntArray, IntArray, NDArray[np.float32]] | None = None

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Selection:
    """An order of picks with what each added.

    Attributes:
        order: int [k], unique indices into the pool.
        gain: float [k], what each pick added to the objective when it was picked (nan where a strategy has none).
        nested: the first j of `order` are the answer for budget j too.
    """

    order: IntArray
    gain: NDArray[np.float64]
    nested: bool


class Strategy(Protocol):
    """`f(pool, k, *, seed) -> Selection`; k ≤ len(pool)."""

    def __call__(self, pool: Pool, k: int, *, seed: int) -> Selection:
        """Pick k of the pool."""
        ...


StrategyTable = dict[str, Strategy]


def first_picks(pool: Pool, k: int) -> IntArray:
    """What every strategy picks before anything else: the earlier selection in its order, then pinned, then protected.

    Raises:
        SelectionError: they are more than k; names the least budget that works.
    """
    rest = np.concatenate([pool.initial, np.flatnonzero(pool.pinned), np.flatnonzero(pool.protected)])
    order = np.array(list(dict.fromkeys(rest.tolist())), np.int64)
    if len(order) <= k:
        return order
    parts = [(len(pool.initial), "of the earlier selection"), (int(pool.pinned.sum()), "pinned")]
    parts.append((int(pool.protected.sum()), "rare"))
    named = ", ".join(f"{count} {what}" for count, what in parts if count)
    raise SelectionError(
        f"{len(order)} pictures must stay, {k} may be kept.",
        f"Must stay: {named}" + (" (some are both)." if sum(count for count, _ in parts) > len(order) else "."),
        f"Keep {len(order)} or more (--keep {len(order)}), or drop some of them by hand.",
    )
