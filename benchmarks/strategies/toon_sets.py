"""Long-tail sets of rendered toon characters: the structure of the embedded sample set, other people in it."""

from __future__ import annotations

import csv
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

COLUMNS = (("framing", "side"), ("pose", "background"), "dup_group")
WRITTEN = ("file", "framing", "side", "pose", "background", "dup_group", "kind")
BROKEN = ("truncated",)  # a file that cannot be read belongs to no selection


def render(folder: Path, seed: int, number: int) -> None:
    """Write `pictures/` and then `labels.csv` below `folder`; nothing where the labels are there already.

    In a process of its own: the software renderer and numba each bring an LLVM, and two in one process can crash.
    """
    if (folder / "labels.csv").is_file():
        return
    with ProcessPoolExecutor(1, get_context("spawn")) as child:
        child.submit(_render, folder, seed, number).result()


def _render(folder: Path, seed: int, number: int) -> None:
    from benchmarks.toonworld.character import sample_character
    from benchmarks.toonworld.render import SEED_STRIDE
    from benchmarks.toonworld.sample_set import SIZE, finish, plan, render_entry
    from benchmarks.toonworld.scene import Renderer

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pictures").mkdir(parents=True)
    person, renderer = sample_character(seed * SEED_STRIDE + number), Renderer(SIZE)
    entries = [entry for block in plan(seed + number) for entry in block if entry.kind not in BROKEN]
    rows = []
    for place, entry in enumerate(entries):
        data, suffix = finish(entry, *render_entry(renderer, person, entry.shot))
        name = f"{place:03d}.{suffix}"
        (folder / "pictures" / name).write_bytes(data)
        shot = entry.shot
        rows.append((name, shot.framing, shot.side, shot.pose, shot.background, entry.group, entry.kind))
    renderer.close()
    partial = folder / "labels.part"
    with partial.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, lineterminator="\n").writerows([WRITTEN, *rows])
    partial.replace(folder / "labels.csv")
