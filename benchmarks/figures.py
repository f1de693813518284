"""docs/figures.md and the README's tables from the JSON files in benchmarks/results/: ``python -m benchmarks.figures``.

No number is typed. In the README, what stands between ``<!-- table NAME -->`` and ``<!-- end NAME -->`` is replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers import figures as peers
from benchmarks.strategies import figures as strategies

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOC = HERE.parent / "docs" / "figures.md"
README = HERE.parent / "README.md"
HEAD = """# Figures

Measured on the development machine (2 cores, no GPU); every table is written by the command above it, and this page by
`python -m benchmarks.figures`.

The KayKit sets, photos and sprites trained no encoder. They are not untouched, though: constants were chosen looking at
some of them, so what is told of those here is not a test on unseen pictures.

- *Copies*: the lines to begin with (`PRIOR` in `diversity/calibration.py`) were read off KayKit renders, DreamBooth and
  Caltech photos and pixel art. Larger sets are measured, and what they show is pulled towards these lines.
- *Quality, sharpness*: thresholds (`diversity/quality.py`) were set on KayKit renders, DreamBooth and Caltech photos
  and degraded copies of them; the blur radius has a constant that was fitted on KayKit and DreamBooth
  (`diversity/sharpness.py`).
- *Choosing*: plain facility location was preferred to taking turns between views after a look at the KayKit long tails
  (`diversity/select/choose.py`, [selection.md](selection.md)): on that suite ours was chosen, not only judged.
- *Text on pictures*: the detector's constants were chosen looking at the Caltech photos.

Intervals are 90 %: of comparisons where nothing differs, one in twenty is `better` by chance and one in twenty `worse`.
"""


def longtail(result: dict[str, Any]) -> str:
    """End-to-end promises per set."""
    lines = [
        "## The main job on labelled sets",
        "",
        "`python -m benchmarks.longtail`: 126 pictures of one character each, embedded encoder, default settings, "
        "`--keep 40`. *Rare found*: planted rare pictures (shoes, backs) in cells marked rare. *False rare*: cells "
        "marked rare although their true distinct count reaches the target.",
        "",
        "| set | captions | pairs F1 | precision | recall | orphans | rare found | rare kept | false rare |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in result["sets"]:
        lines.append(
            f"| {r['set']} | {'yes' if r['captions'] else 'ignored'} | {r['f1']:.3f} | {r['precision']:.3f} "
            f"| {r['recall']:.3f} | {r['orphans']} | {r['in_rare_cells']}/{r['planted']} | {r['kept']}/{r['planted']} "
            f"| {r['false_rare']} |"
        )
    return "\n".join(lines)


def duplicates(result: dict[str, Any]) -> str:
    """Pairs of copies per set."""
    lines = [
        "## Copies",
        "",
        "`python -m benchmarks.duplicates`: pairs in one group against labels; *wrong* lists pairs that are none.",
        "",
        "| set | pictures | F1 | precision | recall | wrong pairs | orphans |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in result["sets"]:
        scores = ["–" if r[k] is None or r[k] != r[k] else f"{r[k]:.3f}" for k in ("f1", "precision", "recall")]
        lines.append(f"| {r['set']} | {r['n']} | {' | '.join(scores)} | {len(r['wrong'])} | {r['orphans']} |")
    return "\n".join(lines)


def views(result: dict[str, Any]) -> str:
    """Labels per set and amount of captions."""
    lines = [
        "## Views",
        "",
        '`python -m benchmarks.views`: macro accuracy, "unsure" counts as wrong; side over four sides.',
        "",
        "| set | captions | framing | side | unsure | accuracy where sure |",
        "|---|---|---|---|---|---|",
    ]
    for r in result["sets"]:
        numbers = (r["framing"], r["side"], r["unsure"], r["accuracy_of_sure"])
        shown = " | ".join("–" if n is None or n != n else f"{n:.2f}" for n in numbers)
        lines.append(f"| {r['name']} | {r['captions']} | {shown} |")
    return "\n".join(lines)


def curate(result: dict[str, Any]) -> str:
    """What a newcomer waits for."""
    names = {"cold": "`curate`, nothing there yet", "unchanged": "`curate`, nothing changed", "help": "`--help`"}
    lines = [
        "## Waiting",
        "",
        f"`python -m benchmarks.curate`: {result['set']}, {result['cores']} cores, fresh processes, median (range).",
        "",
        "| command | seconds |",
        "|---|---|",
    ]
    for key, name in names.items():
        t = result[key]
        lines.append(f"| {name} | {t['median']:.2f} ({t['low']:.2f}–{t['high']:.2f}, n={t['n']}) |")
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in result["stages"].items())
    return "\n".join([*lines, "", f"Seconds by stage of a cold run: {stages}."])


def scan(result: dict[str, Any]) -> str:
    """The pass against its limit, per encoder."""
    runs = result["runs"]
    lines = [
        "## The scan against the machine",
        "",
        f"`python -m benchmarks.scan`: {runs[0]['cores']} cores. Core-milliseconds a picture by part, with all cores "
        "at work on it (*measure* holds its own decode); pictures/s of the pass; its throughput over the limit of "
        "decode and forward pass alone, and over the limit of all that it does (spread in brackets), without the time "
        "that workers were ready and had no core, and by the clock.",
        "",
        "| encoder | pictures | decode | measure | prepare | forward | pictures/s | over decode + forward | over all "
        "| both by the clock |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        n, m, s = run["pictures"], run["median"], run["spread"]
        parts = " | ".join(f"{1000 * m[part] / n:.2f}" for part in ("decode", "measure", "prepare", "forward"))
        ratios = " | ".join(f"{m[key]:.2f} ({s[key]:.2f})" for key in ("over_limit", "over_all_work"))
        clock = [m.get(f"{key}_by_clock") for key in ("over_limit", "over_all_work")]
        shown = ", ".join("–" if value is None else f"{value:.2f}" for value in clock)
        lines.append(f"| {run['encoder']} | {n} | {parts} | {n / m['pass_seconds']:.0f} | {ratios} | {shown} |")
    return "\n".join(lines)


def intervals(result: dict[str, Any]) -> str:
    """Real coverage of the intervals."""
    lines = [
        "## Intervals",
        "",
        f"`python -m benchmarks.interval_coverage`: share of {result['sets']} simulated sets whose interval holds the "
        f"truth (nominal {result['nominal']}).",
        "",
        "| population | groups | method | measure | coverage |",
        "|---|---|---|---|---|",
    ]
    for r in result["rows"]:
        if r["measure"] in ("vendi_1", "effective_rank"):
            names = f"{r['population']} | {r['groups']} | {r['method']} | {r['measure']}"
            lines.append(f"| {names} | {r['coverage']:.2f} |")
    return "\n".join(lines)


def overlay(result: dict[str, Any]) -> str:
    """Subtitles found, and what else is flagged."""
    elsewhere = ", ".join(f"{n} of `{name}`" for name, n in result["flagged_elsewhere"].items())
    return "\n".join(
        [
            "## Text on pictures",
            "",
            f"`python -m benchmarks.overlay`: of {result['subtitled']} Caltech-101 photos with a subtitle put on them, "
            f"{result['found']} are flagged `overlay`; of all {result['photos']} without, "
            f"{len(result['flagged_clean'])} (many of these carry text of their own: captions, copyright lines); "
            f"elsewhere {elsewhere}. The detector's constants were chosen looking at these photos.",
        ]
    )


SECTIONS: dict[str, Callable[[Any], str]] = {
    "longtail": longtail,
    "duplicates-auto": duplicates,
    "views": views,
    "curate": curate,
    "scan": scan,
    "overlay": overlay,
    "interval_coverage": intervals,
    "strategies": strategies.section,
    "peers": peers.section,
    "stages": peers.stages,
}
LADDER = Path(__file__).parent / "richness" / "results" / "readme.md"  # as `benchmarks.richness.report` wrote it
README_TABLES: dict[str, Callable[[Any], str]] = {"strategies": strategies.readme, "peers": peers.readme}


def filled(text: str, name: str, table: str) -> str:
    """`text` with `table` between the marks of `name`; the same where there are none."""
    begin, end = f"<!-- table {name} -->", f"<!-- end {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text)


def readme(text: str) -> str:
    """The README `text` with its tables as the results have them; those of results that are not there stay."""
    for name, write in README_TABLES.items():
        file = RESULTS / f"{name}.json"
        if file.is_file():
            text = filled(text, name, write(json.loads(file.read_text(encoding="utf-8"))))
    return filled(text, "ladder", LADDER.read_text(encoding="utf-8").strip()) if LADDER.is_file() else text


def page() -> str:
    """The page of all figures."""
    parts = [HEAD.rstrip()]
    for name, write in SECTIONS.items():
        file = RESULTS / f"{name}.json"
        if file.is_file():
            parts.append(write(json.loads(file.read_text(encoding="utf-8"))))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the page and the README's tables from what is there."""
    DOC.write_text(page(), encoding="utf-8")
    before = README.read_text(encoding="utf-8")
    after = readme(before)
    if after != before:
        README.write_text(after, encoding="utf-8")
    print(f"{DOC.name}, {README.name}{'' if after != before else ' (as it was)'}")


if __name__ == "__main__":
    main()
