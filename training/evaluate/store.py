"""An evaluation on disk: scores, samples, the real pictures beside them, palettes, and what was said about them.

Not for pages: `reports` makes them from these files, and computes nothing.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
from PIL import Image

from diversity import workspace
from training.evaluate import colour
from training.evaluate.estimate import Floats
from training.evaluate.lora import Evaluation
from training.evaluate.sets import EvaluationSets, Material
from training.evaluate.verdict import Verdict

FOLDER = "evaluation"
THUMBNAIL = 192  # longest side of stored pictures, pixels
SWATCHES = 8  # colours of a shown palette
PIXELS = 6000  # of a palette that are clustered

SAMPLES = {
    "prompt": pl.String,  # as drawn
    "kind": pl.String,  # subject, novel, unrelated, caption
    "view": pl.String,
    "bare": pl.Boolean,  # drawn without the trigger word
    "seed": pl.Int64,
    "weight": pl.Float64,  # 0: the base
    "keyword_weight": pl.Float64,
    "source": pl.String,  # content of the training picture that it is nearest to; null: not compared
    "similarity": pl.Float64,  # to the features
    "ratio": pl.Float64,  # nearest distance over the nearest outside its group
    "agreement": pl.Float64,  # of the overlay
    "mirrored": pl.Boolean,
    "copy": pl.Boolean,
    "shows": pl.String,  # JSON: what the judges see; null without judges
    "jpeg": pl.Binary,
}
REAL = {
    "content": pl.String,
    "name": pl.String,
    "role": pl.String,  # train, or the name of a held-out set
    "view": pl.String,
    "group": pl.String,
    "caption": pl.String,
    "jpeg": pl.Binary,
}
PALETTES = {"of": pl.String, "weight": pl.Float64, "rank": pl.Int32, "colour": pl.String, "share": pl.Float64}


def write(
    folder: Path,
    evaluation: Evaluation,
    sets: EvaluationSets,
    verdict: Verdict,
    about: Mapping[str, object],
) -> None:
    """Write everything of one evaluation into `folder`, file by file, atomically.

    Args:
        folder: Its own.
        evaluation: The numbers and pictures.
        sets: What it was measured on.
        verdict: In words.
        about: Base, LoRA, settings, versions: whatever a reader needs to repeat it.
    """
    table(folder, "scores", evaluation.rows)
    workspace.write_text(folder / "scores.csv", evaluation.rows.write_csv())
    table(folder, "samples", pl.DataFrame(_samples(evaluation, sets), schema=SAMPLES))
    table(folder, "real", pl.DataFrame(_real(sets), schema=REAL))
    table(folder, "palettes", pl.DataFrame(_palettes(evaluation, sets), schema=PALETTES))
    said = {**about, **asdict(verdict), "notes": evaluation.notes, "sweep": _sweep(evaluation)}
    workspace.write_text(folder / "evaluation.json", json.dumps(said, indent=1, ensure_ascii=False, default=str))


def table(folder: Path, name: str, frame: pl.DataFrame) -> None:
    """Write one table, atomically."""
    buffer = BytesIO()
    frame.write_parquet(buffer)
    workspace.write_bytes(folder / f"{name}.parquet", buffer.getvalue())


def thumbnail(picture: Image.Image) -> bytes:
    """A small JPEG."""
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def swatches(colours: Floats, count: int = SWATCHES) -> list[tuple[str, float]]:
    """(colour as #rrggbb, share) of CIELAB colours [n, 3], the largest share first; the same for the same colours.

    k-means from evenly spread starting points in order of lightness (OpenCV).
    """
    if len(colours) < colour.LEAST_PIXELS:
        return []
    if len(colours) > PIXELS:
        colours = colours[np.linspace(0, len(colours) - 1, PIXELS).astype(np.int64)]
    rows = np.ascontiguousarray(colours, np.float32)
    order = np.argsort(rows[:, 0], kind="stable")
    start = np.empty((len(rows), 1), np.int32)
    start[order, 0] = np.arange(len(rows)) * count // len(rows)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    _, labels, centres = cv2.kmeans(rows, count, start, stop, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    shares = np.bincount(labels.ravel(), minlength=count) / len(rows)
    pixels = np.rint(cv2.cvtColor(centres[None].astype(np.float32), cv2.COLOR_LAB2RGB)[0].clip(0, 1) * 255).astype(int)
    found = [(f"#{r:02x}{g:02x}{b:02x}", float(share)) for (r, g, b), share in zip(pixels, shares, strict=True)]
    return sorted(((name, share) for name, share in found if share > 0), key=lambda one: -one[1])


def _samples(evaluation: Evaluation, sets: EvaluationSets) -> list[dict[str, Any]]:
    near, judged = _nearest(evaluation, sets), evaluation.judged
    rows = []
    for row, drawn in enumerate(evaluation.gallery.pictures):
        place = drawn.place
        made = {
            "prompt": drawn.text,
            "kind": place.prompt.kind,
            "view": place.prompt.view,
            "bare": place.bare,
            "seed": drawn.seed,
            "weight": place.weight,
            "keyword_weight": place.keyword_weight,
            "shows": None if judged is None else json.dumps(dict(judged[row]), sort_keys=True),
            "jpeg": thumbnail(drawn.picture),
        }
        rows.append({**dict.fromkeys(SAMPLES), **near.get(row, {}), **made})
    return rows


def _nearest(evaluation: Evaluation, sets: EvaluationSets) -> dict[int, dict[str, Any]]:
    """Row of the gallery → its training picture: what it can be laid over where that is a copy, else the nearest."""
    findings, copies = evaluation.findings, evaluation.findings.copies
    near: dict[int, dict[str, Any]] = {}
    for memory in (one for one in (findings.memory, findings.captions) if one is not None):
        pairs = memory.found.pairs
        for drawn, source, likeness, ratio in zip(
            memory.drawn, pairs.nearest.tolist(), pairs.similarity.tolist(), pairs.ratio.tolist(), strict=True
        ):
            known = ratio if math.isfinite(ratio) else None
            near[drawn] = {"source": sets.train.contents[source], "similarity": likeness, "ratio": known}
    if copies is not None:
        for row, match in copies.matches.items():
            one = near.setdefault(row, {})
            one |= {"agreement": match.agreement, "mirrored": match.mirrored, "copy": copies.is_copy(row)}
            if match.row >= 0 and (one["copy"] or "source" not in one):
                one["source"] = sets.train.contents[match.row]
    return near


def _real(sets: EvaluationSets) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    materials: list[tuple[str, Material]] = [("train", sets.train), *sets.held_out.items()]
    for role, material in materials:
        for row in range(len(material)):
            rows.append(
                {
                    "content": material.contents[row],
                    "name": material.names[row],
                    "role": role,
                    "view": material.views[row],
                    "group": material.groups[row],
                    "caption": material.captions[row],
                    "jpeg": thumbnail(material.pictures[row]),
                }
            )
    return rows


def _palettes(evaluation: Evaluation, sets: EvaluationSets) -> list[dict[str, Any]]:
    """Of the set, and of unrelated prompts at every weight, the base's first."""
    whole: list[tuple[str, float, Sequence[Image.Image]]] = [("set", 0.0, sets.train.pictures)]
    gallery = evaluation.gallery
    weights = sorted({one.place.weight for one in gallery.pictures if one.place.prompt.kind == "unrelated"})
    for weight in weights:
        rows = [row for place in gallery.places("unrelated", weight) for row in gallery.rows(place)]
        whole.append(("unrelated", weight, [gallery.pictures[row].picture for row in rows]))
    found = []
    for of, weight, pictures in whole:
        parts = [colour.content(np.asarray(picture)) for picture in pictures]
        step = max(1, sum(map(len, parts)) // PIXELS)
        colours = np.concatenate([part[::step] for part in parts]) if parts else np.empty((0, 3))
        found += [
            {"of": of, "weight": weight, "rank": rank, "colour": name, "share": share}
            for rank, (name, share) in enumerate(swatches(colours))
        ]
    return found


def _sweep(evaluation: Evaluation) -> dict[str, object] | None:
    sweep = evaluation.findings.sweep
    if sweep is None:
        return None
    against = {f"{weight:g}": why for weight, why in sweep.against.items()}
    return {"band": sweep.band, "failing": sweep.failing, "against": against}
