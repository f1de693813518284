"""`diversity train`: a LoRA from a curated set's weighted selection."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diversity.commands.common import setting_value
from diversity.errors import ConfigError
from training.commands.needs import packages

if TYPE_CHECKING:
    from training.config import TrainConfig
    from training.runs import Run

SET = "any setting of docs/training.md, such as loss.noise_offset=0.05; may be repeated"
# option → setting of `TrainConfig`
SETTINGS = {
    "selection": "selection",
    "base": "base",
    "steps": "steps",
    "batch_size": "batch_size",
    "accumulate": "accumulate",
    "resolution": "resolution",
    "rank": "lora.rank",
    "lr": "optimiser.lr",
    "seed": "seed",
    "trigger": "captions.trigger",
    "prompt": "samples.prompts",
    "device": "device",
    "precision": "precision",
}


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """What is set most often; everything else by --set or --recipe."""
    parser.description = (
        "Train a LoRA on a curated set: the weights of its selection decide how often each picture is seen. "
        "The same command goes on with a run that was interrupted."
    )
    parser.epilog = 'Example: diversity train PICTURES --base toon --trigger mira --prompt "mira, full body"'
    parser.add_argument(
        "pictures", type=Path, metavar="PICTURES", help="the folder of pictures, after `diversity curate`"
    )
    parser.add_argument("--workspace", type=Path, help="where its tables are (default: _diversity/NAME beside it)")
    parser.add_argument("--config", type=Path, help="the set's own diversity.toml (default: the one in PICTURES)")
    parser.add_argument("--selection", help="whose weights decide how often each picture is seen (default: default)")
    parser.add_argument("--base", help="toon, a hub name, a diffusers folder or a .safetensors file (default: toon)")
    parser.add_argument(
        "--steps", type=int, help="how long (default: from how many distinct pictures there are, with the reason)"
    )
    parser.add_argument("--batch-size", type=int, help="pictures per forward pass (default: 4)")
    parser.add_argument("--accumulate", type=int, help="forward passes per step (default: 1)")
    parser.add_argument("--resolution", type=int, help="side in pixels (default: the base's own)")
    parser.add_argument("--rank", type=int, help="of the LoRA (default: from how many distinct pictures there are)")
    parser.add_argument("--lr", type=float, help="learning rate (default: the optimiser's)")
    parser.add_argument("--seed", type=int, help="of everything that is drawn (default: 0)")
    parser.add_argument("--trigger", help="the subject's word or words, put first in every caption (default: none)")
    parser.add_argument(
        "--prompt",
        action="append",
        help="draw it four times while training, over seeds and LoRA weights; may be repeated (default: none)",
    )
    shared = "SHARE: how often the folder is seen for every time that PICTURES are"
    parser.add_argument(
        "--related",
        action="append",
        metavar="FOLDER[=SHARE]",
        help=f"add unlike pictures, against monotony; {shared} (0.3)",
    )
    parser.add_argument(
        "--prior",
        action="append",
        metavar="FOLDER[=SHARE]",
        help=f"add pictures of the class, so that the base keeps what it knows of it; {shared} (1)",
    )
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--precision", help="auto, float32, bfloat16 or float16 (default: auto)")
    parser.add_argument("--allow-download", action="store_true", help="let a base model be fetched from the hub")
    parser.add_argument("--recipe", type=Path, help="a TOML file of training settings, see docs/training.md")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=SET)
    parser.add_argument(
        "--folds", type=int, metavar="K", help="K LoRAs, each holding out other pictures: for small sets"
    )
    parser.add_argument("--resume", metavar="RUN", help="train a finished run on, to --steps in all")
    parser.add_argument("--fresh", action="store_true", help="start anew even if an interrupted run could go on")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(name: str, options: argparse.Namespace) -> int:
    """Train, and say where everything is."""
    from diversity.commands.common import emit, progress
    from diversity.dataset import Dataset
    from training import runs

    packages()
    from training.folds import train_folds
    from training.train import train

    dataset = Dataset.open(options.pictures, workspace_folder=options.workspace, config=options.config)
    config = settings(options)
    if options.folds is not None:
        made = train_folds(dataset, config, _folds(options), fresh=options.fresh, progress=progress(options))
        each = [_told(run) for run in made]
        together = f"Together: diversity evaluate {' '.join(shlex.quote(str(run.folder)) for run in made)}"
        text = "\n".join(_text(run.record, result) for run, result in zip(made, each, strict=True))
        emit(options, each, f"{text}\n{together}")
        return 0
    resume = None if options.resume is None else runs.find(options.resume, dataset)
    found = train(dataset, config, resume=resume, fresh=options.fresh, progress=progress(options))
    told = _told(found)
    emit(options, told, _text(found.record, told))
    return 0


def _told(run: Run) -> dict[str, Any]:
    from training.runs import summary

    return {**summary(run), "folder": str(run.folder), "lora": str(run.lora)}


def _folds(options: argparse.Namespace) -> int:
    count: int = options.folds
    if count < 2 or options.resume is not None:
        raise ConfigError(
            "--folds takes 2 or more, and no run to go on with.",
            "",
            "Train a single part with --set 'data.fold=[1, 4]'.",
        )
    return count


def settings(options: argparse.Namespace) -> TrainConfig:
    """The settings that the options stand for: --recipe, then --set, then options of their own.

    Raises:
        ConfigError: one is not understood.
    """
    from training.config import TrainConfig

    values: dict[str, object] = {}
    for text in options.set:
        key, found, value = text.partition("=")
        if not found or not key:
            raise ConfigError(f"'--set {text}' cannot be read.", "", "Write --set KEY=VALUE.")
        values[key] = setting_value(value)
    given = {key: getattr(options, option) for option, key in SETTINGS.items()}
    values |= {key: value for key, value in given.items() if value is not None}
    if options.allow_download:
        values["allow_download"] = True
    sources = [_source(text, "related", 0.3) for text in options.related or ()]
    sources += [_source(text, "prior", 1.0) for text in options.prior or ()]
    if sources:
        values["data.sources"] = sources
    return TrainConfig.load(options.recipe, values)


def _source(text: str, kind: str, share: float) -> dict[str, object]:
    folder, found, number = text.rpartition("=")
    if found and not Path(text).exists():
        try:
            return {"folder": folder, "kind": kind, "share": float(number)}
        except ValueError:
            raise ConfigError(f"'--{kind} {text}' cannot be read.", "", f"Write --{kind} FOLDER=SHARE.") from None
    return {"folder": text, "kind": kind, "share": share}


def _text(record: dict[str, Any], result: dict[str, Any]) -> str:
    seconds = record.get("timings", {})
    time = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items() if value >= 0.5)
    lines = [f"Run {result['id']}: {result['steps']} steps on {result['pictures']} pictures."]
    if result["gap"]:
        lines.append(f"{result['gap'][0].upper()}{result['gap'][1:]}.")
    lines += [f"Seconds: {time}.", f"LoRA: {result['lora']}", f"Everything: {result['folder']}"]
    return "\n".join(lines)
