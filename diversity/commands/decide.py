"""`diversity pin|drop`: decisions by hand, which every later run honours."""

from __future__ import annotations

import argparse

from diversity.commands.common import add_common, emit, open_dataset


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """The pictures decided on."""
    add_common(parser)
    parser.add_argument("files", nargs="+", metavar="FILE", help="pictures of the set: paths, or unique names")
    parser.add_argument("--undo", action="store_true", help=f"take an earlier {name} back")


def run(name: str, options: argparse.Namespace) -> int:
    """Append the decisions."""
    from diversity import decisions

    dataset = open_dataset(options)
    paths = decisions.add(dataset, name, options.files, undo=options.undo)
    verb = f"no longer {name}" if options.undo else name
    emit(options, {"what": verb, "paths": paths}, "\n".join(f"{verb}: {path}" for path in paths))
    return 0
