"""Options that commands share, and how they print. Not for logic."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diversity.errors import ConfigError

if TYPE_CHECKING:
    from diversity.dataset import Dataset
    from diversity.progress import Progress

PER_THREAD = 0.3  # gigabytes that decoding a picture of 50 megapixels takes, working copies and all


def add_common(parser: argparse.ArgumentParser) -> None:
    """PICTURES and what holds for every command on a set."""
    from diversity.config import PRESETS

    parser.add_argument("pictures", type=Path, metavar="PICTURES", help="the folder of pictures")
    parser.add_argument("--workspace", type=Path, help="where tables go (default: _diversity/NAME beside the pictures)")
    parser.add_argument("--config", type=Path, help="a TOML file (default: diversity.toml in PICTURES)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one setting; may be repeated"
    )
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), help="what kind of set it is (default: the last run's, else character)"
    )
    parser.add_argument("--model", help="encoder: auto, toon, an open_clip model name, or local-dir:FOLDER")
    parser.add_argument("--pretrained", help="open_clip tag or checkpoint file for --model")
    parser.add_argument("--allow-download", action="store_true", help="let open_clip fetch missing weights")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--memory", type=_gigabytes, metavar="GB", help="what a run may take, about (default: as set)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def open_dataset(options: argparse.Namespace, **more: dict[str, object]) -> Dataset:
    """The dataset that the options name; `more` holds settings by section that win over everything.

    Raises:
        DiversityError: the folder or a setting cannot be used.
    """
    from diversity.dataset import Dataset

    overrides: dict[str, dict[str, object]] = {}
    for text in options.set:
        name, found, value = text.partition("=")
        section, dot, key = name.partition(".")
        if not (found and dot and key):
            raise ConfigError(f"'--set {text}' cannot be read.", "", "Write --set SECTION.KEY=VALUE.")
        overrides.setdefault(section, {})[key] = setting_value(value)
    encoder = {"model": options.model, "pretrained": options.pretrained, "device": options.device}
    given: dict[str, object] = {key: value for key, value in encoder.items() if value is not None}
    if options.allow_download:
        given["allow_download"] = True
    preset: dict[str, object] = {"preset": options.preset} if options.preset else {}
    for section, settings in within(options.memory).items() if options.memory else ():
        overrides[section] = {**settings, **overrides.get(section, {})}
    for section, settings in {"set": preset, "encoder": given, **more}.items():
        if settings:
            overrides.setdefault(section, {}).update(settings)
    return Dataset.open(
        options.pictures, workspace_folder=options.workspace, config=options.config, overrides=overrides
    )


def within(gigabytes: float) -> dict[str, dict[str, object]]:
    """Settings that keep a run within about so much memory: half for the neighbour index, half for decoding threads."""
    threads = int(gigabytes / 2 / PER_THREAD)
    return {
        "index": {"memory_gb": gigabytes / 2},
        "scan": {"workers": max(1, min(os.cpu_count() or 1, threads))},
    }


def progress(options: argparse.Namespace) -> Progress:
    """Where the command reports what it does."""
    from diversity.progress import Silent, for_stderr

    return Silent() if options.quiet else for_stderr()


def emit(options: argparse.Namespace, value: object, text: str) -> None:
    """Print `value` as JSON where asked, else `text`."""
    if options.json:
        text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        sys.stdout.write(text.rstrip("\n") + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, for example `head`, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def plain(value: object) -> Any:  # noqa: ANN401
    """`value` in JSON's own types: dataclasses and mappings become objects, nan becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return None if value != value or value in (float("inf"), float("-inf")) else value
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)


def _gigabytes(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of gigabytes") from None
    if not 0.1 <= number < float("inf"):
        raise argparse.ArgumentTypeError("give at least 0.1 gigabytes")
    return number


def setting_value(text: str) -> object:
    """What a setting on the command line means: nothing for `none`, else `toml_value`."""
    return None if text in ("none", "null") else toml_value(text)


def toml_value(text: str) -> object:
    """What TOML would make of `text`; else the text itself."""
    import tomllib

    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text
