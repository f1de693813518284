"""From a run, or a LoRA file, to a folder of pictures, grids and their table.

Not for drawing itself (`generate.py`) or what the files look like (`grids.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diversity.errors import InputError, WorkspaceError
from diversity.progress import Advance, Progress, Silent
from training import base as bases
from training import grids, lora, runs
from training.generate import GenerationPlan, Sample, generate, guidance, picture_size

TESTED = "lora"  # name of the adapter under test


@dataclass(frozen=True)
class Place:
    """What to draw with, and where to.

    Attributes:
        base: As `training.base.load` takes it; None: what the run was trained on.
        stack: Further LoRA files with their fixed weights.
        out: Folder; None: the next number in `generated/` of the run, or beside the file.
        device, dtype, allow_download: See `training.base.load`.
    """

    base: str | None = None
    stack: Sequence[tuple[Path, float]] = field(default_factory=tuple)
    out: Path | None = None
    device: str = "auto"
    dtype: str = "float32"
    allow_download: bool = False


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes:
        folder: Where all of it lies.
        grids: One picture per prompt: seeds downwards, weights across.
        pictures: One row per picture, see `grids.row`.
    """

    folder: Path
    grids: tuple[Path, ...]
    pictures: list[dict[str, Any]]


def plan(**given: Any) -> GenerationPlan:  # noqa: ANN401
    """A plan from what a user gave.

    Raises:
        InputError: a value cannot be used.
    """
    try:
        return GenerationPlan(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0]) if first["loc"] else "plan"
        raise InputError(f"The pictures' {where} cannot be used.", f"{first['msg']}.") from None


def draw(source: str | Path, wanted: GenerationPlan, place: Place, progress: Progress | None = None) -> Drawn:
    """Draw `wanted` with the LoRA of a run, or of a file of any layout.

    Args:
        source: Folder or id of a run, or a LoRA file or folder.
        wanted: What to draw; its stack is filled from `place`, where it says none its size from the run, and its
            guidance from the base.
        place: With what, and where to.
        progress: Told of every picture.

    Raises:
        DiversityError: the run, a file or the base cannot be used.
    """
    file, home, run = _source(source)
    name = place.base or (run.record.get("base", {}).get("name") if run else None)
    if name is None:
        raise InputError(f"Which base {file.name} is for is not known.", "", "Name one with --base.")
    base = bases.load(name, device=place.device, dtype=place.dtype, allow_download=place.allow_download)
    tested = lora.load(base, file, name=TESTED)
    stack = {f"stack{n}": weight for n, (_, weight) in enumerate(place.stack)}
    for number, (path, _) in enumerate(place.stack):
        lora.load(base, path, name=f"stack{number}")
    side = run.record.get("settings", {}).get("resolution") if run else None
    size = wanted.size or ((side, side) if side else picture_size(base, wanted))
    wanted = wanted.model_copy(update={"stack": stack, "size": size, "guidance": guidance(base, wanted)})
    called = {str(path): weight for path, weight in place.stack}
    setting = grids.Setting(wanted, str(name), run.id if run else file.name, size, called)
    folder = place.out or _next(home)
    with (progress or Silent()).task("pictures", wanted.count) as advance:
        made = grids.save(_counted(generate(base, [tested], wanted), advance), folder, setting)
    return Drawn(folder, made, grids.read(folder))


def _source(source: str | Path) -> tuple[Path, Path, runs.Run | None]:
    """The LoRA, where its pictures go, and the run that it is of."""
    path = Path(source).expanduser()
    is_run = (path / runs.FILE).is_file() or not path.exists()
    if not is_run:
        return path, path.parent / f"{path.stem}_generated", None
    run = runs.find(source)
    if not run.lora.is_file():
        raise WorkspaceError(f"{run.id} has no LoRA yet.", f"There is no {run.lora.name} in it.", "Let it finish.")
    return run.lora, run.folder / "generated", run


def _next(home: Path) -> Path:
    """The first free number under `home`."""
    taken = {path.name for path in home.iterdir()} if home.is_dir() else set()
    return home / next(name for name in (f"{n:03d}" for n in range(1, len(taken) + 2)) if name not in taken)


def _counted(samples: Iterator[Sample], advance: Advance) -> Iterator[Sample]:
    for sample in samples:
        yield sample
        advance(1)
