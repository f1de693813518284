"""WebDataset: tars of up to 1,000 pictures, each with `.txt` and a `.json` that holds its exact weight.

Not for reading tars: that is `ingest/webdataset.py`.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.export.base import ExportOptions, ExportReport
from diversity.export.folder import Stage, staging
from diversity.export.items import Item, gather, uncaptioned
from diversity.export.repeats import RepeatsError, advise_sampling
from diversity.trainer_view import BucketRules

if TYPE_CHECKING:
    import polars as pl

SHARD = 1_000  # pictures
_WORK = "unpacked"


def write(selection: pl.DataFrame, images: pl.DataFrame, folder: Path, options: ExportOptions) -> ExportReport:
    """Write `train-000000.tar`, …; members are named by the picture's key, which has no dot to split them at.

    Raises:
        ExportError: see `folder.staging`, `items.gather` and `controls.Controls`.
    """
    items = gather(selection, images, options)
    with staging(folder, options, BucketRules(options.resolution or 512)) as stage:
        for number, start in enumerate(range(0, len(items), SHARD)):
            _shard(stage, f"train-{number:06}.tar", items[start : start + SHARD])
        (stage.folder / _WORK).rmdir()
        stage.warnings += [f"{s} Their text is the trigger, or empty without one." for s in uncaptioned(items)]
        report = stage.finish("webdataset", items, {}, RepeatsError(), options)
    advice = "Sample with `weight` of the .json; a loader that ignores it shows all pictures alike."
    return replace(report, advice=(advice, *advise_sampling(items, options.epochs)))


def _shard(stage: Stage, name: str, items: Sequence[Item]) -> None:
    """The same pictures always give the same bytes: members have no owner and no time."""
    with tarfile.open(stage.folder / name, "w") as tar:
        for item in items:
            member = replace(item, stem=item.key)
            files = [stage.picture(member, _WORK, f"{name}/")]
            if stage.controls is not None:
                files.append(stage.control(member, _WORK, f"{item.key}.control"))
            for file in files:
                path = stage.folder / _WORK / file
                _add(tar, file, path.read_bytes())
                path.unlink()
            _add(tar, f"{item.key}.txt", item.text.encode())
            said = {"weight": item.weight, "key": item.key, "path": item.path, "reason": item.reason}
            _add(tar, f"{item.key}.json", json.dumps(said, ensure_ascii=False).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
