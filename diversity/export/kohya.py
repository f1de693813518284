"""kohya sd-scripts: one folder `<repeats>_<concept>` per weight, captions beside, and a `dataset_config.toml`.

Not for training options: the configuration holds only what belongs to the data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diversity import __version__
from diversity.export import captions, names, repeats
from diversity.export.base import MANIFEST, ExportOptions, ExportReport
from diversity.export.folder import staging
from diversity.export.items import Item, gather, uncaptioned

if TYPE_CHECKING:
    import polars as pl

CONFIG = "dataset_config.toml"
Class = tuple[int, str]  # repeats, concept: the pictures of one folder


def write(selection: pl.DataFrame, images: pl.DataFrame, folder: Path, options: ExportOptions) -> ExportReport:
    """Write the selection for kohya sd-scripts.

    Raises:
        ExportError: see `folder.staging` and `items.gather`.
    """
    items = gather(selection, images, options)
    counts, error = repeats.whole(items, options.mean_repeats)
    folders = class_folders(items, counts)
    with staging(folder, options) as stage:
        for item in items:
            where = folders[counts[item.key], item.concept]
            stage.picture(item, where)
            stage.text(f"{where}/{item.stem}.txt", captions.one_line(item.text) or item.concept)
        stage.text(CONFIG, config(folders, options.trainer_root or stage.final.as_posix(), options))
        stage.warnings += [*_warnings(items), *repeats.warn(error, options.mean_repeats)]
        report = stage.finish("kohya", items, counts, error, options)
    advice = (
        f"Train with --dataset_config {CONFIG}, or with --train_data_dir and the folder itself.",
        repeats.advise_epochs(items, counts, options.epochs),
    )
    return replace(report, advice=advice)


def class_folders(items: Sequence[Item], counts: Mapping[str, int]) -> dict[Class, str]:
    """One folder per number of repeats and concept: kohya ignores a folder that is listed twice."""
    classes = sorted({(counts[item.key], item.concept) for item in items}, key=lambda c: (-c[0], c[1]))
    wanted = [(f"{number}", f"{count}_{concept}") for number, (count, concept) in enumerate(classes)]
    found = names.unique(wanted)
    return {one: found[f"{number}"] for number, one in enumerate(classes)}


def config(folders: Mapping[Class, str], base: str, options: ExportOptions) -> str:
    """The text of `dataset_config.toml`: only keys that kohya knows, because any other is an error to it."""
    resolution = options.resolution
    lines = [
        f"# Written by diversity {__version__}; what each picture is and how it is weighted: {MANIFEST}",
        "[general]",
        'caption_extension = ".txt"',
        *([f"keep_tokens = {len(options.trigger.split(','))}"] if options.trigger and options.trigger.strip() else []),
        "",
        "[[datasets]]",
        f"resolution = [{resolution}, {resolution}]",
        "enable_bucket = true",
        f"min_bucket_reso = {max(64, min(256, resolution // 128 * 64))}",
        f"max_bucket_reso = {max(1024, 2 * resolution)}",
    ]
    for (count, concept), name in folders.items():
        where = f"{base.replace(chr(92), '/').rstrip('/')}/{name}"
        lines += [
            "",
            "[[datasets.subsets]]",
            f"image_dir = {_quoted(where)}",
            f"num_repeats = {count}",
            f"class_tokens = {_quoted(concept)}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """`text` as a TOML basic string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _warnings(items: Sequence[Item]) -> list[str]:
    found = [f"{sentence} Their .txt holds the trigger or the concept instead." for sentence in uncaptioned(items)]
    several = sum(len(item.found.strip().splitlines()) > 1 for item in items)
    if several:
        found.append(f"{several} captions had several lines; they were joined, because kohya reads only the first.")
    return found
