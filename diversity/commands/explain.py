"""`diversity explain`: one picture's story."""

from __future__ import annotations

import argparse

from diversity.commands.common import add_common, emit, open_dataset


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """The picture."""
    add_common(parser)
    parser.add_argument("file", metavar="FILE", help="a picture of the set: its path, or its name where that is unique")


def run(name: str, options: argparse.Namespace) -> int:
    """Print everything known about one picture."""
    from diversity.explain import explain

    result = explain(open_dataset(options), options.file)
    emit(options, result, result.text())
    return 0
