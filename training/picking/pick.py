"""`pick` from end to end: read samples, judge them, choose, write tables and a grid where too little is there.

Not for the page: `reports.pick_report` makes it from these tables.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity import tables, taxonomy, workspace
from diversity.errors import InputError
from diversity.ingest import list_sources
from training.picking import grid as grids
from training.picking.judge import LEAST, Cell, Judged, judge
from training.picking.material import Material, gather
from training.picking.prompts import with_trigger
from training.picking.samples import Samples, read
from training.picking.verdict import Verdict, decide

if TYPE_CHECKING:
    from diversity.dataset import Dataset
    from diversity.progress import Progress
    from training.evaluate.estimate import Estimate

SAMPLES: tables.Schema = {
    "path": pl.String,  # below the samples' folder
    "content": pl.String,
    "reader": pl.String,
    "rank": pl.Int32,  # 0 base, 1 epochs, 2 steps, 3 a final file; with `number` the order of checkpoints
    "number": pl.Int64,
    "checkpoint": pl.String,
    "weight": pl.Float64,
    "prompt": pl.String,
    "seed": pl.Int64,
    "subject": pl.Boolean,  # whether the prompt asks for the subject; null: not known
    "source": pl.String,  # key of the training picture it agrees with most
    "agreement": pl.Float64,
    "mirrored": pl.Boolean,
    "copy": pl.Boolean,
    "asked": pl.String,  # "framing=headshot side=front"
    "seen": pl.String,
}
CELLS: tables.Schema = {
    "rank": pl.Int32,
    "number": pl.Int64,
    "checkpoint": pl.String,
    "weight": pl.Float64,  # null: it cannot be read
    "n": pl.Int64,
    "best": pl.Boolean,
    "copied": pl.Int64,
    **{
        f"{name}{end}": pl.Float64
        for name in ("copies", "near", "fresh", "likeness", "colours", "specific", "variety")
        for end in ("", "_low", "_high")
    },
    "gain": pl.Float64,  # likeness over the best cell's
    "asked": pl.Int64,
    "shown": pl.Int64,
    "remarks": pl.List(pl.String),
}

SHOWN = 5  # files that were passed over that are named


@dataclass(frozen=True)
class Options:
    """What `pick` was asked.

    Attributes:
        samples: The samples' folder.
        prompts: A prompt list; None: looked for.
        trigger: The subject's word; None: from captions.
        loras: File names of checkpoints, for the grid.
        base: File name of the base model, for the grid.
        size: Pixels of the grid's pictures.
        grid: Write the grid even where there is enough.
        run: Name of the run to judge, where the samples are of several; None: the last one made.
    """

    samples: Path
    prompts: Path | None = None
    trigger: str | None = None
    loras: tuple[str, ...] = ()
    base: str | None = None
    size: int = 512
    grid: bool = False
    run: str | None = None


@dataclass(frozen=True)
class Picked:
    """The answer, for a terminal or as JSON.

    Attributes:
        headline: One sentence.
        checkpoint, weight: What to use; None where nothing can be said.
        copies: path, checkpoint, weight, source (path in the set), agreement of every copy.
        cells: Every checkpoint and weight with its remarks.
        failing: Views that were asked for and hardly shown.
        untold: What the samples cannot show.
        advice: What to add to or drop from the set.
        unknown: Files that no reader understood, and those that could not be decoded.
        problems: path → why it could not be decoded.
        samples: How many were judged, by reader.
        encoder: What saw them.
        grid: Folder of the grid, where one was written.
        page: The HTML page, where one was written.
        folder: The tables.
    """

    headline: str
    checkpoint: str | None
    weight: float | None
    copies: list[dict[str, Any]]
    cells: list[dict[str, Any]]
    failing: list[dict[str, Any]]
    untold: tuple[str, ...]
    advice: list[dict[str, Any]]
    unknown: tuple[str, ...]
    problems: dict[str, str]
    samples: dict[str, int]
    encoder: str
    grid: str | None
    page: str | None
    folder: str

    def text(self) -> str:
        """For a terminal."""
        lines = [self.headline, ""]
        width = max((len(cell["checkpoint"]) for cell in self.cells), default=0)
        for cell in self.cells:
            remarks = "; ".join(cell["remarks"]) or "clean"
            mark = "→" if cell["best"] else " "
            weight = "?" if cell["weight"] is None else f"{cell['weight']:g}"
            count = f"{cell['n']:>3} sample{'s' if cell['n'] != 1 else ' '}"
            lines.append(f" {mark} {cell['checkpoint']:<{width}}  {weight:<5} {count}  {remarks}")
        for copy in self.copies[:12]:
            lines.append(f"   copy: {copy['path']} of {copy['source']} ({copy['agreement']:.2f})")
        if len(self.copies) > 12:
            lines.append(f"   … and {len(self.copies) - 12} more copies")
        for title, rows in (("For the set:", [a["text"] for a in self.advice]), ("Not told:", self.untold)):
            if rows:
                lines += ["", title, *(f"  - {row}" for row in rows)]
        if self.unknown:
            lines += ["", f"Passed over: {len(self.unknown)} file{'s' if len(self.unknown) > 1 else ''}"]
            why = {**dict.fromkeys(self.unknown, "its name and text say nothing that is known"), **self.problems}
            lines += [f"  - {path}: {why[path]}" for path in list(why)[:SHOWN]]
            lines += [f"  - … and {len(why) - SHOWN} more"] if len(why) > SHOWN else []
        lines += ["", *(f"{name:<5} {where}" for name, where in (("grid", self.grid), ("page", self.page)) if where)]
        return "\n".join(lines)


def pick(dataset: Dataset, options: Options, progress: Progress) -> Picked:
    """Judge the samples and write `picks/<name>/` into the workspace.

    Raises:
        InputError: the samples' folder tells nothing.
        DiversityError: the set cannot be scanned.
    """
    folder = options.samples.expanduser().resolve()
    if not folder.is_dir():
        raise InputError(f"{options.samples} is not a folder.", "", "Give the folder of samples with --samples.")
    _apart(dataset, folder)
    samples = read(folder, dataset.config.scan, options.prompts, options.run)
    material = gather(dataset, samples, options.trigger, progress)
    if not material.looks:
        path, why = next(iter(material.problems.items()))
        raise InputError(f"None of the samples can be used. {path}: {why}")
    progress.note("comparing samples with the training pictures")
    judged = judge(material)
    rules = taxonomy.load(dataset.config.views.taxonomy)
    verdict = decide(material, judged, samples, rules)
    name = name_of(folder)
    _write(dataset, name, material, judged, verdict)
    grid = _grid(dataset, name, material, samples, options) if options.grid or _wanting(judged, verdict) else None
    return _picked(dataset, name, (material, samples), verdict, grid)


def _apart(dataset: Dataset, folder: Path) -> None:
    """Samples that lie among the training pictures would be taken for training pictures, and all for copies.

    Raises:
        InputError: they do.
    """
    if folder == dataset.root:
        raise InputError("The samples are the training pictures themselves.", "", "Give the samples' folder.")
    root = dataset.root.resolve()
    if not folder.is_relative_to(root):
        return
    sources = list_sources(root, dataset.config.scan)  # without workspaces and exports
    if any(source.location.is_relative_to(folder) for source in sources):
        raise InputError(
            f"The samples lie among the training pictures, in {folder.relative_to(root)} of {root}.",
            "They would be taken for pictures that were trained on.",
            "Name the folder of the training pictures alone, or move the samples out of it.",
        )


def name_of(folder: Path) -> str:
    """Name of the tables of one samples' folder: stable, and different for different folders."""
    slug = re.sub(r"[^\w-]+", "-", f"{folder.parent.name}-{folder.name}").strip("-")[:40]
    return f"{slug}-{hashlib.blake2b(str(folder).encode(), digest_size=3).hexdigest()}"


def _wanting(judged: Judged, verdict: Verdict) -> bool:
    """Whether more samples would change what can be said."""
    one_weight = len({cell.weight for cell in judged.cells}) == 1
    thin = any(len(cell.rows) < LEAST for cell in judged.cells)
    no_base = judged.reference_at is None or judged.reference_at[0] != 0
    return not verdict.enough or thin or one_weight or no_base


def _grid(dataset: Dataset, name: str, material: Material, samples: Samples, options: Options) -> Path:
    word = options.trigger or samples.trigger or next(iter(material.training.words), None)
    asked = [look.sample.prompt for look in material.looks if look.sample.prompt and not look.sample.cut]
    known = list(dict.fromkeys(with_trigger(prompt, word or "TRIGGER") for prompt in asked))[:8]
    loras = options.loras or tuple(dict.fromkeys(s.lora for s in samples.samples if s.lora))
    folder = dataset.folder / "picks" / name / "grid"
    grids.write(grids.plan(word, known, loras, options.base, options.size), folder)
    return folder


def _write(dataset: Dataset, name: str, material: Material, judged: Judged, verdict: Verdict) -> None:
    """All that the page shows, as tables."""
    keys = material.training.frame["key"].to_list()
    rows = []
    for i, (look, match) in enumerate(zip(material.looks, judged.matches, strict=True)):
        rank, number, label = look.sample.at
        row = {
            "path": look.sample.path,
            "content": look.content,
            "reader": look.sample.reader,
            "rank": rank,
            "number": number,
            "checkpoint": label,
            "weight": look.sample.weight,
            "prompt": look.sample.prompt,
            "seed": look.sample.seed,
            "subject": look.subject,
            "source": keys[match.row] if match.row >= 0 else None,
            "agreement": match.agreement,
            "mirrored": match.mirrored,
            "copy": judged.is_copy(i),
            "asked": _spelt(look.asked),
            "seen": _spelt(look.seen),
        }
        rows.append(row)
    cells = [_cell_row(cell, verdict, i) for i, cell in enumerate(judged.cells)]
    thumbnails = {look.content: look.thumbnail for look in material.looks}
    dataset.write(f"picks/{name}/samples", pl.DataFrame(rows, schema=SAMPLES))
    dataset.write(f"picks/{name}/cells", pl.DataFrame(cells, schema=CELLS))
    dataset.write(
        f"picks/{name}/thumbnails",
        pl.DataFrame({"content": list(thumbnails), "jpeg": list(thumbnails.values())}, schema=tables.THUMBNAILS),
    )
    told = {
        "headline": verdict.headline,
        "untold": verdict.untold,
        "advice": [vars(advice) for advice in verdict.advice],
        "failing": [
            {"axis": axis, "label": label, "shown": shown, "asked": asked}
            for axis, label, shown, asked in verdict.failing
        ],
        "reference": judged.reference_at[2] if judged.reference_at else None,
        "line": {key: None if value != value else value for key, value in vars(judged.line).items()},
        "encoder": material.encoder,
        "words": material.training.words,
        "problems": material.problems,
    }
    workspace.write_text(
        dataset.folder / "picks" / name / "verdict.json", json.dumps(told, indent=1, ensure_ascii=False)
    )


def _cell_row(cell: Cell, verdict: Verdict, index: int) -> dict[str, Any]:
    colours = cell.colours
    numbers: dict[str, Estimate | None] = {
        "copies": cell.copies,
        "near": cell.memory.nearer,
        "fresh": cell.memory.authentic_excess,
        "likeness": cell.likeness,
        "colours": colours.towards["colour"] if colours else None,
        "specific": colours.specific if colours else None,
        "variety": cell.variety,
    }
    ends = {
        f"{name}{end}": _finite(getattr(number, field)) if number is not None else None
        for name, number in numbers.items()
        for end, field in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    rank, order, label = cell.at
    return {
        "rank": rank,
        "number": order,
        "checkpoint": label,
        "weight": cell.weight,
        "n": len(cell.rows),
        "best": verdict.best is cell,
        "copied": cell.copied,
        **ends,
        "gain": _finite(verdict.gains[index]),
        "asked": cell.asked,
        "shown": cell.shown,
        "remarks": list(verdict.remarks[index]),
    }


def _picked(
    dataset: Dataset,
    name: str,
    read_from: tuple[Material, Samples],
    verdict: Verdict,
    grid: Path | None,
) -> Picked:
    material, samples = read_from
    folder = dataset.folder / "picks" / name
    paths = dict(material.training.frame.select("key", "path").iter_rows())
    frame = dataset.read(f"picks/{name}/samples")
    copies = frame.filter("copy").sort("agreement", descending=True, maintain_order=True)
    best = verdict.best
    return Picked(
        headline=verdict.headline,
        checkpoint=best.at[2] if best else None,
        weight=best.weight if best else None,
        copies=[
            {**row, "source": paths.get(row["source"])}
            for row in copies.select("path", "checkpoint", "weight", "source", "agreement", "mirrored").to_dicts()
        ],
        cells=dataset.read(f"picks/{name}/cells").to_dicts(),
        failing=[{"axis": a, "label": b, "shown": c, "asked": d} for a, b, c, d in verdict.failing],
        untold=verdict.untold,
        advice=[
            {**vars(advice), "keys": [paths[key] for key in advice.keys if key in paths]} for advice in verdict.advice
        ],
        unknown=(*samples.unknown, *material.problems),
        problems=material.problems,
        samples=samples.readers,
        encoder=material.encoder,
        grid=str(grid) if grid else None,
        page=None,
        folder=str(folder),
    )


def _spelt(labels: dict[str, str]) -> str:
    return " ".join(f"{axis}={label}" for axis, label in sorted(labels.items()))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
