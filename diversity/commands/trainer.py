"""`diversity trainer`: what a trainer will see of the selection, by resolution and batch size."""

from __future__ import annotations

import argparse

from diversity.commands.common import add_common, emit, open_dataset, progress
from diversity.commands.stage import UP_TO


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Resolutions and batches to try."""
    add_common(parser)
    parser.add_argument("--resolution", type=int, nargs="+", metavar="N", help="of training (default: 512 768 1024)")
    parser.add_argument("--batch", type=int, nargs="+", metavar="N", help="sizes of a batch (default: 1 2 4)")
    parser.add_argument("--step", type=int, help="sides of buckets are multiples of this (default: 64)")
    parser.add_argument("--name", metavar="NAME", help="which selection (default: default, the one of `curate`)")


def run(name: str, options: argparse.Namespace) -> int:
    """Run what is missing, then print what is enlarged, cut off, short of a batch, and how large subjects are."""
    from diversity import record, trainer_summary
    from diversity.stages import run as run_stages

    given = {"resolutions": options.resolution, "batch_sizes": options.batch, "step": options.step}
    trainer: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    select: dict[str, object] = {} if options.name is None else {"name": options.name}
    dataset = open_dataset(options, trainer=trainer, select=select)
    dataset.config = record.with_last_selection(dataset.folder, dataset.config)
    run_stages(dataset, UP_TO["trainer"], progress=progress(options))
    found = trainer_summary.of(dataset)
    emit(options, found, trainer_summary.text(found))
    return 0
