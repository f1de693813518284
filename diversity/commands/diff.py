"""`diversity diff`: what changed between two states of a set."""

from __future__ import annotations

import argparse
from pathlib import Path

from diversity.commands.common import emit, progress


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """The two states."""
    parser.add_argument("pictures", type=Path, metavar="PICTURES", help="before: a folder of pictures, or a workspace")
    parser.add_argument("after", type=Path, metavar="AFTER", help="after: a folder of pictures, or a workspace")
    parser.add_argument("--config", type=Path, help="a TOML file (default: diversity.toml in the folder)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(name: str, options: argparse.Namespace) -> int:
    """Print what came, went and changed."""
    from diversity import diff

    states = [diff.state(folder, options.config, progress(options)) for folder in (options.pictures, options.after)]
    result = diff.compare(*states)
    emit(options, result, result.text())
    return 0
