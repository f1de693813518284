"""`diversity demo`: the main job on the embedded sample set, copied to ./diversity-demo/ for looking around; then a
short LoRA on what it selected, where the toon base is at hand.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from diversity.errors import InputError

SAMPLE_SET = Path(__file__).parent.parent / "assets" / "sample_set"
FOLDER = Path("diversity-demo")
TRAINING = ("--steps", "80", "--seed", "0", "--fresh")
PROMPTS = ("mira, from front, full body, red hair, teal coat", "mira, from behind, half body, red hair, teal coat")


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Only what a demo needs."""
    parser.add_argument("--keep", default=None, help="pictures to keep (default: all distinct)")
    parser.add_argument("--no-train", action="store_true", help="leave out the short LoRA run at the end")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, without the LoRA run")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(name: str, options: argparse.Namespace) -> int:
    """Copy the sample set, curate it, train a short LoRA on the selection, say where everything is."""
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
    code = main(words)
    if code or options.json or options.no_train or not _can_train():
        return code
    if not options.quiet:
        sys.stderr.write("Now a short LoRA on the selection, with its weights: about a minute.\n")
    train = ["train", str(pictures), "--workspace", str(FOLDER / "workspace"), "--base", "toon", *TRAINING]
    train += [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    code = main([*train, "--quiet"] if options.quiet else train)
    sys.stdout.write(f"Report: {FOLDER / 'workspace' / 'reports' / 'curation.html'}\n")
    return code


def _can_train() -> bool:
    """Whether the training room, its toon base and what it needs are installed."""
    from importlib.resources import files
    from importlib.util import find_spec

    if find_spec("training") is None or not (files("training") / "assets" / "toon_base" / "model_index.json").is_file():
        return False
    missing = [name for name in ("diffusers", "peft", "accelerate") if find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        sys.stderr.write(f"No LoRA run: {names} not installed; `pip install diversity[train]` adds it.\n")
    return not missing
