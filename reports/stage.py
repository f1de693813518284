"""The stage `report`, offered to the `diversity` command by entry point."""

from __future__ import annotations

from diversity import record
from diversity.stages import Context, Stage

SUBJECT = "subject"  # not a stage's: `diversity subject` writes it
TABLES = ("images", "thumbnails", "duplicates", "views", "targets", "scores", "map", "trainer", "selection", "dropped")


def _run(context: Context) -> None:
    from reports.dataset_report import write

    write(context.dataset)


def _inputs(context: Context) -> object:
    """Whatever any stage was run with: the page shows settings and seconds too; and what a forecast is made from."""
    from training import forecast

    stages = record.of_selection(record.load(context.dataset.folder)["stages"], context.dataset.config.select.name)
    checked = context.dataset.path(SUBJECT)
    subject = record.file_hash(checked) if checked.is_file() else None
    known = {name: found["fingerprint"] for name, found in stages.items() if name != "report"}
    return known | {SUBJECT: subject, "forecast": forecast.evidence(context.dataset.folder)}


def _complete(context: Context) -> bool:
    from diversity.summary import report_file

    return report_file(context.dataset).is_file()


STAGE = Stage(needs=TABLES, gives=(), settings=(), run=_run, inputs=_inputs, complete=_complete)
