"""The stage `scan`: looks at new and changed files, takes over what is known of the others, writes the tables.

Not for the pass itself: that is `scan.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import numpy as np
import polars as pl

from diversity import __version__, record, tables
from diversity.errors import InputError
from diversity.scan import UNREADABLE
from diversity.stages import Context, Stage

CHUNK = 4096  # pictures between two writes of the tables: what a killed scan loses at most


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
    from diversity.scan import Scanner, embeddings_frame, key_of, source_columns

    dataset, sources = context.dataset, context.services.sources()
    if not sources:
        raise InputError(
            f"{dataset.root} holds no pictures.", "No file in it has a picture's suffix.", "Give another folder."
        )
    images, thumbnails, vectors = _reusable(context)
    known = {(r["key"], r["size"], r["mtime_ns"]): r for r in images.iter_rows(named=True)}
    rows: dict[str, dict[str, Any]] = {}
    todo = []
    for source in sources:
        columns = source_columns(source)
        old = known.get((columns["key"], source.size, source.mtime_ns))
        complete = old is not None and old["content"] in vectors and old["content"] in thumbnails
        if old is not None and (complete or _stays_bad(old)):
            rows[source.path] = {**old, **columns}
        else:
            todo.append(source)
    if todo:
        context.services.warm_up()
    scanner = Scanner(dataset.config.scan, context.services.encoder(), frozenset(vectors)) if todo else None
    with context.progress.task("pictures", len(todo)) as advance:
        for start in range(0, max(len(todo), 1), CHUNK):
            if scanner is not None:
                found = scanner.run(todo[start : start + CHUNK], advance)
                rows.update((row["path"], row) for row in found.rows)
                thumbnails.update(found.thumbnails)
                vectors.update(found.vectors)
            encoder = _remember(context)
            frame = pl.DataFrame(list(rows.values()), schema=tables.IMAGES).sort("path")
            contents = set(frame["content"].drop_nulls())
            dataset.write(f"embeddings/{encoder['id']}", embeddings_frame({c: vectors[c] for c in contents}))
            thumbs = sorted((c, t) for c, t in thumbnails.items() if c in contents)
            dataset.write("thumbnails", pl.DataFrame(thumbs, schema=tables.THUMBNAILS, orient="row"))
            dataset.write("images", frame)
    assert len({key_of(s.path) for s in sources}) == len(rows), "two paths with one key"


def _stays_bad(row: dict[str, Any]) -> bool:
    """Whether a file's problem is its content: one that could not be read is tried again."""
    return row["problem"] is not None and not row["problem"].startswith(UNREADABLE)


def _reusable(context: Context) -> tuple[pl.DataFrame, dict[str, bytes], dict[str, np.ndarray]]:
    """What an earlier scan with the same settings and encoder left."""
    dataset = context.dataset
    before = record.load(dataset.folder)
    same = before.get("scan_settings") == _scan_settings(context) and not context.force
    images = dataset.read("images") if same and dataset.has("images") else tables.empty(tables.IMAGES)
    thumbnails = dict(dataset.read("thumbnails").iter_rows()) if same and dataset.has("thumbnails") else {}
    encoder = before.get("encoder", {})
    if not same or encoder.get("fingerprint") != context.services.spec.fingerprint or not dataset.has("embeddings"):
        return images, thumbnails, {}
    stored = dataset.read("embeddings")
    vectors = stored["vector"].to_numpy().astype(np.float32) if len(stored) else np.empty((0, 1), np.float32)
    return images, thumbnails, dict(zip(stored["content"], vectors, strict=True))


def _scan_settings(context: Context) -> dict[str, Any]:
    """What the columns of `images` depend on besides the files."""
    return {"version": __version__, **context.dataset.config.scan.model_dump(mode="json", exclude={"workers"})}


def _remember(context: Context) -> dict[str, Any]:
    """Record the encoder and the settings before any table is written, so that a killed scan can be gone on with."""
    folder, spec = context.dataset.folder, context.services.spec
    known = record.load(folder)
    if known.get("encoder", {}).get("fingerprint") != spec.fingerprint:
        encoder = context.services.encoder().result()
        known["encoder"] = {"id": encoder.id, "name": spec.name, "note": spec.note, "dim": encoder.dim}
        known["encoder"]["fingerprint"] = spec.fingerprint
    known["scan_settings"] = _scan_settings(context)
    record.save(folder, known)
    return dict(known["encoder"])


STAGE = Stage((), ("images", "thumbnails", "embeddings"), ("scan",), _scan, _scan_inputs)
