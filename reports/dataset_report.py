"""Writes the curation report: one self-contained HTML file from a workspace's tables.

Computes nothing beyond counting and formatting, and loads nothing from the network: the page's own policy forbids it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diversity.explain import how_sure
from diversity.summary import report_file
from diversity.workspace import atomic, default_location
from reports import charts, forecast_section, shell, words
from reports.facts import Facts, original_folder
from reports.rows import Picture

if TYPE_CHECKING:
    from diversity.dataset import Dataset
    from reports.forecast_section import Section


def write(dataset: Dataset, out: Path | None = None) -> Path:
    """Write the report of `dataset`; a table that is missing is named with the command that makes it.

    Args:
        dataset: An open dataset.
        out: The file; default `reports/curation.html` in the workspace, or `reports/curation-<name>.html`.

    Returns:
        The file written.

    Raises:
        WorkspaceError: a table is there but cannot be read.
    """
    file = out or report_file(dataset)
    facts = Facts.read(dataset)
    forecast = forecast_section.section(facts.frames["scores"], dataset.folder)
    page = _render(facts, original_folder(dataset, file), _argument(facts, dataset), forecast)
    with atomic(file) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return file


def _argument(facts: Facts, dataset: Dataset) -> str:
    """The set as commands take it in the folder that holds it, with its workspace where that is not the usual one."""
    named = shell.quoted(dataset.root.name)
    if dataset.folder == default_location(dataset.root):
        return named
    return f"{named} --workspace {shell.quoted(facts.near(dataset.folder))}"


def _render(facts: Facts, originals: str, pictures_argument: str, forecast: Section | None) -> str:
    environment = shell.environment()
    environment.filters.update(count=words.count, label=words.name, plain=words.plain, cell=words.cell_phrase)
    environment.filters.update(unnumbered=words.without_numbers)
    environment.globals.update(words=words, number=words.number, weight=words.weight)
    drawn = _charts(facts)
    return environment.get_template("curation.html.j2").render(
        facts=facts,
        command=pictures_argument,
        forecast=forecast,
        charts=drawn,
        cards=[_card(picture) for picture in facts.pictures],
        originals=originals,
        thumbs=shell.thumbs(facts.thumbnails),
        next_step=next_step(facts),
        **shell.frame(drawn, ("report.css",)),
    )


def _charts(facts: Facts) -> dict[str, Any]:
    """Chart name → Bokeh document, for those whose tables are there."""
    drawn = {}
    if facts.frames["map"].height and facts.pictures:
        drawn["map"] = charts.picture_map(facts)
    if facts.gains[0]:
        drawn["gains"] = charts.gain_curve(facts)
    if facts.weighted:
        drawn["weights"] = charts.weight_bars(facts)
    return drawn


def next_step(facts: Facts) -> str:
    """The one thing that helps this set most, as a sentence."""
    if facts.missing >= {"images"} or not facts.pictures:
        return "Scan the pictures first."
    if facts.subject is not None and facts.subject.sentence:
        return f"Look at them before anything else: {facts.subject.sentence}."
    for state in ("missing", "rare"):
        lacking = [target for target in facts.in_state(state) if target.advice]
        if lacking:
            return lacking[0].advice
    overlays = [members for flag, members in facts.flagged if flag == "overlay"]
    if overlays:
        return f"Repair the {words.count(len(overlays[0]), 'picture')} with text or a logo on top."
    thieves = [target for target in facts.in_state("thief") if target.advice]
    done = facts.part("stages") or "selection" not in facts.missing
    last = "Nothing is missing: train on the exported selection." if done else "Run the stages that are named below."
    return thieves[0].advice if thieves else last


def _card(picture: Picture) -> dict[str, Any]:
    """What the page's script shows when a picture is opened; facts that are absent are left out."""
    rows = {
        "Status": words.STATUSES[picture.status],
        "Why": picture.reason,
        "Compared": picture.likeness,
        "Weight": words.weight(picture.weight),
        "Picked": f"number {picture.rank + 1}" if picture.rank is not None else "",
        **{
            axis.replace("_", " ").capitalize(): f"{words.name(label)} ({how_sure(confidence, source)})"
            for axis, label, confidence, source in picture.labels
        },
        "Remarks": ", ".join(words.flag_words(flag)[0].lower() for flag in picture.flags),
        "By hand": picture.decision,
        "Size": picture.size,
        "File": picture.path,
        "Caption": picture.caption,
    }
    card: dict[str, Any] = {"name": picture.name, "path": picture.path, "rows": {k: v for k, v in rows.items() if v}}
    for place in ("thumb", "keeper", "alike", "weight"):
        value = getattr(picture, place)
        if value is not None:
            card[place] = value
    return card
