"""Facility location by lazy greedy: pictures that between them stand closest to every picture of the pool.

Not for budgets or reasons: that is `choose.py`.

f(S) = sum over pictures i of max over j in S of similarity(i, j): monotone and submodular, so that greedy reaches
1 - 1/e of the best (Nemhauser, Wolsey & Fisher 1978), and a gain found earlier bounds the gain now (Minoux 1978). A
candidate leaves the queue when it is picked, so that picks stay unique where gains are tied or all zero (apricot 0.6.1
picks some twice there).
"""

from __future__ import annotations

import heapq

import numpy as np

from diversity.select.graph import ONE, Dense, Sparse, similarities
from diversity.select.pool import IntArray, Pool, Selection, first_picks


def facility_location(pool: Pool, k: int, *, seed: int = 0) -> Selection:
    """Greedy facility location after the pictures that must stay; nested; `seed` is not used.

    Gains (in pictures: 1 is one picture served perfectly) do not increase after the pictures that must stay; equal
    gains go to the first in canonical order.

    Raises:
        SelectionError: k is less than the pictures that must stay.
    """
    return lazy_greedy(similarities(pool), k, first_picks(pool, k))


def lazy_greedy(graph: Dense | Sparse, k: int, first: IntArray) -> Selection:
    """Pick `first`, in this order, then by largest gain until k or all are picked."""
    best = np.zeros(len(graph), np.uint16)
    order: list[int] = []
    gains: list[int] = []

    def pick(candidate: int, gain: int) -> None:
        graph.pick(candidate, best)
        order.append(candidate)
        gains.append(gain)

    for candidate in first.tolist():
        pick(candidate, graph.added(candidate, best))
    taken = set(order)
    queue = [(-bound, i) for i, bound in enumerate(graph.totals().tolist()) if i not in taken]
    heapq.heapify(queue)
    while queue and len(order) < k:
        _, candidate = queue[0]
        gain = graph.added(candidate, best)
        if (-gain, candidate) <= min(queue[1:3], default=(0, candidate)):
            heapq.heappop(queue)
            pick(candidate, gain)
        else:
            heapq.heapreplace(queue, (-gain, candidate))
    return Selection(np.array(order, np.int64), np.array(gains, np.float64) / ONE, nested=True)
