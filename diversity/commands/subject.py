"""`diversity subject`: pictures of somebody else, or of several, listed first."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.commands.common import add_common, emit, open_dataset, progress
from diversity.errors import InputError

if TYPE_CHECKING:
    from diversity.dataset import Dataset
    from diversity.subject import SubjectEncoder


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """What the subject is, and what is compared."""
    add_common(parser)
    parser.add_argument("--ref", nargs="+", default=[], metavar="FILE", help="pictures that show the subject alone")
    parser.add_argument(
        "--by", default="palette", metavar="WHAT", help="palette (default), encoder, or an identity model: FILE.onnx"
    )


def run(name: str, options: argparse.Namespace) -> int:
    """Scan where needed, then list what stands out."""
    from diversity import subject_check

    dataset = open_dataset(options)
    encoder = _encoder(options.by, dataset)
    dataset.run("scan", progress=progress(options))
    found = subject_check.run(dataset, options.ref, encoder)
    if dataset.config.set.preset == "style":
        sys.stderr.write(
            "diversity: this set is judged as a style: it need not have one subject, so the list says little.\n"
        )
    emit(options, found, found.text())
    return 0


def _encoder(by: str, dataset: Dataset) -> SubjectEncoder:
    from diversity import subject

    if by == "palette":
        from diversity.subject_palette import Palette

        return Palette()
    if by == "encoder":
        from diversity.encoders import load_encoder

        return subject.InUse(load_encoder(dataset.config.encoder))
    if by.lower().endswith(".onnx"):
        return subject.Onnx(Path(by))
    raise InputError(f"Nothing can be compared by '{by}'.", "", "Choose palette, encoder or a FILE.onnx.")
