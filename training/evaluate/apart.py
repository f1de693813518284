"""Held-out pictures from a folder of their own: the same ones for every LoRA of a subject, whoever trained it.

Not for those that a run held out itself: its own record names them (`sources.py`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity import tables
from diversity.dataset import Dataset
from diversity.errors import InputError
from diversity.judge import HASH_BITS_UNCHECKED
from training.config import TrainConfig
from training.data import Loader, TrainingData, bucket_rules
from training.evaluate.sources import STAGES, Found, material
from training.pictures import Picture, selected

if TYPE_CHECKING:
    from diversity.progress import Progress
    from training.base import Base

NAME = "held-out"  # of the selection that holds them


def with_folder(found: Found, folder: Path, base: Base, config: TrainConfig, progress: Progress) -> Found:
    """`found` with the pictures of `folder` in the place of its held-out ones.

    Pictures that were trained on, to the pixel or as a near-copy by perceptual hash, are left out, and a note says so.

    Args:
        found: What was trained on.
        folder: Pictures of the same subject that were not, with captions beside them.
        base: Encodes them.
        config: Of the run: resolution, captions.
        progress: Of the scan.

    Raises:
        InputError: it is the folder that was trained on, or none of its pictures is left.
        DiversityError: it cannot be scanned.
    """
    encoder = found.dataset.config.encoder.model_dump()
    dataset = Dataset.open(folder, overrides={"encoder": encoder})
    if dataset.root == found.dataset.root:
        raise InputError(f"{folder} is what was trained on.", "", "Give a folder of pictures that were not.")
    dataset.run(*STAGES, progress=progress)
    pictures = _pictures(dataset, base, config)
    seen = _seen(pictures, dataset, found)
    kept = [picture for picture in pictures if picture.content not in seen]
    if not kept:
        raise InputError(f"Every picture of {folder} was trained on.", "", "Give pictures that were not.")
    notes = (f"{len(seen)} pictures of {folder} were trained on, or are near-copies: left out.",) if seen else ()
    data = TrainingData((), tuple(kept), (), dataset.config.scan.max_pixels)
    made = material(dataset, data, config, kept, Loader(data, base, config, dataset.folder / "cache"))
    groups = tuple(f"{NAME}: {group}" for group in made.groups)  # labels of the two sets must not meet
    return replace(found, held_out=replace(made, groups=groups), notes=(*found.notes, *notes))


def _pictures(dataset: Dataset, base: Base, config: TrainConfig) -> list[Picture]:
    """All usable pictures of the folder, captioned and cut as the run's are."""
    usable = dataset.usable
    if usable.is_empty():
        raise InputError(
            f"{dataset.root} holds no pictures.", "", "Give a folder of pictures that were not trained on."
        )
    rows = usable.select("key").with_row_index("rank").with_columns(weight=pl.lit(1.0))
    absent = [name for name in tables.SELECTION if name not in rows.columns]
    dataset.write(f"selection/{NAME}", rows.with_columns(pl.lit(None).alias(name) for name in absent))
    mask = "none" if isinstance(config.data.mask, Path) else config.data.mask  # a folder of masks is the run's own
    changes = {"selection": NAME, "data": config.data.model_copy(update={"mask": mask})}
    return selected(dataset, config.model_copy(update=changes), bucket_rules(base, config))


def _seen(pictures: list[Picture], dataset: Dataset, found: Found) -> set[str]:
    """Contents of the pictures that were trained on."""
    trained = set(found.train.contents)
    there = _hashes(found.dataset, trained)
    own = dict(dataset.usable.select("content", "phash").iter_rows())
    return {
        one.content
        for one in pictures
        if one.content in trained or (own[one.content] is not None and _near(own[one.content], there))
    }


def _hashes(dataset: Dataset, contents: set[str]) -> NDArray[np.uint64]:
    rows = dataset.usable.filter(pl.col("content").is_in(list(contents)))
    return rows["phash"].drop_nulls().to_numpy().astype(np.uint64)


def _near(own: int, others: NDArray[np.uint64]) -> bool:
    return bool((np.bitwise_count(others ^ np.uint64(own)) <= HASH_BITS_UNCHECKED).any())
