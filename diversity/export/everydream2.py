"""EveryDream2: pictures with a `.txt` caption and a `.yaml` that holds the exact weight of each.

Not for edit training, which it does not know.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.errors import ExportError
from diversity.export import captions
from diversity.export.base import ExportOptions, ExportReport
from diversity.export.classes import said_of_captions
from diversity.export.folder import staging
from diversity.export.items import gather
from diversity.export.repeats import RepeatsError, advise_epochs
from diversity.trainer_view import BucketRules

if TYPE_CHECKING:
    import polars as pl

FOLDER = "pictures"
_SPECIAL = {  # <this>.txt or <this>.yaml speaks for the whole folder
    *("multiply", "cond_dropout", "flip_p", "batch_id", "loss_scale", "shuffle_tags", "shuffle_caption", "local"),
    "global",
}


def write(selection: pl.DataFrame, images: pl.DataFrame, folder: Path, options: ExportOptions) -> ExportReport:
    """Write `pictures/` for EveryDream2's `data_root`.

    Raises:
        ExportError: see `folder.staging` and `items.gather`; or control pictures were given.
    """
    if options.control is not None:
        raise ExportError("EveryDream2 has no edit training.", "It reads no control pictures.", "Leave --control out.")
    items = gather(selection, images, options, _suited)
    with staging(folder, options, BucketRules(options.resolution or 512)) as stage:
        for item in items:
            stage.picture(item, FOLDER)
            stage.text(f"{FOLDER}/{item.stem}.txt", captions.one_line(item.text) or item.concept)
            stage.text(f"{FOLDER}/{item.stem}.yaml", f"multiply: {item.weight!r}\n")
        stage.warnings += said_of_captions(items)
        report = stage.finish("everydream2", items, {}, RepeatsError(), options)
    shown = {item.key: item.weight for item in items}
    advice = f"Set `data_root` to {FOLDER}; fractions are drawn anew in every epoch."
    return replace(report, advice=(advice, advise_epochs(items, shown, options.epochs)))


def _suited(stem: str) -> str:
    return f"_{stem}" if stem.casefold() in _SPECIAL else stem
