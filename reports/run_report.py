"""Writes the page of one evaluated LoRA: one self-contained HTML file from the tables of its evaluation.

Computes nothing beyond counting and formatting; what is said comes from evaluation.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diversity.workspace import atomic
from reports import run_charts, run_words, shell, words
from reports.cards import Shown
from reports.run_charts import Point
from reports.run_facts import RunFacts
from training.evaluate import stored

SECTIONS = (
    ("verdict", "Verdict"),
    ("set", "For the set"),
    ("pairs", "Nearest pictures"),
    ("weights", "Over weights"),
    ("colours", "Colours"),
    ("steps", "Over checkpoints"),
    ("numbers", "Numbers"),
    ("pictures", "All samples"),
)
TOPICS = {
    "copies": "Copies",
    "losses": "Losses",
    "colours": "Colours",
    "variety": "Variety",
    "control": "Prompts",
    "leak": "Trigger word",
    "blend": "Two characters",
    "weights": "Weights",
    "checkpoints": "Checkpoints",
    "binding": "Tags",
}


def write(what: str | Path, out: Path | None = None) -> Path:
    """Write the page of an evaluation.

    Args:
        what: Its folder, or the folder or id of its run.
        out: The file; default `report.html` beside its tables.

    Raises:
        DiversityError: it is not there, or cannot be read.
    """
    facts = RunFacts.of(stored.read(what))
    file = out or facts.stored.folder / "report.html"
    with atomic(file) as temporary:
        temporary.write_text(_render(facts), encoding="utf-8", newline="\n")
    return file


def page(template: str, shown: Sequence[Shown], thumbnails: Sequence[bytes], more: dict[str, Any]) -> str:
    """A page of a template with cards, charts, the style sheet and its own policy.

    Args:
        template: Its file.
        shown: The cards.
        thumbnails: Their pictures.
        more: What the template takes beside that; "charts" and "assets" (scripts of its own) among it.
    """
    environment = shell.environment()
    environment.filters.update(count=words.count)
    environment.globals.update(words=words, said=run_words, share=lambda value: words.number(value, share=True))
    assets = more.pop("assets", ())
    return environment.get_template(template).render(
        cards=[one.card() for one in shown],
        thumbs=shell.thumbs(thumbnails),
        **shell.frame(more["charts"], ("report.css", "pick.css", "runs.css"), assets),
        **more,
    )


def _render(facts: RunFacts) -> str:
    drawn, titles = charts(facts)
    command = shell.quoted(str(facts.said.get("pictures") or "PICTURES"))
    more = {"facts": facts, "sections": SECTIONS, "topics": TOPICS, "charts": drawn, "titles": titles}
    return page("run.html.j2", facts.shown, facts.thumbnails, {**more, "command": command})


def charts(facts: RunFacts) -> tuple[dict[str, Any], dict[str, str]]:
    """Name → chart, and name → title."""
    drawn: dict[str, Any] = {}
    titles: dict[str, str] = {}

    def add(name: str, title: str, rows: Sequence[Sequence[dict[str, Any]]], over: str, *, percent: bool) -> None:
        series = [(title, [_point(facts, row, over) for row in some if over in row["at"]]) for some in rows]
        series = [(label, points) for label, points in series if len(points) > 1]
        if series:
            axis = {"weight": "LoRA weight", "keyword_weight": "weight of the trigger word", "step": "step"}[over]
            drawn[name], titles[name] = run_charts.curve(title, series, axis, share=percent), title

    for number, view in enumerate(facts.views()):
        rows = list(view["by_weight"].values())
        add(f"view-{number}", f"Likeness: {view['view']}", [rows], "weight", percent=False)
    for number, view in enumerate(dict.fromkeys(row["at"]["view"] for row in facts.scores("looks.view"))):
        title = f"View and looks right: {run_words.view(view)}"
        add(f"looks-{number}", title, [facts.scores("looks.view", view=view)], "weight", percent=True)
    add("copies", "Share of copies", [facts.scores("copies.share")], "weight", percent=True)
    unrelated = facts.scores("colour.towards", part="colour", prompts="unrelated")
    add("colour", "Way to the set's colours, unrelated prompts", [unrelated], "weight", percent=True)
    keyword = facts.scores("colour.towards", part="colour", prompts="novel")
    add("keyword", "The same by keyword weight, prompts with the trigger", [keyword], "keyword_weight", percent=True)
    steps = [[row for row in facts.scores(f"loss.{side}") if "step" in row["at"]] for side in ("held_out", "train")]
    add("steps", "Loss against the base: held out (filled), trained on (rings)", steps, "step", percent=False)
    return drawn, titles


def _point(facts: RunFacts, row: dict[str, Any], over: str) -> Point:
    interval = run_words.span(row)
    text = f"{run_words.value(row)} ({interval}), n = {row['n']}" if interval else run_words.value(row)
    weight = row["at"].get("weight")
    card = next(
        (
            shown.index
            for shown, sample in zip(facts.shown, facts.samples, strict=False)
            if sample["weight"] == weight and sample["kind"] == "subject"
        ),
        -1,
    )
    at = row["at"][over]
    return Point(at, row["value"], row["low"], row["high"], card, f"{over.replace('_', ' ')} {at:g}", text)
