"""Hugging Face imagefolder: pictures in `train/` with a `metadata.jsonl` that holds text and exact weight.

Not for pushing anything to a hub.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.export.base import ExportOptions, ExportReport
from diversity.export.classes import CONTROL
from diversity.export.folder import staging
from diversity.export.items import gather, uncaptioned
from diversity.export.repeats import RepeatsError, advise_sampling

if TYPE_CHECKING:
    import polars as pl

SPLIT = "train"


def write(selection: pl.DataFrame, images: pl.DataFrame, folder: Path, options: ExportOptions) -> ExportReport:
    """Write the selection for `datasets.load_dataset("imagefolder", data_dir=…)`.

    Raises:
        ExportError: see `folder.staging`, `items.gather` and `controls.Controls`.
    """
    items = gather(selection, images, options)
    with staging(folder, options) as stage:
        lines = []
        for item in items:
            row = {"file_name": stage.picture(item, SPLIT), "text": item.text, "weight": item.weight, "key": item.key}
            if stage.controls is not None:
                row["control_file_name"] = f"{CONTROL}/{stage.control(item, f'{SPLIT}/{CONTROL}')}"
            lines.append(json.dumps(row, ensure_ascii=False))
        stage.text(f"{SPLIT}/metadata.jsonl", "\n".join(lines) + "\n")
        stage.warnings += [f"{s} Their text is the trigger, or empty without one." for s in uncaptioned(items)]
        report = stage.finish("huggingface", items, {}, RepeatsError(), options)
    advice = (
        "Sample with the column 'weight' (torch's WeightedRandomSampler); a script that ignores it shows all alike."
    )
    return replace(report, advice=(advice, *advise_sampling(items, options.epochs)))
