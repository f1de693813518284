"""Measures every checkpoint and weight of a sample folder: copies, colours, variety, views, likeness to the subject.

Not for choosing one: that is `verdict.py`. What a folder cannot show stays None, and `verdict` says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.evaluate import colour, estimate
from training.evaluate.estimate import Estimate
from training.evaluate.memorisation import Memorisation, memorisation
from training.evaluate.migration import Migration, migration
from training.evaluate.variety import LEAST_SEEDS, across, variety
from training.picking.copies import Line, Match, Overlay
from training.picking.material import Look, Material

At = tuple[int, int, str]
Key = tuple[At, float | None]  # checkpoint and weight
BASE: At = (0, 0, "base")
LEAST = 4  # samples of a checkpoint and weight below which it is not judged


@dataclass(frozen=True)
class Cell:
    """One checkpoint at one weight.

    Attributes:
        at: Its checkpoint, as `Sample.at`.
        weight: LoRA weight; None where it cannot be read.
        rows: Its samples, as rows of `Material.looks`; a file that is there twice counts once.
        copies: Share of its samples that are copies; prompts weigh equally.
        copied: Number of copies.
        memory: Evidence of the encoder's vectors, on prompts that ask for the subject.
        likeness: Mean cosine of subject pictures with the training families, less the reference's at equal prompts and
            seeds, or at equal prompts where seeds are not told; None without a reference.
        colours: On prompts without the subject; None without such prompts or without a reference.
        variety: Against the reference; None without one.
        asked, shown: Samples that were asked for a view and whose picture could be told, and those that show it.
        identical: Most of its samples that are one and the same picture, although prompts or seeds differ.
        files: Of the same kind, those that were left out among them.
    """

    at: At
    weight: float | None
    rows: tuple[int, ...]
    copies: Estimate
    copied: int
    memory: Memorisation
    likeness: Estimate | None
    colours: Migration | None
    variety: Estimate | None
    asked: int
    shown: int
    identical: int = 1
    files: int = 0


@dataclass(frozen=True)
class Judged:
    """A folder, judged.

    Attributes:
        cells: Ordered by checkpoint and weight, the reference left out.
        reference: Rows that the others are compared with: base pictures, else the earliest checkpoint.
        reference_at: Its checkpoint; None where there is only one cell.
        matches: Of every sample.
        line: From where on a match is a copy.
        seeds: Whether all that was compared with the reference has its prompt and seed; False: partners by prompt.
    """

    cells: tuple[Cell, ...]
    reference: tuple[int, ...]
    reference_at: At | None
    matches: tuple[Match, ...]
    line: Line
    seeds: bool = True

    def is_copy(self, row: int) -> bool:
        """Whether the sample in `row` is a copy."""
        return self.matches[row].agreement >= self.line.value


def judge(material: Material) -> Judged:
    """Judge every checkpoint and weight."""
    overlay = Overlay(material.training)
    line = overlay.line()
    matches = tuple(
        overlay.match(look.picture, row) for look, row in zip(material.looks, material.vectors, strict=True)
    )
    by_cell, left_out = _cells(material.looks)
    reference_key = _reference(by_cell)
    reference = tuple(by_cell[reference_key]) if reference_key else ()
    bench = _Bench(material, reference, tuple(m.agreement >= line.value for m in matches))
    cells = [
        replace(bench.cell(at, weight, tuple(rows)), files=left_out[at, weight])
        for (at, weight), rows in sorted(by_cell.items(), key=lambda item: order(*item[0]))
        if at != BASE
    ]
    return Judged(
        tuple(cells),
        reference,
        reference_key[0] if reference_key else None,
        matches,
        line,
        bench.seeds,
    )


def order(at: At, weight: float | None) -> tuple[At, float]:
    """Cells sort by checkpoint, then weight, an unknown one first."""
    return at, -1.0 if weight is None else weight


def _cells(looks: Sequence[Look]) -> tuple[dict[Key, list[int]], Counter[Key]]:
    """Rows by checkpoint and weight, and the number of files left out: equal pixels, and nothing says that they differ.

    Equal pixels of prompts or seeds that are told to differ stay: a model that draws one picture did so.
    """
    found: dict[Key, list[int]] = {}
    left_out: Counter[Key] = Counter()
    seen = set()
    for row, look in enumerate(looks):
        sample = look.sample
        key = (sample.at, 0.0 if sample.at == BASE else sample.weight)
        mark = (key, look.content, sample.asked, sample.seed)
        if mark in seen:
            left_out[key] += 1
        else:
            seen.add(mark)
            found.setdefault(key, []).append(row)
    return found, left_out


def _reference(by_cell: Mapping[Key, list[int]]) -> Key | None:
    """Base pictures; else the earliest checkpoint at its lowest weight, where there is another cell to compare."""
    ordered = sorted(by_cell, key=lambda key: (key[1] is None, order(*key)))
    if ordered and (ordered[0][0] == BASE or len(ordered) > 1):
        return ordered[0]
    return None


class _Bench:
    """What all cells are measured with."""

    def __init__(self, material: Material, reference: tuple[int, ...], copy: tuple[bool, ...]) -> None:
        self._material, self._copy = material, copy
        self._reference = self._by_identity(reference)
        self._reference_rows = reference
        self.seeds = True
        training = material.training
        self._families = training.frame["family"].to_numpy()
        pictures = [colour.content(np.asarray(picture)) for picture in training.pictures]
        self._palette = colour.pooled(pictures)
        self._control = colour.control(pictures)
        means = [training.vectors[self._families == f].mean(axis=0) for f in np.unique(self._families)]
        self._mean = np.mean(means, axis=0)

    def cell(self, at: At, weight: float | None, rows: tuple[int, ...]) -> Cell:
        """Measure one."""
        looks = [self._material.looks[row] for row in rows]
        prompts = np.array([look.sample.asked for look in looks])
        own = np.array([self._copy[row] for row in rows])
        about = [row for row in rows if self._material.looks[row].subject is not False] or list(rows)
        pairs = [] if rows == self._reference_rows else self._pairs(rows)
        views = [(look, hit) for look in looks if (hit := _hit(look)) is not None]
        return Cell(
            at=at,
            weight=weight,
            rows=rows,
            copies=estimate.share(own, prompts, "prompts"),
            copied=int(own.sum()),
            memory=memorisation(
                self._material.vectors[about],
                self._material.training.vectors,
                self._families,
                np.array([self._material.looks[row].sample.asked for row in about]),
            ),
            likeness=self._likeness(pairs),
            colours=self._colours(pairs),
            variety=self._variety(pairs),
            asked=len(views),
            shown=sum(hit for _, hit in views),
            identical=max(Counter(look.content for look in looks).values()),
        )

    def _pairs(self, rows: tuple[int, ...]) -> list[tuple[int, int]]:
        """(sample, reference) at equal prompt and seed; one to one by prompt where seeds are not told.

        Where the prompt is not told a seed says enough only if it is there once on either side.
        """
        found = []
        for (asked, seed), own in self._by_identity(rows).items():
            others = self._reference.get((asked, seed), [])
            if not asked and (seed is None or len(own) > 1 or len(others) > 1):
                continue
            pairs = list(zip(own, others, strict=False))
            self.seeds = self.seeds and (seed is not None or not pairs)
            found += pairs
        return sorted(found)

    def _by_identity(self, rows: Sequence[int]) -> dict[tuple[str, int | None], list[int]]:
        found: dict[tuple[str, int | None], list[int]] = {}
        for row in rows:
            sample = self._material.looks[row].sample
            found.setdefault((sample.asked, sample.seed), []).append(row)
        return found

    def _likeness(self, pairs: list[tuple[int, int]]) -> Estimate | None:
        kept = [(a, b) for a, b in pairs if self._material.looks[a].subject is not False]
        if not kept:
            return None
        like = self._material.vectors @ self._mean
        gain = np.array([like[a] - like[b] for a, b in kept], np.float64)
        return estimate.mean(estimate.by_unit(gain, self._prompts(kept)), "prompts")

    def _colours(self, pairs: list[tuple[int, int]]) -> Migration | None:
        palettes = self._material.palettes
        kept = [(a, b) for a, b in pairs if self._material.looks[a].subject is False]
        both = [(g, b, pair) for pair in kept if (g := palettes[pair[0]]) and (b := palettes[pair[1]])]
        if not both or self._palette is None:
            return None
        prompts = self._prompts([pair for _, _, pair in both])
        return migration([g for g, _, _ in both], [b for _, b, _ in both], prompts, self._palette, self._control)

    def _variety(self, pairs: list[tuple[int, int]]) -> Estimate | None:
        """Within prompts where each has enough seeds, else across prompts with one seed of each."""
        kept = [(a, b) for a, b in pairs if self._material.looks[a].subject is not False]
        by_prompt: dict[str, list[tuple[int, int]]] = {}
        for a, b in kept:
            by_prompt.setdefault(self._unit(a), []).append((a, b))
        seeds = min((len(some) for some in by_prompt.values()), default=0)
        vectors, centre = self._material.vectors, self._material.training.centre
        if seeds >= LEAST_SEEDS:
            index = np.array([some[:seeds] for some in by_prompt.values()])
            return variety(vectors[index[:, :, 0]], vectors[index[:, :, 1]], centre).ratio
        index = np.array([some[0] for some in by_prompt.values()]).reshape(-1, 2)
        return across(vectors[index[:, 0]], vectors[index[:, 1]], centre) if len(index) >= LEAST_SEEDS else None

    def _prompts(self, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        return np.array([self._unit(a) for a, _ in pairs])

    def _unit(self, row: int) -> str:
        """The prompt; where it is not told, the seed."""
        sample = self._material.looks[row].sample
        return sample.asked or f"seed {sample.seed}"


def _hit(look: Look) -> bool | None:
    """Whether the picture shows the view that was asked for; None where none was, or where it cannot be told."""
    told = [axis for axis in ("framing", "side") if axis in look.asked and axis in look.seen]
    return all(_same(axis, look.asked[axis], look.seen[axis]) for axis in told) if told else None


def _same(axis: str, asked: str, seen: str) -> bool:
    """Neighbouring sides behind the subject count as one: encoders tell them apart badly."""
    if axis == "side":
        asked, seen = (side.replace("back_three_quarter", "back") for side in (asked, seen))
    return asked == seen


def failing(looks: Sequence[Look]) -> tuple[tuple[str, str, int, int], ...]:
    """(axis, label, shown, asked) of views asked for three times or more and shown in at most a third of them."""
    count: dict[tuple[str, str], list[bool]] = {}
    for look in looks:
        for axis in ("framing", "side"):
            if axis in look.asked and axis in look.seen:
                hit = _same(axis, look.asked[axis], look.seen[axis])
                count.setdefault((axis, look.asked[axis]), []).append(hit)
    found = [(axis, label, sum(hits), len(hits)) for (axis, label), hits in sorted(count.items())]
    return tuple(row for row in found if row[3] >= 3 and row[2] * 3 <= row[3])


def gain_shares(cells: Sequence[Cell], sound: Sequence[bool]) -> list[float]:
    """Likeness of every cell as a share of the best sound one's; nan where no gain over the reference is sure.

    Args:
        cells: All.
        sound: Which of them may be the best: one that copies, or answers every prompt with one face, is as alike to
            the set as can be.
    """
    known = [c.likeness for c, ok in zip(cells, sound, strict=True) if ok and c.likeness is not None]
    best = max((e for e in known if not math.isnan(e.value)), key=lambda e: e.value, default=None)
    if best is None or best.value <= 0 or (best.known and not best.above(0)):
        return [math.nan] * len(cells)
    return [cell.likeness.value / best.value if cell.likeness else math.nan for cell in cells]
