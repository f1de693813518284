"""The tables of the comparison of strategies for docs/figures.md and the README, from results/strategies.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.strategies.downstream_summary import MEANING
from benchmarks.strategies.downstream_summary import MEASURES as LORAS
from benchmarks.strategies.page import beside, compared, fewer, ours, shown, verdict
from benchmarks.strategies.truth import MEASURES

README = ("reached", "views", "rare", "copies", "coverage")
SHOWN = ("random, all files", "random, de-duplicated", "stratified, all files")  # baselines of the README
MIDDLE = ("reached", "views", "rare", "copies", "coverage", "richness")


def section(result: Mapping[str, Any]) -> str:
    """Ours beside its baselines, then every strategy at the middle budget of each suite."""
    lines = [
        "## Ways of choosing",
        "",
        "`python -m benchmarks.strategies`: judged by labels and by an encoder that no strategy used; views were "
        f"guessed, captions ignored. Means over sets with {result['level']:.0%} intervals over sets; differences are "
        "set by set, at the same number kept. How to read it: "
        "[strategies.md](strategies.md).",
        "",
        readme(result),
    ]
    for suite in result["suites"]:
        lines += ["", *_every(suite)]
    return "\n".join(lines)


def downstream(found: Mapping[str, Any]) -> str:
    """What LoRAs learn from each strategy's subset, one row each; the first line says what it is good for."""
    lines = [
        f"LoRAs trained on {found['rows'][0]['budget']} pictures each, {found['loras']} of {found['planned']}. This is "
        f"**{found['standing']}**: {MEANING[found['standing']]}. Values and differences from random, paired by "
        f"character and seed.{'' if found['judged'] else ' No judges: of ground truth, copies by pixels alone.'}",
        "",
        f"| strategy | pairs | {' | '.join(LORAS[name].title for name in found['measures'])} |",
        "|---|---|" + "---|" * len(found["measures"]),
    ]
    for row in found["rows"]:
        told = [_difference(row, name) for name in found["measures"]]
        lines.append(f"| {row['strategy']} | {row['pairs']} | {' | '.join(told)} |")
    return "\n".join(lines)


def readme(result: Mapping[str, Any]) -> str:
    """Ours and its baselines on every suite and budget; where LoRAs were trained, a table of them."""
    rows = [row for suite in result["suites"] for row in suite["rows"]]
    names = [name for name in README if any(name in row["values"] for row in rows)]
    lines = [
        f"| suite | kept | chosen by | {' | '.join(MEASURES[name].title for name in names)} |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for suite in result["suites"]:
        for row in ours(suite["rows"]):
            lines += _beside(suite, row, names)
    if "downstream" in result:
        lines += ["", downstream(result["downstream"])]
    return "\n".join(lines)


def _beside(suite: Mapping[str, Any], row: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """A row of ours, and one of each baseline with what ours has over it."""
    told = [shown(row, name) for name in names] if row["values"] else [row["problem"]] + [""] * (len(names) - 1)
    sets = f"{suite['words']}, {row['sets']} of {len(suite['sets'])} sets"
    kept = ", ".join(filter(None, (str(row["budget"]), fewer(row))))
    yield f"| {sets} | {kept} | **ours** | {' | '.join(told)} |"
    for words, base, over in beside(suite["rows"], row):
        if words in SHOWN:
            yield f"| | | {words} | {' | '.join(_over(base, over, name) for name in names)} |"


def _over(base: Mapping[str, Any], row: Mapping[str, Any], name: str) -> str:
    """`13 %; ours +48 % (29–66 %) **better**`: a baseline's value and what ours has over it."""
    found, difference = base["values"].get(name), compared(row, name)
    if not found:
        return "–"
    value = shown({**base, "values": {name: {**found, "low": None, "high": None}}}, name)
    if difference == "–":
        return value
    told = verdict(row, name)
    return f"{value}; ours {difference}{'' if told == 'not told' else f' **{told}**'}"


def _difference(row: Mapping[str, Any], name: str) -> str:
    """`71 %, +16 % (4–28) better`; random's own value alone; an en dash where nothing is known."""
    found = row["values"].get(name)
    if not found:
        return "–"
    if row["strategy"] == "random":
        return shown(row, name)
    told = verdict(row, name)
    value = shown({**row, "values": {name: {**found, "low": None, "high": None}}}, name)
    return f"{value}, {compared(row, name)} **{told}**" if told != "not told" else f"{value}, {compared(row, name)}"


def _every(suite: Mapping[str, Any]) -> Iterator[str]:
    budget = suite["budgets"][len(suite["budgets"]) // 2]
    rows = [row for row in suite["rows"] if row["budget"] == budget and row["values"]]
    known = [name for name in MIDDLE if any(name in row["values"] for row in rows)]
    yield f"{suite['words']}, {budget} kept, chosen by {suite['encoder']}, judged by {suite['judged_by']}:"
    yield ""
    yield f"| strategy | from | {' | '.join(MEASURES[name].title for name in known)} |"
    yield "|---|---|" + "---|" * len(known)
    for row in rows:
        pool = ", ".join(filter(None, (row["pool"], fewer(row))))
        yield f"| {row['strategy']} | {pool} | {' | '.join(shown(row, name) for name in known)} |"
