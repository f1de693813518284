"""CSV and Parquet: one row per selected picture, for own scripts; pictures stay where they are.

Not for a trainer that reads folders.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.export import repeats
from diversity.export.base import ExportOptions, ExportReport
from diversity.export.controls import Controls
from diversity.export.folder import staging
from diversity.export.items import gather, uncaptioned

if TYPE_CHECKING:
    import polars as pl

NAME = "pictures"


def write(selection: pl.DataFrame, images: pl.DataFrame, folder: Path, options: ExportOptions) -> ExportReport:
    """Write `pictures.csv` and `pictures.parquet`: path (relative to the root), weight, repeats, caption, reason, key.

    For an edit set also control, relative to the folder of control pictures.

    Raises:
        ExportError: see `folder.staging` and `items.gather`.
    """
    import polars as pl

    items = gather(selection, images, options)
    counts, error = repeats.whole(items, options.mean_repeats)
    columns = {
        "path": [item.path for item in items],
        "weight": [item.weight for item in items],
        "repeats": [counts[item.key] for item in items],
        "caption": [item.text for item in items],
        "reason": [item.reason for item in items],
        "key": [item.key for item in items],
    }
    if options.control is not None:
        controls = Controls(options.control, options.root)
        columns["control"] = [controls.of(item).relative_to(options.control).as_posix() for item in items]
    frame = pl.DataFrame(columns, schema_overrides={"repeats": pl.Int32})
    with staging(folder, options) as stage:
        frame.write_csv(stage.folder / f"{NAME}.csv")
        frame.write_parquet(stage.folder / f"{NAME}.parquet")
        stage.warnings += [*uncaptioned(items), *repeats.warn(error, options.mean_repeats)]
        report = stage.finish("table", items, counts, error, options)
    return replace(report, advice=(repeats.advise_epochs(items, counts, options.epochs),))
