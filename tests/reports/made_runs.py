"""Evaluations and rows of a ladder as they lie on disk, made up, with hostile names, captions and prompts."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from diversity import workspace
from training.evaluate import ladder
from training.evaluate.rows import ROWS
from training.evaluate.store import PALETTES, REAL, SAMPLES, table

NASTY = '</script><img src=x onerror=alert("1")>'


def jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (shade % 256, 40, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


def row(
    measure: str, value: float, low: float | None = None, high: float | None = None, **at: object
) -> dict[str, Any]:
    return {"measure": measure, "value": value, "low": low, "high": high, "n": 5, "unit": "groups"} | {
        "settings": json.dumps(at, sort_keys=True)
    }


def scores(richness: float = 4.2, gap: float = 0.31) -> list[dict[str, Any]]:
    found = [
        row("richness.vendi_1", richness, richness - 1, richness + 1, encoder="toon-1"),
        row("loss.gap", gap, gap - 0.1, gap + 0.1, set="held_out"),
        row("loss.gap.low", 0.2, 0.1, 0.3, set="held_out"),
        row("copies.share", 0.25, 0.1, 0.5, weight=1.0, line=0.8),
        row("copies.share", 0.0, 0.0, 0.2, weight=0.7, line=0.8),
        row("binding.before", 0.7, tag=NASTY, look="headshot/front", state="bound", p=0.01),
    ]
    for weight, value in ((0.0, 0.3), (0.7, 0.5), (1.0, 0.6)):
        found.append(row("fidelity", value, value - 0.1, value + 0.1, view="full_body/back", weight=weight, to="train"))
    for step in (10, 20):
        found += [row(f"loss.{side}", -step / 100, set="held_out", step=step) for side in ("train", "held_out")]
    return found


def samples() -> list[dict[str, Any]]:
    made = []
    for i, weight in enumerate((0.0, 0.7, 1.0) * 2):
        kind = ("subject", "unrelated")[i // 3]
        one = dict.fromkeys(SAMPLES) | {"prompt": f"hero {NASTY}", "kind": kind, "view": "", "bare": False, "seed": 7}
        one |= {
            "weight": weight,
            "keyword_weight": 1.0,
            "jpeg": jpeg(10 * i),
            "shows": json.dumps({"framing": "detail"}),
        }
        if kind == "subject" and weight:
            one |= {"source": "c1", "similarity": 0.9, "agreement": 0.97, "mirrored": True, "copy": weight == 1.0}
        made.append(one)
    return made


def evaluation(folder: Path, name: str, **given: float) -> Path:
    table(folder, "scores", pl.DataFrame(scores(**given), schema=ROWS))
    table(folder, "samples", pl.DataFrame(samples(), schema=SAMPLES))
    real = dict.fromkeys(REAL, "") | {"content": "c1", "name": f"a/{NASTY}.png", "role": "train", "jpeg": jpeg(99)}
    table(folder, "real", pl.DataFrame([real | {"view": "full_body/back"}], schema=REAL))
    palette = [
        ("set", 0.0, 0, "#112233", 0.6),
        ("unrelated", 0.0, 0, "#445566", 1.0),
        ("unrelated", 1.0, 0, "#112233", 1.0),
    ]
    table(folder, "palettes", pl.DataFrame(palette, schema=PALETTES, orient="row"))
    said = {
        "run": name,
        "lora": "x.safetensors",
        "base": {"name": NASTY},
        "pictures": f"/sets/{NASTY}",
        "trigger": "hero",
    }
    said |= {
        "state": "copies",
        "headline": f"It copies {NASTY}",
        "use": "Use weight 0.7.",
        "notes": [NASTY],
        "data": [NASTY],
    }
    said |= {"evidence": [{"topic": "copies", "text": NASTY, "state": "bad"}], "features": {"id": "t", "name": "toon"}}
    said |= {"sweep": {"band": [0.7, 0.7], "failing": [], "against": {"1": ["copies appear"]}}, "record": {"steps": 20}}
    workspace.write_text(folder / "evaluation.json", json.dumps(said))
    return folder


def ladder_of(file: Path, encoders: Sequence[str]) -> Path:
    """A ladder with a LoRA for each of `encoders`, and a row with a problem."""
    rows = []
    for i, encoder in enumerate(encoders):
        found = pl.DataFrame(scores(3.0 + i % 9, 0.5 - i % 7 / 20), schema=ROWS).with_columns(
            pl.col("settings").str.replace("toon-1", encoder)
        )
        kind = ("monotone", "views")[i % 2]
        about = {"id": f"rung {i}", "character": NASTY, "composition": kind, "n": 16, "steps": 400}
        rows.append(json.dumps(ladder.row(found, **about)))
    file.write_text("\n".join([*rows, json.dumps({"id": "broken", "problem": "nan", "scores": []})]) + "\n")
    return file
