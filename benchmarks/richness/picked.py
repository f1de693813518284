"""What `pick` says of a LoRA's drawn pictures alone, and how far a bound tag pulls colours: views of one gallery.

Not ground truth: `truth.py` has that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from benchmarks.richness.asked import BOUND_WEIGHT
from diversity import Dataset
from diversity.progress import Silent
from training import grids
from training.evaluate import colour, estimate
from training.evaluate.drawing import DrawnPicture, Gallery
from training.evaluate.estimate import Estimate
from training.evaluate.rows import ROWS
from training.evaluate.settings import EvaluateSettings
from training.generate import GenerationPlan, Sample
from training.picking.pick import Options, pick

FEATURES = ("copies", "near", "fresh", "likeness", "colours", "specific", "variety")


def samples(gallery: Gallery, settings: EvaluateSettings, step: int, folder: Path) -> Path:
    """The pictures at weights 0 and 1 as a folder of samples, without those that lack the trigger they asked for."""
    drawn = [one for one in gallery.pictures if not one.place.bare and one.place.weight in (0.0, settings.weight)]
    texts = list(dict.fromkeys(one.text for one in drawn))
    plan = GenerationPlan(
        prompts=tuple(texts),
        seeds=tuple(sorted({one.seed for one in drawn})),
        weights=(0.0, settings.weight),
        steps=settings.steps,
        guidance=settings.guidance,
    )
    found = [Sample(one.picture, one.text, texts.index(one.text), one.seed, one.place.weight) for one in drawn]
    setting = grids.Setting(plan, "toon", "ladder", drawn[0].picture.size, {})
    grids.save(found, folder / f"step-{step:06d}", setting)
    return folder


def rows(dataset: Dataset, folder: Path, trigger: str) -> pl.DataFrame:
    """`pick.*` of the LoRA's one checkpoint at its main weight, in the columns of `ROWS`."""
    found = pick(dataset, Options(folder, trigger=trigger), Silent())
    (cell,) = [cell for cell in found.cells if cell["weight"] > 0]
    numbers = {name: cell[name] for name in FEATURES}
    numbers["views"] = cell["shown"] / cell["asked"] if cell["asked"] else None
    numbers["faults"] = float(len(cell["remarks"]))
    settings = json.dumps({"weight": cell["weight"]})
    kept = [
        (
            f"pick.{name}",
            float(value),
            cell.get(f"{name}_low"),
            cell.get(f"{name}_high"),
            cell["n"],
            "samples",
            settings,
        )
        for name, value in numbers.items()
        if value is not None and math.isfinite(value)
    ]
    return pl.DataFrame(kept, schema=ROWS, orient="row")


def pulls(gallery: Gallery, bound: Sequence[Image.Image], tag: str) -> dict[str, Estimate]:
    """How far a tag pulls colours to the look it was bound to, as a share of the base's distance from it.

    `bound.pull`: [(LoRA without the tag - with) - (base without - with)] at LoRA and keyword weight 1; `bound.keyword`
    and `bound.lora`: the same with the keyword, or the LoRA, at one half. Distances are of palettes.
    """
    target = colour.pooled([colour.content(np.asarray(picture)) for picture in bound])
    if target is None:
        nothing = estimate.unknown("prompts", "the bound look has no colours")
        return {"bound.pull": nothing, "bound.keyword": nothing, "bound.lora": nothing}
    far: dict[tuple[str, float], list[float]] = {}
    for one in gallery.pictures:
        if one.place.prompt.kind == "unrelated" and (palette := _palette(one)) is not None:
            far.setdefault((one.text, one.place.weight), []).append(colour.distance(palette, target))
    mean = {key: float(np.mean(values)) for key, values in far.items()}
    softened = f"({tag}:{BOUND_WEIGHT:g})"
    texts = sorted(text for text, weight in mean if weight == 0 and f"{tag}, {text}" in {t for t, _ in mean})

    def pull(text: str, said: str, weight: float) -> float:
        tagged = f"{said}, {text}"
        own = mean[text, weight] - mean[tagged, weight]
        return own - (mean[text, 0.0] - mean[tagged, 0.0])

    ways = np.array([mean[text, 0.0] for text in texts])
    kinds = {"pull": (tag, 1.0), "keyword": (softened, 1.0), "lora": (tag, BOUND_WEIGHT)}
    return {
        f"bound.{name}": estimate.ratio(np.array([pull(text, *how) for text in texts]), ways, "prompts")
        for name, how in kinds.items()
    }


def _palette(one: DrawnPicture) -> colour.Palette | None:
    return colour.palette(colour.content(np.asarray(one.picture)))
