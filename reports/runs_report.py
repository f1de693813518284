"""Writes the page of many runs: how rich each set is against what became of its LoRA, over the committed ladder.

Computes nothing beyond looking up and formatting: runs come from their evaluations, the ladder from its rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diversity.errors import InputError
from diversity.workspace import atomic
from reports import run_charts, run_words, words
from reports.cards import Book
from reports.run_charts import Point
from reports.run_facts import RunFacts
from reports.run_report import page
from training.evaluate import ladder, stored

SECTIONS = (("verdict", "Runs"), ("map", "Richness and outcome"), ("numbers", "Numbers"), ("pictures", "Samples"))
RICHNESS = "richness.vendi_1"
# measure → settings that its row must have; None: any
ENDPOINTS: dict[str, Mapping[str, object]] = {
    "loss.gap": {},
    "copies.share": {},
    "memory.nearer": {},
    "variety.ratio": {},
    "drift.share": {},
    "colour.towards": {"part": "colour", "prompts": "unrelated"},
    "control.difference": {},
    "leak.share": {},
    "looks.lora": {},
}
COUNTED = {"train": "trained on", "held_out": "held out"}  # of a run's record
SAMPLES = 6  # of each run that are shown


@dataclass(frozen=True)
class One:
    """A run, or a LoRA of the ladder, as a row.

    Attributes:
        name: What it is called.
        scores: Endpoint → row; absent where it was not measured.
        rich: Row of its set's richness; None where that is not known.
        encoder: Id of what measured the richness: other encoders' numbers are not comparable.
        group: What filters go by: the composition of a ladder row; "" for a run.
        card: Index of its card.
        facts: Of a run; None for a ladder row.
        about: Key → value of what it is.
    """

    name: str
    scores: Mapping[str, dict[str, Any]]
    rich: dict[str, Any] | None
    encoder: str
    group: str
    card: int
    facts: RunFacts | None
    about: Mapping[str, str]


def write(what: Sequence[str | Path], out: Path | None = None, ladder_file: Path | None = None) -> Path:
    """Write the page.

    Args:
        what: Evaluations: their folders, or folders or ids of runs.
        out: The file; default `runs.html` beside the first evaluation's tables.
        ladder_file: Rows to draw the runs over; default the committed ladder, none where there is no such file.

    Raises:
        DiversityError: one is not there, or cannot be read.
    """
    if not what:
        raise InputError("There are no runs to compare.", "", "Name evaluated runs after --runs.")
    book = Book()
    runs = [_run(RunFacts.of(stored.read(one)), book) for one in what]
    rows = [row for row in ladder.read(ladder_file) if "problem" not in row]
    encoders = {run.encoder for run in runs if run.rich is not None}
    comparable = [row for row in rows if len(encoders) == 1 and _encoder(row["scores"]) in encoders]
    rungs = [_rung(row, book) for row in comparable]
    file = out or stored.find(what[0]) / "runs.html"
    with atomic(file) as temporary:
        temporary.write_text(_render(runs, rungs, len(rows) - len(rungs), book), encoding="utf-8", newline="\n")
    return file


def _render(runs: Sequence[One], rungs: Sequence[One], left_out: int, book: Book) -> str:
    drawn: dict[str, Any] = {}
    titles: dict[str, str] = {}
    for measure in ENDPOINTS:
        known = run_words.of(measure)
        own, others = (_points(some, measure) for some in (runs, rungs))
        if own or others:
            axis = "richness of the set (Vendi score)"
            drawn[measure.replace(".", "-")] = run_charts.cloud(known.name, own, others, axis, share=known.share)
            titles[measure.replace(".", "-")] = known.name
    more = {
        "runs": runs,
        "rungs": rungs,
        "left_out": left_out,
        "groups": sorted({rung.group for rung in rungs}),
        "endpoints": [name for name in ENDPOINTS if any(name in run.scores for run in runs)],
        "sections": SECTIONS,
        "charts": drawn,
        "titles": titles,
        "meanings": {name: run_words.of(name).meaning for name in ENDPOINTS if name.replace(".", "-") in drawn},
        "encoders": sorted({run.encoder for run in runs if run.rich is not None}),
        "assets": ("runs.js",) if drawn else (),
        "differences": _differences(runs),
        "unlike": _unlike(runs),
        "lines": _lines(runs),
    }
    return page("runs.html.j2", book.shown, book.thumbnails, more)


def _run(facts: RunFacts, book: Book) -> One:
    """A run, with cards of itself and of some samples."""
    scores = {name: row for name, at in ENDPOINTS.items() if (row := _chosen(facts.rows, name, at))}
    rich = _chosen(facts.rows, RICHNESS, {})
    record = facts.said.get("record") or {}
    told = {name: words.plain(record[name]) for name in ("steps", "batch_size", "rank", "lr") if record.get(name)}
    whose = facts.title if facts.short == facts.title else f"{facts.title}, {facts.short}"
    about = {"Set": whose, "Verdict": str(facts.said.get("headline", "")), **told}
    said = {**about, **{run_words.of(name).name: _spelt(row) for name, row in scores.items()}}
    full = max(facts.weights, default=0)
    asked = [row for row in facts.samples if row["kind"] == "subject" and row["weight"] == full and not row["bare"]]
    main = list({row["prompt"]: row for row in reversed(asked)}.values())[::-1]  # the first seed of each prompt
    first = book.add(facts.stored.name, main[0]["jpeg"] if main else None, "run", said)
    for row in main[1:SAMPLES]:
        said = {"Prompt": row["prompt"], "Seed": str(row["seed"]), "Run": facts.stored.name}
        book.add(f"{facts.short}: {row['prompt']}", row["jpeg"], "sample", said)
    return One(facts.stored.name, scores, rich, _encoder(facts.rows), "", first.index, facts, about)


def _rung(row: Mapping[str, Any], book: Book) -> One:
    """A LoRA of the ladder."""
    rows = [{**one, "at": json.loads(one["settings"])} for one in row["scores"] if one["value"] is not None]
    scores = {name: found for name, at in ENDPOINTS.items() if (found := _chosen(rows, name, at))}
    rich = _chosen(rows, RICHNESS, {})
    keys = ("character", "composition", "arm", "n", "seed", "steps", "exposures")
    about = {key.capitalize(): words.plain(row[key]) for key in keys if row.get(key) not in (None, "")}
    shown = book.add(str(row.get("id", "ladder")), None, "ladder", {**about, **_all_spelt(scores)})
    return One(
        shown.name, scores, rich, _encoder(row["scores"]), str(row.get("composition", "")), shown.index, None, about
    )


def _encoder(rows: Sequence[Mapping[str, Any]]) -> str:
    """Id of what measured a set's richness; "" where it was not measured."""
    settings = next((row["settings"] for row in rows if row["measure"] == RICHNESS), "{}")
    return str(json.loads(settings).get("encoder", ""))


def _chosen(rows: Sequence[dict[str, Any]], measure: str, at: Mapping[str, object]) -> dict[str, Any] | None:
    """The row of a measure at the highest weight, of the last checkpoint, and of the first held-out set."""
    found = [
        row
        for row in rows
        if row["measure"] == measure
        and "step" not in row["at"]
        and "keyword_weight" not in row["at"]
        and all(row["at"].get(key) == value for key, value in at.items())
    ]
    best = max((row["at"].get("weight", 0) for row in found), default=0)
    return next((row for row in found if row["at"].get("weight", 0) == best), None)


def _points(some: Sequence[One], measure: str) -> list[Point]:
    points = []
    for one in some:
        row = one.scores.get(measure)
        if row is not None and one.rich is not None:
            low, high = (row[end] for end in ("low", "high"))
            text = f"{run_words.of(measure).name}: {_spelt(row)}; richness {_spelt(one.rich)}"
            points.append(Point(one.rich["value"], row["value"], low, high, one.card, one.name, text, one.group))
    return points


def _spelt(row: Mapping[str, Any]) -> str:
    interval = run_words.span(row)
    return f"{run_words.value(row)} ({interval})" if interval else run_words.value(row)


def _all_spelt(scores: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    return {run_words.of(name).name: _spelt(row) for name, row in scores.items()}


def _unlike(runs: Sequence[One]) -> bool:
    """Whether they were measured on different held-out pictures."""
    tables = [run.facts.stored.real for run in runs if run.facts is not None and "loss.gap" in run.scores]
    held_out = {frozenset(table.filter(table["role"] == "held_out")["content"].to_list()) for table in tables}
    return len(held_out) > 1


def _lines(runs: Sequence[One]) -> list[tuple[str, float]]:
    """(run, agreement from which a sample is a copy) where runs were judged by different lines; else none."""
    told = [(run.name, run.scores["copies.share"]["at"].get("line")) for run in runs if "copies.share" in run.scores]
    known = [(name, float(line)) for name, line in told if line is not None]
    return known if len({line for _, line in known}) > 1 else []


def _differences(runs: Sequence[One]) -> list[tuple[str, list[str]]]:
    """Settings in which the runs differ."""
    records = [_told(run.facts.said.get("record") or {}) if run.facts else {} for run in runs]
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [(name.replace("_", " "), [words.plain(record.get(name)) for record in records]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _told(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was trained with, counts of its pictures told one by one; without hashes and reasons."""
    data = record.get("data") or {}
    counts = {f"pictures {name}": data[key] for key, name in COUNTED.items() if key in data}
    return {key: value for key, value in record.items() if key not in ("data", "reasons", "created")} | counts
