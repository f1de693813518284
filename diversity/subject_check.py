"""The subject check of a set: its thumbnails and references through an encoder, into a list for a person.

Not for the mathematics: that is `subject.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from diversity import subject
from diversity.errors import InputError
from diversity.plural import count

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from diversity.dataset import Dataset

TABLE = "subject"  # key, path, score, threshold, state, reason: the odd ones first


@dataclass(frozen=True)
class Odd:
    """A picture that is perhaps not of the subject, or not of it alone.

    Attributes:
        path: Relative to the root.
        state: "off" or "several".
        score: How like the subject, see `subject.check`.
        reason: One sentence.
    """

    path: str
    state: str
    score: float
    reason: str


@dataclass(frozen=True)
class Found:
    """What the check found.

    Attributes:
        pictures: How many were looked at.
        references: How many showed what the subject is; 0: the set itself did.
        by: What was compared.
        odd: Off-subject pictures first, the least like it at the top; then pictures of several.
    """

    pictures: int
    references: int
    by: str
    odd: tuple[Odd, ...]

    def text(self) -> str:
        """For a terminal."""
        told = count(self.references, "reference") if self.references else "what most pictures show"
        lines = [f"{count(self.pictures, 'picture')} compared with {told}, by {self.by}."]
        lines += [f"  {one.state:<8} {one.score:.3f}  {one.path}: {one.reason}" for one in self.odd]
        if not self.odd:
            return lines[0] + " None stands out."
        return "\n".join([*lines, "Nothing was dropped. To drop one: diversity drop PICTURES FILE"])


def run(dataset: Dataset, references: Sequence[str], encoder: subject.SubjectEncoder) -> Found:
    """Check a scanned set; writes the table `subject`.

    Args:
        dataset: Scanned.
        references: Pictures of the set, or files elsewhere, that surely show the subject alone.
        encoder: What is compared.

    Raises:
        InputError: a reference cannot be read.
        WorkspaceError: nothing was scanned yet.
    """
    usable = dataset.usable
    thumbnails = dict(dataset.read("thumbnails").iter_rows())
    named = _references(dataset, references)
    pictures = [subject.opened(thumbnails[content]) for content in usable["content"]]
    vectors = encoder.encode([*(picture for _, picture in named), *pictures])
    told, vectors = vectors[: len(named)], vectors[len(named) :]
    own = {key for key, _ in named if key}
    rest = np.array([key not in own for key in usable["key"]], bool)
    found = subject.check(vectors[rest], told, encoder.spreads, encoder.slack)
    scores = np.ones(len(usable))
    scores[rest] = found.scores
    off = np.zeros(len(usable), bool)
    off[rest] = found.off
    frame = _table(usable, pictures, scores, off, found.threshold, _details(dataset))
    dataset.write(TABLE, frame)
    odd = [Odd(r["path"], r["state"], r["score"], r["reason"]) for r in frame.to_dicts() if r["state"] != "on"]
    return Found(len(usable), len(named), encoder.name, tuple(odd))


def _table(
    usable: pl.DataFrame,
    pictures: list[Image.Image],
    scores: NDArray[np.float64],
    off: NDArray[np.bool_],
    threshold: float,
    details: frozenset[str],
) -> pl.DataFrame:
    rows = []
    for at, (key, path, caption) in enumerate(usable.select("key", "path", "caption").iter_rows()):
        many = subject.several(pictures[at], caption)
        state = "off" if off[at] else "several" if many else "on"
        unlike = f"unlike the subject: {scores[at]:.3f}, the line is {threshold:.3f}"
        if key in details:
            unlike += "; a close-up of a detail need not show the subject's other colours"
        rows.append((key, path, float(scores[at]), float(threshold), state, unlike if off[at] else many))
    columns = {"key": pl.String, "path": pl.String, "score": pl.Float64, "threshold": pl.Float64}
    frame = pl.DataFrame(rows, schema={**columns, "state": pl.String, "reason": pl.String}, orient="row")
    order = pl.col("state").replace_strict({"off": 0, "several": 1, "on": 2}, return_dtype=pl.Int8)
    return frame.sort(order, "score", "path")


def _details(dataset: Dataset) -> frozenset[str]:
    """Keys of close-ups of a detail, as far as views were told."""
    if not dataset.has("views"):
        return frozenset()
    views = dataset.read("views").filter((pl.col("axis") == "framing") & (pl.col("label") == "detail"))
    return frozenset(views["key"])


def _references(dataset: Dataset, names: Sequence[str]) -> list[tuple[str | None, Image.Image]]:
    """Key (None for files elsewhere) and picture of every reference, each once."""
    from diversity.config import ScanConfig
    from diversity.decisions import find_picture
    from diversity.measure import measure

    thumbnails = dict(dataset.read("thumbnails").iter_rows())
    found: dict[str, tuple[str | None, Image.Image]] = {}
    for name in names:
        file = Path(name).expanduser()
        try:
            row = find_picture(dataset, name)
        except InputError:
            if not file.is_file():
                raise
            measured = measure(file.read_bytes(), ScanConfig(thumbnail=dataset.config.scan.thumbnail))
            if measured.thumbnail is None:
                raise InputError(f"The reference {name} cannot be used.", f"{measured.columns['problem']}") from None
            found[str(file.resolve())] = None, subject.opened(measured.thumbnail)
            continue
        if row["content"] not in thumbnails:
            raise InputError(f"The reference {name} cannot be used.", f"{row['problem']}")
        found[row["key"]] = row["key"], subject.opened(thumbnails[row["content"]])
    return list(found.values())
