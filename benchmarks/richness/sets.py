"""One arm of one character on disk and in memory: a curated folder to train on, what it is measured on, its richness.

Not for which pictures those are: that is `arms.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from benchmarks.richness import arms, asked, truth
from benchmarks.richness.arms import Arm
from benchmarks.richness.people import LOOKS, Subject, Toon, second_form
from benchmarks.richness.pool import Item, Pool, renderer
from diversity import Dataset, richness, tables
from diversity.config import EncoderConfig
from diversity.encoders import load_encoder, resolve
from diversity.encoders.base import TextEncoder
from training.base import Base
from training.evaluate.estimate import Estimate
from training.evaluate.rows import Rows
from training.evaluate.sets import EvaluationSets, Material, Prompt
from training.judges import Judges

ENCODER = EncoderConfig(model="toon", device="cpu")


@dataclass(frozen=True)
class Cast:
    """One character and all that is drawn of it.

    Attributes:
        subject: Who.
        pool, others: Pictures.
        seed: Of the pool and of trainings.
    """

    subject: Subject
    pool: Pool
    others: Pool
    seed: int


@dataclass(frozen=True)
class Written:
    """A set on disk.

    Attributes:
        dataset: Scanned, with a selection.
        related: Folder of related pictures; None where there are none.
        material: What was written.
    """

    dataset: Dataset
    related: Path | None
    material: arms.Material


def write(material: arms.Material, folder: Path) -> Written:
    """Write pictures and captions, scan them, and select all with their weights: nothing is dropped.

    What an interrupted call left is written again.
    """
    pictures, related = folder / "pictures", folder / "related"
    for target, items, captioned in ((pictures, material.train, True), (related, material.related, False)):
        shutil.rmtree(target, ignore_errors=True)
        for number, item in enumerate(items):
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(item.pixels).save(target / f"{number:03d}.png")
            text = caption(item) if captioned else item.caption
            (target / f"{number:03d}.txt").write_text(text, encoding="utf-8")
    dataset = Dataset.open(
        pictures, workspace_folder=folder / "workspace", overrides={"encoder": {"model": "toon", "device": "cpu"}}
    )
    dataset.scan()
    weights = {f"{number:03d}.png": item.weight for number, item in enumerate(material.train)}
    chosen = dataset.images.select("key", "path").sort("path").with_row_index("rank")
    mean = float(np.mean(list(weights.values())))
    chosen = chosen.with_columns(
        weight=pl.col("path").replace_strict(weights, return_dtype=pl.Float64) / mean,
        gain=pl.lit(None),
        reason=pl.lit("the protocol"),
    )
    dataset.write("selection/default", tables.conform(chosen, tables.SELECTION))
    return Written(dataset, related if material.related else None, material)


def caption(item: Item) -> str:
    """Trigger, tags, and what the picture shows but for the looks."""
    return ", ".join((item.word or asked.TRIGGER, *item.tags, item.caption))


def evaluation_sets(base: Base, cast: Cast, arm: Arm, material: arms.Material, looks: Looks) -> EvaluationSets:
    """What a LoRA of this arm is measured on."""
    shown = asked.views(looks.by_view)
    prompts: list[Prompt] = [*asked.subject(shown), *asked.novel(looks.own), *asked.unrelated()]
    if arm.name == "bound16":
        prompts += asked.bound(arms.BOUND_TAG)
    if arm.name == "two32":
        prompts += asked.second(asked.views(looks.second), arms.SECOND_WORD)
    return EvaluationSets(
        train=_material(base, material.train),
        held_out={"common": _material(base, cast.pool.part("common")), "own": _material(base, material.own)},
        prior=_material(base, cast.others.part("prior"), named=False),
        prompts=tuple(prompts),
        trigger=asked.TRIGGER,
    )


@dataclass(frozen=True)
class Looks:
    """What a character looks like, in the judges' words.

    Attributes:
        own: Attribute → label.
        by_view: View of `asked.VIEWS` → the looks that it shows.
        second: The same of the second form; empty where there is none.
        second_own: `own` of the second form.
    """

    own: Mapping[str, str]
    by_view: Mapping[tuple[str, float], Mapping[str, str]]
    second: Mapping[tuple[str, float], Mapping[str, str]]
    second_own: Mapping[str, str]


def looks_of(cast: Cast, judges: Judges | None) -> Looks:
    """From labels where there are any, else from what the judges say of the common held-out renders, else none."""
    subject = cast.subject
    if isinstance(subject, Toon):
        other = Toon(second_form(subject.person))
        views = [{view: who.shown(renderer(), *view) for view in asked.VIEWS} for who in (subject, other)]
        return Looks(subject.looks, views[0], views[1], other.looks)
    if judges is None:
        return Looks({}, {}, {}, {})
    held = cast.pool.part("common")
    own = truth.looks_of_renders(judges, [_image(item) for item in held], [item.view for item in held])
    by_view = {
        (framing, azimuth): {n: own[n] for n in LOOKS if n in own and framing in judges.attributes[n].framings}
        for framing, azimuth in asked.VIEWS
    }
    return Looks(own, by_view, {}, {})


class Richness:
    """Measures sets with the toon encoder, which is loaded once."""

    def __init__(self) -> None:
        self.encoder: TextEncoder = load_encoder(ENCODER)
        self.centre = resolve(ENCODER).centre()

    def rows(self, material: arms.Material) -> pl.DataFrame:
        """`richness.*` of all pictures that are trained on, related ones too, with their exposures."""
        items = [*material.train, *material.related]
        own = np.array([item.weight for item in material.train])
        others = np.full(len(material.related), own.sum() / max(len(material.related), 1))
        weights = np.concatenate([own, others])
        pictures = richness.Pictures(
            vectors=self.vectors(items),
            groups=np.array([item.group for item in items]),
            cells=tuple(item.view for item in items),
            weights=weights / weights.mean() if np.ptp(weights) > 0 else None,
            azimuths=np.array([item.azimuth for item in items]),
        )
        found = Rows()
        for one in richness.measures(pictures, centre=self.centre):
            low, high = (np.nan if end is None else end for end in (one.low, one.high))
            value = Estimate(one.value, low, high, one.n, "pictures")
            found.add(f"richness.{one.name}", value, encoder=self.encoder.id)
        return found.frame()

    def vectors(self, items: Sequence[Item]) -> NDArray[np.float32]:
        """float32 [n, d], unit rows."""
        return self.encoder.encode_images([_image(item) for item in items])


def _material(base: Base, items: Sequence[Item], *, named: bool = True) -> Material:
    return Material.of(
        base,
        [_image(item) for item in items],
        [caption(item) if named else item.caption for item in items],
        [item.group for item in items],
        views=[item.view for item in items],
        names=[item.group for item in items],
    )


def _image(item: Item) -> Image.Image:
    return Image.fromarray(item.pixels)
