"""`diversity demo`: the main job on the embedded sample set, copied to ./diversity-demo/ for looking around."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from diversity.errors import InputError

SAMPLE_SET = Path(__file__).parent.parent / "assets" / "sample_set"
FOLDER = Path("diversity-demo")


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Only what a demo needs."""
    parser.add_argument("--keep", default=None, help="pictures to keep (default: all distinct)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(name: str, options: argparse.Namespace) -> int:
    """Copy the sample set, curate it, say where the report is."""
    from diversity.cli import main

    pictures = FOLDER / "pictures"
    source = next((p for p in sorted(SAMPLE_SET.iterdir()) if p.is_dir()), None) if SAMPLE_SET.is_dir() else None
    if source is None:
        raise InputError(
            "The embedded sample set is missing.", "This installation is not complete.", "Install it anew."
        )
    for file in sorted(source.rglob("*")):
        if file.is_file():
            target = pictures / source.name / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    if not options.quiet:
        sys.stderr.write(f"The sample set is in {pictures}: one character, seen too often from the front.\n")
    words = ["curate", str(pictures), "--workspace", str(FOLDER / "workspace"), "--model", "toon"]
    words += [f"--{flag}" for flag in ("json", "quiet") if getattr(options, flag)]
    words += ["--keep", options.keep] if options.keep else []
    return main(words)
