"""From rows of single LoRAs to what is reported: differences from random, paired by character and seed.

Not for making the rows (`downstream.py`). The LoRA is the unit: pictures, prompts and drawn seeds are never counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.strategies.summary import against, estimate
from benchmarks.strategies.truth import Measure

STANDINGS = ((12, "a claim"), (6, "indicative"), (3, "a smoke test"), (0, "too few to say anything"))
MEANING = {
    "a claim": "a dozen pairs or more",
    "indicative": "six pairs or more: a dozen make a claim",
    "a smoke test": "three pairs or more: it shows that the benchmark runs, and settles nothing",
    "too few to say anything": "fewer than three pairs",
}
BASELINE = "random"
Row = Mapping[str, Any]
Values = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Scored:
    """One measure of a LoRA.

    Attributes:
        shown: How people read it.
        score: Its name among the row's scores.
        settings: Which of them.
    """

    shown: Measure
    score: str
    settings: Mapping[str, object] = field(default_factory=dict)


def _measure(title: str, meaning: str, *, more_is_better: bool = False, fine: bool = False) -> Measure:
    return Measure(title, meaning, more_is_better, share=True, fine=fine)


SCORED: dict[str, Scored] = {
    "lora_held_out": Scored(
        _measure(
            "held-out loss",
            "Loss on pictures of all views that no strategy could choose, against the base (log ratio).",
            fine=True,
        ),
        "loss.held_out",
        {"set": "common"},
    ),
    "lora_gap": Scored(
        _measure("loss gap", "How much further the loss fell on the LoRA's own pictures than on those.", fine=True),
        "loss.gap",
        {"set": "common"},
    ),
    "lora_gap_own": Scored(
        _measure(
            "loss gap, like the set",
            "The same beside held-out pictures that are spread as the candidates are.",
            fine=True,
        ),
        "loss.gap",
        {"set": "own"},
    ),
    "lora_nearer": Scored(
        _measure(
            "nearer",
            "Chance that a sample lies nearer to the training set than a left-out training picture; half is chance.",
        ),
        "memory.nearer",
        {"weight": 1.0},
    ),
    "lora_copies": Scored(
        _measure("copies drawn", "Share of samples that can be laid over a training picture."),
        "copies.share",
        {"weight": 1.0},
    ),
    "lora_colours": Scored(
        _measure("colour migration", "How far unrelated prompts move to the set's colours, at weight 0.7."),
        "colour.towards",
        {"part": "colour", "prompts": "unrelated", "weight": 0.7},
    ),
    "lora_variety": Scored(
        _measure("variety", "Different pictures among the seeds of a prompt, against the base.", more_is_better=True),
        "variety.ratio",
        {"weight": 1.0},
    ),
    "lora_lost": Scored(
        _measure(
            "control lost", "Ground truth: share of what prompts ask for that the base shows and the LoRA does not."
        ),
        "truth.lost",
        {"weight": 1.0},
    ),
    "lora_identity": Scored(
        _measure(
            "identity", "Ground truth: share of the character's looks that its samples show.", more_is_better=True
        ),
        "truth.identity",
        {"weight": 1.0},
    ),
    "lora_shoes": Scored(
        _measure("shoes", "Ground truth: the same of the shoes, which two candidates show.", more_is_better=True),
        "truth.shoes",
        {"weight": 1.0},
    ),
    "lora_copied": Scored(
        _measure(
            "copied",
            "Ground truth: share of samples nearer in pixels to a training picture than to held-out ones; half is due.",
        ),
        "truth.copied",
        {"weight": 1.0},
    ),
}
MEASURES: dict[str, Measure] = {name: one.shown for name, one in SCORED.items()}


def standing(pairs: int) -> str:
    """What so many pairs of LoRAs are good for."""
    return next(words for least, words in STANDINGS if pairs >= least)


def summarise(rows: Iterable[Row], planned: int) -> dict[str, Any] | None:
    """All strategies beside random; None where no LoRA was trained.

    Args:
        rows: Of results/downstream.jsonl; those with a problem count nowhere but in `problems`.
        planned: LoRAs of the whole plan.

    Returns:
        loras and planned; problems; standing, of the strategy with the fewest pairs; judged, whether judges saw every
        LoRA's pictures; measures, those that anything is known of; rows, one per strategy, with the keys of
        `summary.summarise` and `pairs` and `standing`.
    """
    every = list(rows)
    good = [row for row in every if "problem" not in row]
    if not good:
        return None
    values = {strategy: _values(good, strategy) for strategy in dict.fromkeys(row["arm"] for row in good)}
    entries = [_entry(every, strategy, found, values.get(BASELINE, {})) for strategy, found in values.items()]
    compared = [entry["pairs"] for entry in entries if entry["strategy"] != BASELINE]
    return {
        "loras": len(good),
        "planned": planned,
        "problems": {row["id"]: row["problem"] for row in every if "problem" in row},
        "steps": good[0]["steps"],
        "batch": good[0]["batch"],
        "base": good[0]["base"],
        "judged": all(row["judged"] for row in good),
        "standing": standing(min(compared, default=0)),
        "measures": [name for name in SCORED if any(name in entry["values"] for entry in entries)],
        "rows": entries,
    }


def _values(rows: Iterable[Row], strategy: str) -> Values:
    """Measure → "character/seed" → its value, of one strategy; what was not measured is left out."""
    from benchmarks.richness.table import score

    found: Values = {}
    for row in rows:
        for name, one in SCORED.items():
            value = score(row, one.score, None, **one.settings) if row["arm"] == strategy else math.nan
            if math.isfinite(value):
                found.setdefault(name, {})[_unit(row)] = [value]
    return found


def _entry(rows: Sequence[Row], strategy: str, found: Values, baseline: Values) -> dict[str, Any]:
    good: list[Row] = []
    failed: list[Row] = []
    for row in rows:
        if row["arm"] == strategy:
            (failed if "problem" in row else good).append(row)
    random = {_unit(row) for row in rows if row["arm"] == BASELINE and "problem" not in row}
    pairs = len({_unit(row) for row in good} & random)
    return {
        "strategy": strategy,
        "pool": good[0]["pool"],
        "budget": good[0]["n"],
        "pairs": pairs,
        "standing": standing(pairs),
        "problem": failed[0]["problem"] if failed else None,
        "values": {name: estimate(by_unit) for name, by_unit in found.items()},
        "gains": {name: against(by_unit, baseline.get(name, {})) for name, by_unit in found.items()},
    }


def _unit(row: Row) -> str:
    return f"{row['character']}/{row['seed']}"
