"""Every setting of the engine and its default, once; `diversity.toml` overrides them by section and key.

Not for derived values: thresholds that are calibrated per set live in the tables.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diversity.errors import ConfigError

FILE_NAME = "diversity.toml"
DEFAULT_SELECTION = "default"


class Section(BaseModel):
    """A frozen group of settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScanConfig(Section):
    """Where pictures come from and what is measured on each."""

    caption_extensions: tuple[str, ...] = Field((".txt", ".caption"), description="sidecar files that are captions")
    max_pixels: int = Field(200_000_000, ge=1, description="pictures with more pixels are rows with a problem")
    thumbnail: int = Field(192, ge=32, le=512, description="longest side of the stored thumbnails, pixels")
    workers: int | None = Field(None, ge=1, description="decoding threads; None: one per core")


class EncoderConfig(Section):
    """Which encoder sees the pictures."""

    model: str = Field(
        "auto",
        description="auto, toon, an open_clip model name, or local-dir:FOLDER",
    )
    pretrained: str | None = Field(None, description="open_clip pretrained tag or a local checkpoint file")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    batch_size: int = Field(32, ge=1, description="pictures per forward pass outside the scan")
    allow_download: bool = Field(False, description="let open_clip fetch weights that are not in the cache")


class IndexConfig(Section):
    """Budgets from which the FAISS index is chosen."""

    memory_gb: float = Field(4.0, gt=0, description="memory that the neighbour index may take")
    recall: float = Field(0.98, gt=0, le=1, description="share of true neighbours an approximate index must find")
    exact_up_to: int = Field(30_000, ge=1, description="pictures up to which the index is exact")


class DuplicatesConfig(Section):
    """What counts as a near-duplicate."""

    threshold: float | None = Field(None, ge=-1, le=1, description="cosine; None: calibrated")
    hash_bits: int | None = Field(None, ge=0, le=64, description="Hamming distance; None: default")
    flips: bool = Field(False, description="count mirrored pictures as copies")


class ViewsConfig(Section):
    """How pictures are labelled, and how many of each view are wanted."""

    taxonomy: Path | None = Field(None, description="a taxonomy TOML; None: the embedded one")
    labels: Path | None = Field(None, description="CSV with file, axis, label for some pictures")
    captions: bool = Field(True, description="booru tags in captions count as labels")
    min_confidence: float = Field(0.6, ge=0, le=1, description="below this a label is 'unsure'")


class RichnessConfig(Section):
    """How richness is estimated."""

    rarefy_to: int = Field(40, ge=2, description="common number of pictures that sets are compared at")
    rounds: int = Field(200, ge=10, description="subsamples behind every interval")
    level: float = Field(0.9, gt=0, lt=1, description="nominal coverage of the intervals")


class SelectConfig(Section):
    """Which pictures stay and how much each counts."""

    name: str = Field(DEFAULT_SELECTION, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="what it is called")
    keep: int | Literal["auto"] | None = Field(None, description="auto: the elbow; None: all distinct")
    strategy: str = Field("facility_location", description="how pictures are chosen")
    alpha: float = Field(0.5, ge=0, le=1, description="0: equal mass per neighbourhood; 1: as found")
    cap: float = Field(3.0, ge=1, description="largest weight over the median weight")
    initial: str | None = Field(None, description="name of an earlier selection that this one grows")
    seed: int = Field(0, description="of strategies that draw")


class ExportConfig(Section):
    """How a selection is written out."""

    formats: tuple[str, ...] = Field(("kohya", "huggingface", "table"), description="what curate writes")
    mean_repeats: int = Field(10, ge=1, description="mean integer repeats per picture; larger rounds better")
    resolution: int | None = Field(None, ge=64, description="training resolution in pixels; None: the format's own")
    trigger: str | None = Field(None, description="word put first in every caption")
    leave_out: tuple[Literal["artist", "quality", "rating"], ...] = Field(
        (), description="groups of tags that captions are written without: artist, quality, rating"
    )
    epochs: int | None = Field(None, ge=1, description="epochs you would train without repeats, for the advice")
    trainer_root: str | None = Field(None, description="where another machine will find the export")
    link: Literal["auto", "copy"] = Field("auto", description="auto: hard links where possible; copy: never")
    control: Path | None = Field(None, description="folder of control pictures: an edit set")
    fit: Literal["none", "resize", "crop"] = Field(
        "none", description="resize: reduce pictures to their bucket; crop: also cut them to its shape"
    )
    force: bool = Field(False, description="put foreign or edited files in the way aside")


class Config(Section):
    """All settings of one workspace."""

    scan: ScanConfig = ScanConfig()
    encoder: EncoderConfig = EncoderConfig()
    index: IndexConfig = IndexConfig()
    duplicates: DuplicatesConfig = DuplicatesConfig()
    views: ViewsConfig = ViewsConfig()
    richness: RichnessConfig = RichnessConfig()
    select: SelectConfig = SelectConfig()
    export: ExportConfig = ExportConfig()

    @classmethod
    def load(cls, file: Path | None, overrides: dict[str, dict[str, object]] | None = None) -> Config:
        """Read `file` (TOML) if given, then apply `overrides` by section and key.

        Raises:
            ConfigError: the file is not TOML, or a key or value is not understood.
        """
        values: dict[str, dict[str, object]] = {}
        if file is not None:
            try:
                values = tomllib.loads(file.read_text(encoding="utf-8-sig"))
            except OSError as error:
                raise ConfigError(f"{file} cannot be read.", f"{error.strerror or error}.", "Check --config.") from None
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise ConfigError(f"{file} is not valid TOML.", f"{error}.", "Mend the file or remove it.") from None
            views = values.get("views")
            for key in ("taxonomy", "labels"):  # paths in a file are relative to it
                if isinstance(views, dict) and isinstance(views.get(key), str):
                    views[key] = file.parent / str(views[key])
            export = values.get("export")
            if isinstance(export, dict) and isinstance(export.get("control"), str):
                export["control"] = file.parent / str(export["control"])
        for section, settings in (overrides or {}).items():
            if isinstance(values.setdefault(section, {}), dict):
                values[section].update(settings)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ConfigError(
                f"The setting '{where}' cannot be used.",
                f"{first['msg']}.",
                f"See docs/settings.md for the keys of {FILE_NAME}.",
            ) from None
