"""`diversity curate`: the main job."""

from __future__ import annotations

import argparse

from diversity.commands.common import add_common, emit, open_dataset, progress
from diversity.commands.stage import add_export, add_selection, sections
from diversity.errors import NotExportedError


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Options of every stage."""
    add_common(parser)
    add_selection(parser)
    add_export(parser)
    parser.add_argument("--redo", action="store_true", help="run every stage even if nothing changed")


def run(name: str, options: argparse.Namespace) -> int:
    """All stages, then the summary with the report's path, also where only the export failed."""
    from diversity import summary
    from diversity.stages import STAGES
    from diversity.stages import run as run_stages

    dataset = open_dataset(options, **sections(options))
    failed: NotExportedError | None = None
    try:
        run_stages(dataset, STAGES, force=STAGES if options.redo else (), progress=progress(options))
    except NotExportedError as error:
        failed = error
    result = summary.of(dataset)
    emit(options, result, result.text())
    if failed is not None:
        raise failed
    return 0
