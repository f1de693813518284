"""`diversity pick`: which checkpoint and weight to use, from sample pictures of any trainer."""

from __future__ import annotations

import argparse
from pathlib import Path

from diversity.commands.common import add_common, emit, open_dataset, progress

PAGES = "diversity.pages"  # entry points of the report room: name → write(dataset, name, out) → Path


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Where the samples are, and what is known about them."""
    parser.description = (
        "Say which checkpoint and weight to use, from the sample pictures that a trainer wrote; needs no base model "
        "and no LoRA."
    )
    parser.epilog = "Example: diversity pick PICTURES --samples output/sample"
    add_common(parser)
    parser.add_argument("--samples", type=Path, required=True, help="the folder of sample pictures")
    parser.add_argument(
        "--prompts", type=Path, help=".txt, .json, .toml or .yaml with the prompts (default: one beside them)"
    )
    parser.add_argument("--trigger", help="the word that stands for the subject (default: from the captions)")
    parser.add_argument("--run", metavar="NAME", help="the run to judge, where the samples are of several")
    parser.add_argument("--grid", action="store_true", help="write a grid of what to draw even where there is enough")
    parser.add_argument(
        "--lora", action="append", default=[], metavar="FILE", help="a checkpoint, for the grid; may be repeated"
    )
    parser.add_argument("--base", metavar="FILE", help="the base model's file name, for the grid")
    parser.add_argument("--size", type=int, default=512, help="pixels of the grid's pictures (default: 512)")
    parser.add_argument("--out", type=Path, help="the HTML page (default: reports/pick-NAME.html in the workspace)")


def run(name: str, options: argparse.Namespace) -> int:
    """Print the verdict and where the page is."""
    import dataclasses
    from importlib.metadata import entry_points

    from training.picking.pick import Options, pick

    dataset = open_dataset(options)
    asked = Options(
        options.samples,
        options.prompts,
        options.trigger,
        tuple(options.lora),
        options.base,
        options.size,
        options.grid,
        options.run,
    )
    result = pick(dataset, asked, progress(options))
    for point in entry_points(group=PAGES, name="pick"):
        page = point.load()(dataset, Path(result.folder).name, options.out)
        result = dataclasses.replace(result, page=str(page))
    emit(options, result, result.text())
    return 0
