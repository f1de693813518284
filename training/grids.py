"""Labelled grids of pictures, and saving drawn samples with all that made them.

Not for drawing: that is `generate.py`.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from diversity import __version__
from diversity.workspace import write_bytes, write_text
from training.generate import SAMPLER, GenerationPlan, Sample

PAPER, INK, EMPTY = (255, 255, 255), (20, 20, 20), (235, 235, 235)
GAP = 6  # pixels between pictures
LEAST_CELL = 128  # smaller pictures are enlarged, so that labels stay readable and pixels visible
# Fonts with East Asian letters, by the file names of the common systems; Pillow's own has Latin ones only.
WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc", "Arial Unicode.ttf", "DejaVuSans.ttf")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Setting:
    """What all samples of one call share, for their records.

    Attributes:
        plan: As drawn, its guidance not left open.
        base: Name of the base.
        lora: Name of the LoRA under test; empty: none.
        size: Width and height, pixels.
        stack: Names of the stacked LoRAs → weight.
    """

    plan: GenerationPlan
    base: str
    lora: str
    size: tuple[int, int]
    stack: Mapping[str, float]


def grid(
    rows: Sequence[Sequence[Image.Image | None]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str = "",
) -> Image.Image:
    """A sheet of pictures with labels on top and left; None leaves a cell empty.

    Args:
        rows: Pictures by row, then column; sizes may differ, cells are as large as the largest.
        row_labels: One per row.
        column_labels: One per column.
        title: Above all, wrapped.
    """
    pictures = [picture for row in rows for picture in row if picture is not None]
    width = max((picture.width for picture in pictures), default=LEAST_CELL)
    height = max((picture.height for picture in pictures), default=LEAST_CELL)
    zoom = max(1, -(-LEAST_CELL // min(width, height)))
    width, height = width * zoom, height * zoom
    font = _font(max(14, height // 16), "".join((title, *row_labels, *column_labels)))
    line = int(font.getbbox("Ag")[3]) + GAP
    left = max((int(font.getlength(label)) for label in row_labels), default=0) + 2 * GAP
    full = left + len(column_labels) * (width + GAP)
    heading = _wrapped(title, font, full - 2 * GAP)
    top = len(heading) * line + line + 2 * GAP
    sheet = Image.new("RGB", (full, top + len(rows) * (height + GAP)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, text in enumerate(heading):
        pen.text((GAP, GAP + number * line), text, INK, font)
    for column, text in enumerate(column_labels):
        pen.text((left + column * (width + GAP) + width // 2, top - line), text, INK, font, anchor="ma")
    for number, row in enumerate(rows):
        y = top + number * (height + GAP)
        pen.text((GAP, y + height // 2), row_labels[number], INK, font, anchor="lm")
        for column, picture in enumerate(row):
            corner = (left + column * (width + GAP), y)
            if picture is None:
                pen.rectangle((*corner, corner[0] + width - 1, corner[1] + height - 1), EMPTY)
            else:
                size = (picture.width * zoom, picture.height * zoom)
                sheet.paste(picture.convert("RGB").resize(size, Image.Resampling.NEAREST), corner)
    return sheet


def sample_grid(samples: Sequence[Sample], plan: GenerationPlan) -> Image.Image:
    """One prompt's samples: seeds downwards, LoRA weights across."""
    found = {(sample.seed, sample.weight): sample.picture for sample in samples}
    nothing = "weight 0" if plan.stack else "base (0)"
    return grid(
        [[found.get((seed, weight)) for weight in plan.weights] for seed in plan.seeds],
        [f"seed {seed}" for seed in plan.seeds],
        [nothing if weight == 0 else f"weight {weight:g}" for weight in plan.weights],
        samples[0].prompt if samples else "",
    )


def file_name(sample: Sample) -> str:
    """`p<prompt>_s<seed>_w<weight>.png`: what a person looks for."""
    return f"p{sample.prompt_index:02d}_s{sample.seed}_w{sample.weight:.12g}.png"


def save(samples: Iterable[Sample], folder: Path, setting: Setting) -> tuple[Path, ...]:
    """Write every picture as it comes, then one grid per prompt, `samples.parquet` and `samples.csv`.

    Returns:
        The grids, one per prompt.
    """
    kept: list[Sample] = []
    for sample in samples:
        write_bytes(folder / file_name(sample), _png(sample.picture, texts(sample, setting)))
        kept.append(sample)
    table = pl.DataFrame([row(sample, setting) for sample in kept])
    buffer = BytesIO()
    table.write_parquet(buffer)
    write_bytes(folder / "samples.parquet", buffer.getvalue())
    write_text(folder / "samples.csv", table.write_csv())
    grids = []
    for index in range(len(setting.plan.prompts)):
        mine = [sample for sample in kept if sample.prompt_index == index]
        grids.append(folder / f"grid_p{index:02d}.png")
        write_bytes(grids[-1], _png(sample_grid(mine, setting.plan), {}))
    return tuple(grids)


def read(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder's table, one per picture."""
    return pl.read_parquet(folder / "samples.parquet").to_dicts()


def row(sample: Sample, setting: Setting) -> dict[str, Any]:
    """What made one picture, for the table: its file name first."""
    plan = setting.plan
    return {
        "file": file_name(sample),
        "prompt_index": sample.prompt_index,
        "prompt": sample.prompt,
        "negative": plan.negative,
        "seed": sample.seed,
        "weight": float(sample.weight),
        "lora": setting.lora,
        "stack": json.dumps(dict(setting.stack), ensure_ascii=False),
        "base": setting.base,
        "steps": plan.steps,
        "guidance": plan.guidance,
        "width": setting.size[0],
        "height": setting.size[1],
    }


def texts(sample: Sample, setting: Setting) -> dict[str, str]:
    """PNG text chunks: `parameters` as common web interfaces write and read it, and `diversity` as JSON."""
    plan = setting.plan
    tags = {setting.lora: sample.weight} if setting.lora else {}
    loras = " ".join(f"<lora:{Path(name).stem}:{weight:g}>" for name, weight in {**tags, **setting.stack}.items())
    lines = [f"{sample.prompt} {loras}".rstrip()]
    if plan.negative:
        lines.append(f"Negative prompt: {plan.negative}")
    size = "x".join(map(str, setting.size))
    lines.append(
        f"Steps: {plan.steps}, Sampler: {SAMPLER}, CFG scale: {plan.guidance:g}, Seed: {sample.seed}, "
        f"Size: {size}, Model: {Path(setting.base).stem}"
    )
    return {
        "parameters": "\n".join(lines),
        "diversity": json.dumps({**row(sample, setting), "version": __version__}, ensure_ascii=False),
    }


def _png(picture: Image.Image, chunks: Mapping[str, str]) -> bytes:
    information = PngInfo()
    for name, text in chunks.items():
        information.add_itxt(name, text)
    buffer = BytesIO()
    picture.save(buffer, "PNG", pnginfo=information)
    return buffer.getvalue()


def _font(size: int, text: str) -> Font:
    """Pillow's own font, or a system font where the text has letters that it lacks."""
    if any(ord(letter) > 0x24F for letter in text):
        for name in WIDE_FONTS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """Lines no wider than `width`, by the font's mean letter."""
    letters = max(8, int(width / max(1.0, font.getlength("n"))))
    return textwrap.wrap(text, letters)
