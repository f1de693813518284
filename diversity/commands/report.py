"""`diversity report`: the page of a set, of an evaluated run, or of many runs side by side.

Not for making pages: rooms offer them by the entry point group `diversity.pages`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.commands import stage
from diversity.commands.common import emit
from diversity.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGES = "diversity.pages"  # name → write(what, out) → Path


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Everything of the stage, and runs in the place of pictures."""
    stage.arguments(parser, name)
    for action in parser._actions:
        if action.dest == "pictures":  # with --runs there are none
            action.nargs, action.required, action.metavar = "?", False, "PICTURES | RUN"
            action.help = "the folder of pictures, or an evaluated run: its folder or id"
    parser.add_argument("--runs", nargs="+", metavar="RUN", help="compare evaluated runs: folders or ids")
    parser.add_argument("--out", type=Path, help="the HTML page of a run or of runs (default: beside its tables)")


def run(name: str, options: argparse.Namespace) -> int:
    """Write the page that was meant, and say where it is."""
    if options.runs:
        runs = options.runs if options.pictures is None else [str(options.pictures), *options.runs]
        return _page("runs", runs, options)
    if options.pictures is None:
        raise InputError("There is nothing to report on.", "", "Name a folder of pictures, a run, or --runs A B C.")
    if is_run(options.pictures):
        try:
            return _page("run", options.pictures, options)
        except InputError as error:
            if not error.what.startswith("There is no run"):
                raise
            what = f"{options.pictures} is neither a folder of pictures nor a run."
            raise InputError(what, error.why, "Give a folder, or the id of a run.") from None
    if options.out is not None:
        raise InputError(
            "--out is for pages of runs.",
            "The page of a set lies beside its tables.",
            "Leave --out away: the last line says where the page is.",
        )
    return stage.run(name, options)


def is_run(path: Path) -> bool:
    """Whether `path` means a run rather than a folder of pictures: its folder, or an id that is no folder here."""
    return (path / "run.json").is_file() or (path / "evaluation.json").is_file() or not path.expanduser().is_dir()


def _page(name: str, what: Path | Sequence[str], options: argparse.Namespace) -> int:
    from importlib.metadata import entry_points

    points = list(entry_points(group=PAGES, name=name))
    if not points:
        raise InputError("Pages of runs are not installed.", "", "Install diversity with its `train` extra.")
    page = points[0].load()(what, options.out)
    emit(options, {"page": str(page)}, f"page {page}")
    return 0
