"""Copies and variants: which pictures say the same, which of them stays, and why.

Not for finding neighbours (`index.py`), comparing two pictures (`alignment.py`) or setting lines (`calibration.py`).

Four tiers, strongest first: identical bytes, identical pixels, near-equal perceptual hash, similar embedding. The last
two only propose: a pair is a copy when the pictures prove to be the same shot. One greedy pass over the union of all
tiers, in the order of `PRIORITY`; a picture becomes a copy only of a keeper that is itself kept and directly linked.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageOps

from diversity import tables
from diversity.alignment import Comparer
from diversity.calibration import Calibration, Encode, calibrate
from diversity.config import DuplicatesConfig, IndexConfig
from diversity.errors import InputError
from diversity.index import Index, cosine, hamming_pairs, plan
from diversity.judge import HASH_BITS_UNCHECKED, PAIR, Judge, Views
from diversity.keepers import Kept, Links, greedy
from diversity.verdicts import Writer, with_counts

HASH_BITS = 8  # default Hamming distance where the pictures are compared afterwards
PRIORITY = "kept by hand, not covered, quality, resolution, caption, content, key"


@dataclass(frozen=True)
class Evidence:
    """What a decision may look at besides the tables.

    Attributes:
        thumbnails: content → encoded small picture; without one, a picture is not compared and lines are stricter.
        encode: RGB pictures → float32 [n, d], unit rows, the encoder of the vectors; None: lines are not measured.
        index: budgets of the index.
        controls: key → hash of the control picture of an edit set; targets of different controls are never copies.
    """

    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    encode: Encode | None = None
    index: IndexConfig = field(default_factory=IndexConfig)
    controls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """Why one picture stayed or not; see `tables.DUPLICATES` for the fields."""

    key: str
    group: str
    keeper: str
    kind: str
    variant_of: str | None
    similarity: float | None
    tier: str | None
    threshold: float | None
    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class DuplicateGroups:
    """Groups of copies with their keepers, and variants.

    Attributes:
        frame: `tables.DUPLICATES`, one row per picture without a problem, by content and key.
        calibration: The lines that were used.
    """

    frame: pl.DataFrame
    calibration: Calibration
    _decision: _Decision = field(repr=False)

    @property
    def neighbours(self) -> pl.DataFrame:
        """`tables.NEIGHBOURS`: pairs of distinct pictures at or above the cosine line, both directions."""
        return self._decision.neighbours(self.calibration)

    def note(self) -> dict[str, Any]:
        """The lines and the index, as JSON-able values for the record."""
        lines = {k: None if v != v else v for k, v in asdict(self.calibration).items()}
        return lines | {"hash_bits": self._decision.bits, "index": self._decision.index, "priority": PRIORITY}

    def explain(self, key: str) -> Explanation:
        """What was decided about one picture, and why.

        Raises:
            InputError: there is no such picture, or it has a problem.
        """
        rows = self.frame.filter(pl.col("key") == key)
        if rows.is_empty():
            raise InputError(f"There is no usable picture {key}.", "", "Look it up in the table 'images'.")
        return Explanation(**rows.row(0, named=True))

    def at(self, threshold: float) -> DuplicateGroups:
        """Decide again at another cosine, from the same neighbours.

        Raises:
            InputError: `threshold` is below the one at which neighbours were collected.
        """
        if threshold < self._decision.collected:
            raise InputError(
                f"Neighbours below {self._decision.collected:.4f} were not collected.",
                f"{threshold:g} is lower.",
                "Set duplicates.threshold and run the stage again.",
            )
        calibration = replace(
            self.calibration, threshold=threshold, source="user", reason=f"The line of {threshold:g} was set by hand."
        )
        return DuplicateGroups(self._decision.frame(calibration), calibration, self._decision)


def find(
    images: pl.DataFrame,
    vectors: NDArray[np.float32],
    evidence: Evidence,
    config: DuplicatesConfig,
    *,
    views: Views | None = None,
    pins: Collection[str] = frozenset(),
) -> DuplicateGroups:
    """Find copies and variants.

    Args:
        images: `tables.IMAGES`; rows with a problem are left out.
        vectors: float32 [len(images), d], unit rows, aligned with `images` (rows with a problem may hold anything).
        evidence: Small pictures, encoder, budgets.
        config: Settings.
        views: key → confident (framing, side), None or "unsure" where unknown; pictures of views that do not adjoin are
            not copies of one another.
        pins: keys kept by hand; these always stay.
    """
    usable = _with_pairs(images.with_row_index("_row").filter(pl.col("problem").is_null()), evidence.controls)
    usable = usable.sort("content", "key")
    distinct = usable.unique("content", keep="first", maintain_order=True)
    rows = vectors[distinct["_row"].to_numpy()].astype(np.float32)
    comparer = Comparer(_pictures(distinct["content"].to_list(), evidence.thumbnails))
    calibration = calibrate(rows, comparer, evidence.encode, user=config.threshold)
    bits = config.hash_bits
    if bits is None:
        bits = HASH_BITS if calibration.same_shot > 0 else HASH_BITS_UNCHECKED
    index = Index.build(rows, plan(len(rows), rows.shape[1], evidence.index))
    links = _links(index, distinct["phash"], calibration.threshold, bits)
    if config.flips:
        links = _with_flips(links, index, comparer, evidence.encode, calibration.threshold)
    ranked = usable.with_columns(_pinned=pl.col("key").is_in(list(pins))).sort(*_PRIORITY, descending=_DESCENDING)
    decision = _Decision(
        ranked, links, comparer, calibration.threshold, bits, index.plan.reason, views or {}, config.variants == "drop"
    )
    return DuplicateGroups(decision.frame(calibration), calibration, decision)


# candidates ----------------------------------------------------------------------------------------------------------


def _with_pairs(usable: pl.DataFrame, controls: Mapping[str, str]) -> pl.DataFrame:
    """Targets of an edit set are as different as they and their controls are together."""
    if not controls:
        return usable
    mine = pl.Series([controls.get(key, "") for key in usable["key"]], dtype=pl.String)
    paired = pl.when(mine == "").then(pl.col("content")).otherwise(pl.col("content") + PAIR + mine)
    return usable.with_columns(content=paired)


def _pictures(contents: list[str], thumbnails: Mapping[str, bytes]) -> Callable[[int], Image.Image | None]:
    def picture(row: int) -> Image.Image | None:
        data = thumbnails.get(contents[row].partition(PAIR)[0])
        return None if data is None else Image.open(io.BytesIO(data)).convert("RGB")

    return picture


def _links(index: Index, hashes: pl.Series, threshold: float, bits: int) -> Links:
    """Pairs that any of the two tiers proposes."""
    n = len(hashes)
    first, second, _ = index.above(threshold)
    hashed = np.flatnonzero(hashes.is_not_null().to_numpy())
    i, j, distance = hamming_pairs(hashes.drop_nulls().to_numpy().astype(np.uint64), bits)
    alike = hashed[i] * n + hashed[j]
    both = np.union1d(first * n + second, alike)
    one, two = np.divmod(both, max(n, 1))
    bit = np.full(len(both), -1, np.int64)
    bit[np.searchsorted(both, alike)] = distance
    return Links(n, one, two, cosine(index.vectors, index.vectors, one, two), bit, np.zeros(len(both), bool))


def _with_flips(links: Links, index: Index, comparer: Comparer, encode: Encode | None, threshold: float) -> Links:
    """The same pairs, and those that look alike when the one is mirrored."""
    pictures = [comparer.picture(row) for row in range(links.n)]
    known = np.flatnonzero([picture is not None for picture in pictures])
    if encode is None or not len(known):
        one, two, similarity = links.first, links.second, links.cosine
    else:
        mirrored = encode([ImageOps.mirror(picture) for picture in pictures if picture is not None])
        query, row, similarity = index.matches(mirrored, threshold)
        one, two = np.minimum(known[query], row), np.maximum(known[query], row)
        best = np.lexsort((-similarity, two, one))
        one, two, similarity = one[best], two[best], similarity[best]
        keep = one < two
        keep[1:] &= (np.diff(one) > 0) | (np.diff(two) > 0)
        one, two, similarity = one[keep], two[keep], similarity[keep]
    return Links(
        links.n,
        np.concatenate([links.first, one]),
        np.concatenate([links.second, two]),
        np.concatenate([links.cosine, similarity]),
        np.concatenate([links.distance, np.full(len(one), -1, np.int64)]),
        np.concatenate([links.mirrored, np.ones(len(one), bool)]),
    )


# decision ------------------------------------------------------------------------------------------------------------

_PRIORITY = (
    pl.col("_pinned"),
    pl.col("quality").fill_null(-1.0).fill_nan(-1.0),
    pl.col("width").cast(pl.Int64) * pl.col("height"),
    pl.col("caption").fill_null("") != "",
    pl.col("content"),
    pl.col("key"),
)
_DESCENDING = [True, True, True, True, False, False]


@dataclass(frozen=True)
class _Decision:
    """Everything that a decision needs, so that it can be made again at another line.

    Attributes:
        ranked: usable pictures, first choice first.
        links: candidate pairs among distinct contents, in order of content.
        comparer: compares distinct contents.
        collected: cosine at or above which neighbours are in `links`.
        bits: Hamming distance within which hashes propose.
        index: which index was used, one sentence.
        views: confident (framing, side) by key.
        merge: whether variants of one scene count as copies.
    """

    ranked: pl.DataFrame
    links: Links
    comparer: Comparer
    collected: float
    bits: int
    index: str
    views: Views
    merge: bool = False

    def frame(self, calibration: Calibration) -> pl.DataFrame:
        """`tables.DUPLICATES` at the lines of `calibration`."""
        from threadpoolctl import threadpool_limits

        ranked = self.ranked.to_dicts()
        contents = sorted({row["content"] for row in ranked})
        number = {content: i for i, content in enumerate(contents)}
        best: dict[int, dict[str, Any]] = {}
        for row in ranked:
            best.setdefault(number[row["content"]], row)
        order = np.array(list(best), np.int64)
        fixed = np.array([best[i]["_pinned"] for i in range(len(best))], bool)
        judge = Judge(self.links, self.comparer, best, calibration, self.views, self.merge)
        with threadpool_limits(1, "blas"):  # products of small matrices: more threads only wait for one another
            kept, covered = _pass(judge, order, fixed)
        writer = Writer(self.links, kept, best, calibration, self.bits, judge.shown if self.merge else None, covered)
        rows = [writer.row(row, number[row["content"]]) for row in ranked]
        return tables.conform(with_counts(rows, ranked), tables.DUPLICATES)

    def neighbours(self, calibration: Calibration) -> pl.DataFrame:
        """`tables.NEIGHBOURS`, one key for each distinct content."""
        keys = self.ranked.unique("content", keep="first", maintain_order=True).sort("content")["key"]
        near = (self.links.cosine >= calibration.threshold) & ~self.links.mirrored
        one, two = keys.gather(self.links.first[near]), keys.gather(self.links.second[near])
        similarity = self.links.cosine[near]
        there = pl.DataFrame({"key": one, "other": two, "similarity": similarity})
        back = pl.DataFrame({"key": two, "other": one, "similarity": similarity})
        return tables.conform(pl.concat([there, back]).sort("key", "other"), tables.NEIGHBOURS)


def _pass(judge: Judge, order: NDArray[np.int64], fixed: NDArray[np.bool_]) -> tuple[Kept, dict[int, str]]:
    """The greedy pass, again with every keeper put last that hides what one of its copies shows, until none does.

    Returns:
        Who stays, and the pictures that were put last with what covers them; never one that is kept by hand.
    """
    covered: dict[int, str] = {}
    while True:
        late = np.isin(order, np.array(sorted(covered), np.int64))
        kept = greedy(judge.links, np.concatenate([order[~late], order[late]]), fixed, judge)
        found = {row: by for row, by in judge.covered_keepers(kept).items() if not fixed[row] and row not in covered}
        if not found:
            return kept, covered
        covered |= found
