"""`diversity demo`: the main job on the embedded sample set, copied to ./diversity-demo/ for looking around; then two
short LoRAs, one of a curated set and one of a monotonous set, and the page that compares them, where the toon base is.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diversity.errors import InputError

SAMPLE_SET = Path(__file__).parent.parent / "assets" / "sample_set"
FOLDER = Path("diversity-demo")
TRIGGER, ENCODER = "mira", "toon"


@dataclass(frozen=True)
class Comparison:
    """What is trained and measured at the end.

    Attributes:
        base: As `diversity train --base` takes it.
        train, evaluate: Further options of the two commands.
        pictures: In each set.
        unseen: Most pictures that both are measured on.
    """

    base: str = "toon"
    train: Sequence[str] = ("--steps", "150", "--lr", "2e-3", "--rank", "8", "--seed", "0")
    evaluate: Sequence[str] = ("--quick",)
    pictures: int = 40
    unseen: int = 16


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Only what a demo needs."""
    parser.add_argument("--keep", default=None, help="pictures to keep (default: all distinct)")
    parser.add_argument("--no-train", action="store_true", help="leave out the two short LoRAs at the end")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, without the LoRAs")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(name: str, options: argparse.Namespace) -> int:
    """Copy the sample set, curate it, compare a LoRA of a curated set with one of a monotonous set."""
    from diversity.cli import main

    pictures = FOLDER / "pictures"
    _copy_sample_set(pictures)
    _say(options, f"The sample set is in {pictures}: one character, seen too often from the front.")
    words = ["curate", str(pictures), "--workspace", str(FOLDER / "workspace"), "--model", ENCODER]
    words += [f"--{flag}" for flag in ("json", "quiet") if getattr(options, flag)]
    words += ["--keep", options.keep] if options.keep else []
    code = main(words)
    if code or options.json or options.no_train or not _can_train():
        return code
    return compare(options, Comparison())


def compare(options: argparse.Namespace, how: Comparison) -> int:
    """Train and measure a LoRA of a curated and one of a monotonous selection; the paths of all reports come last."""
    from diversity.cli import main
    from diversity.contrast import CURATED, MONOTONOUS, contrast
    from diversity.dataset import Dataset

    place = [str(FOLDER / "pictures"), "--workspace", str(FOLDER / "workspace")]
    quiet = ["--quiet"] if options.quiet else []
    _keep_encoder()
    dataset = Dataset.open(place[0], workspace_folder=place[2])
    found = contrast(dataset, how.pictures, how.unseen)
    unseen = _copy_unseen(dataset.root, found.unseen)
    _say(
        options,
        f"Now two LoRAs, each of {found.pictures} pictures, with equal steps, rate and seed: one of the pictures that "
        f"were chosen first, with their weights, one of a single view ({found.cell.replace('/', ', ')}; there are "
        f"{found.of} of it). Both are measured on the same {len(found.unseen)} pictures that neither has seen. "
        "About five minutes.",
    )
    runs: list[str] = []
    for number, name in enumerate((MONOTONOUS, CURATED), 1):
        _say(options, f"{number} of 2, {name}: training, under a minute …")
        words = ["train", *place, "--base", how.base, "--selection", name, "--trigger", TRIGGER, "--fresh"]
        before = set(_runs())
        code = main([*words, "--set", "data.held_out=0", *how.train, *quiet])
        made = sorted(set(_runs()) - before)
        if code or not made:
            return code or 1
        runs.append(str(made[-1]))
        _say(options, f"{number} of 2, {name}: measuring, a good minute …")
        code = main(["evaluate", runs[-1], "--held-out", str(unseen), *how.evaluate, *quiet])
        if code:
            return code
    page = FOLDER / "comparison.html"
    code = main(["report", "--runs", *runs, "--out", str(page)])
    if code == 0:
        _list_reports(dict(zip((MONOTONOUS, CURATED), runs, strict=True)), page)
    return code


def _list_reports(runs: Mapping[str, str], page: Path) -> None:
    """All pages of the demo, from here, with what each is about."""
    pages = [
        (FOLDER / "workspace" / "reports" / "curation.html", "the set"),
        *((Path(run) / "evaluation" / "report.html", f"the {name} LoRA") for name, run in runs.items()),
        (page, "both LoRAs, beside those of the ladder"),
    ]
    sys.stdout.write("\nReports:\n" + "".join(f"  {path}  {about}\n" for path, about in pages if path.is_file()))


def _keep_encoder() -> None:
    """Later commands on the demo's set use the encoder that curated it, and that the ladder was measured with."""
    from diversity.config import FILE_NAME
    from diversity.workspace import write_text

    file = FOLDER / "workspace" / FILE_NAME
    if not file.is_file():
        write_text(file, f'[encoder]\nmodel = "{ENCODER}"\n')


def _copy_sample_set(pictures: Path) -> None:
    source = next((p for p in sorted(SAMPLE_SET.iterdir()) if p.is_dir()), None) if SAMPLE_SET.is_dir() else None
    if source is None:
        raise InputError(
            "The embedded sample set is missing.", "This installation is not complete.", "Install it anew."
        )
    for file in sorted(source.rglob("*")):
        if file.is_file():
            _copy(file, pictures / source.name / file.relative_to(source))


def _copy_unseen(root: Path, paths: Sequence[str]) -> Path:
    """The pictures of neither set with their captions, in a folder of their own; those of an earlier demo go."""
    folder = FOLDER / "unseen"
    for old in sorted(folder.rglob("*")):
        if (root / old.relative_to(folder)).is_file():  # ours, not something that was put there by hand
            old.unlink()
    for path in paths:
        for file in (root / path, (root / path).with_suffix(".txt")):
            if file.is_file():
                _copy(file, folder / file.relative_to(root))
    return folder


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _runs() -> list[Path]:
    return [file.parent for file in (FOLDER / "workspace" / "runs").glob("*/run.json")]


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        sys.stderr.write(f"{text}\n")


def _can_train() -> bool:
    """Whether the training room, its toon base and what it needs are installed; if not, what is missing is said."""
    from importlib.resources import files
    from importlib.util import find_spec

    if find_spec("training") is None or not (files("training") / "assets" / "toon_base" / "model_index.json").is_file():
        sys.stderr.write("No LoRA is trained: this installation has no toon base.\n")
        return False
    missing = [name for name in ("diffusers", "peft", "accelerate") if find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        sys.stderr.write(f"No LoRA is trained: {names} not installed; `pip install diversity[train]` adds it.\n")
    return not missing
