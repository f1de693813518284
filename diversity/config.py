"""Every setting of the engine and its default, once; `diversity.toml` overrides them by section and key.

Not for derived values: thresholds that are calibrated per set live in the tables.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from diversity.errors import ConfigError

FILE_NAME = "diversity.toml"
DEFAULT_SELECTION = "default"
Preset = Literal["character", "style", "outfit", "concept"]

# What differs from the defaults below, by section and key; docs/presets.md says why. `character` is the defaults.
PRESETS: dict[Preset, dict[str, dict[str, object]]] = {
    "character": {},
    "style": {
        "targets": {"axes": ()},
        "duplicates": {"variants": "drop"},
        "select": {"alpha": 0.25},
    },
    "outfit": {
        "targets": {"emphasis": {"headshot": 0.3, "full_body": 1.4, "detail": 2.5}},
    },
    "concept": {
        "targets": {"axes": ("side",)},
        "select": {"alpha": 0.25},
    },
}


class Section(BaseModel):
    """A frozen group of settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SetConfig(Section):
    """What kind of set it is."""

    preset: Preset = Field("character", description="character, style, outfit or concept: other defaults, see presets")


class ScanConfig(Section):
    """Where pictures come from and what is measured on each."""

    caption_extensions: tuple[str, ...] = Field((".txt", ".caption"), description="sidecar files that are captions")
    max_pixels: int = Field(200_000_000, ge=1, description="pictures with more pixels are rows with a problem")
    thumbnail: int = Field(192, ge=32, le=512, description="longest side of the stored thumbnails, pixels")
    workers: int | None = Field(None, ge=1, description="threads and processes that look at pictures; None: one a core")

    @property
    def threads(self) -> int:
        """`workers`, or as many as there are cores."""
        return self.workers or os.cpu_count() or 1


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
    variants: Literal["keep", "drop"] = Field(
        "keep", description="keep: variants stay and share weight; drop: one picture of each scene stays"
    )


class ViewsConfig(Section):
    """How pictures are labelled, and how many of each view are wanted."""

    taxonomy: Path | None = Field(None, description="a taxonomy TOML; None: the embedded one")
    labels: Path | None = Field(None, description="CSV with file, axis, label for some pictures")
    captions: bool = Field(True, description="booru tags in captions count as labels")
    min_confidence: float = Field(0.6, ge=0, le=1, description="below this a label is 'unsure'")


class TargetsConfig(Section):
    """Which views are wanted, and how much of each."""

    axes: tuple[Literal["framing", "side"], ...] = Field(
        ("framing", "side"), description="axes whose labels are wanted; one: whatever the other; none: nothing is"
    )
    emphasis: dict[str, float] = Field(
        default_factory=dict, description="label or framing/side: its share of a balanced set, times this"
    )


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


class TrainerConfig(Section):
    """What a trainer's view of the set is shown for."""

    resolutions: tuple[Annotated[int, Field(ge=64, le=4096)], ...] = Field(
        (512, 768, 1024), min_length=1, description="training resolutions in pixels"
    )
    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 2, 4), description="sizes of a batch")
    step: int = Field(64, ge=8, le=256, description="sides of buckets are multiples of this")
    face_model: Path | None = Field(None, description="YuNet's ONNX file, to measure faces; None: they are not")


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

    @field_validator("control")
    @classmethod
    def _whole(cls, control: Path | None) -> Path | None:
        """The folder itself, whatever links and `..` lead to it: pictures are told from controls by where they lie."""
        return None if control is None else _expanded(control).resolve()


class Config(Section):
    """All settings of one workspace; a preset lies under what is given, key by key."""

    set: SetConfig = SetConfig()
    scan: ScanConfig = ScanConfig()
    encoder: EncoderConfig = EncoderConfig()
    index: IndexConfig = IndexConfig()
    duplicates: DuplicatesConfig = DuplicatesConfig()
    views: ViewsConfig = ViewsConfig()
    targets: TargetsConfig = TargetsConfig()
    richness: RichnessConfig = RichnessConfig()
    select: SelectConfig = SelectConfig()
    trainer: TrainerConfig = TrainerConfig()
    export: ExportConfig = ExportConfig()

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, values: Any) -> Any:  # noqa: ANN401
        """Put the defaults of the preset under sections that are given as mappings or not at all."""
        if not isinstance(values, Mapping):
            return values
        chosen = values.get("set")
        name = chosen.get("preset") if isinstance(chosen, Mapping) else getattr(chosen, "preset", None)
        laid = dict(values)
        for section, defaults in PRESETS.get(name, {}).items() if isinstance(name, str) else ():  # type: ignore[call-overload]
            given = laid.setdefault(section, {})
            if isinstance(given, Mapping):
                laid[section] = {**defaults, **given}
        return laid

    @classmethod
    def load(
        cls,
        file: Path | None,
        overrides: dict[str, dict[str, object]] | None = None,
        preset: str | None = None,
        control: Path | None = None,
    ) -> Config:
        """Read `file` (TOML) if given, then apply `overrides` by section and key.

        `preset`, and `control` for `export.control`, hold where neither of them says anything.

        Raises:
            ConfigError: the file is not TOML, or a key or value is not understood.
        """
        values: dict[str, dict[str, object]] = {}
        if file is not None:
            try:
                values = tomllib.loads(file.read_text(encoding="utf-8-sig"))
            except OSError as error:
                raise ConfigError(f"{file} cannot be read.", f"{error.strerror or error}.", "Check --config.") from None
            except (ValueError, RecursionError) as error:  # also what is no UTF-8, numbers too long, nesting too deep
                raise ConfigError(f"{file} is not valid TOML.", f"{error}.", "Mend the file or remove it.") from None
            _from_its_folder(values, file.parent)
        for section, settings in (overrides or {}).items():
            if isinstance(values.setdefault(section, {}), dict):
                values[section].update(settings)
        for section, key, last in (("set", "preset", preset), ("export", "control", control)):
            if last is not None and isinstance(values.setdefault(section, {}), dict):
                values[section].setdefault(key, last)
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


def _from_its_folder(values: dict[str, dict[str, object]], folder: Path) -> None:
    """Paths in a file are relative to it."""
    for section, key in (("views", "taxonomy"), ("views", "labels"), ("export", "control"), ("trainer", "face_model")):
        settings = values.get(section)
        if isinstance(settings, dict) and isinstance(settings.get(key), str):
            settings[key] = folder / _expanded(Path(str(settings[key])))


def _expanded(path: Path) -> Path:
    """`path` with `~` resolved, where it is known whose home that is."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path
