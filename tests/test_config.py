"""Settings: one place for defaults, strict about keys, documented one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from diversity.config import Config
from diversity.errors import ConfigError

DOC = Path(__file__).parents[1] / "docs" / "settings.md"


def rows() -> list[str]:
    """One line of docs/settings.md per setting."""
    found = []
    for section, model in Config.model_fields.items():
        for key, field in model.default.__class__.model_fields.items():
            default = field.get_default(call_default_factory=True)
            shown = (
                "none"
                if default is None
                else ", ".join(map(str, default))
                if isinstance(default, tuple)
                else str(default)
            )
            shown = "" if default == {} else shown
            found.append(f"| `{section}.{key}` | {shown} | {field.description} |")
    return found


def test_every_setting_is_documented_with_its_default() -> None:
    text = DOC.read_text(encoding="utf-8")
    assert [row for row in rows() if row not in text] == []
    assert text.count("| `") == len(rows())


def test_the_file_overrides_defaults_and_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / "diversity.toml"
    file.write_text("[select]\nkeep = 40\nalpha = 0.2\n")
    config = Config.load(file, {"select": {"alpha": 0.9}})
    assert (config.select.keep, config.select.alpha, config.select.cap) == (40, 0.9, Config().select.cap)


@pytest.mark.parametrize(
    ("text", "named"),
    [("[select]\nkep = 4", "select.kep"), ("[sellect]\nkeep = 4", "sellect"), ("[select]\ncap = 'x'", "select.cap")],
)
def test_an_unknown_key_or_value_is_named(text: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "diversity.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named):
        Config.load(file)


def test_what_is_not_toml_is_a_plain_message(tmp_path: Path) -> None:
    file = tmp_path / "diversity.toml"
    file.write_bytes(b"[select\nkeep = \xff")
    with pytest.raises(ConfigError, match="not valid TOML"):
        Config.load(file)
