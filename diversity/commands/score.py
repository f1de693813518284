"""`diversity score`: richness of a set, or its coverage of another; `--fail-under` for scripts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from diversity.commands.common import add_common, emit, open_dataset, progress


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """What to compare with."""
    add_common(parser)
    parser.add_argument("--against", type=Path, metavar="POOL", help="a folder: how much of it does PICTURES cover?")
    parser.add_argument(
        "--fail-under",
        type=float,
        metavar="X",
        help="exit 1 when the coverage (with --against) or the effective rank is below X",
    )
    parser.add_argument("--redo", action="store_true", help="measure again even if nothing changed")


def run(name: str, options: argparse.Namespace) -> int:
    """Print the measures; exit 1 when the one that `--fail-under` looks at is too low."""
    from diversity import scoring

    dataset = open_dataset(options)
    if options.against is None:
        measures = scoring.of_set(dataset, force=options.redo, progress=progress(options))
        watched = "effective_rank"
    else:
        pool = open_dataset(argparse.Namespace(**{**vars(options), "pictures": options.against, "workspace": None}))
        measures = scoring.against(dataset, pool, progress=progress(options))
        watched = "coverage"
    emit(options, measures, "\n".join(scoring.sentence(m) for m in measures))
    value = next(m["value"] for m in measures if m["measure"] == watched)
    if options.fail_under is not None and (value is None or not value >= options.fail_under):
        sys.stderr.write(f"diversity: {watched} is {value}, below {options.fail_under}.\n")
        return 1
    return 0
