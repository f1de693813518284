"""`diversity doctor`: what this computer has, and what each missing piece costs."""

from __future__ import annotations

import argparse
from pathlib import Path

from diversity.commands.common import emit


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """What to look at besides the installation."""
    parser.add_argument("pictures", type=Path, nargs="?", metavar="PICTURES", help="a folder: can it have a workspace?")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(name: str, options: argparse.Namespace) -> int:
    """Print the findings; exit 1 where the main job cannot run."""
    from diversity import doctor

    found = doctor.examine(options.pictures, options.device)
    emit(options, found, doctor.text(found))
    return int(any(one.state == "broken" for one in found))
