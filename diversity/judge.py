"""Whether of two pictures the one is a copy of the other, a variant, or another picture; and which hides something.

Not for who stays: that is the pass in `keepers.py`. Not for how far two pictures agree: that is `alignment.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from diversity.alignment import Comparer
from diversity.calibration import Calibration
from diversity.covered import Covered, hidden
from diversity.keepers import Int64, Judgement, Kept, Links, by_picture

Views = Mapping[str, tuple[str | None, str | None]]

HASH_BITS_UNCHECKED = 4  # Hamming distance that counts where pictures cannot be compared
UNCHECKED = 0.97  # cosine from which pictures that cannot be compared count as copies
VARIANT = 0.75  # agreement score from which two pictures are the same scene
BRIDGES = 8  # pictures in between that are tried when two frames of a movement differ
MOMENT = 0.5  # seconds of one video that count as one moment
COVERABLE = 0.5  # agreement score from which a bar may be all that differs
PAIR = "+"  # in a content, before the hash of the control picture of an edit set
UNTOUCHED = 0.03  # disagreement in the worst spot below which nothing can be hidden there
SIDES = ("front", "three_quarter", "side", "back_three_quarter", "back")
_UNKNOWN = {None, "", "unsure"}


@dataclass(frozen=True)
class Judge:
    """Judges pairs at the lines of one calibration.

    Attributes:
        links: Candidate pairs among distinct contents.
        comparer: Compares distinct contents.
        best: The row of `tables.IMAGES` that stands for each distinct content.
        lines: The thresholds.
        views: Confident (framing, side) by key.
        merge: Whether variants of one scene count as copies.
    """

    links: Links
    comparer: Comparer
    best: Mapping[int, dict[str, Any]]
    lines: Calibration
    views: Views
    merge: bool = False

    @cached_property
    def _around_index(self) -> tuple[Int64, Int64]:
        return by_picture(self.links)

    def __call__(self, pair: int) -> Judgement:
        """By what the pictures show and what is known of them."""
        judgement = self.shown(pair)
        if judgement == "copy" and self._of_other_controls(pair):
            return "variant"
        merged = judgement == "variant" and self.merge and not self._of_other_controls(pair)
        return "copy" if merged else judgement

    def _of_other_controls(self, pair: int) -> bool:
        """Whether the two are targets of different control pictures: then each pair says something of its own."""
        one, two = (self.best[int(ends[pair])]["content"] for ends in (self.links.first, self.links.second))
        return bool(one.partition(PAIR)[2] != two.partition(PAIR)[2])

    @cached_property
    def shown(self) -> Callable[[int], Judgement]:
        """Pair → the same, variants of one scene told from copies whatever the settings; each pair is judged once."""
        return cache(self._shown)

    @cached_property
    def covered(self) -> Callable[[int], Covered | None]:
        """Pair → which of the two hides a part of what the other shows; None where neither does.

        A line of text that the scan saw on one of them counts too.
        """
        return cache(self._covered)

    def _shown(self, pair: int) -> Judgement:
        one, two = int(self.links.first[pair]), int(self.links.second[pair])
        judgement = self._pictures(pair)
        if judgement == "different" and self._linked(pair) and self._only_covered(pair):
            judgement = "copy"
        if judgement == "variant" and (self._only_covered(pair) or self._bridged(one, two)):
            judgement = "copy"
        if judgement == "copy" and not _adjoining(self.best[one], self.best[two], self.views):
            return "variant"
        return judgement

    def _covered(self, pair: int, *, textured: bool = True) -> Covered | None:
        one, two = int(self.links.first[pair]), int(self.links.second[pair])
        if self.links.mirrored[pair]:
            return None
        agreed = self.comparer.compare(one, two)
        if agreed is None or agreed.local < UNTOUCHED or agreed.score < COVERABLE:
            return None
        laid = self.comparer.laid(one, two)
        flagged = tuple("overlay" in (self.best[row]["flags"] or ()) for row in (one, two))
        return None if laid is None else hidden(*laid, text=(flagged[0], flagged[1]), textured=textured)

    def _only_covered(self, pair: int) -> bool:
        """Whether a bar, a mosaic or a line of text is all that differs; a mark may be a hat, a soft spot a shadow."""
        covered = self._covered(pair, textured=False)
        return covered is not None and covered.by in ("a bar", "a mosaic", "a line of text")

    def covered_keepers(self, kept: Kept) -> dict[int, str]:
        """Keepers that hide what one of their copies shows → by what."""
        found: dict[int, str] = {}
        for picture, (keeper, link) in enumerate(zip(kept.keeper.tolist(), kept.link.tolist(), strict=True)):
            if keeper == picture or keeper in found:
                continue
            covered = self.covered(link)
            if (
                covered is not None
                and (int(self.links.first[link]), int(self.links.second[link]))[covered.which] == keeper
            ):
                found[keeper] = covered.by
        return found

    def _pictures(self, pair: int) -> Judgement:
        """By what the two pictures show."""
        links, lines, mirrored = self.links, self.lines, bool(self.links.mirrored[pair])
        distance, similarity = int(links.distance[pair]), float(links.cosine[pair])
        if not self._linked(pair):
            return "different"
        agreed = self.comparer.compare(int(links.first[pair]), int(links.second[pair]), mirrored=mirrored)
        if agreed is None:
            sure = 0 <= distance <= HASH_BITS_UNCHECKED or similarity >= max(lines.threshold, UNCHECKED)
            return "copy" if (lines.same_shot == 0 or sure) and not mirrored else "different"
        if agreed.score >= lines.same_shot and agreed.local <= lines.same_spot:
            return "copy"
        return "variant" if agreed.score >= VARIANT and not mirrored else "different"

    def _linked(self, pair: int) -> bool:
        """Whether a tier proposes the pair at its line."""
        return bool(self.links.distance[pair] >= 0 or self.links.cosine[pair] >= self.lines.threshold)

    def _bridged(self, one: int, two: int) -> bool:
        """Whether a third picture is a copy of both: then all three are frames of one movement."""
        ways = [self._around(one), self._around(two)]
        shared = sorted(ways[0].keys() & ways[1].keys(), key=lambda m: (-min(ways[0][m][0], ways[1][m][0]), m))
        return any(all(self._pictures(way[m][1]) == "copy" for way in ways) for m in shared[:BRIDGES])

    def _around(self, picture: int) -> dict[int, tuple[float, int]]:
        """Neighbours of a picture with their cosine and pair."""
        links, (starts, pairs) = self.links, self._around_index
        mine = pairs[starts[picture] : starts[picture + 1]]
        mine = mine[~links.mirrored[mine]]
        others = links.first[mine] + links.second[mine] - picture
        return {int(m): (float(links.cosine[pair]), int(pair)) for m, pair in zip(others, mine, strict=True)}


def _adjoining(one: Mapping[str, Any], two: Mapping[str, Any], views: Views) -> bool:
    """Whether two pictures may be copies by their confident views: same framing, same or neighbouring side."""
    if one.get("source") and one.get("source") == two.get("source"):
        then, now = one.get("time"), two.get("time")
        if then is not None and now is not None and abs(then - now) <= MOMENT:
            return True
    (framing, side), (other_framing, other_side) = (views.get(row["key"], (None, None)) for row in (one, two))
    if framing != other_framing and not {framing, other_framing} & _UNKNOWN:
        return False
    if side in SIDES and other_side in SIDES:
        return abs(SIDES.index(side) - SIDES.index(other_side)) <= 1
    return True
