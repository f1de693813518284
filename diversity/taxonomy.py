"""The taxonomy: which views there are, how they are recognised, how many are wanted; read from an editable TOML.

Not for applying it: `captions.py` matches captions, `views.py` labels pictures, `targets.py` sets targets.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from diversity.errors import ConfigError

UNSURE = "unsure"
CELL_AXES = ("framing", "side")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def words(text: str) -> tuple[str, ...]:
    """The words of a tag as they are compared: lower case; underscores, hyphens and punctuation part words."""
    return tuple(re.findall(r"[^\W_]+(?:/\d+)?", text.lower().replace("closeup", "close up")))


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TagRule(_Model):
    """One tag that stands for a label; see the head of `assets/taxonomy.toml`."""

    tag: str
    needs: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    confidence: float = Field(default=0.95, gt=0, le=1)
    may_be: tuple[str, ...] = ()
    whole: bool = False

    @field_validator("tag", "needs", "unless")
    @classmethod
    def _has_words(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for text in (value,) if isinstance(value, str) else value:
            if not words(text):
                raise ValueError(f"'{text}' holds no word")
        return value


class Label(_Model):
    """One answer on an axis.

    Attributes:
        one: How advice says it: "full-body picture", "from behind"; default: the label.
        many: Plural of `one`, for framings.
        share: Share of a balanced set, relative to the other labels of the axis.
        pooled: Wanted over all sides together (framings only).
        tags: Caption tags that stand for it.
        prompts: Texts whose embeddings stand for it.
    """

    one: str = ""
    many: str = ""
    share: float = Field(default=1.0, ge=0)
    pooled: bool = False
    tags: tuple[TagRule, ...] = ()
    prompts: tuple[str, ...] = ()

    @field_validator("tags", mode="before")
    @classmethod
    def _plain_tags(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        return tuple({"tag": rule} if isinstance(rule, str) else rule for rule in value)


class Axis(_Model):
    """One question about a picture; its labels exclude each other."""

    labels: dict[str, Label] = Field(min_length=2)
    ignore: tuple[str, ...] = ()

    @field_validator("labels")
    @classmethod
    def _names(cls, value: dict[str, Label]) -> dict[str, Label]:
        for name in value:
            _check_name(name)
        if sum(label.share for label in value.values()) <= 0:
            raise ValueError("at least one label needs a share above 0")
        return value

    @model_validator(mode="after")
    def _rules(self) -> Axis:
        seen: dict[tuple[str, ...], str] = {}
        for name, label in self.labels.items():
            for rule in label.tags:
                for other in rule.may_be:
                    if other not in self.labels:
                        raise ValueError(f"tag '{rule.tag}' of '{name}' may be '{other}', which is not a label")
                if rule.needs or rule.unless:
                    continue
                if seen.setdefault(words(rule.tag), name) != name:
                    raise ValueError(f"tag '{rule.tag}' stands for both '{seen[words(rule.tag)]}' and '{name}'")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Labels, in the order of the file."""
        return tuple(self.labels)

    def shares(self) -> dict[str, float]:
        """Label → share of a balanced set; sums to 1."""
        total = sum(label.share for label in self.labels.values())
        return {name: label.share / total for name, label in self.labels.items()}


class Prompts(_Model):
    """How label prompts become texts for an encoder, and how far its probabilities are softened without labels.

    Attributes:
        templates: What is put around prompts.
        temperature: Divides the encoder's logits.
        temperatures: The same for encoders whose id begins so.
    """

    templates: tuple[str, ...] = ("{}",)
    temperature: float = Field(default=1.5, gt=0)
    temperatures: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)

    @field_validator("templates")
    @classmethod
    def _one_hole(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for template in value:
            if template.count("{}") != 1:
                raise ValueError(f"'{template}' needs exactly one {{}}")
        return value

    def softening(self, encoder_id: str) -> float:
        """The temperature for one encoder: of the longest beginning of its id that is named, else the general one."""
        named = [start for start in self.temperatures if encoder_id.startswith(start)]
        return self.temperatures[max(named, key=len)] if named else self.temperature


class TargetRules(_Model):
    """Constants of the target formula; see `targets.want`."""

    growth: float = Field(default=2.0, gt=0)
    least: int = Field(default=2, ge=1)
    most: int = Field(default=8, ge=1)
    pooled_least: int = Field(default=3, ge=1)
    pooled_most: int = Field(default=5, ge=1)
    thief_share: float = Field(default=2.0, ge=1)
    thief_count: float = Field(default=2.0, ge=1)
    cells: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ordered(self) -> TargetRules:
        if self.least > self.most or self.pooled_least > self.pooled_most:
            raise ValueError("least is above most")
        if any(factor < 0 for factor in self.cells.values()):
            raise ValueError("a cell's factor is 0 or more")
        return self


class Taxonomy(_Model):
    """Axes with their labels, prompts and target rules."""

    version: int = Field(default=1, ge=1, le=1)
    prompts: Prompts = Prompts()
    targets: TargetRules = TargetRules()
    axes: dict[str, Axis]

    @model_validator(mode="after")
    def _complete(self) -> Taxonomy:
        for axis in CELL_AXES:
            if axis not in self.axes:
                raise ValueError(f"the axis '{axis}' is missing")
        for name in self.axes:
            _check_name(name)
        known = {f"{f}/{s}" for f in self.axes["framing"].labels for s in self.axes["side"].labels}
        for cell in self.targets.cells:
            if cell not in known:
                raise ValueError(f"targets.cells names '{cell}', which is not framing/side")
        return self


def load(file: Path | None = None) -> Taxonomy:
    """The taxonomy in `file`, or the embedded one.

    A file with `extends = "default"` holds only what differs: its tables are laid over the embedded ones key by key
    (lists replace lists). Without it the file stands alone.

    Raises:
        ConfigError: unreadable, not TOML, or a key or value is not understood (the key is named).
    """
    embedded = resources.files("diversity").joinpath("assets", "taxonomy.toml").read_text(encoding="utf-8")
    values = tomllib.loads(embedded)
    if file is not None:
        values = _merged_with(values, _read(file), str(file))
    try:
        return Taxonomy.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(
            f"The taxonomy cannot be used: {where}.",
            f"{first['msg'].removeprefix('Value error, ')}.",
            f"Mend {file or 'the embedded taxonomy'}; docs/views.md explains the keys.",
        ) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"The taxonomy {file} cannot be read.", f"{error.strerror}.", "Check views.taxonomy."
        ) from None
    except (ValueError, RecursionError) as error:  # also what is no UTF-8, numbers too long, nesting too deep
        raise ConfigError(f"{file} is not valid TOML.", f"{error}.", "Mend the file.") from None


def _merged_with(base: dict[str, Any], values: dict[str, Any], name: str) -> dict[str, Any]:
    extends = values.pop("extends", None)
    if extends is None:
        return values
    if extends != "default":
        raise ConfigError(f"{name} extends '{extends}'.", "Only 'default' can be extended.", "Mend the key 'extends'.")
    return _laid_over(base, values)


def _laid_over(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in values.items():
        old = merged.get(key)
        merged[key] = _laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _check_name(name: str) -> None:
    if name == UNSURE or not _NAME.fullmatch(name):
        raise ValueError(f"'{name}' cannot be a name: use a-z, 0-9 and _, and not '{UNSURE}'")
