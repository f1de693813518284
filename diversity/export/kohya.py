"""kohya sd-scripts: one folder `<repeats>_<concept>` per weight, captions beside, and a `dataset_config.toml`.

Not for training options: the configuration holds only what belongs to the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from diversity import __version__
from diversity.export import captions, names, repeats
from diversity.export.base import MANIFEST, ExportOptions, ExportReport
from diversity.export.classes import CONTROL, said_of_captions
from diversity.export.folder import staging
from diversity.export.items import Item, gather
from diversity.export.names import quoted
from diversity.trainer_view import BucketRules

if TYPE_CHECKING:
    import polars as pl

CONFIG = "dataset_config.toml"
Class = tuple[int, str]  # repeats, concept: the pictures of one folder


@dataclass(frozen=True)
class Kohya:
    """One of kohya's families.

    Attributes:
        name: Of the format.
        resolution: Training resolution unless the options say another.
    """

    name: str
    resolution: int

    def write(
        self, selection: pl.DataFrame, images: pl.DataFrame, folder: Path, options: ExportOptions
    ) -> ExportReport:
        """Write the selection for kohya sd-scripts.

        Raises:
            ExportError: see `folder.staging`, `items.gather` and `controls.Controls`.
        """
        options = replace(options, resolution=options.resolution or self.resolution)
        items = gather(selection, images, options)
        counts, error = repeats.whole(items, options.mean_repeats)
        folders = class_folders(items, counts)
        with staging(folder, options) as stage:
            for item in items:
                where = folders[counts[item.key], item.concept]
                stage.picture(item, where)
                stage.text(f"{where}/{item.stem}.txt", captions.one_line(item.text) or item.concept)
                if stage.controls is not None:
                    stage.control(item, f"{CONTROL}/{where}")
            stage.text(CONFIG, config(folders, options.trainer_root or stage.final.as_posix(), options))
            stage.warnings += [*said_of_captions(items), *repeats.warn(error, options.mean_repeats)]
            report = stage.finish(self.name, items, counts, error, options)
        return replace(report, advice=(_advice(options), repeats.advise_epochs(items, counts, options.epochs)))


def class_folders(items: Sequence[Item], counts: Mapping[str, int]) -> dict[Class, str]:
    """One folder per number of repeats and concept: kohya ignores a folder that is listed twice."""
    classes = sorted({(counts[item.key], item.concept) for item in items}, key=lambda c: (-c[0], c[1]))
    wanted = [(f"{number}", f"{count}_{concept}") for number, (count, concept) in enumerate(classes)]
    found = names.unique(wanted)
    return {one: found[f"{number}"] for number, one in enumerate(classes)}


def config(folders: Mapping[Class, str], base: str, options: ExportOptions) -> str:
    """The text of `dataset_config.toml`: only keys that kohya knows, because any other is an error to it.

    With control pictures the subsets are those of its ControlNet scripts, which know no class tokens.
    """
    resolution = options.resolution or 512
    low, high = BucketRules(resolution).limits
    base = base.replace("\\", "/").rstrip("/")
    kept = len(captions.tags(options.trigger or ""))
    lines = [
        f"# Written by diversity {__version__}; what each picture is and how it is weighted: {MANIFEST}",
        "[general]",
        'caption_extension = ".txt"',
        *([f"keep_tokens = {kept}"] if kept else []),
        "",
        "[[datasets]]",
        f"resolution = [{resolution}, {resolution}]",
        "enable_bucket = true",
        f"min_bucket_reso = {low}",
        f"max_bucket_reso = {high}",
        "bucket_reso_steps = 64",
    ]
    for (count, concept), name in folders.items():
        lines += ["", "[[datasets.subsets]]", f"image_dir = {quoted(f'{base}/{name}')}", f"num_repeats = {count}"]
        if options.control is None:
            lines.append(f"class_tokens = {quoted(concept)}")
        else:
            lines.append(f"conditioning_data_dir = {quoted(f'{base}/{CONTROL}/{name}')}")
    return "\n".join(lines) + "\n"


def _advice(options: ExportOptions) -> str:
    if options.control is not None:
        return f"Train with a ControlNet script and --dataset_config {CONFIG}; the folder itself leaves controls out."
    return f"Train with --dataset_config {CONFIG}, or with --train_data_dir and the folder itself."


generic = Kohya("kohya", 512)
sd15 = Kohya("kohya-sd15", 512)
sdxl = Kohya("kohya-sdxl", 1024)
