"""The tables of peers and of stages for docs/figures.md and the README, from results/peers.json and stages.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEPT = {True: "kept", False: "**not kept**", None: "–"}
SECONDS = ("_s",)  # parts of the time are in the JSON


def section(result: Mapping[str, Any]) -> str:
    """Every task, peer and input."""
    machine = result["machine"]
    return "\n".join(
        [
            "## Beside what people use instead",
            "",
            f"`python -m benchmarks.peers`: {machine['cpu']}, {machine['cores']} cores. Alternating fresh processes, "
            "median seconds (range), imports left out on both sides. How to read it: [benchmarks.md](benchmarks.md).",
            "",
            readme(result),
        ]
    )


def readme(result: Mapping[str, Any]) -> str:
    """One row per task, peer and input."""
    lines = [
        "| task | peer | input | ours, s | theirs, s | faster | peak MB, ours / theirs | answers | promise |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        head = f"| {row['task']} | {row['peer']}{' ' + row['version'] if row.get('version') else ''} | {row['input']} |"
        if row["absent"]:
            lines.append(f"{head} | | | | absent: {row['absent']} | |")
            continue
        ours, theirs = row["ours"], row["theirs"]
        memory = " / ".join(_number(side["peak_mb"]["median"]) if "peak_mb" in side else "–" for side in (ours, theirs))
        promise = f"{row['floor']}: {KEPT[row['kept']]}" if row["floor"] else "–"
        lines.append(
            f"{head} {_span(ours['seconds'])} | {_span(theirs['seconds'])} | {row['faster']:.1f} × | {memory} "
            f"| {_answers(row['answers'])} | {promise} |"
        )
    return "\n".join(lines)


def stages(result: Mapping[str, Any]) -> str:
    """Work beside its limit, and what the stages spend their time on."""
    size = " × ".join(f"{n:,}" for n in result["vectors"])
    lines = [
        "## Time against the limit",
        "",
        f"`python -m benchmarks.profile_stages`: {result['pictures']} pictures of {result['set']}, {size} vectors, "
        f"{result['machine']['cores']} cores, medians of {result['repeats']}.",
        "",
        "| work | seconds | limit | share of the limit (spread) | seconds left |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['name']} | {row['seconds']:.3f} | {row['against']}: {row['limit_seconds']:.3f} | {row['share']:.2f} "
        f"({row['spread']:.2f}) | {row['left']:.3f} |"
        for row in sorted(result["limits"], key=lambda row: -row["left"])
    ]
    lines += ["", "| stage | seconds | most of it in |", "|---|---|---|"]
    lines += [f"| {row['stage']} | {row['seconds']:.2f} | {_functions(row['functions'])} |" for row in result["stages"]]
    return "\n".join(lines)


def _functions(found: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"`{row['name']}` {row['seconds']:.2f}" for row in found[:3]) or "threads, see above"


def _span(seconds: Mapping[str, float]) -> str:
    return f"{seconds['median']:.2f} ({seconds['low']:.2f}–{seconds['high']:.2f})"


def _answers(found: Mapping[str, Any]) -> str:
    told = [(name, value) for name, value in found.items() if not name.endswith(SECONDS) and value is not None]
    return "; ".join(
        f"{name.replace('_', ' ')} {_number(value) if isinstance(value, float) else value}" for name, value in told
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
