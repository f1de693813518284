"""Settings of a run: documented one by one, strict about keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from diversity.errors import ConfigError
from training.config import SourceConfig, TrainConfig

DOC = Path(__file__).parents[2] / "docs" / "training.md"


def shown(default: object) -> str:
    if default is None or default in ((), {}, ""):
        return "none"
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    return str(default).lower() if isinstance(default, bool) else str(default)


def rows(model: type[BaseModel] = TrainConfig, prefix: str = "") -> Iterator[str]:
    """One line of docs/training.md per setting."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from rows(type(default), f"{prefix}{name}.")
        else:
            yield f"| `{prefix}{name}` | {shown(default)} | {field.description} |"


def source_rows() -> Iterator[str]:
    for name, field in SourceConfig.model_fields.items():
        yield f"| `{name}` | {'' if field.is_required() else shown(field.default)} | {field.description} |"


def test_every_setting_is_documented_with_its_default() -> None:
    text = DOC.read_text(encoding="utf-8")
    wanted = [*rows(), *source_rows()]
    assert [row for row in wanted if row not in text] == []
    assert sum(line.startswith("| `") for line in text.splitlines()) == len(wanted)


@pytest.mark.parametrize(
    ("text", "named"),
    [("stepss = 3\n", "stepss"), ("[loss]\nnoise_offset = -1\n", "loss.noise_offset"), ("steps = [\n", "TOML")],
)
def test_a_recipe_that_is_not_understood_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named):
        TrainConfig.load(file)


def test_settings_survive_the_record() -> None:
    config = TrainConfig.of(
        {"data": {"sources": [{"folder": "a/b"}]}, "lora": {"rank": 3}, "samples": {"prompts": ["x"]}}
    )
    assert TrainConfig.of(config.model_dump(mode="json")) == config
