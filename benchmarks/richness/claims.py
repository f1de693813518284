"""What the ladder says of every claim: the comparisons that PROTOCOL.md names, and the verdicts they lead to.

Not for the arithmetic (`statistics.py`). Thresholds were set before the first run; a change is a change of protocol.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from benchmarks.richness.statistics import LEAST_CHARACTERS, Found, correlation, draws_of, paired, spearman, unknown
from benchmarks.richness.table import Ladder, column, names, score
from benchmarks.richness.truth import OVERFITTED

Verdict = Literal["supported", "refuted", "undecided"]
RICHNESS = "richness.vendi_1"
LAST, EARLY = 400, 100
MOST_CHARACTERS = 1000  # beyond it a number of characters is no advice
SHOES = "judges that tell shoes: these do not"

ByCharacter = dict[str, float]


@dataclass(frozen=True)
class Part:
    """One comparison.

    Attributes:
        claim: C3, ...
        what: One sentence.
        least: Smallest effect that matters.
        effect: Above 0 favours the claim; for `same` parts the signed difference.
        same: The claim is that there is no difference.
        needs: What its endpoint is read with, where these judges lack it.
    """

    claim: str
    what: str
    least: float
    effect: Callable[[Ladder], Found]
    same: bool = False
    needs: str = ""


@dataclass(frozen=True)
class Judged:
    """One comparison, judged.

    Attributes:
        part: What was compared.
        found: With p corrected by Holm over all parts.
        verdict: Of the part.
        settles: What would settle it; "" where it is settled.
    """

    part: Part
    found: Found
    verdict: Verdict
    settles: str


def judge(part: Part, found: Found) -> Judged:
    """The verdict of one part, by the protocol; `found.p` is corrected already."""
    verdict: Verdict = "undecided"
    if found.known and found.characters >= LEAST_CHARACTERS:
        if part.same:
            if -part.least <= found.low and found.high <= part.least:
                verdict = "supported"
            elif found.low > part.least or found.high < -part.least:
                verdict = "refuted"
        elif found.value >= part.least and found.low > 0 and found.p < 0.05:
            verdict = "supported"
        elif found.high < part.least:
            verdict = "refuted"
    return Judged(part, found, verdict, "" if verdict != "undecided" else settles(part, found))


def settles(part: Part, found: Found) -> str:
    """How many characters would settle a part, were effect and spread to stay; in words."""
    if not found.characters and part.needs:
        return part.needs
    if found.characters < LEAST_CHARACTERS or not found.known:
        return f"at least {LEAST_CHARACTERS} characters; there are {found.characters}"
    if part.same:
        room = abs(part.least - abs(found.value))
    else:
        room = found.value if found.value >= part.least else part.least - found.value
    half = (found.high - found.low) / 2
    if room <= 0 or half <= 0:
        return "the effect lies on the line that was drawn: no number of characters is enough"
    needed = math.ceil(found.characters * (half / room) ** 2)
    if needed <= found.characters:  # the interval is short enough, but not after Holm
        needed = 2 * found.characters
    if needed > MOST_CHARACTERS:
        return f"the effect lies close to the line that was drawn: more than {MOST_CHARACTERS:,} characters"
    return f"about {needed} characters instead of {found.characters}"


def verdict_of(judged: Sequence[Judged]) -> Verdict:
    """Of a claim, from its parts: refuted if one is, supported if all are."""
    if any(one.verdict == "refuted" for one in judged):
        return "refuted"
    return "supported" if all(one.verdict == "supported" for one in judged) else "undecided"


# effects -------------------------------------------------------------------------------------------------------------


def _difference(first: ByCharacter, second: ByCharacter) -> Found:
    return paired({name: first[name] - second[name] for name in first.keys() & second.keys()})


def _scored(first: str, second: str, measure: str, weight: float = 1.0) -> Callable[[Ladder], Found]:
    """First arm less second."""
    return lambda ladder: _difference(
        ladder.scores(first, measure, weight=weight), ladder.scores(second, measure, weight=weight)
    )


def _between_steps(
    arms: tuple[str, str], steps: tuple[int, int], measure: str, **settings: object
) -> Callable[[Ladder], Found]:
    """First arm at the first step less second arm at the second."""
    return lambda ladder: _difference(
        *(ladder.scores(arm, measure, step, **settings) for arm, step in zip(arms, steps, strict=True))
    )


def _losses(first: str, second: str, name: str, step: int = LAST) -> Callable[[Ladder], Found]:
    return lambda ladder: _difference(
        ladder.losses(first, step, "common", name), ladder.losses(second, step, "common", name)
    )


def _left_to_gain(ladder: Ladder) -> Found:
    """Own held-out log ratio at the early step less that at the last: rich16 less cutout16."""

    def left(arm: str) -> ByCharacter:
        early, last = (ladder.losses(arm, step, "own", "held_out") for step in (EARLY, LAST))
        return {name: early[name] - last[name] for name in early}

    return _difference(left("rich16"), left("cutout16"))


def _single(arm: str, measure: str) -> Callable[[Ladder], Found]:
    return lambda ladder: paired(ladder.scores(arm, measure))


def _knobs(ladder: Ladder) -> Found:
    """Pull left with the LoRA at one half less that left with the keyword at one half."""
    return _difference(ladder.scores("bound16", "bound.lora"), ladder.scores("bound16", "bound.keyword"))


def endpoint(ladder: Ladder, measure: str, **settings: object) -> Found:
    """Rank correlation of richness with a score over the core LoRAs."""
    rows = ladder.block("core")
    return correlation(column(rows, RICHNESS), column(rows, measure, **settings), names(rows))


def _negated(found: Found) -> Found:
    return replace(found, value=-found.value, low=-found.high, high=-found.low)


def _against_lost(measure: str, **settings: object) -> Callable[[Ladder], Found]:
    return lambda ladder: _negated(endpoint(ladder, measure, **settings))


def _training_loss(ladder: Ladder) -> Found:
    """|rank correlation of the loss gap with lost| less that of the training loss."""
    rows = ladder.block("core")
    lost, gaps = column(rows, "truth.lost", weight=1.0), column(rows, "loss.gap", set="common")
    training = np.array([np.nan if row.get("training_loss") is None else row["training_loss"] for row in rows], float)
    known = np.isfinite(lost) & np.isfinite(gaps) & np.isfinite(training)
    lost, gaps, training, who = lost[known], gaps[known], training[known], names(rows)[known]
    count = len(set(who.tolist()))
    if count < LEAST_CHARACTERS:
        return unknown(int(known.sum()), count)

    def statistic(rows: np.ndarray) -> float:
        return abs(spearman(gaps[rows], lost[rows])) - abs(spearman(training[rows], lost[rows]))

    draws = draws_of(statistic, who)
    low, high = np.quantile(draws, (0.025, 0.975))
    below = (1 + int((draws <= 0).sum())) / (1 + len(draws))
    p = min(1.0, 2 * min(below, 1 - below + 1 / (1 + len(draws))))
    return Found(statistic(np.arange(len(lost))), float(low), float(high), p, len(lost), count)


def _works_at(weight: float) -> Callable[[Ladder], Found]:
    """Of LoRAs that are not overfitted: identity at `weight` less 0.8 of that at 1, means by character."""

    def effect(ladder: Ladder) -> Found:
        sound = [row for row in ladder.block("core") if score(row, "truth.lost", weight=1.0) < OVERFITTED]
        rows = [(str(row["character"]), _gain(row, weight) - 0.8 * _gain(row, 1.0)) for row in sound]
        return replace(paired(_by_character(rows)), n=len(rows))

    return effect


def _gain(row: Mapping[str, object], weight: float) -> float:
    return score(row, "truth.identity_gain", weight=weight)


def _nudges(ladder: Ladder) -> Found:
    """1 - change of unrelated pictures at 0.7 / change between the base's own seeds."""
    rows = [
        (
            str(row["character"]),
            1
            - score(row, "colour.change", weight=0.7, prompts="unrelated")
            / score(row, "colour.chance", weight=0.7, prompts="unrelated"),
        )
        for row in ladder.block("core")
    ]
    return replace(paired(_by_character(rows)), n=len(rows))


def _by_character(rows: Sequence[tuple[str, float]]) -> ByCharacter:
    known: dict[str, list[float]] = {}
    for name, value in rows:
        if math.isfinite(value):
            known.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in known.items()}


LOST, IDENTITY_AWAY = "truth.lost", "truth.turned_away"
PARTS = (
    Part("C3", "cut-outs need fewer steps: less is left to gain after step 100", 0.02, _left_to_gain),
    Part(
        "C3",
        "more steps bring colour migration in a monotonous set",
        0.05,
        _between_steps(
            ("mono16", "mono16"), (LAST, EARLY), "colour.towards", part="colour", prompts="unrelated", weight=1.0
        ),
    ),
    Part("C5", "two forms under two triggers take each other's looks", 0.15, _single("two32", "truth.confusion")),
    Part("C6", "a tag that always comes with one look pulls colours to it", 0.05, _single("bound16", "bound.pull")),
    Part("C6", "halving the keyword's weight helps more than halving the LoRA's", 0.02, _knobs),
    Part("C8", "an over-represented class makes the others worse", 0.02, _losses("thief64", "rich16", "others")),
    Part(
        "C8",
        "hair in full bodies needs bodies, not more headshots",
        0.10,
        _scored("rich64", "thief64", "truth.hair_full_body"),
    ),
    Part("C9", "16 rich pictures overfit less than 64 monotonous ones", 0.05, _scored("mono64", "rich16", LOST)),
    Part(
        "C9",
        "without shoes in the set, shoes come out wrong",
        0.15,
        _scored("rich16", "portrait16", "truth.shoes"),
        needs=SHOES,
    ),
    Part("C9", "which quality filter is used makes no difference", 0.02, _losses("sharp16", "nth16", "held_out"), True),
    Part("C9", "near-copies make no difference", 0.05, _scored("mono16", "dedup4", LOST), True),
    Part("C10", "the richer the set, the less control is lost", 0.3, _against_lost(LOST, weight=1.0)),
    Part("C10", "the richer the set, the smaller the loss gap", 0.3, _against_lost("loss.gap", set="common")),
    Part(
        "C10",
        "in a rich set more steps do no harm",
        0.05,
        _between_steps(("rich16", "rich16"), (LAST, EARLY), LOST, weight=1.0),
        True,
    ),
    Part("C10", "related pictures cure overfitting", 0.05, _scored("mono16", "related16", LOST)),
    Part(
        "C10",
        "related pictures give more of the turned-away character than fewer steps do",
        0.05,
        _between_steps(("related16", "mono16"), (LAST, EARLY), IDENTITY_AWAY, weight=1.0),
    ),
    Part("C11", "the training loss says less of overfitting than the loss gap does", 0.2, _training_loss),
    Part(
        "C11",
        "2,000 steps of 7 lose more control at weight 0.7 than 1,500",
        0.05,
        lambda ladder: _long(ladder),
    ),
    Part("C11", "a LoRA that is not overfitted keeps 80 % of its likeness at 0.7", 0.0, _works_at(0.7)),
    Part("C12", "rare shoes fail at weight 0.7", 0.15, _scored("rich64", "rare64", "truth.shoes", 0.7), needs=SHOES),
    Part("C12", "rare shoes are wrong at weight 1", 0.10, _scored("rich64", "rare64", "truth.shoes"), needs=SHOES),
    Part("C13", "a LoRA at 0.7 changes other pictures less than half as much as another seed", 0.5, _nudges),
    Part("C13", "a style LoRA at 0.3 shows on top of a character's", 0.1, _single("stack", "stack.ratio")),
    Part(
        "caution",
        "up-weighting a lone view buys coverage",
        0.10,
        _scored("loneup16", "lone16", "truth.shoes"),
        needs=SHOES,
    ),
    Part("caution", "… at the price of copying it", 0.10, _scored("loneup16", "lone16", "truth.copied_shoes")),
)


def _long(ladder: Ladder) -> Found:
    effects: list[tuple[str, float]] = []
    for arm in ("mono16long", "rich16long"):
        late, early = (ladder.scores(arm, LOST, step, weight=0.7) for step in (2000, 1500))
        effects += [(name, late[name] - early[name]) for name in late.keys() & early.keys()]
    return replace(paired(_by_character(effects)), n=len(effects))
