"""The one greedy pass that says who stays: arrays in, arrays out, no pictures and no tables.

Not for deciding whether two pictures are copies: the caller judges pairs, and only those that the pass needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Judgement = Literal["copy", "variant", "different"]


@dataclass(frozen=True)
class Links:
    """Pairs that might be copies, among n distinct pictures in canonical order.

    Attributes:
        n: pictures.
        first, second: int64 [m], first < second.
        cosine: float64 [m], of the embeddings; with `mirrored`, of the one mirrored and the other as it is.
        distance: int64 [m], Hamming distance of the hashes; -1 where they are too far apart or missing.
        mirrored: bool [m], whether the one is to be mirrored first.
    """

    n: int
    first: Int64
    second: Int64
    cosine: NDArray[np.float64]
    distance: Int64
    mirrored: NDArray[np.bool_]


@dataclass(frozen=True)
class Kept:
    """Outcome of the pass.

    Attributes:
        keeper: int64 [n], the keeper of each; itself where it stays.
        link: int64 [n], the pair that makes it a copy, or a variant of another keeper; -1: none.
    """

    keeper: Int64
    link: Int64


def greedy(links: Links, order: Int64, fixed: NDArray[np.bool_], judge: Callable[[int], Judgement]) -> Kept:
    """Walk through the pictures in `order`; each stays unless it is a copy of one that stays.

    So every copy is directly linked to a picture that stays, whatever the order of the input, and nothing leaves
    because of a picture that left: the survivors are the lexicographically first maximal independent set of the graph
    of copies (Blelloch, Fineman & Shun 2012, section 2). The rule of SemDeDup (Abbas et al. 2023, section 3) drops
    whatever has a neighbour earlier in the order, even one that was itself dropped, and leaves orphans.

    Args:
        links: candidate pairs.
        order: int64 [n], permutation, first choice first.
        fixed: bool [n], pictures that stay in any case.
        judge: row of a pair → judgement; asked at most once per pair, and only for pairs with a picture that stays.
    """
    keeper, link = np.arange(links.n), np.full(links.n, -1, np.int64)
    stays = np.zeros(links.n, bool)
    starts, pairs = by_picture(links)
    for picture in order:
        mine = pairs[starts[picture] : starts[picture + 1]]
        other = links.first[mine] + links.second[mine] - picture
        mine, other = mine[stays[other]], other[stays[other]]
        likely = np.lexsort((links.mirrored[mine], other, -links.cosine[mine]))
        stays[picture] = True
        for pair, candidate in zip(mine[likely], other[likely], strict=True):
            judgement = judge(int(pair))
            if judgement == "copy" and not fixed[picture]:
                keeper[picture], link[picture], stays[picture] = candidate, pair, False
                break
            if judgement != "different" and link[picture] < 0:
                link[picture] = pair
    return Kept(keeper, link)


def by_picture(links: Links) -> tuple[Int64, Int64]:
    """For every picture its pairs: (starts int64 [n + 1], pairs int64 [2 m])."""
    ends = np.concatenate([links.first, links.second])
    pairs = np.tile(np.arange(len(links.first)), 2)
    sort = np.argsort(ends, kind="stable")
    return np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=links.n))]).astype(np.int64), pairs[sort]
