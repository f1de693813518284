"""The stage `scan`: looks at new and changed files, takes over what is known of the others, writes the tables.

Not for the pass itself: that is `scan.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity import __version__, decisions, record, scan_shards, tables
from diversity.errors import InputError
from diversity.ingest.source import UNREADABLE
from diversity.scan_shards import embeddings_frame, thumbnails_frame, vectors_of
from diversity.stages import Context, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diversity.config import ScanConfig
    from diversity.encoders.base import Float32Array
    from diversity.ingest import Source
    from diversity.scan import Measure

PROCESSES_FROM = 256  # pictures to look at from which child processes are worth their start (0.25 s each)
CHUNK = 4096  # pictures between two writes: what a killed scan loses at most


def _scan_inputs(context: Context) -> object:
    listing = hashlib.blake2b(digest_size=8)
    for s in context.services.sources():
        listing.update(repr((s.path, s.size, s.mtime_ns, s.caption, s.repeats, s.concept)).encode())
    return listing.hexdigest(), context.services.spec.fingerprint, _unreadable(context)


def _unreadable(context: Context) -> list[tuple[str, int]]:
    """Files that could not be read last time, with what changes when their permissions do."""
    if not context.dataset.has("images"):
        return []
    bad = set(context.dataset.images.filter(pl.col("problem").str.starts_with(UNREADABLE))["path"])
    found = []
    for source in context.services.sources():
        if source.path in bad:
            with contextlib.suppress(OSError):
                found.append((source.path, source.location.stat().st_ctime_ns))
    return found


def _scan(context: Context) -> None:
    """Look at new and changed files only; everything about unchanged ones is taken over."""
    dataset, sources = context.dataset, context.services.sources()
    if not sources:
        raise InputError(
            f"{dataset.root} holds no pictures.", "No file in it has a picture's suffix.", "Give another folder."
        )
    known = _reusable(context)
    rows, todo = _taken_over(sources, known)
    if todo:
        _look(context, todo, rows, known)
    encoder = _remember(context)
    frame = pl.DataFrame(list(rows.values()), schema=tables.IMAGES).sort("path")
    assert frame["key"].n_unique() == len(sources), "two paths with one key"
    contents = set(frame["content"].drop_nulls())
    dataset.write(f"embeddings/{encoder['id']}", embeddings_frame({c: known.vectors[c] for c in contents}))
    dataset.write("thumbnails", thumbnails_frame({c: known.thumbnails[c] for c in contents}))
    dataset.write("images", frame)
    decisions.refresh(dataset)
    scan_shards.clear(dataset)


def _look(context: Context, todo: list[Source], rows: dict[str, dict[str, Any]], known: Known) -> None:
    """Run the pass over `todo`; adds to `rows` (by path) and to `known`, and keeps chunks on disk where it is long."""
    from diversity.scan import Scanner

    dataset = context.dataset
    with measurer(dataset.config.scan, len(todo)) as measure, context.progress.task("pictures", len(todo)) as advance:
        context.services.warm_up()
        scanner = Scanner(dataset.config.scan, context.services.encoder(), frozenset(known.vectors), measure)
        for start in range(0, len(todo), CHUNK):
            found = scanner.run(todo[start : start + CHUNK], advance)
            rows.update((row["path"], row) for row in found.rows)
            known.thumbnails.update(found.thumbnails)
            known.vectors.update(found.vectors)
            if start + CHUNK < len(todo):
                scan_shards.write(dataset, found, _remember(context)["id"])


@contextlib.contextmanager
def measurer(config: ScanConfig, count: int) -> Iterator[Measure]:
    """What measures `count` pictures: child processes where they are worth their start, else this process."""
    if count < PROCESSES_FROM:
        from diversity.measure import measure_source

        yield lambda sources: (measure_source(source, config) for source in sources)
        return
    from diversity.measuring import MeasuringPool

    with MeasuringPool(config, config.threads) as pool:
        yield pool.measure


def _taken_over(sources: list[Source], known: Known) -> tuple[dict[str, dict[str, Any]], list[Source]]:
    """Rows (by path) of the files of which everything is known, and the other files."""
    from diversity.scan import source_columns

    before = {(r["key"], r["size"], r["mtime_ns"]): r for r in known.images.iter_rows(named=True)}
    rows: dict[str, dict[str, Any]] = {}
    todo = []
    for source in sources:
        columns = source_columns(source)
        old = before.get((columns["key"], source.size, source.mtime_ns))
        complete = old is not None and old["content"] in known.vectors and old["content"] in known.thumbnails
        if old is not None and (complete or _stays_bad(old)):
            rows[source.path] = {**old, **columns}
        else:
            todo.append(source)
    return rows, todo


def _stays_bad(row: dict[str, Any]) -> bool:
    """Whether a file's problem is its content: one that could not be read is tried again."""
    return row["problem"] is not None and not row["problem"].startswith(UNREADABLE)


@dataclass
class Known:
    """What earlier scans with the same settings left, also one that was killed.

    Attributes:
        images: `tables.IMAGES`.
        thumbnails: By content.
        vectors: By content, of the encoder in the settings.
    """

    images: pl.DataFrame
    thumbnails: dict[str, bytes]
    vectors: dict[str, Float32Array]


def _reusable(context: Context) -> Known:
    dataset = context.dataset
    before = record.load(dataset.folder)
    if before.get("scan_settings") != _scan_settings(context) or context.force:
        scan_shards.clear(dataset)
        return Known(tables.empty(tables.IMAGES), {}, {})
    encoder = before.get("encoders", {}).get(context.services.spec.fingerprint, {}).get("id")
    known = Known(*scan_shards.read(dataset, encoder))
    if dataset.has("images"):
        known.images = pl.concat([dataset.images, known.images])
    if dataset.has("thumbnails"):
        known.thumbnails |= dict(dataset.read("thumbnails").iter_rows())
    if encoder is not None and dataset.has(f"embeddings/{encoder}"):
        known.vectors |= vectors_of(dataset.read(f"embeddings/{encoder}"))
    return known


def _scan_settings(context: Context) -> dict[str, Any]:
    """What the columns of `images` depend on besides the files."""
    return {"version": __version__, **context.dataset.config.scan.model_dump(mode="json", exclude={"workers"})}


def _remember(context: Context) -> dict[str, Any]:
    """Record the encoder and the settings before any table is written, so that a killed scan can be gone on with.

    Encoders of earlier scans stay known, so that coming back to one finds its vectors without loading it.
    """
    folder, spec = context.dataset.folder, context.services.spec
    known = record.load(folder)
    encoders = known.setdefault("encoders", {})
    if spec.fingerprint not in encoders:
        encoder = context.services.encoder().result()
        encoders[spec.fingerprint] = {"id": encoder.id, "dim": encoder.dim}
    known["encoder"] = {**encoders[spec.fingerprint], "name": spec.name, "note": spec.note}
    known["scan_settings"] = _scan_settings(context)
    record.save(folder, known)
    return dict(known["encoder"])


STAGE = Stage((), ("images", "thumbnails", "embeddings"), ("scan",), _scan, _scan_inputs)
