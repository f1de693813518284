"""Prompt lists that lie beside samples, for trainers whose file names only give a prompt's number or short name.

Not for the pictures. kohya's `prompt.txt`, `.json` or `.toml` and ai-toolkit's `config.yaml` are found by themselves;
any other file is named with --prompts.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diversity.errors import InputError

FOUND = (
    *(f"{stem}.{kind}" for kind in ("txt", "toml", "json") for stem in ("prompt", "prompts", "sample_prompts")),
    "config.yaml",
)
PLACE = re.compile(r"\[(?:trigger|name)\]")
_OPTION = re.compile(r"\s+--([a-z]+)\s+(\S+(?:\s+(?!--)\S+)*)")


@dataclass(frozen=True)
class Asked:
    """One prompt of a list.

    Attributes:
        prompt: Without options.
        seed: Of option --d; None: not given.
        weight: Of ai-toolkit's --m or sd-scripts' --am; None: not given.
        label: Short name that stands for it; None: its number does.
    """

    prompt: str
    seed: int | None = None
    weight: float | None = None
    label: str | None = None


def find(folder: Path) -> Path | None:
    """The prompt list in the samples' folder or the one above it."""
    places = [where / name for where in (folder, folder.parent) for name in FOUND]
    return next((place for place in places if place.is_file()), None)


def read(file: Path) -> list[Asked]:
    """The prompts of a list, in order: text, JSON, TOML or YAML.

    Raises:
        InputError: the file cannot be read, or holds no prompts in a form that is known.
    """
    text = _text(file)
    if file.suffix.lower() in (".yaml", ".yml", ".json", ".toml"):
        found = _listed(_parsed(text, file), named=file.suffix.lower() == ".json")
    else:
        lines = (line.strip() for line in text.splitlines())
        found = [line_of(line) for line in lines if line and not line.startswith("#")]
    if not any(one.prompt for one in found):
        raise InputError(
            f"There are no prompts in {file}.",
            "Known are lines of text, kohya's .json and .toml, ai-toolkit's config.yaml, and name → prompt.",
            "Check --prompts.",
        )
    return found


def trigger_word(file: Path) -> str | None:
    """What an ai-toolkit job calls the subject; None for other files.

    Raises:
        InputError: the file cannot be read.
    """
    if file.suffix.lower() not in (".yaml", ".yml", ".json"):
        return None
    return _word(_process(_parsed(_text(file), file)))


def with_trigger(prompt: str, word: str | None) -> str:
    """`prompt` with the subject's word in the place that ai-toolkit keeps for it."""
    return PLACE.sub(lambda _: word, prompt) if word else prompt


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{file} cannot be read.", f"{error.strerror or error}.", "Check --prompts.") from None


def line_of(line: str) -> Asked:
    """One line with sd-scripts' or ai-toolkit's options: --d SEED, --m or --am WEIGHT; others are passed over."""
    options = {name: value.strip() for name, value in _OPTION.findall(" " + line)}
    prompt = re.split(r"\s+--[a-z]+\s", " " + line, maxsplit=1)[0].strip()
    weight = options.get("m", options.get("am", "")).split(",")[0]
    return Asked(prompt, _whole(options.get("d")), _decimal(weight))


def _parsed(text: str, file: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    import tomllib

    import yaml

    kind = file.suffix.lower()
    try:
        return tomllib.loads(text) if kind == ".toml" else json.loads(text) if kind == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        name = {".toml": "TOML", ".json": "JSON"}.get(kind, "YAML")
        raise InputError(f"{file} is not valid {name}.", f"{str(error).splitlines()[0]}.", "Check --prompts.") from None


def _listed(data: Any, *, named: bool) -> list[Asked]:  # noqa: ANN401
    """Of kohya's or OneTrainer's list, kohya's TOML, an ai-toolkit job; if `named`, of SimpleTuner's name → prompt."""
    if isinstance(data, list):
        return [_item(item) for item in data]
    if not isinstance(data, dict):
        return []
    process = _process(data)
    if process:
        return _ai_toolkit(process)
    prompt = data.get("prompt")
    if isinstance(prompt, dict) and isinstance(prompt.get("subset"), list):
        return [_item({**prompt, **item}) for item in prompt["subset"] if isinstance(item, dict)]
    if named and data and all(isinstance(value, str) for value in data.values()):
        return [replace(line_of(value), label=key) for key, value in data.items()]
    return []


def _item(item: Any) -> Asked:  # noqa: ANN401
    """A string with options, or an object with `prompt` and `seed`."""
    if not isinstance(item, dict):
        return line_of(str(item))
    found = line_of(str(item.get("prompt", "")))
    own = _whole(item.get("seed"))
    return replace(found, seed=own) if own is not None else found


def _ai_toolkit(process: dict[str, Any]) -> list[Asked]:
    """ai-toolkit puts `trigger_word` in the place of [trigger] and [name]; seeds count up with `walk_seed`."""
    sample = process.get("sample")
    sample = sample if isinstance(sample, dict) else {}
    start, walk = _whole(sample.get("seed")), bool(sample.get("walk_seed"))
    items = sample.get("samples") or sample.get("prompts") or []
    asked: list[Asked] = []
    for index, item in enumerate(items if isinstance(items, list) else []):
        found = _item(item)
        seed = found.seed if found.seed is not None or start is None else start + index * walk
        asked.append(replace(found, prompt=with_trigger(found.prompt, _word(process)), seed=seed))
    return asked


def _process(data: object) -> dict[str, Any]:
    """`config.process[0]` of an ai-toolkit job; empty where there is none."""
    inner = data.get("config") if isinstance(data, dict) else None
    process = inner.get("process") if isinstance(inner, dict) else None
    first = process[0] if isinstance(process, list) and process else None
    return first if isinstance(first, dict) else {}


def _word(process: dict[str, Any]) -> str | None:
    word = process.get("trigger_word")
    return word if isinstance(word, str) and word else None


def _whole(value: object) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if number >= 0 else None


def _decimal(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
