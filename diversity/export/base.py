"""What every exporter takes and gives.

Not for any one format: each has a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import polars as pl

    from diversity.export.repeats import RepeatsError

MANIFEST = "diversity-manifest.json"  # in every export; ingest skips folders that hold it
MANIFEST_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a selection is written.

    Attributes:
        root: The pictures' folder, which `path` in the images table is relative to.
        link: "auto": hard links where the file system allows, else copies; "copy": always copies.
        mean_repeats: Mean whole repeats per picture; larger follows the weights more closely.
        resolution: Training resolution in pixels, for formats that state it; None: the format's own.
        trigger: Word that every caption begins with.
        leave_out: Groups of tags that captions are written without: artist, quality, rating.
        concept: Class tokens for pictures without a caption; None: the kohya folder's, the trigger, the folder's name.
        epochs: Epochs planned before the export, for the advice on epochs.
        control: Folder of control pictures for edit training, one of the same path (extension apart) for each target.
        fit: "resize": pictures larger than their bucket are reduced to it; "crop": also cut to its shape; "none".
        trainer_root: Where the trainer will find the export, if it runs on another machine; None: where it lies.
        force: Put foreign or edited files aside (`<folder>.before-1`) instead of stopping at them.
        read: Bytes of a path that is no plain file, such as "shard.tar/000.jpg"; None: as the scan reads it.
    """

    root: Path
    link: Literal["auto", "copy"] = "auto"
    mean_repeats: int = 10
    resolution: int | None = None
    trigger: str | None = None
    leave_out: tuple[str, ...] = ()
    concept: str | None = None
    epochs: int | None = None
    control: Path | None = None
    fit: Literal["none", "resize", "crop"] = "none"
    trainer_root: str | None = None
    force: bool = False
    read: Callable[[str], bytes] | None = None

    def settings(self) -> dict[str, object]:
        """What shapes the export, for its manifest; no paths of this machine."""
        names = ("link", "mean_repeats", "resolution", "trigger", "leave_out", "concept", "epochs", "fit")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class ExportReport:
    """What an exporter wrote.

    Attributes:
        format: Name of the format.
        folder: Where it lies.
        files: Every file written, relative to `folder`, sorted; the manifest included.
        repeats: Key of each picture → times it is shown per epoch; empty where the format holds exact weights.
        error: What rounding to whole repeats did to the weights.
        warnings: What a person should know before training, one sentence each.
        advice: What to set in the trainer, one sentence each.
    """

    format: str
    folder: Path
    files: tuple[str, ...]
    repeats: dict[str, float]
    error: RepeatsError
    warnings: tuple[str, ...]
    advice: tuple[str, ...]


class Exporter(Protocol):
    """`write(selection, images, folder, options) -> ExportReport`."""

    def __call__(
        self, selection: pl.DataFrame, images: pl.DataFrame, folder: Path, options: ExportOptions
    ) -> ExportReport:
        """Write the selected pictures into `folder`; ExportError where that cannot be done."""
        ...
