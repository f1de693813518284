"""The tables of peers and of stages for docs/figures.md and the README, from results/peers.json and stages.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEPT = {True: "kept", False: "**not kept**", None: "–"}


def section(result: Mapping[str, Any]) -> str:
    """Every task, peer and input."""
    machines = "; ".join(dict.fromkeys(_host(row) for row in result["rows"]))
    return "\n".join(
        [
            "## Beside what people use instead",
            "",
            f"`python -m benchmarks.peers`: {machines}. Alternating fresh processes, median seconds (range, number of "
            "runs), imports left out on both sides, loading of models not. How to read it: "
            "[benchmarks.md](benchmarks.md).",
            "",
            table(result),
        ]
    )


def readme(result: Mapping[str, Any]) -> str:
    """One row per task, peer and machine: seconds over all inputs, least and largest ratio, promises kept."""
    found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in result["rows"]:
        found.setdefault((row["words"], row["peer"], _host(row)), []).append(row)
    lines = [
        "| what | beside | inputs | ours, s | theirs, s | times as fast | promise |",
        "|---|---|---|---|---|---|---|",
    ]
    for (words, peer, _), rows in found.items():
        told = [row for row in rows if not row["absent"]]
        if not told:
            lines.append(f"| {words} | {peer} | | | | | absent: {_why(rows[0])} |")
            continue
        ours, theirs = (
            sum(row[side]["seconds"]["median"] for row in told if side in row) for side in ("ours", "theirs")
        )
        fast = [row["faster"] for row in told if "faster" in row]
        beside = f"{theirs:.1f} | {_between(min(fast), max(fast))}" if fast else "– | –"
        lines.append(f"| {words} | {peer} | {_inputs(rows)} | {ours:.1f} | {beside} | {_promise(told)} |")
    return "\n".join(lines)


def _why(row: Mapping[str, Any]) -> str:
    """Why a peer is absent, without the last words of an exception beyond its name."""
    said, *more = str(row["absent"]).split(": ")
    return ": ".join([said, *(one.rsplit(".", 1)[-1] for one in more[:1])])


def _inputs(rows: Sequence[Mapping[str, Any]]) -> str:
    answered = sum(not row["absent"] for row in rows)
    return str(answered) if answered == len(rows) else f"{answered} of {len(rows)}"


def _between(low: float, high: float) -> str:
    return f"{low:.1f}–{high:.1f}" if f"{low:.1f}" != f"{high:.1f}" else f"{low:.1f}"


def _promise(rows: Sequence[Mapping[str, Any]]) -> str:
    asked = [row for row in rows if row["floor"]]
    if not asked:
        return "–"
    kept = sum(row["kept"] for row in asked)
    words = "kept" if kept == len(asked) else f"**kept on {kept} of {len(asked)}**" if kept else "**not kept**"
    return f"{asked[0]['floor']}: {words}"


def table(result: Mapping[str, Any]) -> str:
    """One row per task, peer and input."""
    lines = [
        "| task | peer | input | ours, s | theirs, s | faster | peak MB, ours / theirs | answers | promise |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        head = f"| {row['task']} | {row['peer']}{' ' + row['version'] if row.get('version') else ''} | {row['input']} |"
        if row["absent"]:
            lines.append(f"{head} | | | | absent: {_why(row)} | |")
            continue
        ours, theirs = row["ours"], row.get("theirs")
        memory = " / ".join(_peak(side) for side in (ours, theirs))
        speed = f"{_span(theirs['seconds'])} | {row['faster']:.1f} ×" if theirs else "– | –"
        promise = f"{row['floor']}: {KEPT[row['kept']]}" if row["floor"] else "–"
        lines.append(f"{head} {_span(ours['seconds'])} | {speed} | {memory} | {_answers(row)} | {promise} |")
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
    return ", ".join(f"`{row['name']}` {row['seconds']:.2f}" for row in found[:3])


def _span(seconds: Mapping[str, float]) -> str:
    """Median with the range and number of the runs; one run has no range."""
    if seconds["n"] == 1:
        return f"{seconds['median']:.2f} (n = 1)"
    return f"{seconds['median']:.2f} ({seconds['low']:.2f}–{seconds['high']:.2f}, n = {seconds['n']})"


def _peak(side: Mapping[str, Any] | None) -> str:
    return _number(side["peak_mb"]["median"]) if side and "peak_mb" in side else "–"


def _answers(row: Mapping[str, Any]) -> str:
    """What the answers say of one another, and how fast the parts are that both sides time."""
    told = [(name.replace("_", " "), value) for name, value in row["answers"].items() if value is not None]
    parts = row.get("parts", {}).items()
    return "; ".join(
        [f"{name} {_number(value) if isinstance(value, float) else value}" for name, value in told]
        + [f"{name} alone {part['faster']:.1f} ×" for name, part in parts if "faster" in part]
    )


def _host(row: Mapping[str, Any]) -> str:
    """On what a row was measured: figures of different machines are never added up."""
    return f"{row['machine']['cpu']}, {row['machine']['cores']} cores"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
