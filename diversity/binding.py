"""M7, binding: tags that always come with one look, so that training ties them to it (C1, C5, C6).

Not for labelling looks, which come in as labels, nor for what a LoRA has tied: that is `training.evaluate.binding`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity import tables
from diversity.taxonomy import UNSURE

Floats = NDArray[np.float64]

ALWAYS = 0.8  # share of captions above which a tag cannot be told from the subject
SUPPORT = 3  # independent pictures a tag needs on either side
ROUNDS = 1000
SURE = 0.05  # Holm-corrected p from which a tag is bound
FINER = 100  # rounds a tested tag where `ROUNDS` are too few: the least corrected p is then 0.01


@dataclass(frozen=True)
class Binding:
    """One tag.

    Attributes:
        tag: As in the captions.
        n: Independent pictures (groups) that carry it.
        information: Mutual information of tag and look over the tag's entropy, less its chance value, 0 no binding .. 1
            the look is told by the tag alone; nan for tags that are always on or too rare.
        p: Share of permuted tags that are bound as much, of as many rounds as the number of tested tags needs;
            Holm-corrected (Holm 1979) over the tags that were tested.
        look: The look it most often comes with.
        share: Share of its pictures with that look.
        elsewhere: Share of the other pictures with that look.
        state: "bound" (p < 0.05 and more often with its look than other pictures are), "free", "always on" (in more
            than 80 % of captions: nothing to unbind it from), "rare" (fewer than three independent pictures).
    """

    tag: str
    n: int
    information: float
    p: float
    look: str
    share: float
    elsewhere: float
    state: str


def bindings(
    tags: Sequence[Collection[str]],
    looks: Sequence[str],
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> list[Binding]:
    """Binding of every tag, the strongest first.

    The unit is the group of near-copies: eight frames with one caption are one observation, and permuting pictures
    would call every burst a binding. A group carries a tag where half of its pictures do, and has its commonest look.
    Information at small n is biased upwards (a look per picture "tells" everything), so its mean over permutations is
    taken away and the rest rescaled, as the adjusted mutual information of Vinh et al. 2010 does.

    Args:
        tags: [n] tags of each picture.
        looks: [n] visual cluster of each, such as "headshot/front".
        groups: [n] near-copies share a label.
        seed: Of the permutations.
    """
    carried, shown = _by_group(tags, looks, groups)
    names = sorted(set(looks))
    look = np.array([names.index(one) for one in shown], np.int64)
    rng = np.random.default_rng(seed)
    shuffles = np.array([rng.permutation(len(look)) for _ in range(ROUNDS)])
    found = [_judge(tag, on, look, names, shuffles) for tag, on in carried.items()]
    tested = sum(one.p == one.p for one in found)
    if tested >= SURE * (1 + ROUNDS):  # even the least p of these rounds would be corrected away
        found = [
            replace(one, p=_finer(carried[one.tag], look, FINER * tested, rng)) if one.p < SURE else one
            for one in found
        ]
    return _holm(found)


def of_set(
    tags: pl.DataFrame, cells: Mapping[str, str], groups: Mapping[str, str], gone: Collection[str] = ()
) -> pl.DataFrame:
    """Rows of `bindings.parquet`: every tag that speaks on no view, the most bound first.

    Whether a tag is bound is asked of whole views ("full_body/front"); which look it is bound to is then told by the
    view, framing or side whose share differs most: boots that are seen from every side are bound to the full body.

    Args:
        tags: The table `tags`.
        cells: Key → view; pictures whose view is not sure are left out, because "unsure" is no look.
        groups: Key → group of near-copies.
        gone: Keys that were dropped by hand.
    """
    keys = sorted(key for key, cell in cells.items() if cell != UNSURE and key in groups and key not in gone)
    said: dict[str, set[str]] = {key: set() for key in keys}
    for key, tag in tags.filter(pl.col("group").is_null()).select("key", "tag").iter_rows():
        if key in said:
            said[key].add(tag)
    if not any(said.values()):
        return tables.empty(tables.BINDINGS)
    of_keys = [said[key] for key in keys], [cells[key] for key in keys], [groups[key] for key in keys]
    carried, shown = _by_group(*of_keys)
    rows = [
        {**asdict(_plainest(one, carried[one.tag], shown)), "pictures": sum(one.tag in some for some in said.values())}
        for one in bindings(*of_keys)
    ]
    return tables.conform(pl.DataFrame(rows, schema_overrides=tables.BINDINGS), tables.BINDINGS)


def _by_group(
    tags: Sequence[Collection[str]], looks: Sequence[str], groups: Sequence[str]
) -> tuple[dict[str, NDArray[np.bool_]], list[str]]:
    """Tag → [groups] whether half of a group's pictures carry it; [groups] commonest look; groups in their order."""
    members: dict[str, list[int]] = {unit: [] for unit in sorted(set(groups))}
    for i, unit in enumerate(groups):
        members[unit].append(i)
    carried = {
        tag: np.array([sum(tag in tags[i] for i in rows) * 2 >= len(rows) for rows in members.values()])
        for tag in sorted({tag for some in tags for tag in some})
    }
    return carried, [_commonest([looks[i] for i in rows]) for rows in members.values()]


def _plainest(one: Binding, on: NDArray[np.bool_], shown: Sequence[str]) -> Binding:
    """`one` with the view, framing or side that the tag's pictures have more often than others by the widest margin."""
    if one.state not in ("bound", "free"):
        return one
    told = [one]
    for part in (0, 1):
        labels = np.array([cell.split("/")[part] if "/" in cell else "" for cell in shown])
        for label in sorted(set(labels[on]) - {"", UNSURE}):
            is_so = labels == label
            told.append(
                replace(one, look=str(label), share=float(is_so[on].mean()), elsewhere=float(is_so[~on].mean()))
            )
    return max(told, key=lambda each: each.share - each.elsewhere)


def _judge(
    tag: str, on: NDArray[np.bool_], look: NDArray[np.int64], names: Sequence[str], shuffles: NDArray[np.int64]
) -> Binding:
    n, total = int(on.sum()), len(on)
    counts = np.bincount(look[on], minlength=len(names))
    top = int(counts.argmax())
    share = float(counts[top]) / n if n else math.nan
    elsewhere = float(np.mean(look[~on] == top)) if n < total else math.nan
    information, p, state = math.nan, math.nan, "rare"
    if total and n > ALWAYS * total:
        state = "always on"
    elif min(n, total - n) >= SUPPORT:
        observed = float(_information(on[None], look, len(names))[0])
        null = _information(on[shuffles], look, len(names))
        room = _entropy(np.array([n, total - n]) / total) - float(null.mean())
        information = (observed - float(null.mean())) / room if room > 1e-12 else 0.0
        p = (1 + int((null >= observed - 1e-12).sum())) / (1 + len(null))
        state = "free"
    return Binding(tag, n, information, p, names[top], share, elsewhere, state)


def _finer(on: NDArray[np.bool_], look: NDArray[np.int64], rounds: int, rng: np.random.Generator) -> float:
    """The same p from many more rounds, without permuting pictures.

    With the looks and the number of pictures that carry the tag held fixed, a permuted tag's counts by look are
    multivariate hypergeometric (Freeman & Halton 1951, after Fisher), so they are drawn themselves. The observed one
    counts among the rounds, since p is never 0 (Phipson & Smyth 2010).
    """
    totals = np.bincount(look)
    totals = totals[totals > 0]
    drawn = rng.multivariate_hypergeometric(totals, int(on.sum()), size=rounds, method="marginals")
    own = np.array([int(on[look == one].sum()) for one in np.unique(look)])
    table = _of_counts(np.vstack([own, drawn]), totals)
    return float((table >= table[0] - 1e-12).sum()) / (1 + rounds)


def _of_counts(carrying: NDArray[np.integer], totals: NDArray[np.integer]) -> Floats:
    """Mutual information in nats of tag and look, [rounds], from the counts by look of those that carry the tag."""
    joint = np.stack([carrying, totals - carrying], axis=1) / totals.sum()  # [rounds, 2, looks]
    independent = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    safe = np.where(joint > 0, joint / np.where(independent > 0, independent, 1), 1.0)
    found: Floats = (joint * np.log(safe)).sum(axis=(1, 2))
    return found


def _holm(found: list[Binding]) -> list[Binding]:
    """Holm 1979 over the tested tags; sorted by information, untested ones last."""
    tested = sorted((b for b in found if b.p == b.p), key=lambda b: b.p)
    highest, judged = 0.0, []
    for rank, b in enumerate(tested):
        highest = max(highest, min(1.0, b.p * (len(tested) - rank)))
        state = "bound" if highest < SURE and b.share > b.elsewhere else "free"
        judged.append(Binding(b.tag, b.n, b.information, highest, b.look, b.share, b.elsewhere, state))
    judged.sort(key=lambda b: (-b.information, b.tag))
    return judged + sorted((b for b in found if b.p != b.p), key=lambda b: (-b.n, b.tag))


def _information(on: NDArray[np.bool_], look: NDArray[np.int64], count: int) -> Floats:
    """Mutual information in nats of each row of `on` [rounds, n] with `look` [n]."""
    carrying = on @ np.eye(count, dtype=np.int64)[look]
    return _of_counts(carrying, np.bincount(look, minlength=count))


def _entropy(shares: Floats) -> float:
    p = shares[shares > 0]
    return float(-(p * np.log(p)).sum())


def _commonest(labels: Sequence[str]) -> str:
    return max(sorted(set(labels)), key=list(labels).count)
