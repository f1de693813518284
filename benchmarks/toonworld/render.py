"""Render a labelled set of toon characters: ``python -m benchmarks.toonworld.render --out DIR --characters N
--per-character M --seed S``.

One character is one shard (pictures .npy + labels .json), written whole and renamed, so a killed run resumes where it
stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.toonworld.camera import FRAMINGS, Shot, place_camera
from benchmarks.toonworld.captions import full_caption
from benchmarks.toonworld.character import Character, sample_character
from benchmarks.toonworld.figures import ZOOM, figure, figure_shot
from benchmarks.toonworld.head import EXPRESSIONS
from benchmarks.toonworld.parts import build_character
from benchmarks.toonworld.plain import plain_character, plain_shot
from benchmarks.toonworld.poses import POSES, build_skeleton, sample_pose
from benchmarks.toonworld.scene import BACKGROUNDS, STYLES, Picture, Renderer, composite, draw_background, sample_lights

TWIN_SHARE = 0.35
STYLE_SHARES = (0.55, 0.2, 0.15, 0.1)
HELD_OUT_EVERY = 10
SEED_STRIDE = 1_000_000

Plan = Callable[[int, int], list[tuple[Shot, str]]]


def sample_shot(seed: int, index: int) -> Shot:
    """The ``index``-th shot of a character; framing cycles so that every framing is equally frequent."""
    rng = np.random.default_rng([seed, 202, index])
    framing = FRAMINGS[int(rng.integers(4))]
    close = rng.random() < 0.9
    return Shot(
        framing=framing,
        azimuth=float(rng.uniform(-180, 180)),
        elevation=float(np.clip(rng.normal(9, 9), -18, 45)),
        pose=str(rng.choice(POSES)),
        phase=float(rng.random()),
        pose_seed=int(rng.integers(2**31)),
        expression=str(rng.choice(EXPRESSIONS)),
        mouth=float(rng.random()),
        background=str(rng.choice(BACKGROUNDS, p=(0.22, 0.15, 0.17, 0.17, 0.09, 0.07, 0.07, 0.06))),
        scene_seed=int(rng.integers(2**31)),
        focus="shoes" if close else str(rng.choice(["left_hand", "right_hand"])),
        zoom=_zoom(framing, float(rng.random())),
        shift_x=float(rng.random()),
        shift_y=float(rng.random()),
        roll=float(rng.normal(0, 2.5)),
        fov=float(rng.uniform(18, 42)),
        style=str(np.random.default_rng([seed, 505, index]).choice(STYLES, p=STYLE_SHARES)),
    )


def _zoom(framing: str, share: float) -> float:
    """Zoom in 0..1 at which nobody takes the framing for another; a full body is one however small."""
    low, high = (0.0, 1.0) if framing == "full_body" else ZOOM[framing]
    return low + (high - low) * share


def twin_of(shot: Shot, seed: int, index: int) -> Shot:
    """The next frame of the same moment: a little later in the movement, the camera hardly moved."""
    rng = np.random.default_rng([seed, 303, index])
    return replace(
        shot,
        azimuth=shot.azimuth + float(rng.normal(0, 1.5)),
        elevation=shot.elevation + float(rng.normal(0, 0.7)),
        phase=(shot.phase + float(rng.uniform(0.01, 0.09))) % 1.0,
        mouth=float(np.clip(shot.mouth + rng.normal(0, 0.2), 0, 1)),
        zoom=float(np.clip(shot.zoom + rng.normal(0, 0.03), 0, 1)),
    )


def draw_rgba(renderer: Renderer, person: Character, shot: Shot) -> Picture:
    """The character alone, RGBA uint8 [size, size, 4]."""
    pose = sample_pose(shot.pose, shot.phase, np.random.default_rng([shot.pose_seed, 5]))
    bones = build_skeleton(person.body, pose)
    mesh = build_character(person, bones, shot.expression, shot.mouth).build()
    camera, lights = place_camera(shot, person, bones, mesh[0]), sample_lights(shot.scene_seed)
    return renderer.draw(mesh, camera, lights, person.flat, shot.style)


def draw_picture(renderer: Renderer, person: Character, shot: Shot) -> Picture:
    """The finished picture, RGB uint8 [size, size, 3]."""
    behind = draw_background(shot.background, shot.scene_seed, renderer.size, shot.backdrop)
    return composite(draw_rgba(renderer, person, shot), behind)


def label_row(person: Character, shot: Shot, group: str) -> dict[str, object]:
    """Ground truth of one picture: the shot, its side, the character's attributes, caption and duplicate group."""
    row = {"character": person.seed, **asdict(shot), "side": shot.side, "dup_group": group, **person.as_row()}
    return {**row, "caption": full_caption(row, np.random.default_rng([person.seed, shot.scene_seed, 9]))}


def plan_character(seed: int, count: int) -> list[tuple[Shot, str]]:
    """(shot, duplicate group) of every picture of a character; about a third of the shots have a twin."""
    plan = []
    for index in range(count):
        shot = sample_shot(seed, index)
        plan.append((shot, f"{seed}-{index}"))
        if np.random.default_rng([seed, 404, index]).random() < TWIN_SHARE:
            plan.append((twin_of(shot, seed, index), f"{seed}-{index}"))
    return plan


def singles(shot: Callable[[int, int], Shot]) -> Plan:
    """A plan without twins."""
    return lambda seed, count: [(shot(seed, index), f"{seed}-{index}") for index in range(count)]


WORLDS: dict[str, tuple[Callable[[int], Character], Plan]] = {
    "all": (sample_character, plan_character),
    "plain": (plain_character, singles(plain_shot)),
    "figures": (figure, singles(figure_shot)),
}
_RENDERER: Renderer | None = None


def _start(size: int) -> None:
    global _RENDERER
    os.environ.setdefault("LP_NUM_THREADS", "1")
    _RENDERER = Renderer(size)


def _render_shard(task: tuple[str, int, int, str]) -> int:
    folder, seed, count, world = task
    target = Path(folder) / f"{seed}.npy"
    character, planned = WORLDS[world]
    person, plan = character(seed), planned(seed, count)
    pictures = np.stack([draw_picture(_RENDERER, person, shot) for shot, _ in plan])
    rows = [{**label_row(person, shot, group), "world": world} for shot, group in plan]
    target.with_suffix(".json").write_text(json.dumps(rows), encoding="utf-8")
    partial = target.with_suffix(".part")
    with partial.open("wb") as handle:
        np.save(handle, pictures)
    partial.replace(target)
    return len(plan)


def pack(folder: Path, seeds: list[int]) -> int:
    """Join the shards of ``seeds`` into images.npy (uint8 [n, size, size, 3]), labels.parquet and labels.csv; returns
    n.
    """
    import polars as pl

    rows: list[dict[str, object]] = []
    blocks = []
    for position, seed in enumerate(seeds):
        blocks.append(np.load(folder / "shards" / f"{seed}.npy"))
        for row in json.loads((folder / "shards" / f"{seed}.json").read_text(encoding="utf-8")):
            rows.append(
                {
                    "index": len(rows),
                    "split": "held_out" if position % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else "train",
                    **row,
                }
            )
    np.save(folder / "images.npy", np.concatenate(blocks))
    table = pl.DataFrame(rows, infer_schema_length=None)
    table.write_parquet(folder / "labels.parquet")
    table.write_csv(folder / "labels.csv")
    return len(rows)


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--characters", type=int, default=500)
    parser.add_argument("--per-character", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument(
        "--world",
        choices=tuple(WORLDS),
        default="all",
        help="plain: for the base alone (`plain.py`); figures: for the judges alone (`figures.py`)",
    )
    args = parser.parse_args(argv)
    shards = args.out / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    seeds = [args.seed * SEED_STRIDE + i for i in range(args.characters)]
    tasks = [
        (str(shards), seed, args.per_character, args.world) for seed in seeds if not (shards / f"{seed}.npy").exists()
    ]
    started, done = time.time(), 0
    with get_context("spawn").Pool(args.workers, _start, (args.size,)) as pool:
        for position, count in enumerate(pool.imap_unordered(_render_shard, tasks)):
            done += count
            if position % 25 == 24:
                print(
                    f"{position + 1}/{len(tasks)} characters, {done / (time.time() - started):.1f} pictures/s",
                    file=sys.stderr,
                    flush=True,
                )
    print(f"{pack(args.out, seeds)} pictures in {args.out} ({done} new, {time.time() - started:.0f} s)")


if __name__ == "__main__":
    main()
