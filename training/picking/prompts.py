"""Prompt lists that lie beside samples, for trainers whose file names only give a prompt's number.

Not for the pictures. kohya's `prompt.txt` (one prompt a line, options behind it) and ai-toolkit's `config.yaml` are
found by themselves; any other file is named with --prompts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diversity.errors import InputError

FOUND = ("prompt.txt", "prompts.txt", "sample_prompts.txt", "config.yaml")
_OPTION = re.compile(r"\s+--([a-z]+)\s+(\S+(?:\s+(?!--)\S+)*)")


@dataclass(frozen=True)
class Asked:
    """One prompt of a list.

    Attributes:
        prompt: Without options.
        seed: Of option --d; None: not given.
        weight: Of ai-toolkit's --m or sd-scripts' --am; None: not given.
    """

    prompt: str
    seed: int | None = None
    weight: float | None = None


def find(folder: Path) -> Path | None:
    """The prompt list in the samples' folder or the one above it."""
    places = [where / name for where in (folder, folder.parent) for name in FOUND]
    return next((place for place in places if place.is_file()), None)


def read(file: Path) -> list[Asked]:
    """The prompts of a text file or an ai-toolkit configuration, in order.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{file} cannot be read.", f"{error.strerror or error}.", "Check --prompts.") from None
    if file.suffix.lower() in (".yaml", ".yml", ".json"):
        return _ai_toolkit(text, file)
    lines = (line.strip() for line in text.splitlines())
    return [line_of(line) for line in lines if line and not line.startswith("#")]


def line_of(line: str) -> Asked:
    """One line with sd-scripts' or ai-toolkit's options: --d SEED, --m or --am WEIGHT; others are passed over."""
    options = {name: value.strip() for name, value in _OPTION.findall(" " + line)}
    prompt = re.split(r"\s+--[a-z]+\s", " " + line, maxsplit=1)[0].strip()
    weight = options.get("m", options.get("am", "")).split(",")[0]
    return Asked(prompt, _whole(options.get("d")), _decimal(weight))


def _ai_toolkit(text: str, file: Path) -> list[Asked]:
    import yaml

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{file} is not valid YAML.", f"{str(error).splitlines()[0]}.", "Check --prompts.") from None
    sample = _sample_section(config)
    if sample is None:
        return []
    seed, walk = sample.get("seed"), bool(sample.get("walk_seed"))
    asked: list[Asked] = []
    items = sample.get("samples") or sample.get("prompts") or []
    for index, item in enumerate(items if isinstance(items, list) else []):
        text = str(item.get("prompt", "") if isinstance(item, dict) else item)
        found = line_of(text)
        own = found.seed if found.seed is not None else _whole(item.get("seed") if isinstance(item, dict) else None)
        start = _whole(seed)
        walked = None if start is None else start + index * walk
        asked.append(Asked(found.prompt, own if own is not None else walked, found.weight))
    return asked


def _sample_section(config: Any) -> dict[str, Any] | None:  # noqa: ANN401 - whatever the YAML holds
    """`config.process[0].sample` of an ai-toolkit job."""
    inner = config.get("config") if isinstance(config, dict) else None
    process = inner.get("process") if isinstance(inner, dict) else None
    first = process[0] if isinstance(process, list) and process else None
    sample = first.get("sample") if isinstance(first, dict) else None
    return sample if isinstance(sample, dict) else None


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
