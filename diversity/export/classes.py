"""One folder per weight, for trainers that weight folders only: split, write pictures and captions, say where they lie.

Not for any trainer's configuration file: each format has a module of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.export import captions, repeats
from diversity.export.base import ExportOptions, ExportReport
from diversity.export.folder import Stage, staging
from diversity.export.items import Item, gather, uncaptioned
from diversity.ingest.folder import LABELS
from diversity.plural import count
from diversity.trainer_view import BucketRules

if TYPE_CHECKING:
    import polars as pl

_LABEL = re.compile(rf"-({'|'.join(label[1:] for label in LABELS)})$", re.IGNORECASE)
CONTROL = "control"  # sub-folder of control pictures, with one folder for each folder of targets


@dataclass(frozen=True)
class WeightClass:
    """Pictures that are shown equally often.

    Attributes:
        folder: Name of their folder, unique in the export.
        times: Whole repeats of each picture per epoch; where `total` is asked for, of all its pictures together.
        items: The pictures, by rank.
    """

    folder: str
    times: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Layout:
    """What a configuration file has to say.

    Attributes:
        classes: The folders, heaviest first.
        base: Where the trainer will find the export, with forward slashes and none at its end.
        resolution: Side of the training square, pixels.
        control: Whether there are control pictures, in `control/<folder>`.
        options: Of the export.
    """

    classes: tuple[WeightClass, ...]
    base: str
    resolution: int
    control: bool
    options: ExportOptions

    def folder(self, one: WeightClass) -> str:
        """Where the trainer finds the pictures of a class."""
        return f"{self.base}/{one.folder}"

    def control_folder(self, one: WeightClass) -> str:
        """Where the trainer finds their control pictures."""
        return f"{self.base}/{CONTROL}/{one.folder}"

    def cache_folder(self, one: WeightClass) -> str:
        """Where the trainer may keep what it computes: beside the export, which stays as it was written."""
        return f"{self.base}-cache/{one.folder}"


@dataclass(frozen=True)
class Format:
    """A format that weights folders.

    Attributes:
        name: Its name.
        resolution: Training resolution unless the options say another.
        files: Layout → configuration files, relative path → text.
        advice: Layout → what to do with them, one sentence each.
        step: Multiple that the sides of its buckets are.
        total: Whether a folder's weight is the number of exposures of all its pictures together, any whole number, so
            that pictures of nearly equal weight share a folder.
        twins: Control pictures are found by the whole file name of their targets, extension included.
        beside: Control pictures lie beside their targets as `<stem><this>.png`; None: in `control/<folder>`. So do
            masks, where the originals have them.
        epochs: Whether the trainer counts epochs; else it is told steps, which stay what they were.
    """

    name: str
    resolution: int
    files: Callable[[Layout], Mapping[str, str]]
    advice: Callable[[Layout], tuple[str, ...]]
    step: int = 64
    total: bool = False
    twins: bool = False
    beside: str | None = None
    epochs: bool = True

    def write(
        self, selection: pl.DataFrame, images: pl.DataFrame, folder: Path, options: ExportOptions
    ) -> ExportReport:
        """Write the selection: folders of pictures with captions, and the configuration files.

        Raises:
            ExportError: see `folder.staging`, `items.gather` and `controls.Controls`.
        """
        items = gather(selection, images, options, self._suited)
        classes, shown, error = self._classes(items, options.mean_repeats)
        resolution = options.resolution or self.resolution
        with staging(folder, options, BucketRules(resolution, self.step)) as stage:
            layout = Layout(classes, _base(stage, options), resolution, stage.controls is not None, options)
            for one in classes:
                for item in one.items:
                    self._place(stage, one, item)
            for name, text in self.files(layout).items():
                stage.text(name, text)
            stage.warnings += [*said_of_captions(items), *repeats.warn(error, options.mean_repeats)]
            report = stage.finish(self.name, items, shown, error, options)
        epochs = (repeats.advise_epochs(items, shown, options.epochs),) if self.epochs else ()
        return replace(report, advice=(*self.advice(layout), *epochs))

    def _classes(
        self, items: Sequence[Item], mean: int
    ) -> tuple[tuple[WeightClass, ...], dict[str, float], repeats.RepeatsError]:
        """The folders, how often each picture is shown, and the error of that."""
        if self.total:
            groups, error = repeats.grouped(items, mean)
            width = len(str(len(groups)))
            found = [WeightClass(f"weight-{n:0{width}}", times, group) for n, (times, group) in enumerate(groups, 1)]
            return tuple(found), {i.key: one.times / len(one.items) for one in found for i in one.items}, error
        counts, error = repeats.whole(items, mean)
        width = len(str(max(counts.values())))
        found = [
            WeightClass(f"repeats-{count:0{width}}", count, tuple(i for i in items if counts[i.key] == count))
            for count in sorted(set(counts.values()), reverse=True)
        ]
        return tuple(found), dict(counts), error

    def _suited(self, stem: str) -> str:
        """No picture is called like the mask or control of another where these lie beside their targets."""
        return stem if self.beside is None else _LABEL.sub(r"_\1", stem)

    def _place(self, stage: Stage, one: WeightClass, item: Item) -> None:
        name = stage.picture(item, one.folder)
        stage.text(f"{one.folder}/{item.stem}.txt", captions.one_line(item.text) or item.concept)
        if self.beside is not None:
            self._labels(stage, one, item)
        if stage.controls is None:
            return
        if self.beside is None:
            stage.control(item, f"{CONTROL}/{one.folder}", suffix=Path(name).suffix if self.twins else None)
        else:
            stage.control(item, one.folder, item.stem + self.beside, ".png")

    def _labels(self, stage: Stage, one: WeightClass, item: Item) -> None:
        """Bring the mask and the control that lie beside the original in OneTrainer's own way."""
        original = (stage.pictures.root / item.path).with_suffix("")
        for label in LABELS if stage.controls is None else LABELS[:1]:
            found = original.with_name(original.name + label + ".png")
            if found.is_file():
                stage.pictures.place_file(found, item.stem + label, stage.folder / one.folder, ".png")


def said_of_captions(items: Sequence[Item]) -> list[str]:
    """Warnings where a caption was missing or had several lines."""
    found = [f"{sentence} Their .txt holds the trigger or the concept instead." for sentence in uncaptioned(items)]
    several = sum(len(item.found.strip().splitlines()) > 1 for item in items)
    if several:
        those = count(several, "caption")
        found.append(f"{those} had several lines, which were joined, because a line counts as a caption.")
    return found


def _base(stage: Stage, options: ExportOptions) -> str:
    return (options.trainer_root or stage.final.as_posix()).replace("\\", "/").rstrip("/")
