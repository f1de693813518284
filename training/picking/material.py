"""What `pick` looks at: the training set from its workspace, and the samples decoded, encoded and labelled once.

Not for judging them: that is `judge.py`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity.captions import Matcher
from diversity.services import Services
from training.evaluate import colour
from training.picking.samples import Sample, Samples
from training.picking.subject import asks_for, subject_words

if TYPE_CHECKING:
    from PIL.Image import Image

    from diversity.dataset import Dataset
    from diversity.encoders.base import TextEncoder
    from diversity.progress import Progress
    from diversity.taxonomy import Taxonomy
    from training.evaluate.estimate import Floats

Vectors = NDArray[np.float32]

STAGES = ("scan", "label", "dedup", "views")


@dataclass(frozen=True)
class TrainingSet:
    """The pictures that were trained on.

    Attributes:
        frame: Rows of `images`, canonical order, with `group`, `family` (a picture, its copies and variants), `cell`.
        vectors: float32 [n, d], unit rows.
        pictures: Small RGB pictures in the same order.
        targets: `tables.TARGETS`.
        centre: The encoder's mean picture, or None.
        lines: `same_shot` and what else was measured when copies were looked for.
        words: Words that stand for the subject in prompts: trigger, concept, tags of most captions.
    """

    frame: pl.DataFrame
    vectors: Vectors
    pictures: list[Image] = field(repr=False)
    targets: pl.DataFrame
    centre: Floats | None
    lines: dict[str, Any]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """One sample, looked at.

    Attributes:
        sample: What made it.
        content: Hash of its pixels.
        picture: Small RGB picture.
        thumbnail: The same as JPEG.
        subject: Whether its prompt asks for the subject; None: not known.
        asked, seen: axis → label that the prompt asks for, and that the picture shows (confident ones only).
    """

    sample: Sample
    content: str
    picture: Image = field(repr=False)
    thumbnail: bytes = field(repr=False)
    subject: bool | None
    asked: dict[str, str]
    seen: dict[str, str]


@dataclass(frozen=True)
class Material:
    """Everything to judge.

    Attributes:
        training: The set.
        looks: The samples that could be decoded, in the order of `Samples`.
        vectors: float32 [len(looks), d], unit rows of the set's encoder.
        palettes: Of each sample; None where it is blank.
        encoder: Its name.
        problems: path → why a sample could not be used.
    """

    training: TrainingSet
    looks: list[Look]
    vectors: Vectors
    palettes: list[colour.Palette | None]
    encoder: str
    problems: dict[str, str]


def gather(dataset: Dataset, samples: Samples, trigger: str | None, progress: Progress) -> Material:
    """Bring the set up to date, then decode, encode and label every sample.

    Raises:
        DiversityError: whatever scanning the set raises.
    """
    from diversity import taxonomy

    dataset.run(*STAGES, progress=progress)
    rules = taxonomy.load(dataset.config.views.taxonomy)
    training = _training_set(dataset, trigger or samples.trigger)
    with Services(dataset) as services:
        encoder = services.encoder().result()
        decoded, problems = _decode(dataset, samples, encoder, progress)
        vectors = np.array([found.vector for found in decoded], np.float32).reshape(len(decoded), encoder.dim)
        seen = _labels(dataset, training, decoded, vectors, rules, encoder)
    matcher = Matcher(rules)
    looks = [
        Look(
            sample=found.sample,
            content=found.content,
            picture=found.picture,
            thumbnail=found.thumbnail,
            subject=asks_for(training.words, found.sample.prompt, cut=found.sample.cut),
            asked={axis: said.label for axis, said in matcher.evidence(found.sample.prompt).items()},
            seen=labels,
        )
        for found, labels in zip(decoded, seen, strict=True)
    ]
    palettes = [colour.palette(colour.content(np.asarray(look.picture))) for look in looks]
    return Material(training, looks, vectors, palettes, encoder.name, problems)


def _training_set(dataset: Dataset, trigger: str | None) -> TrainingSet:
    from diversity import record
    from diversity.decisions import standing
    from diversity.encoders.spec import resolve

    gone = [key for key, held in standing(dataset, "drop", "pin").items() if held == "drop"]
    frame = dataset.usable.filter(~pl.col("key").is_in(gone))
    duplicates = dataset.read("duplicates").select("key", "group", "variant_of")
    frame = frame.join(duplicates, on="key", how="left", maintain_order="left")
    cells = _cells(dataset)
    groups = dict(zip(frame["key"], frame["group"], strict=True))
    family = [groups.get(v, g) if v else g for v, g in frame.select("variant_of", "group").iter_rows()]
    frame = frame.with_columns(
        family=pl.Series(family, dtype=pl.String),
        cell=pl.Series([cells.get(key, "unsure") for key in frame["key"]], dtype=pl.String),
    )
    thumbnails = dict(dataset.read("thumbnails").iter_rows())
    return TrainingSet(
        frame,
        dataset.vectors(frame),
        [_open(thumbnails[content]) for content in frame["content"]],
        dataset.read("targets"),
        resolve(dataset.config.encoder).centre(),
        dict(record.load(dataset.folder).get("duplicates") or {}),
        subject_words(frame, trigger or dataset.config.export.trigger),
    )


def _cells(dataset: Dataset) -> dict[str, str]:
    """Key → "framing/side" where both are sure."""
    sure = dataset.read("views").filter(pl.col("label") != "unsure")
    framing, side = (
        dict(sure.filter(pl.col("axis") == axis).select("key", "label").iter_rows()) for axis in ("framing", "side")
    )
    return {key: f"{framing[key]}/{side[key]}" for key in framing.keys() & side.keys()}


def _open(jpeg: bytes) -> Image:
    from PIL import Image

    return Image.open(io.BytesIO(jpeg)).convert("RGB")


@dataclass(frozen=True)
class _Decoded:
    """One sample that could be read."""

    sample: Sample
    content: str
    picture: Image
    thumbnail: bytes
    vector: NDArray[np.float32]


def _decode(
    dataset: Dataset, samples: Samples, encoder: TextEncoder, progress: Progress
) -> tuple[list[_Decoded], dict[str, str]]:
    """Read and encode the samples; vectors are kept by content, so that new checkpoints cost only their own."""
    from diversity.decode import BadPicture, decode

    found: list[_Decoded] = []
    problems: dict[str, str] = {}
    vectors = _Vectors(dataset, encoder)
    with progress.task("samples", len(samples.samples)) as advance:
        for sample in samples.samples:
            try:
                decoded = decode(sample.source.read(), max_pixels=dataset.config.scan.max_pixels)
            except (OSError, BadPicture) as error:
                problems[sample.path] = str(error)
            else:
                picture, jpeg = _thumbnail(decoded.picture, dataset.config.scan.thumbnail)
                content = decoded.content
                found.append(_Decoded(sample, content, picture, jpeg, vectors.of(content, decoded.picture)))
            advance(1)
    vectors.save()
    return found, problems


class _Vectors:
    """Vectors of samples by content, in the workspace."""

    def __init__(self, dataset: Dataset, encoder: TextEncoder) -> None:
        self._dataset, self._encoder, self._table = dataset, encoder, f"picks/vectors/{encoder.id}"
        self._known: dict[str, NDArray[np.float32]] = {}
        self._new = False
        if dataset.has(self._table):
            frame = dataset.read(self._table)
            rows = frame["vector"].to_numpy().astype(np.float32)
            self._known = dict(zip(frame["content"].to_list(), rows, strict=True))

    def of(self, content: str, picture: Image) -> NDArray[np.float32]:
        """The vector of one picture, float32 [d], unit; rounded to what is stored, so that a second run is equal."""
        if content not in self._known:
            row = self._encoder.encode_images([picture])[0]
            self._known[content], self._new = row.astype(np.float16).astype(np.float32), True
        row = self._known[content]
        unit: NDArray[np.float32] = row / np.linalg.norm(row)
        return unit

    def save(self) -> None:
        """Write them, where there are new ones."""
        if not self._new:
            return
        names = sorted(self._known)
        rows = np.stack([self._known[name] for name in names])
        vectors = pl.Series(rows, dtype=pl.Array(pl.Float32, rows.shape[1]))
        self._dataset.write(self._table, pl.DataFrame({"content": names, "vector": vectors}))


def _thumbnail(picture: Image, longest: int) -> tuple[Image, bytes]:
    """A small RGB picture, and the same as JPEG."""
    small = picture.convert("RGB")
    small.thumbnail((longest, longest))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return small, buffer.getvalue()


def _labels(
    dataset: Dataset,
    training: TrainingSet,
    decoded: list[_Decoded],
    vectors: Vectors,
    rules: Taxonomy,
    encoder: TextEncoder,
) -> list[dict[str, str]]:
    """What each sample shows; the set teaches the probe, and what the sample was asked for says nothing about it."""
    from diversity import views
    from diversity.decisions import load as load_decisions

    if not decoded:
        return []
    columns = ("key", "content", "caption")
    own = pl.DataFrame(
        {
            "key": [f"sample-{i}" for i in range(len(decoded))],
            "content": [found.content for found in decoded],
            "caption": [None] * len(decoded),
        },
        schema=dict.fromkeys(columns, pl.String),
    )
    given = [views.decided_labels(load_decisions(dataset), dataset.images, rules)]
    if dataset.config.views.labels is not None:
        given.insert(0, views.read_labels(dataset.config.views.labels, dataset.images, rules))
    both = pl.concat([training.frame.select(columns), own])
    rows = np.concatenate([training.vectors, vectors])
    bank = views.embed_prompts(rules, encoder, dataset.folder)
    told = views.label_views(both, rows, rules, bank, pl.concat(given), dataset.config.views)
    seen: list[dict[str, str]] = [{} for _ in decoded]
    for key, axis, label in told.select("key", "axis", "label").iter_rows():
        if key.startswith("sample-") and label != "unsure":
            seen[int(key.removeprefix("sample-"))][axis] = label
    return seen
