"""`diversity evaluate`: how far a LoRA overfits, copies, leaks and drifts, and at which weight and step to use it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.commands.common import emit, progress, toml_value
from diversity.errors import ConfigError, InputError
from training.commands.needs import packages

if TYPE_CHECKING:
    from training.evaluate.run import Options
    from training.evaluate.settings import EvaluateSettings
    from training.runs import Run

PAGES = "diversity.pages"  # entry points of the report room


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """What to evaluate, on what, and how thoroughly."""
    parser.description = (
        "Measure how far a LoRA overfits, copies, leaks and drifts, say at which weight and step to use it, and what "
        "to change in the pictures."
    )
    parser.epilog = "Example: diversity evaluate --lora my.safetensors --base MODEL --pictures FOLDER --held-out FOLDER"
    parser.add_argument(
        "run", nargs="*", metavar="RUN", help="a run's folder or id; several: the folds of one set, judged together"
    )
    parser.add_argument("--lora", type=Path, metavar="FILE", help="a LoRA of any trainer, with --base and --pictures")
    parser.add_argument("--base", help="toon, a hub name, a folder or a .safetensors file (default: the run's own)")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="what a LoRA of another trainer was trained on")
    parser.add_argument("--workspace", type=Path, help="of --pictures (default: _diversity/NAME beside it)")
    parser.add_argument("--quick", action="store_true", help="fewer pictures and weights")
    parser.add_argument(
        "--trigger", help="the subject's word or words (default: the run's, or the tag that most captions share)"
    )
    parser.add_argument(
        "--second-trigger",
        dest="second",
        metavar="WORD",
        help="the word of a second character in the same LoRA (default: as kohya's folders name them)",
    )
    parser.add_argument(
        "--class-word", default="", help="stands in for the trigger where that is left out, as in 'woman'"
    )
    parser.add_argument("--prompts", type=Path, metavar="TOML", help="prompts of your own, see docs/evaluate.md")
    parser.add_argument(
        "--held-out", type=Path, metavar="FOLDER", help="pictures of the subject that were not trained on"
    )
    parser.add_argument(
        "--copies", type=Path, metavar="FILE", help="a copy detector: SSCD's TorchScript file, or a folder of DINOv2"
    )
    parser.add_argument(
        "--tagger", type=Path, metavar="FOLDER", help="a WD tagger: model.onnx beside selected_tags.csv"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any setting of docs/evaluate.md; may be repeated",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16 (default: float32)")
    parser.add_argument("--allow-download", action="store_true", help="let a base model be fetched from the hub")
    parser.add_argument("--out", type=Path, help="the HTML page (default: report.html beside the tables)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(name: str, options: argparse.Namespace) -> int:
    """Evaluate, write the page, and print the verdict."""
    import dataclasses
    from importlib.metadata import entry_points

    if bool(options.run) == (options.lora is not None):
        raise InputError("Name either a RUN or a LoRA file with --lora.")
    if options.lora is not None and options.pictures is None:
        raise InputError("What the LoRA was trained on is not known.", "", "Give the folder with --pictures.")
    chosen = settings(options)  # before the slow imports: a slip is told at once
    packages()
    from diversity.dataset import Dataset
    from training import runs
    from training.evaluate.run import Options, evaluate_file, evaluate_run

    asked = Options(
        settings=chosen,
        **{
            key: getattr(options, key)
            for key in (
                "base",
                "prompts",
                "trigger",
                "second",
                "class_word",
                "copies",
                "tagger",
                "held_out",
                "device",
                "dtype",
                "allow_download",
            )
        },
    )
    inside = None if options.pictures is None else Dataset.open(options.pictures, workspace_folder=options.workspace)
    if len(options.run) > 1:
        return _together(options, [runs.find(one, inside) for one in options.run], asked)
    if options.lora is not None:
        dataset = Dataset.open(options.pictures, workspace_folder=options.workspace)
        result = evaluate_file(options.lora, dataset, asked, progress(options))
    else:
        result = evaluate_run(runs.find(options.run[0], inside), asked, progress(options))
    for point in entry_points(group=PAGES, name="run"):
        page = point.load()(Path(result.folder), options.out)
        result = dataclasses.replace(result, page=str(page))
    emit(options, result, result.text())
    return 0


def _together(options: argparse.Namespace, found: list[Run], asked: Options) -> int:
    """Judge the folds of one set."""
    from training.evaluate.folded import evaluate_folds
    from training.evaluate.run import base_of

    if options.held_out is not None:
        raise InputError("Folds hold out pictures of their own.", "", "Leave --held-out away, or name one run.")
    base = base_of(asked, found[0].record.get("base", {}).get("name"), found[0].id)
    result = evaluate_folds(found, base, asked.settings, progress(options))
    emit(options, result, result.text())
    return 0


def settings(options: argparse.Namespace) -> EvaluateSettings:
    """The preset, with --set on top.

    Raises:
        ConfigError: a setting is not understood.
    """
    from pydantic import ValidationError

    from training.evaluate.settings import EvaluateSettings

    preset = EvaluateSettings.ladder() if options.quick else EvaluateSettings.full()
    values = preset.model_dump()
    for text in options.set:
        key, found, value = text.partition("=")
        if not found or not key:
            raise ConfigError(f"'--set {text}' cannot be read.", "", "Write --set KEY=VALUE.")
        values[key] = toml_value(value)
    try:
        return EvaluateSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"The setting '{where}' cannot be used.", f"{first['msg']}.", "docs/evaluate.md lists all settings."
        ) from None
