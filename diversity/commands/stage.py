"""`diversity scan|dedup|views|select|export|report`: everything up to one stage."""

from __future__ import annotations

import argparse

from diversity.commands.common import add_common, emit, open_dataset, progress

UP_TO = {
    "scan": ("scan",),
    "dedup": ("scan", "label", "dedup"),
    "views": ("scan", "label", "dedup", "views"),
    "select": ("scan", "label", "dedup", "views", "select"),
    "export": ("scan", "label", "dedup", "views", "select", "export"),
    "report": ("scan", "label", "dedup", "views", "select", "score", "map", "report"),
}


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """The options of the stage `name`."""
    add_common(parser)
    parser.add_argument("--redo", action="store_true", help="run the stage even if nothing changed")
    if name in ("select", "export", "report"):
        add_selection(parser)
    if name == "export":
        add_export(parser)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """How many pictures stay, and how."""
    parser.add_argument("--keep", type=_keep, help="pictures to keep, or 'auto' for the elbow (default: all distinct)")
    parser.add_argument("--strategy", help="how to choose (default: facility_location)")
    parser.add_argument("--alpha", type=float, help="balance: 0 equal weight per view, 1 as found (default: 0.5)")
    parser.add_argument("--initial", metavar="NAME", help="grow an earlier selection: default is the last one")


def add_export(parser: argparse.ArgumentParser) -> None:
    """Which formats are written."""
    parser.add_argument("--for", dest="formats", action="append", metavar="FORMAT", help="kohya, huggingface, table")
    parser.add_argument("--trigger", help="word put first in every caption")
    parser.add_argument("--force", action="store_true", help="replace files that are not an earlier export of ours")


def sections(options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """The settings that selection and export options stand for."""
    chosen = {key: getattr(options, key, None) for key in ("keep", "strategy", "alpha", "initial")}
    export: dict[str, object] = {}
    if getattr(options, "formats", None):
        export["formats"] = tuple(part.strip() for text in options.formats for part in text.split(",") if part.strip())
    if getattr(options, "trigger", None):
        export["trigger"] = options.trigger
    if getattr(options, "force", False):
        export["force"] = True
    return {"select": {key: value for key, value in chosen.items() if value is not None}, "export": export}


def run(name: str, options: argparse.Namespace) -> int:
    """Run the stages up to `name` and say what the set looks like now."""
    from diversity import record, summary
    from diversity.stages import run as run_stages

    dataset = open_dataset(options, **sections(options))
    if name in ("export", "report") and not sections(options)["select"]:
        dataset.config = record.with_last_selection(dataset.folder, dataset.config)
    *before, last = UP_TO[name]
    report = progress(options)
    run_stages(dataset, before, progress=report)
    run_stages(dataset, (last,), force=options.redo, progress=report)
    result = summary.of(dataset)
    emit(options, result, result.text())
    return 0


def _keep(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor 'auto'") from None
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1 picture must stay")
    return number
