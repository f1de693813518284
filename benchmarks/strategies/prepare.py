"""From a set of pictures to the pools that strategies choose from, by our own scan, de-duplication and view labels.

What costs time is kept in a workspace under `suites.CACHE`, outside the pictures.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.strategies import other_encoder
from benchmarks.strategies.rivals import Candidates
from benchmarks.strategies.suites import CACHE, LabelledSet
from benchmarks.strategies.table import ALL, CURATED, DISTINCT
from benchmarks.strategies.truth import Judge, aligned
from diversity import record, targets, taxonomy
from diversity.dataset import Dataset
from diversity.targets import Targets

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Prepared:
    """What strategies choose from and how they are judged.

    Attributes:
        pools: Key of `table.POOLS` → candidates.
        rows: Key of `table.POOLS` → int [n], each candidate's row for the judge.
        judge: Scores rows.
        encoder: Id of the encoder that strategies see.
        judged_by: Name of the one that judges.
        digest: Changes when any candidate, vector or label does.
        paths: Of the judge's rows, below the set's folder.
    """

    pools: dict[str, Candidates]
    rows: dict[str, IntArray]
    judge: Judge
    encoder: str
    judged_by: str
    digest: str
    paths: tuple[str, ...] = ()


def prepare(one: LabelledSet, suite: str, *, model: str = "toon", captions: bool = False) -> Prepared:
    """Scan, label and de-duplicate one set, where it was not yet, and build its pools.

    Args:
        one: The set.
        suite: Its suite's name, for the place of the workspace.
        model: Encoder that strategies see.
        captions: Whether captions may say which view a picture shows; off, because they state the truth.

    Raises:
        DiversityError: the pictures cannot be curated, or labels are incomplete.
    """
    settings: dict[str, dict[str, object]] = {"encoder": {"model": model}, "views": {"captions": captions}}
    place = CACHE / "workspaces" / suite / f"{one.name}-{record.digest([str(one.folder.resolve()), settings])[:8]}"
    dataset = Dataset.open(one.folder, workspace_folder=place, overrides=settings).views()
    frame = dataset.usable
    found = _targets(dataset)
    whole = _pool(dataset, frame, found, protect=False)
    copies = dataset.read("duplicates").filter(pl.col("kind") == "copy")["key"].to_list()
    kept = frame.filter(~pl.col("key").is_in(copies))
    stays = np.flatnonzero(~frame["key"].is_in(copies).to_numpy())
    judged_by, vectors = _judged(dataset, frame, place)
    pools = {
        ALL: whole,
        DISTINCT: _pool(dataset, kept, found, protect=False),
        CURATED: _pool(dataset, kept, found, protect=True),
    }
    paths = frame["path"].to_list()
    judge = Judge(aligned(one.labels, paths), vectors)
    rows = {ALL: np.arange(len(frame)), DISTINCT: stays, CURATED: stays}
    return Prepared(pools, rows, judge, dataset.encoder_id, judged_by, _digest(pools, judge), tuple(paths))


def _targets(dataset: Dataset) -> Targets:
    rules = taxonomy.load(dataset.config.views.taxonomy)
    return targets.find(dataset.read("views"), _groups(dataset), rules, frozenset(), dataset.config.targets)


def _groups(dataset: Dataset) -> dict[str, str]:
    return dict(dataset.read("duplicates").select("key", "group").iter_rows())


def _pool(dataset: Dataset, frame: pl.DataFrame, found: Targets, *, protect: bool) -> Candidates:
    """Candidates in the rows of `frame`; with `protect` as the product selects, without as somebody who knows less."""
    axes, keys = dataset.config.targets.axes, frame["key"].to_list()
    kinds = found.kinds(axes)
    sizes = dict(dataset.read("duplicates").group_by("group").len().iter_rows())
    return Candidates(
        keys=tuple(keys),
        vectors=dataset.vectors(frame),
        group_size=np.array([sizes.get(key, 1) for key in keys], np.int64),
        cells=tuple(kinds.get(key, "unsure") for key in keys),
        targets=found.wants(axes),
        quality=frame["quality"].fill_null(0).to_numpy().astype(np.float64),
        protected=np.array([protect and key in found.protected for key in keys], bool),
        pinned=np.zeros(len(keys), bool),
        place=_places(frame["path"].to_list()),
        sharpness=frame["sharpness"].fill_null(float("nan")).to_numpy().astype(np.float64),
    )


def _places(paths: list[str]) -> IntArray:
    """Position of each path when numbers inside names count as numbers: int [n]."""
    parts = [[(not word.isdigit(), int(word) if word.isdigit() else 0, word) for word in re.split(r"(\d+)", path)]
             for path in paths]  # fmt: skip
    order = sorted(range(len(paths)), key=parts.__getitem__)
    places = np.empty(len(paths), np.int64)
    places[order] = np.arange(len(paths))
    return places


def _judged(dataset: Dataset, frame: pl.DataFrame, place: Path) -> tuple[str, NDArray[np.float32]]:
    """The judging encoder's name and its vectors of the rows of `frame`, kept beside the workspace's tables."""
    contents = frame["content"].to_list()
    judge = [other_encoder.WEIGHTS.is_file(), record.file_hash(Path(other_encoder.__file__))]
    file = place / f"judged-{record.digest([contents, judge])[:16]}.npz"
    if file.is_file():
        with np.load(file) as stored:
            return str(stored["name"]), stored["vectors"]
    thumbnails = dict(dataset.read("thumbnails").iter_rows())
    name, vectors = other_encoder.vectors_of([thumbnails[content] for content in contents])
    partial = file.with_suffix(".part")
    with partial.open("wb") as handle:
        np.savez(handle, name=name, vectors=vectors)
    partial.replace(file)
    return name, vectors


def _digest(pools: dict[str, Candidates], judge: Judge) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, pool in pools.items():
        digest.update(record.digest([name, pool.keys, pool.cells, pool.targets]).encode())
        for column in (pool.protected, pool.place, pool.group_size, pool.quality, pool.sharpness, pool.vectors):
            digest.update(np.ascontiguousarray(column).tobytes())
    digest.update(judge.vectors.tobytes())
    digest.update(record.digest([repr(label) for label in judge.labels or ()]).encode())
    return digest.hexdigest()
