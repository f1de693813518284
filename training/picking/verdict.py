"""Which checkpoint and weight to use, why not the others, what cannot be told, and what to change in the set.

Not for measuring: that is `judge.py`. Plain words: what is said here stands on the page and in the terminal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from diversity.taxonomy import Taxonomy
from training.picking.judge import LEAST, At, Cell, Judged, failing, gain_shares, order
from training.picking.material import Material
from training.picking.samples import Samples
from training.picking.untold import one_weight, untold

WANTED = 12
CELLS = 3  # of a view that is hardly shown, those that are named
COPIES = "copies"
COLOURS = "colours"
ALIKE = "alike"
WEAK = "weak"
FINAL = 3  # rank of a final file in `Sample.at`; epochs and steps that cannot be ordered have ranks of their own
_STARTS = {
    COPIES: "starts copying",
    COLOURS: "starts to change the colours of everything",
    ALIKE: "starts to answer every prompt alike",
}


@dataclass(frozen=True)
class Limits:
    """What is tolerated; usual values until the ladder has calibrated them (docs/overfitting.md).

    Attributes:
        copies: Largest share of copies.
        colours: Most of the way to the training palette on unrelated prompts.
        variety: Least variety over the reference's.
        gain: Least share of the best likeness to the subject.
    """

    copies: float = 0.05
    colours: float = 0.15
    variety: float = 0.7
    gain: float = 0.8


@dataclass(frozen=True)
class Advice:
    """One change to the set: what to do, and the pictures it is about (keys)."""

    kind: str
    text: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What to use.

    Attributes:
        headline: One sentence.
        best: The cell to use; None where nothing can be said.
        faults: Kinds of faults of every cell, in the order of the cells.
        remarks: The same as sentences.
        gains: Likeness of every cell to the subject, as a share of the best sound cell's; nan where not told.
        failing: (axis, label, shown, asked) of views that sound checkpoints were asked for and hardly show.
        untold: What these samples cannot show, as sentences, each with what would.
        advice: What to add to or drop from the set.
        enough: Whether there are samples enough for a verdict on some cell.
    """

    headline: str
    best: Cell | None
    faults: tuple[tuple[str, ...], ...]
    remarks: tuple[tuple[str, ...], ...]
    gains: tuple[float, ...]
    failing: tuple[tuple[str, str, int, int], ...]
    untold: tuple[str, ...]
    advice: tuple[Advice, ...]
    enough: bool


def decide(
    material: Material, judged: Judged, samples: Samples, rules: Taxonomy, limits: Limits | None = None
) -> Verdict:
    """Choose among the cells and explain."""
    limits = limits or Limits()
    told = [_faults(cell, limits) for cell in judged.cells]
    sound = [not kinds for kinds in told]
    shares = gain_shares(judged.cells, sound if any(sound) else [True] * len(sound))
    for kinds, share in zip(told, shares, strict=True):
        if share < limits.gain:
            kinds[WEAK] = f"only {max(share, 0):.0%} of the likeness to the subject that others reach"
    faults = tuple(tuple(kinds) for kinds in told)
    remarks = tuple((*kinds.values(), *_few(cell)) for cell, kinds in zip(judged.cells, told, strict=True))
    solid = [i for i, cell in enumerate(judged.cells) if len(cell.rows) >= LEAST]
    best = _best(judged.cells, shares, faults, solid)
    judged_by = [cell for cell, ok in zip(judged.cells, sound, strict=True) if ok or not any(sound)]
    views = failing([material.looks[row] for cell in judged_by for row in cell.rows])
    return Verdict(
        headline=_headline(judged.cells, best, (faults, remarks, shares)),
        best=None if best is None else judged.cells[best],
        faults=faults,
        remarks=remarks,
        gains=tuple(shares),
        failing=views,
        untold=tuple(untold(material, judged, samples)),
        advice=tuple(_advice((material, judged), rules, views, {kind for kinds in faults for kind in kinds})),
        enough=bool(solid),
    )


def _few(cell: Cell) -> list[str]:
    return [f"too few samples to judge ({len(cell.rows)} of {LEAST} at least)"] if len(cell.rows) < LEAST else []


def _faults(cell: Cell, limits: Limits) -> dict[str, str]:
    """Kind → sentence, worst first."""
    found: dict[str, str] = {}
    if cell.copies.value > limits.copies:
        n = len(cell.rows)
        verb = "is a copy" if cell.copied == 1 else "are copies"
        found[COPIES] = f"{cell.copied} of {n} samples {verb}" if n > 1 else "its one sample is a copy"
    moved = cell.colours
    if moved is not None:
        way = moved.towards["colour"]
        if way.value > limits.colours and way.above(0) and not moved.specific.below(0):
            words = f"pictures without the subject went {way.value:.0%} of the way to the set's colours"
            found[COLOURS] = words if moved.specific.above(0) else f"{words} (by losing theirs as much as by its hues)"
    if cell.identical > max(1, limits.copies * len(cell.rows)):
        found[ALIKE] = f"{cell.identical} of {len(cell.rows)} samples are one and the same picture"
    elif cell.variety is not None and cell.variety.value < limits.variety and cell.variety.below(1):
        found[ALIKE] = f"samples are {1 - cell.variety.value:.0%} less varied than before"
    return found


def _best(
    cells: Sequence[Cell], shares: Sequence[float], faults: Sequence[Sequence[str]], solid: Sequence[int]
) -> int | None:
    """Of the cleanest cells the one most like the subject; where likeness cannot be told, the last checkpoint."""
    if not solid:
        return None

    def rank(i: int) -> tuple[float, float, float, tuple[At, float]]:
        harm = len(set(faults[i]) - {WEAK})
        copies = round(cells[i].copies.value, 3) if COPIES in faults[i] else 0.0
        share = 0.0 if math.isnan(shares[i]) else round(min(shares[i], 1.0), 1)
        return (-harm, -copies, share, order(cells[i].at, cells[i].weight))

    best = max(solid, key=rank)
    steady = [i for i in solid if rank(i)[:3] == rank(best)[:3]]
    known = not math.isnan(shares[best])
    # among equals the earlier checkpoint: it has had less time to overfit
    return min(steady, key=lambda i: (cells[i].at, -order(cells[i].at, cells[i].weight)[1])) if known else best


def _headline(
    cells: Sequence[Cell],
    best: int | None,
    found: tuple[Sequence[Sequence[str]], Sequence[Sequence[str]], Sequence[float]],
) -> str:
    """One sentence from the faults, remarks and likenesses of all cells."""
    faults, remarks, shares = found
    if best is None:
        most = max((len(cell.rows) for cell in cells), default=0)
        return (
            f"Too few samples for a verdict: {most} at most of one checkpoint and weight, {LEAST} are the least, "
            f"{WANTED} are good."
        )
    cell, harm = cells[best], [kind for kind in faults[best] if kind != WEAK]
    place = cell.at[2] if one_weight(cells) else f"{cell.at[2]} at {said(cell.weight)}"
    if harm:
        return f"No checkpoint is clean. The least bad is {place}: {remarks[best][0]}."
    use = f"Use {place}"
    if math.isnan(shares[best]):
        use = f"No fault is seen at {place}, but how like the subject it is cannot be told: look before you use it"
    return "; ".join([use, *_afterwards(cells, best, faults)]) + "."


def said(weight: float | None) -> str:
    """A weight in words: "0.8", "1"."""
    return "an unknown weight" if weight is None else f"{weight:g}"


def _afterwards(cells: Sequence[Cell], best: int, faults: Sequence[Sequence[str]]) -> list[str]:
    """What goes wrong later, and at higher weights, in the order in which it begins."""
    chosen = cells[best]
    found: list[tuple[tuple[At, float], str]] = []
    for kind, words in _STARTS.items():
        harmed = [c for c, f in zip(cells, faults, strict=True) if kind in f]
        later = [c for c in harmed if c.at > chosen.at and c.at[0] in (chosen.at[0], FINAL)]
        later = [c for c in later if c.weight == chosen.weight] or later
        higher = [c for c in harmed if c.at == chosen.at and _above(c.weight, chosen.weight)]
        for some in (higher, later):
            if some:
                first = min(some, key=lambda c: order(c.at, c.weight))
                place = f"{first.at[2]} at {said(first.weight)}" if first.weight != chosen.weight else first.at[2]
                found.append((order(first.at, first.weight), f"{place} {words}"))
    return [text for _, text in sorted(found)]


def _above(weight: float | None, other: float | None) -> bool:
    return weight is not None and other is not None and weight > other


def _advice(
    seen: tuple[Material, Judged], rules: Taxonomy, views: Sequence[tuple[str, str, int, int]], faults: set[str]
) -> list[Advice]:
    """What to add to or drop from the set, before touching any setting."""
    material, judged = seen
    found = _about_sources(material, judged, rules)
    targets = material.training.targets
    for axis, label, shown, asked in views:
        found.append(_about_view(targets, axis, label, f"{shown} of {asked}", rules))
    if {COPIES, ALIKE} & faults:
        thieves = targets.filter(pl.col("state") == "thief")["advice"].unique(maintain_order=True).to_list()
        found += [Advice("add", text) for text in thieves]
    if COLOURS in faults:
        plain = material.training.frame["flags"].list.set_intersection(["flat_background", "cut_out"]).list.len() > 0
        share = float(plain.mean() or 0.0)  # type: ignore[arg-type]
        if share > 0.5:
            text = (
                f"{share:.0%} of the pictures have a plain background. Add pictures with other backgrounds and light."
            )
            found.append(Advice("add", text))
        else:
            found.append(Advice("add", "Add pictures in other light, outfits and places: one palette is all it saw."))
    return found


def _about_sources(material: Material, judged: Judged, rules: Taxonomy) -> list[Advice]:
    """What to do with the sources of copies, one advice for each kind of remedy, the most copied first."""
    frame = material.training.frame
    families = frame["family"].to_list()
    copied = Counter(families[judged.matches[r].row] for cell in judged.cells for r in cell.rows if judged.is_copy(r))
    states = dict(material.training.targets.select("cell", "state").iter_rows())
    told: dict[tuple[str, str], list[tuple[str, int, tuple[str, ...]]]] = {}
    for family, times in copied.most_common():
        members = frame.filter(pl.col("family") == family).sort("path")
        first = (members.filter(pl.col("key") == family).to_dicts() or members.to_dicts())[0]
        if len(members) > 1:
            what = ("drop", "with copies and variants in the set: keep one of each")
        elif states.get(first["cell"]) in ("rare", "missing"):
            what = ("add", f"among few {_view(first['cell'], rules)}: add others like it rather than repeat it")
        else:
            what = ("drop", "give less weight, or add unlike pictures of the same view")
        told.setdefault(what, []).append((first["path"], times, tuple(members["key"].to_list())))
    return [
        Advice(kind, f"Copied: {_listed(some)}; {words}.", tuple(key for _, _, keys in some for key in keys))
        for (kind, words), some in told.items()
    ]


def _listed(some: Sequence[tuple[str, int, tuple[str, ...]]]) -> str:
    """File names, the first four, as in: a.jpg, b.jpg (3 times) and 4 more."""
    names = [path if times == 1 else f"{path} ({times} times)" for path, times, _ in some]
    rest = len(names) - 4
    return f"{', '.join(names[:4])} and {rest} more" if rest > 0 else ", ".join(names)


def _about_view(targets: pl.DataFrame, axis: str, label: str, how_often: str, rules: Taxonomy) -> Advice:
    words = _label(axis, label, rules)
    part = pl.col("cell").str.split("/").list.get(0 if axis == "framing" else 1) == label
    rows = targets.filter(part & pl.col("state").is_in(["rare", "missing"])).sort("state", maintain_order=True)
    lacking = rows["advice"].unique(maintain_order=True).to_list()  # missing before rare
    start = f"'{words}' was asked for and shown in {how_often} samples."
    if lacking:
        more = f" {len(lacking) - CELLS} more of its views lack pictures too." if len(lacking) > CELLS else ""
        return Advice("add", f"{start} {' '.join(lacking[:CELLS])}{more}")
    return Advice("check", f"{start} The set has enough of it: check that its captions say so, or give it more weight.")


def _label(axis: str, label: str, rules: Taxonomy) -> str:
    known = rules.axes[axis].labels.get(label)
    return (known.one if known else "") or label.replace("_", " ")


def _view(cell: str, rules: Taxonomy) -> str:
    framing, _, side = cell.partition("/")
    known = rules.axes["framing"].labels.get(framing)
    many = (known.many if known else "") or f"{framing.replace('_', ' ')} pictures"
    return f"{many} {_label('side', side, rules)}" if side else many
