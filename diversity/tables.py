"""The columns of every table in a workspace: the contract between stages.

Not for reading or writing them: that is `dataset.py`.
"""

from __future__ import annotations

import polars as pl

Schema = dict[str, pl.DataType | type[pl.DataType]]

IMAGES: Schema = {
    "key": pl.String,  # 16 hex digits of blake2b over the path relative to the root: one row per file, always
    "content": pl.String,  # 32 hex digits over the decoded RGBA pixels and their size; null with a problem
    "path": pl.String,  # relative to the root, forward slashes; "shard.tar/000.jpg" inside a tar
    "bytes_hash": pl.String,
    "size": pl.Int64,  # bytes
    "mtime_ns": pl.Int64,
    "width": pl.Int32,  # after EXIF orientation
    "height": pl.Int32,
    "format": pl.String,  # Pillow's name: JPEG, PNG, ...
    "mode": pl.String,  # Pillow's mode in the file: RGB, CMYK, I;16, ...
    "frames": pl.Int32,  # animated pictures: the first frame is used
    "caption": pl.String,  # null: none
    "caption_path": pl.String,
    "repeats": pl.Int32,  # N of a kohya folder N_name
    "concept": pl.String,  # name of a kohya folder N_name, or the folder
    "source": pl.String,  # video a frame came from
    "time": pl.Float64,  # seconds into that video
    "frame": pl.Int32,  # frame number in that video
    "phash": pl.UInt64,  # 64-bit DCT hash
    "sharpness": pl.Float64,  # see quality.py for units and ranges of these
    "brightness": pl.Float64,
    "dark_share": pl.Float64,
    "bright_share": pl.Float64,
    "contrast": pl.Float64,
    "colourfulness": pl.Float64,
    "background_flat": pl.Float64,
    "alpha_share": pl.Float64,
    "border_share": pl.Float64,
    "quality": pl.Float64,  # 0..1, for choosing keepers: higher is better
    "flags": pl.List(pl.String),  # keys of `quality.FLAGS`
    "problem": pl.String,  # why the file could not be used; null: fine
}

THUMBNAILS: Schema = {"content": pl.String, "jpeg": pl.Binary}

NEIGHBOURS: Schema = {"key": pl.String, "other": pl.String, "similarity": pl.Float32}  # both directions

DUPLICATES: Schema = {
    "key": pl.String,  # one row per picture without a problem
    "group": pl.String,  # the keeper's key: a keeper and its copies share it; a lone picture is a group of one
    "keeper": pl.String,  # == key for keepers and lone pictures
    "kind": pl.String,  # "keeper" | "copy" | "variant" (a variant keeps itself; `variant_of` names its alike)
    "variant_of": pl.String,
    "similarity": pl.Float64,  # to the keeper (or to variant_of), in the tier's own measure; larger is more alike
    "tier": pl.String,  # "bytes" | "pixels" | "hash" | "embedding" | null
    "threshold": pl.Float64,  # of that tier
    "reason": pl.String,  # one plain sentence
}

VIEWS: Schema = {
    "key": pl.String,
    "axis": pl.String,  # framing, side, user axes
    "label": pl.String,  # or "unsure"
    "confidence": pl.Float64,  # 0..1, calibrated
    "source": pl.String,  # "user" | "caption" | "prompt" | "probe"
}

TARGETS: Schema = {
    "cell": pl.String,  # "framing/side"; a detail's cell is "detail/<side>" too
    "have": pl.Int32,  # distinct pictures (groups)
    "want": pl.Int32,
    "state": pl.String,  # "rare" | "missing" | "ample" | "thief"
    "advice": pl.String,  # what to add, one sentence; "" for ample
}

# group: the axis that the tag speaks on (framing, side, a user's own); "artist", "quality", "rating" or "meta" where it
# says what the picture does not show (the caption did, or a downloader's record: `ingest/records.py`); null: any other
TAGS: Schema = {"key": pl.String, "tag": pl.String, "group": pl.String}

BINDINGS: Schema = {  # see `binding.Binding`
    "tag": pl.String,
    "pictures": pl.Int32,  # that carry it
    "n": pl.Int32,  # groups that carry it
    "information": pl.Float64,  # 0 no binding .. 1; null: not told
    "p": pl.Float64,
    "look": pl.String,  # "framing/side", or a framing or side alone
    "share": pl.Float64,
    "elsewhere": pl.Float64,
    "state": pl.String,  # "bound" | "free" | "always on" | "rare"
}

SCORES: Schema = {
    "measure": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "settings": pl.String,  # JSON: encoder id, rarefied size, order, ...
}

MAP: Schema = {"key": pl.String, "x": pl.Float32, "y": pl.Float32}

TRAINER: Schema = {
    "key": pl.String,  # one row per picture that is no copy, and resolution
    "resolution": pl.Int32,  # side of the square that has a bucket's area, pixels
    "bucket_width": pl.Int32,
    "bucket_height": pl.Int32,
    "scale": pl.Float64,  # bucket over picture, per side: above 1 the picture is enlarged
    "lost": pl.Float64,  # share of the picture's pixels that the crop cuts off, 0..1
    "subject": pl.Float64,  # longer side of the box around the subject, pixels of the bucket; null: not known
    "face": pl.Float64,  # height of the largest face, pixels of the bucket; null: none was found
}

SELECTION: Schema = {
    "key": pl.String,  # chosen pictures only
    "rank": pl.Int32,  # 0 first
    "gain": pl.Float64,
    "weight": pl.Float64,  # mean 1
    "reason": pl.String,
}

DROPPED: Schema = {"key": pl.String, "keeper": pl.String, "reason": pl.String}

DECISIONS: Schema = {
    "key": pl.String,
    "content": pl.String,
    "path": pl.String,
    "what": pl.String,  # "pin" | "drop" | "label"
    "value": pl.String,
    "when": pl.String,
}


def empty(schema: Schema) -> pl.DataFrame:
    """A frame with `schema` and no rows."""
    return pl.DataFrame(schema=schema)


def conform(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """`frame` with exactly the columns of `schema`, in order and cast.

    Raises:
        polars.exceptions.ColumnNotFoundError: a column is missing.
    """
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
