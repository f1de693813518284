"""Pages from the analysis: CLAIMS.md, the README's table, the figure, and the rows that the package ships.

``python -m benchmarks.richness.report``. No number is typed; nothing is computed here.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.richness import encoded
from benchmarks.richness.analyse import CORE, PRIMARY, Analysis, Areas, Endpoint, analyse, plain
from benchmarks.richness.claims import RICHNESS, Judged
from benchmarks.richness.run import AGAIN, DRIFT, HERE, RESULTS, done
from benchmarks.richness.statistics import Found
from benchmarks.richness.table import Row, column
from diversity.errors import DiversityError
from diversity.workspace import atomic, write_text
from training.evaluate import ladder

CLAIMS = HERE / "CLAIMS.md"
COLOURS = {"monotone": "#c0392b", "portrait": "#e67e22", "turntable": "#2e7d32"}
NOT_SHIPPED = ("truth.right", "binding")  # per attribute and tag: too many for a package
LEFT_OUT = ("losses", "readings", "cpu_s")
OF_AN_ENCODER = ("richness.", "memory.", "variety.", "drift.", "pick.", "fidelity", "faces.", "copies.", "band.")
SEEN_BY = ("features", "text")
STATE = "An association in these characters on this small base, not a law."


def write(rows: Sequence[Row], results: Path, claims: Path, shipped: Path) -> Analysis:
    """All pages from the rows.

    Args:
        rows: Of every block.
        results: Folder of them, of what was asked again, of drift, and of what another encoder sees; of pages too.
        claims, shipped: Files that are written.
    """
    rows = _with_drift(rows, {row["id"]: row["scores"] for row in ladder.read(results / DRIFT)})
    seen = {file.stem: {row["id"]: row["scores"] for row in ladder.read(file)} for file in encoded.files(results)}
    found = analyse(rows, ladder.read(results / AGAIN), seen)
    write_text(results / "analysis.json", json.dumps(plain(found), indent=1, ensure_ascii=False) + "\n")
    write_text(claims, claims_page(found))
    write_text(results / "readme.md", readme(found))
    figure([row for row in rows if row["block"] == "core" and "problem" not in row], results / "ladder.svg")
    ships = seen.get(encoded.shipped(), {})
    lines = [json.dumps(slim(row, ships.get(row["id"])), ensure_ascii=False) for row in rows if "problem" not in row]
    write_text(shipped, "".join(f"{line}\n" for line in lines))
    return found


def _with_drift(rows: Sequence[Row], found: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Rows that are older than the measure with what it says of their drawings."""
    return [{**row, "scores": [*row["scores"], *found.get(row["id"], ())]} for row in rows]


def slim(row: Row, seen: Sequence[Row] | None = None) -> dict[str, Any]:
    """A row as the package ships it: what the reports and the forecast read.

    Args:
        row: Of the ladder.
        seen: Its set's richness to the encoder that ships, where that is another one than the row was measured with:
            then all that the row's own encoder saw stays behind.
    """
    kept = {name: value for name, value in row.items() if name not in (*LEFT_OUT, "scores")}
    scores = [one for one in row["scores"] if not one["measure"].startswith(NOT_SHIPPED)]
    if seen is not None:
        scores = [*seen, *(one for one in scores if not _of_an_encoder(one))]
    return {**kept, "scores": scores}


def _of_an_encoder(one: Row) -> bool:
    return one["measure"].startswith(OF_AN_ENCODER) or json.loads(one["settings"]).get("by") in SEEN_BY


def claims_page(found: Analysis) -> str:
    """CLAIMS.md: one line for each claim, then every comparison behind it."""
    lines = [
        "# What the ladder says of the claims",
        "",
        f"Written by `python -m benchmarks.richness.report` from {found.rows} LoRAs ({found.core} of {CORE} of the "
        f"core, {found.characters} characters); rules and thresholds are in PROTOCOL.md. {STATE}",
        "",
    ]
    if found.preliminary:
        lines += ["**Preliminary**: the core is not complete.", ""]
    for claim, (verdict, parts) in found.claims.items():
        agreed = [f"{sum(one.verdict == v for one in parts)} {v}" for v in ("supported", "refuted", "undecided")]
        shown = ", ".join(text for text in agreed if not text.startswith("0 "))
        lines.append(f"- **{claim}**: {verdict} ({shown})")
    lines += [
        "",
        "| claim | comparison | verdict | effect | 95 % interval | matters from | p (Holm) | n | what settles it |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for claim, (_, parts) in found.claims.items():
        lines += [_part_line(claim, one) for one in parts]
    lines += ["", *_controls(found)]
    return "\n".join(lines) + "\n"


def readme(found: Analysis) -> str:
    """The table of the README: richness with each primary endpoint, and the AUCs."""
    lines = [
        f"Richness of {found.core} sets ({found.characters} characters) with what their LoRAs did; "
        "rank correlation, 95 % interval over characters, p permuted within characters, Holm:",
        "",
        "| with | expected | rank correlation | p | n |",
        "|---|---|---|---|---|",
    ]
    lines += [_endpoint_line(end, one) for end, one in found.primary]
    lines += ["", "| overfitted or not, told from | AUC | LoRAs (overfitted) |", "|---|---|---|"]
    lines += [_area_line(one) for one in found.areas if one.line == 0.10]
    return "\n".join(lines) + "\n"


def figure(rows: Sequence[Row], file: Path) -> None:
    """Richness against each primary endpoint, a dot for each LoRA."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "ladder", "font.size": 9, "svg.fonttype": "none"})
    sheet, axes = plt.subplots(1, len(PRIMARY), figsize=(3.1 * len(PRIMARY), 3.2), layout="constrained")
    rich = column(rows, RICHNESS)
    for axis, end in zip(axes, PRIMARY, strict=True):
        values = column(rows, end.measure, **end.settings)
        for kind, colour in COLOURS.items():
            mine = np.array([row["composition"] == kind for row in rows], bool)
            sizes = [14 if row["n"] <= 16 else 42 for row in rows if row["composition"] == kind]
            axis.scatter(rich[mine], values[mine], s=sizes, c=colour, alpha=0.7, linewidths=0, label=kind)
        if np.isfinite(rich + values).any():  # an axis without a point cannot be logarithmic
            axis.set_xscale("log")
        axis.set_xlabel("richness (Vendi score)")
        axis.set_title(f"{end.name}  {end.what}", fontsize=9)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8, title="small: 16, large: 64 pictures", title_fontsize=7)
    with atomic(file) as temporary:
        sheet.savefig(temporary, format="svg", metadata={"Date": None})
    plt.close(sheet)


def _controls(found: Analysis) -> list[str]:
    lines = [
        "## Richness and the endpoints",
        "",
        "| with | expected | rank correlation | p | n |",
        "|---|---|---|---|---|",
    ]
    lines += [_endpoint_line(end, one) for end, one in found.primary]
    lines += ["", "Not corrected, at matched exposures and beside the primaries:", ""]
    lines += ["| with | expected | rank correlation | p | n |", "|---|---|---|---|---|"]
    lines += [_endpoint_line(end, one) for end, one in (*found.matched, *found.secondary)]
    lines += ["", "Other measures of richness:", ""]
    lines += [f"| | {' | '.join(end.name for end in PRIMARY)} |", "|---|" + "---|" * len(PRIMARY)]
    for name, values in {**found.predictors, **found.seen}.items():
        lines.append(f"| {name.removeprefix('richness.')} | {' | '.join(_number(value) for value in values)} |")
    lines += ["", "## Overfitted or not", "", *_areas(found.areas)]
    if found.again is not None:
        lines += [
            "",
            f"Exploratory: {found.again.repeats.n} LoRAs drew the same prompts with other seeds. What they lose then "
            f"goes with what they lost first at a rank correlation of {_interval(found.again.repeats)}. So well does "
            "the ground truth itself tell its own labels (first line); only a measure that knew what a LoRA loses "
            "on average could do better. With *, those other seeds, which no measure has seen, say who is overfitted.",
            "",
            *_areas(found.again.areas),
        ]
    if found.whole:
        lines += [
            "",
            "Exploratory: five numbers of an evaluation without ground truth, and how far unrelated pictures move. "
            "Both were chosen on the core and the first rows of the claim block, where they look better than they are:",
            "",
            *_areas(found.whole),
        ]
    lines += [
        "",
        "## Controls",
        "",
        f"- An untrained LoRA: largest of the measures that must be 0: {_number(found.identity, 4)}.",
        f"- Shuffled captions lose {_interval(found.shuffled)} more control than ordered ones.",
        f"- Permuted richness is called significant in {_number(found.false_alarms, 3)} of permutations (0.05).",
        f"- Excluded: {', '.join(found.excluded) or 'none'}.",
    ]
    return lines


def _areas(areas: Sequence[Areas]) -> list[str]:
    lines = ["| told from | lost from | AUC | LoRAs (overfitted) | with lost |", "|---|---|---|---|---|"]
    for one in areas:
        told, auc, count = _area_line(one).strip("| ").split(" | ")
        lines.append(f"| {told} | {one.line:.2f} | {auc} | {count} | {_number(one.spearman)} |")
    return lines


def _part_line(claim: str, one: Judged) -> str:
    found, same = one.found, one.part.same
    line = f"±{one.part.least:g}" if same else f"{one.part.least:g}"
    p = "–" if same else _number(found.p, 3)
    count = f"{found.n}" if found.n == found.characters else f"{found.n} ({found.characters} characters)"
    what = f"{one.part.what}{' ≈' if same else ''}"
    bounds = f"{_number(found.low, 3)} to {_number(found.high, 3)}" if found.known else "–"
    return (
        f"| {claim} | {what} | {one.verdict} | {_number(found.value, 3)} | {bounds} | {line} | {p} | {count} "
        f"| {one.settles or '–'} |"
    )


def _endpoint_line(end: Endpoint, found: Found) -> str:
    name = f"{end.name} {end.what}".strip()
    return f"| {name} | {'−' if end.sign < 0 else '+'} | {_interval(found)} | {_number(found.p, 4)} | {found.n} |"


def _area_line(one: Areas) -> str:
    undecided = "" if one.decided else " (undecided: a class is too small)"
    return f"| {one.told_from} | {_interval(one.found)}{undecided} | {one.found.n} ({one.overfitted}) |"


def _interval(found: Found) -> str:
    if not found.known:
        return _number(found.value)
    return f"{_number(found.value)} ({_number(found.low)} to {_number(found.high)})"


def _number(value: float, digits: int = 2) -> str:
    return "–" if not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def main(argv: list[str] | None = None) -> int:
    """Command line entry; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.richness.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--claims", type=Path, default=CLAIMS)
    parser.add_argument("--shipped", type=Path, default=ladder.FILE)
    args = parser.parse_args(argv)
    try:
        rows = list(done(args.results).values())
        if not any(row["block"] == "core" for row in rows):
            print(f"There are no core LoRAs in {args.results} yet.", file=sys.stderr)
            return 2
        found = write(rows, args.results, args.claims, args.shipped)
    except DiversityError as error:
        print(error, file=sys.stderr)
        return 2
    print(readme(found))
    for claim, (verdict, _) in found.claims.items():
        print(f"{claim}: {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
