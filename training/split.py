"""Which pictures are held out to measure on, and which training pictures are their twins; pure by duplicate cluster.

Not for measuring: that is `heldout.py`. Everything is decided by the pictures' content, so neither the order nor the
names of the files matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from diversity.errors import ConfigError
from training import keyed
from training.evaluate.loss_gap import folds


@dataclass(frozen=True)
class Split:
    """Rows of the pictures that were split; each tuple ascending, `train` and `held_out` disjoint and complete.

    Attributes:
        train: Rows to train on; never empty.
        held_out: Rows to measure on, whole clusters only.
        twins: As many rows of `train` as were held out (or all of it, where that is less), to measure beside them.
    """

    train: tuple[int, ...]
    held_out: tuple[int, ...]
    twins: tuple[int, ...]


def split(
    contents: Sequence[str],
    groups: Sequence[Collection[str]],
    *,
    share: float,
    seed: int = 0,
    protected: Collection[int] = (),
) -> Split:
    """Hold out about `share` of the pictures.

    Clusters are taken in an order given by the seed and their content, each whose pictures still fit; one that is
    larger than what is left to hold out stays in training, and so does the last cluster.

    Args:
        contents: Content hash of each picture, [n], n ≥ 1.
        groups: Names of the groups each picture belongs to, [n]; pictures that share a group or a content, directly or
            through others, are one cluster.
        share: 0..1; above 0 at least one picture is held out where a cluster allows it.
        seed: Of the order.
        protected: Rows that must be trained on, with their clusters.
    """
    clusters = sorted(_clusters(contents, groups), key=lambda rows: _place(contents, rows, seed, "held out"))
    room = max(1, round(share * len(contents))) if share > 0 else 0
    kept, held = len(clusters), set[int]()
    for rows in clusters:
        if kept > 1 and len(rows) <= room - len(held) and not set(rows) & set(protected):
            held.update(rows)
            kept -= 1
    return _with_twins(contents, held, seed)


def fold(contents: Sequence[str], groups: Sequence[Collection[str]], which: tuple[int, int], *, seed: int = 0) -> Split:
    """Hold out one of k parts of the clusters: over all k, every picture is held out once (grouped k-fold).

    No row is protected, since the other k - 1 runs train on it. The parts are the same for every seed.

    Args:
        contents, groups: See `split`.
        which: (i, k): the i-th part, from 1.
        seed: Of the twins.

    Raises:
        ConfigError: there are fewer clusters than parts.
    """
    number, parts = which
    clusters = _clusters(contents, groups)
    if len(clusters) < parts:
        raise ConfigError(
            f"{parts} parts cannot be made of {len(clusters)} groups of pictures.",
            "Near-copies stay in one part.",
            f"Ask for at most {len(clusters)} folds." if len(clusters) > 1 else "Add pictures of other moments.",
        )
    labels = [""] * len(contents)
    for rows in clusters:
        for row in rows:
            labels[row] = min(contents[row] for row in rows)
    held = {row for row, part in enumerate(folds(labels, parts).tolist()) if part == number - 1}
    return _with_twins(contents, held, seed)


def _with_twins(contents: Sequence[str], held: Collection[int], seed: int) -> Split:
    train = [row for row in range(len(contents)) if row not in held]
    ordered = sorted(train, key=lambda row: _place(contents, [row], seed, "twin"))
    return Split(tuple(train), tuple(sorted(held)), tuple(sorted(ordered[: len(held)])))


def _place(contents: Sequence[str], rows: Sequence[int], seed: int, what: str) -> int:
    return keyed.number(seed, what, min(contents[row] for row in rows))


def _clusters(contents: Sequence[str], groups: Sequence[Collection[str]]) -> list[list[int]]:
    """Rows by cluster (union-find over shared names)."""
    parent = list(range(len(contents)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[tuple[str, str], int] = {}
    for row, (content, names) in enumerate(zip(contents, groups, strict=True)):
        for name in (("content", content), *(("group", group) for group in names)):
            parent[root(row)] = root(first.setdefault(name, row))
    found: dict[int, list[int]] = defaultdict(list)
    for row in range(len(contents)):
        found[root(row)].append(row)
    return list(found.values())
