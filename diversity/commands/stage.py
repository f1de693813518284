"""`diversity scan|dedup|views|select|export|report`: everything up to one stage."""

from __future__ import annotations

import argparse
from pathlib import Path

from diversity.commands.common import add_common, emit, open_dataset, plain, progress
from diversity.errors import InputError

UP_TO = {
    "scan": ("scan",),
    "dedup": ("scan", "label", "dedup"),
    "views": ("scan", "label", "dedup", "views"),
    "select": ("scan", "label", "dedup", "views", "select"),
    "export": ("scan", "label", "dedup", "views", "select", "export"),
    "trainer": ("scan", "label", "dedup", "views", "select", "trainer"),
    "report": ("scan", "label", "dedup", "views", "select", "score", "map", "trainer", "report"),
}


FORMATS = (
    "kohya-sd15, kohya-sdxl, onetrainer, ai-toolkit, simpletuner, musubi, diffusion-pipe, everydream2, huggingface, "
    "webdataset, table or kohya; may be repeated"
)
DEFAULT = Path()
KEEP = "pictures to keep, or 'auto' for the elbow (default: all distinct; export and report: as it was selected last)"
MOVE = "move what was not selected out of PICTURES (default: to _rejects/NAME beside it)"


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """The options of the stage `name`."""
    add_common(parser)
    parser.add_argument("--redo", action="store_true", help="run the stage even if nothing changed")
    if name in ("select", "export", "report"):
        add_selection(parser)
        parser.add_argument("--name", metavar="NAME", help="which selection (default: default, the one of `curate`)")
    if name == "export":
        add_export(parser)
        rejects = parser.add_mutually_exclusive_group()
        rejects.add_argument("--move-rejects", nargs="?", const=DEFAULT, type=Path, metavar="FOLDER", help=MOVE)
        rejects.add_argument(
            "--undo-rejects", nargs="?", const=DEFAULT, type=Path, metavar="FOLDER", help="move them back"
        )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """How many pictures stay, and how."""
    parser.add_argument("--keep", type=_keep, help=KEEP)
    parser.add_argument("--strategy", help="how to choose (default: facility_location)")
    parser.add_argument(
        "--alpha", type=float, help="balance: 0 the same for every crowd of alike pictures, 1 as found (default: 0.5)"
    )
    parser.add_argument("--initial", metavar="NAME", help="grow an earlier selection, named here: all of it stays")


def add_export(parser: argparse.ArgumentParser) -> None:
    """Which formats are written."""
    parser.add_argument("--for", dest="formats", action="append", metavar="FORMAT", help=FORMATS)
    parser.add_argument("--trigger", help="word or words put first in every caption; '' for none")
    parser.add_argument("--leave-out", metavar="GROUPS", help="write captions without tags on artist, quality, rating")
    parser.add_argument("--resolution", type=int, help="training resolution in pixels (default: the format's own)")
    parser.add_argument("--epochs", type=int, help="epochs you would train without repeats: what to set instead")
    parser.add_argument("--control", metavar="FOLDER", help="control pictures of an edit set; remembered, '' forgets")
    parser.add_argument("--fit", choices=("none", "resize", "crop"), help="reduce or cut pictures to their bucket")
    parser.add_argument("--force", action="store_true", help="put files aside that are not an earlier export of ours")


def sections(options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """The settings that selection and export options stand for; an empty text takes back what a file says.

    Raises:
        InputError: `--for` names no format.
    """
    given = {key: value for key, value in vars(options).items() if value is not None}
    select: dict[str, object] = {
        key: given[key] for key in ("keep", "strategy", "alpha", "initial", "name") if key in given
    }
    export: dict[str, object] = {key: given[key] for key in ("resolution", "epochs", "fit") if key in given}
    export |= {key: given[key] or None for key in ("trigger", "control") if key in given}
    if "leave_out" in given:
        export["leave_out"] = _parts(given["leave_out"])
    if "formats" in given:
        export["formats"] = tuple(part for text in given["formats"] for part in _parts(text))
        if not export["formats"]:
            raise InputError("--for names no format.", "", f"There are {FORMATS.partition(';')[0]}.")
    if given.get("force"):
        export["force"] = True
    return {"select": select, "export": export}


def run(name: str, options: argparse.Namespace) -> int:
    """Run the stages up to `name` and say what the set looks like now."""
    from diversity import record, summary
    from diversity.stages import run as run_stages

    dataset = open_dataset(options, **sections(options))
    if getattr(options, "undo_rejects", None) is not None:
        from diversity.export import rejects

        moved = rejects.undo(dataset, None if options.undo_rejects == DEFAULT else options.undo_rejects)
        emit(options, moved, moved.text("moved back"))
        return 0
    if name in ("export", "report") and sections(options)["select"].keys() <= {"name"}:
        dataset.config = record.with_last_selection(dataset.folder, dataset.config)
    run_stages(dataset, UP_TO[name], force=UP_TO[name][-1:] if options.redo else (), progress=progress(options))
    result = summary.of(dataset)
    if getattr(options, "move_rejects", None) is None:
        emit(options, result, result.text())
        return 0
    from diversity.export import rejects

    moved = rejects.move(dataset, None if options.move_rejects == DEFAULT else options.move_rejects)
    emit(options, {**plain(result), "rejects": moved}, f"{result.text()}\n{moved.text('moved')}")
    return 0


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


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
