"""What the rows of the ladder show: primary correlations, secondary ones, controls, AUCs and verdicts, as plain values.

Not for pages: that is `report.py`. Everything is computed from the rows alone, and twice gives the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.richness import statistics
from benchmarks.richness.arms import ARMS, OTHER_PROMPTS
from benchmarks.richness.claims import PARTS, RICHNESS, Judged, Verdict, endpoint, judge, verdict_of
from benchmarks.richness.statistics import Floats, Found, area, correlation, holm, left_out, permuted, spearman
from benchmarks.richness.table import Ladder, Row, column, loss, names, score
from benchmarks.richness.truth import OVERFITTED

LOST = "truth.lost"
LEAST_CLASS = 8  # LoRAs of either class below which an AUC decides nothing
LINES = (0.05, OVERFITTED, 0.15)
CORE = 55


@dataclass(frozen=True)
class Endpoint:
    """One number of a LoRA that richness should predict.

    Attributes:
        name: P1, ...
        what: In words.
        measure: Of its scores.
        settings: Of the score.
        sign: Expected: -1 falls with richness.
    """

    name: str
    what: str
    measure: str
    settings: dict[str, object]
    sign: int


PRIMARY = (
    Endpoint("P1", "control lost, by judges", "truth.lost", {"weight": 1.0}, -1),
    Endpoint("P2", "loss gap on common held-out pictures", "loss.gap", {"set": "common"}, -1),
    Endpoint("P3", "nearer to the set than held-out pictures like it", "memory.own", {"weight": 1.0}, -1),
    Endpoint(
        "P4",
        "colour migration at weight 0.7",
        "colour.towards",
        {"part": "colour", "prompts": "unrelated", "weight": 0.7},
        -1,
    ),
    Endpoint("P5", "variety, against the base", "variety.ratio", {"weight": 1.0}, 1),
)
SECONDARY = (
    Endpoint("", "loss gap on pictures like its own", "loss.gap", {"set": "own"}, -1),
    Endpoint("", "common held-out loss against the base", "loss.held_out", {"set": "common"}, -1),
    Endpoint("", "nearer to the set than its own left-out pictures", "memory.nearer", {"weight": 1.0}, -1),
    Endpoint("", "asked, drawn by the base and not by the LoRA", "truth.broken", {"weight": 1.0}, -1),
    Endpoint("", "nearer in pixels to the set than to fresh renders", "truth.copied", {"weight": 1.0}, -1),
    Endpoint("", "own colours where others were asked", "truth.repaint", {"weight": 1.0}, -1),
    Endpoint("", "the character's looks", "truth.identity_gain", {"weight": 1.0}, 1),
    Endpoint("", "its looks from the side and behind", "truth.turned_away_gain", {"weight": 1.0}, 1),
    Endpoint("", "its shoes", "truth.shoes_gain", {"weight": 1.0}, 1),
)
PREDICTORS = (
    RICHNESS,
    "richness.vendi_2",
    "richness.effective_rank",
    "richness.distinct",
    "richness.pictures",
    "richness.view_entropy",
    "richness.turntable_coverage",
)


Telling = Callable[[Sequence[Row], NDArray[np.bool_]], dict[str, Floats]]  # rows, labels → what says how much of each

HELD_OUT = (("loss.held_out", "common"), ("loss.gap", "common"), ("loss.held_out", "own"), ("loss.gap", "own"))
DRIFT = "drift.share"
WHOLE = (
    ("loss.gap.low", {"set": "common"}),
    ("loss.train", {"set": "common"}),
    ("control.difference", {"by": "text", "kind": "novel", "weight": 1.0}),
    ("colour.change", {"prompts": "unrelated", "weight": 1.0}),
    ("leak.effect", {"by": "features", "weight": 1.0}),
)
CHOSEN_ON = 47  # rows of the claim block, the first, and the core: what `WHOLE` was chosen on
DRIFT_CHOSEN_ON = 57  # the same for drift
PICKED = ("copies", "near", "fresh", "likeness", "colours", "variety", "views")
MUST_BE_0 = (
    "loss.gap",
    "loss.held_out",
    "loss.train",
    "colour.towards",
    "colour.change",
    "truth.lost",
    "truth.control",
    "truth.unrelated",
    "truth.broken",
    "truth.repaint",
)


@dataclass(frozen=True)
class Areas:
    """Overfitted or not, told from something.

    Attributes:
        told_from: In words.
        line: `truth.lost` from which a LoRA is overfitted.
        found: AUC.
        overfitted: LoRAs that are.
        decided: Whether both classes are large enough.
        spearman: Of the same scores with `truth.lost`.
    """

    told_from: str
    line: float
    found: Found
    overfitted: int
    decided: bool
    spearman: float


@dataclass(frozen=True)
class Again:
    """What other seeds say of the same LoRAs, and what that leaves to any measure.

    Attributes:
        repeats: Rank correlation of `truth.lost` with the mean of what other seeds say.
        areas: AUCs: from other seeds of the ground truth itself, then from each measure where those other seeds, which
            it has not seen, say who is overfitted.
    """

    repeats: Found
    areas: list[Areas]


@dataclass(frozen=True)
class Analysis:
    """Everything that is said of the ladder.

    Attributes:
        rows, core: LoRAs, and those of the core.
        characters: Of the core.
        excluded: Ids left out, with a problem.
        primary: P1 to P5 with p corrected by Holm.
        matched: P2 and the common held-out loss at matched exposures.
        secondary: Other endpoints with richness; uncorrected.
        predictors: Measure of richness → its rank correlations with the primaries, in their order.
        seen: The same for the first measure, to other encoders than the one of the rows.
        areas: AUCs.
        again: The ground truth asked again; exploratory.
        whole: The whole evaluation, on later rows than it was chosen on, then on all, and drift alone; exploratory.
        shuffled: Control that shuffled captions lose beyond ordered ones; the ground truth must see it.
        identity: Largest absolute score of the untrained LoRA among those that must be 0.
        false_alarms: Share of label permutations with a Holm-significant primary.
        claims: Claim → verdict and its parts.
    """

    rows: int
    core: int
    characters: int
    excluded: list[str]
    primary: list[tuple[Endpoint, Found]]
    matched: list[tuple[Endpoint, Found]]
    secondary: list[tuple[Endpoint, Found]]
    predictors: dict[str, list[float]]
    seen: dict[str, list[float]]
    areas: list[Areas]
    again: Again | None
    whole: list[Areas]
    shuffled: Found
    identity: float
    false_alarms: float
    claims: dict[str, tuple[Verdict, list[Judged]]]

    @property
    def preliminary(self) -> bool:
        """Whether the core is not complete."""
        return self.core < CORE


def analyse(
    rows: Sequence[Row], again: Sequence[Row] = (), seen: Mapping[str, Mapping[str, Sequence[Row]]] | None = None
) -> Analysis:
    """All of it.

    Args:
        rows: Of every block.
        again: What ground truth said when asked again.
        seen: Other encoder → id of a row → `richness.*` of its set to that encoder.
    """
    ladder = Ladder(rows)
    core = ladder.block("core")
    primary = [(end, endpoint(ladder, end.measure, **end.settings)) for end in PRIMARY]
    corrected = holm([found.p for _, found in primary])
    return Analysis(
        rows=len(ladder.rows),
        core=len(core),
        characters=len(set(names(core).tolist())),
        excluded=ladder.excluded,
        primary=[(end, replace(found, p=p)) for (end, found), p in zip(primary, corrected, strict=True)],
        matched=_matched(core),
        secondary=[(end, endpoint(ladder, end.measure, **end.settings)) for end in SECONDARY],
        predictors={name: _ranks(core, column(core, name)) for name in PREDICTORS},
        seen={
            f"vendi_1 to {encoder}": _ranks(core, column(_seen(core, found), RICHNESS))
            for encoder, found in (seen or {}).items()
        },
        areas=_areas(ladder),
        again=_again(ladder, again),
        whole=_whole(ladder),
        shuffled=_shuffled(ladder),
        identity=_identity(ladder),
        false_alarms=_alarms(core),
        claims=judged(ladder),
    )


def judged(ladder: Ladder) -> dict[str, tuple[Verdict, list[Judged]]]:
    """Every claim: Holm over all parts that could be computed."""
    found = [part.effect(ladder) for part in PARTS]
    tested = [math.nan if part.same else one.p for part, one in zip(PARTS, found, strict=True)]
    corrected = holm(tested)
    by_claim: dict[str, list[Judged]] = {}
    for part, one, p in zip(PARTS, found, corrected, strict=True):
        by_claim.setdefault(part.claim, []).append(judge(part, one if part.same else replace(one, p=p)))
    return {claim: (verdict_of(parts), parts) for claim, parts in by_claim.items()}


def plain(analysis: Analysis) -> dict[str, Any]:
    """The analysis as JSON takes it: nan as null."""

    def clean(value: object) -> object:
        if isinstance(value, float):
            return float(f"{value:.5g}") if math.isfinite(value) else None
        if isinstance(value, dict):
            return {str(key): clean(one) for key, one in value.items() if key != "effect"}
        if isinstance(value, list | tuple):
            return [clean(one) for one in value]
        return value

    told = {name: getattr(analysis, name) for name in analysis.__dataclass_fields__ if name != "claims"}
    for name in ("primary", "matched", "secondary"):
        told[name] = [{**asdict(end), **asdict(found)} for end, found in told[name]]
    for name in ("areas", "whole"):
        told[name] = [asdict(area) for area in told[name]]
    told["again"] = None if analysis.again is None else asdict(analysis.again)
    told["shuffled"] = asdict(analysis.shuffled)
    told["claims"] = {
        claim: {
            "verdict": verdict,
            "parts": [
                {
                    "what": one.part.what,
                    "least": one.part.least,
                    "same": one.part.same,
                    **asdict(one.found),
                    "verdict": one.verdict,
                    "settles": one.settles,
                }
                for one in parts
            ],
        }
        for claim, (verdict, parts) in analysis.claims.items()
    }
    cleaned: dict[str, Any] = json.loads(json.dumps(clean(told)))
    return cleaned


def _matched(core: Sequence[Row]) -> list[tuple[Endpoint, Found]]:
    """Loss measures where every LoRA has shown each distinct picture equally often."""
    rich, who = column(core, RICHNESS), names(core)
    found = []
    for name, what in (("gap", "loss gap"), ("held_out", "held-out loss against the base")):
        values = [loss(row, ARMS[row["arm"]].matched(row["distinct"]), "common", name) for row in core]
        end = Endpoint("", f"{what} at 25 exposures per distinct picture", f"loss.{name}", {"set": "common"}, -1)
        found.append((end, correlation(rich, np.array(values, float), who)))
    return found


def _areas(ladder: Ladder) -> list[Areas]:
    """From held-out losses, and from `pick` alone."""
    rows = _told(ladder)
    lost = column(rows, LOST, weight=1.0)
    return [one for line in LINES for one in _areas_at(line, rows, lost, _measures)]


def _again(ladder: Ladder, again: Sequence[Row]) -> Again | None:
    """None where too few were asked again."""
    other = {row["id"]: row["scores"][LOST] for row in again}
    rows = [row for row in _told(ladder) if row["id"] in other]
    if len(set(names(rows).tolist())) < statistics.LEAST_CHARACTERS:
        return None
    first, rest = column(rows, LOST, weight=1.0), np.array([np.mean(other[row["id"]]) for row in rows], float)

    def measures(some: Sequence[Row], labels: NDArray[np.bool_]) -> dict[str, Floats]:
        drift = column(some, DRIFT)
        moved = {"drift of unrelated pictures": drift} if np.isfinite(drift).all() else {}
        return {f"{name} *": scores for name, scores in {**_measures(some, labels), **moved}.items()}

    areas = _areas_at(OVERFITTED, rows, first, lambda _, __: {"the same ground truth, other seeds": rest})
    return Again(correlation(first, rest, names(rows)), areas + _areas_at(OVERFITTED, rows, rest, measures))


def _whole(ladder: Ladder) -> list[Areas]:
    """Told by five numbers without ground truth; a row is never told by a fit on its character."""
    rows = _told(ladder)
    lost = column(rows, LOST, weight=1.0)
    later = {row["id"] for row in ladder.block("claims")[CHOSEN_ON:]}
    new = np.array([row["id"] in later for row in rows], bool)
    features = np.stack([column(rows, name, **settings) for name, settings in WHOLE], axis=1)
    scores = left_out(features, lost >= OVERFITTED, names(rows), ~new)
    fresh = [row for row, is_new in zip(rows, new, strict=True) if is_new]
    found = _areas_at(OVERFITTED, fresh, lost[new], lambda _, __: {"whole evaluation, on later LoRAs": scores[new]})
    found += _areas_at(OVERFITTED, rows, lost, lambda _, __: {"whole evaluation, on all": scores})
    return found + _drift(ladder)


def _drift(ladder: Ladder) -> list[Areas]:
    """Told by how far unrelated pictures move, nothing fitted."""
    late = {row["id"] for row in ladder.block("claims")[DRIFT_CHOSEN_ON:]}
    known = [row for row in _told(ladder) if math.isfinite(score(row, DRIFT))]
    found = []
    for when, rows in (
        ("on later LoRAs", [row for row in known if row["id"] in late]),
        ("on all it is known of", known),
    ):
        name, lost = f"drift of unrelated pictures, {when}", column(rows, LOST, weight=1.0)
        found += _areas_at(OVERFITTED, rows, lost, lambda some, _, name=name: {name: column(some, DRIFT)})
    return found


def _told(ladder: Ladder) -> list[Row]:
    """LoRAs of which it is asked whether they are overfitted, where the ground truth is known."""
    rows = [row for row in ladder.block("core", "claims") if row["arm"] not in OTHER_PROMPTS]
    return [row for row in rows if math.isfinite(score(row, LOST, weight=1.0))]


def _measures(rows: Sequence[Row], labels: NDArray[np.bool_]) -> dict[str, Floats]:
    """What each way of telling says of every LoRA."""
    held = np.stack([column(rows, m, set=s) for m, s in HELD_OUT], axis=1)
    seen = np.stack([column(rows, f"pick.{name}") for name in PICKED], axis=1)
    return {
        "common held-out loss against the base": np.nan_to_num(held[:, 0]),
        "held-out measures, one character left out": left_out(held, labels, names(rows)),
        "sample pictures alone (pick), one character left out": left_out(seen, labels, names(rows)),
    }


def _areas_at(
    line: float,
    rows: Sequence[Row],
    lost: Floats,
    told: Callable[[Sequence[Row], NDArray[np.bool_]], dict[str, Floats]],
) -> list[Areas]:
    """AUCs where those from `line` on are overfitted; none of fewer characters than an interval takes."""
    who, labels = names(rows), lost >= line
    if len(set(who.tolist())) < statistics.LEAST_CHARACTERS:
        return []
    decided = min(int(labels.sum()), int((~labels).sum())) >= LEAST_CLASS
    return [
        Areas(name, line, area(scores, labels, who), int(labels.sum()), decided, spearman(scores, lost))
        for name, scores in told(rows, labels).items()
    ]


def _shuffled(ladder: Ladder) -> Found:
    shuffled, rich = (ladder.scores(arm, "truth.lost", weight=1.0) for arm in ("shuffled16", "rich16"))
    return statistics.paired({name: shuffled[name] - rich[name] for name in shuffled.keys() & rich.keys()})


def _identity(ladder: Ladder) -> float:
    values = [
        abs(float(one["value"]))
        for row in ladder.block("identity")
        for one in row["scores"]
        if one["measure"] in MUST_BE_0 and one["value"] is not None
    ]
    return max(values, default=math.nan)


def _alarms(core: Sequence[Row]) -> float:
    rich, who, nulls = column(core, RICHNESS), names(core), []
    for end in PRIMARY:
        values = column(core, end.measure, **end.settings)
        if len(core) and np.isfinite(values).all() and math.isfinite(spearman(rich, values)):
            nulls.append(permuted(rich, values, who, rounds=2000))
    return statistics.false_alarms(nulls) if nulls else math.nan


def _seen(rows: Sequence[Row], found: Mapping[str, Sequence[Row]]) -> list[Row]:
    return [{**row, "scores": found.get(row["id"], ())} for row in rows]


def _ranks(rows: Sequence[Row], rich: Floats) -> list[float]:
    """Rank correlation with each primary endpoint."""
    return [_rank(rich, column(rows, end.measure, **end.settings)) for end in PRIMARY]


def _rank(x: Floats, y: Floats) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    return spearman(x[known], y[known]) if known.sum() > 2 else math.nan
