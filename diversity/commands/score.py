"""`diversity score`: richness of a set, or its coverage of another; `--fail-under` for scripts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from diversity.commands.common import add_common, emit, open_dataset, progress
from diversity.errors import InputError


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """What to compare with."""
    add_common(parser)
    parser.add_argument("--against", type=Path, metavar="POOL", help="a folder: how much of it does PICTURES cover?")
    parser.add_argument("--fail-under", type=float, metavar="X", help="exit 1 when the measure is below X")
    parser.add_argument("--measure", help="what --fail-under looks at (default: set.effective_rank, or the coverage)")
    parser.add_argument("--redo", action="store_true", help="measure again even if nothing changed")


def run(name: str, options: argparse.Namespace) -> int:
    """Print the measures; exit 1 when the one that `--fail-under` looks at is too low."""
    from diversity import scoring

    if options.measure and options.fail_under is None:
        raise InputError("--measure says what --fail-under looks at.", "", "Add --fail-under X, or leave it away.")
    dataset = open_dataset(options)
    if options.against is None:
        rows = scoring.of_set(dataset, force=options.redo, progress=progress(options))
    else:
        pool = open_dataset(argparse.Namespace(**{**vars(options), "pictures": options.against, "workspace": None}))
        rows = scoring.against(dataset, pool, progress=progress(options))
    emit(options, rows, scoring.text(rows))
    if options.fail_under is not None:
        measure = options.measure or (rows[0]["measure"] if options.against else "set.effective_rank")
        value = scoring.watched(rows, measure)
        if value is None or not value >= options.fail_under:
            sys.stderr.write(f"diversity: {measure} is {value}, below {options.fail_under}.\n")
            return 1
    return 0
