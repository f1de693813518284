"""Hugging Face imagefolder: `metadata.csv`, `.jsonl` or `.parquet` with `file_name` and a caption column.

Not for datasets whose pictures lie inside the Parquet file.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diversity.ingest.folder import Folder
from diversity.ingest.source import normal, shown
from diversity.ingest.text import COLUMNS, caption_of, decode_text

FILE_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
KEY = "file_name"

logger = logging.getLogger(__name__)


class Metadata:
    """Captions by relative path, from all metadata files of a tree; the file nearest to a picture wins."""

    def __init__(self) -> None:
        self._captions: dict[str, tuple[str, str]] = {}
        self._depths: dict[str, int] = {}

    def add(self, folder: Folder) -> None:
        """Read the metadata files of `folder`; a broken one is reported and changes nothing else."""
        for name in FILE_NAMES:
            if name not in folder.files:
                continue
            base = "/".join(folder.parts)
            try:
                for record in _records(folder.location / name):
                    self._add_record(record, base, shown(folder.relative(name)), len(folder.parts))
            except (OSError, ValueError, csv.Error) as error:
                logger.warning("Captions in %s could not be read: %s", folder.location / name, error)

    def caption(self, path: str) -> tuple[str, str] | None:
        """Caption and metadata file of the picture at `path`, relative to the root."""
        return self._captions.get(normal(path))

    def _add_record(self, record: Mapping[str, Any], base: str, where: str, depth: int) -> None:
        name, caption = record.get(KEY), caption_of(record)
        if not isinstance(name, str) or caption is None:
            return
        path = normal(posixpath.normpath(posixpath.join(base, name.strip().replace("\\", "/"))))
        if depth >= self._depths.get(path, -1):
            self._captions[path] = caption, where
            self._depths[path] = depth


def _parquet(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file.

    Raises:
        ValueError: it is none, or is broken.
    """
    import polars as pl  # here: the children that measure do without it, and start in a third of the time

    try:
        columns = pl.read_parquet_schema(path)
        wanted = [name for name in columns if name == KEY or name.strip().lower() in COLUMNS]
        return pl.read_parquet(path, columns=wanted).to_dicts()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ValueError(str(error)) from None


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a metadata file; lines of JSON that are not objects are left out."""
    if path.suffix == ".parquet":
        yield from _parquet(path)
        return
    text = decode_text(path.read_bytes())
    if path.suffix == ".csv":
        yield from csv.DictReader(io.StringIO(text, newline=""))
        return
    for line in text.split("\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
