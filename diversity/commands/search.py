"""`diversity search`: pictures by words or by another picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from diversity.commands.common import add_common, emit, open_dataset, progress


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """What to look for."""
    add_common(parser)
    parser.add_argument("text", nargs="?", help="what the picture shows")
    parser.add_argument("--image", type=Path, help="find pictures like this one")
    parser.add_argument("-n", "--number", type=int, default=10, help="how many to list (default: 10)")


def run(name: str, options: argparse.Namespace) -> int:
    """List the nearest pictures, the best first."""
    from diversity.search import search

    dataset = open_dataset(options)
    found = search(dataset, text=options.text, image=options.image, number=options.number, progress=progress(options))
    lines = [f"{row['similarity']:.3f}  {row['path']}" for row in found.to_dicts()]
    emit(options, found.to_dicts(), "\n".join(lines))
    return 0
