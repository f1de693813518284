"""Turning a LoRA file into another layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.errors import LoraError
from training.lora_files.read import read
from training.lora_files.write import LAYOUTS, family_of, write


@dataclass(frozen=True)
class Converted:
    """What a conversion did.

    Attributes:
        source: Layout that was read.
        layout: Layout that was written.
        family: sd1, sd2 or sdxl.
        layers: How many layers it changes.
        files: Written files.
        notes: What a person should know.
    """

    source: str
    layout: str
    family: str
    layers: int
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def convert(path: Path, layout: str, out: Path | None = None, *, force: bool = False) -> Converted:
    """Write the LoRA at `path` in another layout; the change of every weight stays the same, user metadata are kept.

    Args:
        path: A file or folder, see `read`.
        layout: kohya, diffusers or peft.
        out: File, or folder for peft; None: beside the source, named after it and the layout.
        force: Replace what is there.

    Raises:
        LoraError: it cannot be read, or something is in the way.
    """
    if layout not in LAYOUTS:
        raise LoraError(f"There is no LoRA layout '{layout}'.", "", f"Use one of {', '.join(LAYOUTS)}.")
    weights = read(path)
    stem = path.stem if path.suffix == ".safetensors" else path.name
    out = out or path.parent / (f"{stem}_{layout}" + ("" if layout == "peft" else ".safetensors"))
    if out.is_dir() and layout != "peft":
        out = out / f"{stem}_{layout}.safetensors"
    _check(path, out, layout, force=force)
    family = family_of(weights)
    files = write(weights, out, layout, family=family)
    return Converted(weights.layout, layout, family, len(weights.layers), files, weights.notes)


def _check(path: Path, out: Path, layout: str, *, force: bool) -> None:
    if out.resolve() == path.resolve():
        raise LoraError(f"{out} is the source itself.", "A conversion never replaces it.", "Name another with -o.")
    if out.is_file() and layout == "peft":
        raise LoraError(f"{out} is a file.", "PEFT's layout is a folder.", "Name a folder with -o.")
    taken = any(out.iterdir()) if out.is_dir() else out.exists()
    if taken and not force:
        raise LoraError(f"{out} is there already.", "", "Add --force to replace it, or name another with -o.")
