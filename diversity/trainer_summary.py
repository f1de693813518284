"""What a trainer would see of a selection, counted over the table `trainer`: for the command and the report.

Not for measuring: that is `trainer_stage.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from diversity.plural import count

if TYPE_CHECKING:
    from diversity.dataset import Dataset

ENLARGED = 1.05  # scale from which a picture counts as enlarged
MUCH = 1.5  # ... and as so much that softness is learned
CROPPED = 0.1  # share of a picture's pixels from which the crop is worth a look
ORDER = ("headshot", "half_body", "full_body", "detail")


@dataclass(frozen=True)
class Span:
    """Pixels over the pictures of one framing in which they are known.

    Attributes:
        framing: A label, or "" where it is not known.
        what: "subject" or "face".
        n: Pictures in which it is known.
        of: Pictures of that framing.
        middle, least, most: Pixels, median and extremes.
    """

    framing: str
    what: str
    n: int
    of: int
    middle: float
    least: float
    most: float


@dataclass(frozen=True)
class Batches:
    """Buckets that cannot fill a batch.

    Attributes:
        size: Of a batch.
        short: (width, height, pictures) of every bucket with fewer pictures than that.
        pictures: In such buckets.
    """

    size: int
    short: tuple[tuple[int, int, int], ...]
    pictures: int


@dataclass(frozen=True)
class Seen:
    """One resolution.

    Attributes:
        resolution: Side of the square that has a bucket's area, pixels.
        pictures: How many of the selection were placed.
        buckets: How many buckets they fall into.
        enlarged, much: Pictures that are enlarged at all, and by more than `MUCH`.
        largest: The largest scale.
        lost: Share of all pixels that crops cut off, 0..1.
        cropped: (path, share lost) of pictures that lose more than `CROPPED`, most first.
        batches: By size of a batch.
        spans: Of subjects and faces, by framing.
    """

    resolution: int
    pictures: int
    buckets: int
    enlarged: int
    much: int
    largest: float
    lost: float
    cropped: tuple[tuple[str, float], ...]
    batches: tuple[Batches, ...]
    spans: tuple[Span, ...]

    def lines(self) -> list[str]:
        """For a terminal."""
        lines = [
            f"At {self.resolution}: {count(self.pictures, 'picture')} in {count(self.buckets, 'bucket')}; "
            f"{self.enlarged} enlarged, {self.much} of them more than {MUCH:g} times (up to {self.largest:.1f}); "
            f"crops cut off {100 * self.lost:.1f} % of all pixels."
        ]
        for path, lost in self.cropped[:3]:
            lines.append(f"  cut by {100 * lost:.0f} %: {path}")
        for batch in self.batches:
            if batch.short:
                lines.append(
                    f"  batch {batch.size}: {count(len(batch.short), 'bucket holds', 'buckets hold')} fewer pictures "
                    f"than that ({count(batch.pictures, 'picture')}), so batches are smaller, or hold a picture twice."
                )
        for span in self.spans:
            name = span.framing.replace("_", " ") or "framing not sure"
            lines.append(
                f"  {span.what} in {name}: about {span.middle:.0f} px ({span.least:.0f} to {span.most:.0f}; "
                f"known in {span.n} of {span.of})"
            )
        return lines


def of(dataset: Dataset) -> list[Seen]:
    """The selection of the settings at every resolution of the table; of all pictures where nothing is selected.

    Raises:
        WorkspaceError: the table `trainer` is not there yet.
    """
    frame = dataset.read("trainer")
    chosen = dataset.read("selection")["key"].to_list() if dataset.has("selection") else frame["key"].to_list()
    views, paths = dataset.read("views"), dict(dataset.images.select("key", "path").iter_rows())
    return summarise(frame.filter(pl.col("key").is_in(chosen)), views, paths, dataset.config.trainer.batch_sizes)


def summarise(frame: pl.DataFrame, views: pl.DataFrame, paths: dict[str, str], sizes: tuple[int, ...]) -> list[Seen]:
    """Count.

    Args:
        frame: `tables.TRAINER`, of the pictures that are trained on.
        views: `tables.VIEWS`.
        paths: Key → path.
        sizes: Of batches.
    """
    framing = views.filter((pl.col("axis") == "framing") & (pl.col("label") != "unsure")).select("key", "label")
    joined = frame.join(framing, on="key", how="left")
    return [
        _one(int(resolution), joined.filter(pl.col("resolution") == resolution), paths, sizes)
        for resolution in sorted(joined["resolution"].unique())
    ]


def text(seen: list[Seen]) -> str:
    """For a terminal."""
    if not seen:
        return "No picture is selected."
    return "\n".join(line for one in seen for line in one.lines())


def _one(resolution: int, rows: pl.DataFrame, paths: dict[str, str], sizes: tuple[int, ...]) -> Seen:
    counted = rows.group_by("bucket_width", "bucket_height").len().sort("bucket_width", "bucket_height")
    buckets = list(counted.iter_rows())
    lost, scale = (rows[name].to_numpy().astype(float) for name in ("lost", "scale"))
    whole = (rows["bucket_width"] * rows["bucket_height"]).to_numpy() / (1 - lost)
    cropped = rows.filter(pl.col("lost") > CROPPED).sort("lost", "key", descending=[True, False])
    return Seen(
        resolution=resolution,
        pictures=len(rows),
        buckets=len(buckets),
        enlarged=int((scale > ENLARGED).sum()),
        much=int((scale > MUCH).sum()),
        largest=float(scale.max()),
        lost=float((whole * lost).sum() / whole.sum()),
        cropped=tuple((paths.get(key, key), lost) for key, lost in cropped.select("key", "lost").iter_rows()),
        batches=tuple(_batches(size, buckets) for size in sizes),
        spans=_spans(rows),
    )


def _batches(size: int, buckets: list[tuple[Any, ...]]) -> Batches:
    short = tuple((width, height, n) for width, height, n in buckets if n < size)
    return Batches(size, short, sum(n for *_, n in short))


def _spans(rows: pl.DataFrame) -> tuple[Span, ...]:
    known = rows.with_columns(pl.col("label").fill_null(""))
    labels = [label for label in ORDER if label in set(known["label"])]
    labels += sorted(set(known["label"]) - set(labels))
    spans = []
    for what in ("subject", "face"):
        for label in labels:
            part = known.filter(pl.col("label") == label)
            pixels = part[what].drop_nulls().to_numpy()
            if len(pixels):
                extremes = float(np.median(pixels)), float(pixels.min()), float(pixels.max())
                spans.append(Span(label, what, len(pixels), len(part), *extremes))
    return tuple(spans)
