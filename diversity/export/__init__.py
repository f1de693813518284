"""One writer per trainer format: from a weighted selection to a folder that a trainer reads.

Not for choosing or weighting pictures (`select/`), and never for changing the user's own files.

A new format is one small file with a function `write(selection, images, folder, options) -> ExportReport`, and one
row in `EXPORTERS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.errors import ExportError
from diversity.export import (
    ai_toolkit,
    diffusion_pipe,
    everydream2,
    huggingface,
    kohya,
    musubi,
    onetrainer,
    simpletuner,
    table,
    webdataset,
)
from diversity.export.base import MANIFEST, Exporter, ExportOptions, ExportReport
from diversity.export.repeats import RepeatsError

if TYPE_CHECKING:
    import polars as pl

EXPORTERS: dict[str, Exporter] = {
    "kohya": kohya.generic.write,
    "kohya-sd15": kohya.sd15.write,
    "kohya-sdxl": kohya.sdxl.write,
    "onetrainer": onetrainer.write,
    "ai-toolkit": ai_toolkit.write,
    "simpletuner": simpletuner.write,
    "musubi": musubi.write,
    "diffusion-pipe": diffusion_pipe.write,
    "everydream2": everydream2.write,
    "huggingface": huggingface.write,
    "webdataset": webdataset.write,
    "table": table.write,
}

__all__ = ["EXPORTERS", "MANIFEST", "ExportOptions", "ExportReport", "Exporter", "RepeatsError", "export"]


def export(
    selection: pl.DataFrame,
    images: pl.DataFrame,
    folder: Path,
    options: ExportOptions,
    formats: Sequence[str] = tuple(EXPORTERS),
) -> list[ExportReport]:
    """Write `selection` in every one of `formats`, each into `folder/<format>`.

    Args:
        selection: Columns of `tables.SELECTION`.
        images: Columns of `tables.IMAGES`.
        folder: Parent of the exports; made where it is missing.
        options: Where the pictures lie and how to write them; `trainer_root` is where `folder` will be found.
        formats: Names from `EXPORTERS`.

    Raises:
        ExportError: a format is unknown, a picture is gone, or files that are not ours are in the way.
    """
    for name in formats:
        if name not in EXPORTERS:
            raise ExportError(f"There is no export format '{name}'.", "", f"Choose among {', '.join(EXPORTERS)}.")
    root = options.trainer_root
    places = {name: root and f"{root.rstrip(chr(92)).rstrip('/')}/{name}" for name in formats}
    return [
        EXPORTERS[name](selection, images, folder / name, replace(options, trainer_root=place))
        for name, place in places.items()
    ]
