"""`diversity lora convert`: a LoRA file in another layout, every weight change kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from diversity.commands.common import emit


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """What to do with a LoRA file."""
    parser.description = "Write a LoRA file in another layout; every weight change is kept exactly."
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    convert = actions.add_parser("convert", help="write it in another layout")
    convert.add_argument(
        "file", type=Path, metavar="LORA", help="a file of any layout, or a folder of diffusers or PEFT"
    )
    convert.add_argument("--to", required=True, choices=("kohya", "diffusers", "peft"), help="the layout to write")
    convert.add_argument("-o", "--out", type=Path, help="file, or folder for peft (default: beside it, named after it)")
    convert.add_argument("--force", action="store_true", help="replace what is there")
    convert.add_argument("--json", action="store_true", help="print the result as JSON")


def run(name: str, options: argparse.Namespace) -> int:
    """Convert, and say what was found and written."""
    from training.lora_files import convert

    done = convert(options.file, options.to, options.out, force=options.force)
    family = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "SDXL"}[done.family]
    lines = [f"Read {done.layers} layers for {family} in the layout of {done.source}, written for {done.layout}:"]
    emit(options, done, "\n".join([*lines, *(f"  {path}" for path in done.files), *done.notes]))
    return 0
