"""`diversity generate`: pictures from a run's LoRA, or a LoRA file, over seeds and LoRA weights on the same noise."""

from __future__ import annotations

import argparse
from pathlib import Path

from diversity.commands.common import emit, progress
from diversity.errors import InputError
from training.commands.needs import packages


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """What to draw, with what."""
    parser.description = "Draw prompts with a LoRA, over seeds and LoRA weights, every seed with the same noise."
    parser.epilog = 'Example: diversity generate RUN --prompt "mira, (smile:0.7), full body" --weights 0,0.7,1'
    parser.add_argument(
        "source", metavar="RUN", help="a run's folder, its id or the beginning of it; or a LoRA file of any layout"
    )
    parser.add_argument(
        "--prompt", action="append", required=True, help="may hold (keywords:0.7) with weights; may be repeated"
    )
    parser.add_argument(
        "--weights", default="1", metavar="W,W,…", help="LoRA weights; 0 is the base alone (default: 1)"
    )
    parser.add_argument(
        "--stack", action="append", default=[], metavar="FILE:WEIGHT", help="another LoRA at a fixed weight; repeatable"
    )
    parser.add_argument("--seeds", type=int, default=4, help="pictures per prompt and weight (default: 4)")
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count up from here (default: 0)")
    parser.add_argument("--negative", default="", help="what to steer away from")
    parser.add_argument("--steps", type=int, default=25, help="denoising steps (default: 25)")
    parser.add_argument(
        "--guidance",
        type=float,
        help="how strictly the prompt is followed (default: the base's own: toon 3.5, others 7)",
    )
    parser.add_argument("--size", metavar="SIDE or WxH", help="pixels (default: as trained)")
    parser.add_argument("--base", help="toon, a hub name, a folder or a .safetensors file (default: the run's own)")
    parser.add_argument("-o", "--out", type=Path, help="folder (default: the next one in generated/ of the run)")
    parser.add_argument("--batch", type=int, default=4, help="pictures at once; fewer need less memory (default: 4)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16 (default: float32)")
    parser.add_argument("--allow-download", action="store_true", help="let a base model be fetched from the hub")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(name: str, options: argparse.Namespace) -> int:
    """Draw, and say where it is."""
    given = {
        "prompts": options.prompt,
        "seeds": list(range(options.first_seed, options.first_seed + options.seeds)),
        "weights": [_number(text, "--weights") for text in options.weights.split(",")],
        "size": _size(options.size),
    }
    stack = [_stacked(text) for text in options.stack]  # before the slow imports: a slip is told at once
    packages()
    from training.drawing import Place, draw, plan

    same = {key: getattr(options, key) for key in ("negative", "steps", "guidance", "batch")}
    wanted = plan(**given, **same)
    place = Place(options.base, stack, options.out, options.device, options.dtype, options.allow_download)
    drawn = draw(options.source, wanted, place, progress(options))
    used = drawn.pictures[0]
    how = f"{used['width']}x{used['height']}, {used['steps']} steps, guidance {used['guidance']:g}"
    lines = [f"{len(drawn.pictures)} pictures ({how}) and their table are in {drawn.folder}"]
    emit(options, drawn, "\n".join([*lines, *(f"grid: {path}" for path in drawn.grids)]))
    return 0


def _number(text: str, option: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if found != found or abs(found) == float("inf"):
        raise InputError(f"'{text}' in {option} is not a number.", "", "Write for example 0,0.5,1.")
    return found


def _stacked(text: str) -> tuple[Path, float]:
    """FILE:WEIGHT; the file's own path may hold colons."""
    path, colon, weight = text.rpartition(":")
    if not (colon and path):
        raise InputError(f"'--stack {text}' has no weight.", "", "Write --stack FILE:0.3.")
    return Path(path).expanduser(), _number(weight, "--stack")


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and (height or width).isdecimal()):
        raise InputError(f"'--size {text}' is not a size.", "", "Write 512, or 512x768 for width and height.")
    return int(width), int(height or width)
