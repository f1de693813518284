"""How much of each part a render shows: ``python -m benchmarks.toonworld.visible --data DIR``. Labels say what a
character wears; this says whether a picture lets one see it.

Every picture is drawn once more, small and unlit, with hair, outfit and shoes in marker colours and all else black.
Writes ``visible.npy``, the share of the picture that each part fills, and ``parts.npy``, where it is.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.toonworld.camera import Shot, place_camera
from benchmarks.toonworld.character import CLOTH_COLOURS, HAIR_COLOURS, METAL_COLOURS, Character
from benchmarks.toonworld.parts import build_character
from benchmarks.toonworld.poses import Skeleton, build_skeleton, sample_pose
from benchmarks.toonworld.render import WORLDS
from benchmarks.toonworld.scene import Picture, Renderer, sample_lights
from training import judges

*PARTS, _ = judges.PARTS  # hair, outfit, shoes, background
OTHER = len(PARTS)  # skin, props, whatever else is worn
SIZE, SAVE_EVERY = 64, 500
MARKS = {"hair": "marked red", "outfit": "marked green", "shoes": "marked blue"}
PURE = {"marked red": (255, 0, 0), "marked green": (0, 255, 0), "marked blue": (0, 0, 255)}


def shot_of(row: Mapping[str, object]) -> Shot:
    """The shot that a row of labels describes."""
    return Shot(**{field.name: row[field.name] for field in fields(Shot) if field.name in row})  # type: ignore[arg-type]


def marked(person: Character, bones: Skeleton) -> tuple[NDArray[np.float64], NDArray[np.int64], Picture]:
    """The character's mesh with hair red, outfit green, shoes blue and all else black."""
    if person.shoes == "greaves":  # always grey, whatever the label; built on boots, which are not
        person = replace(person, shoes="boots")
    person = replace(person, **{f"{part}_colour": name for part, name in MARKS.items()})
    with patch.dict(HAIR_COLOURS, PURE), patch.dict(CLOTH_COLOURS, PURE), patch.dict(METAL_COLOURS, PURE):
        vertices, faces, colours = build_character(person, bones).build()
    pure = (colours > 0).sum(1) == 1  # shades of a marker keep its two zeros; no other colour has any
    return vertices, faces, np.where(pure[:, None] & (colours > 0), 255, 0).astype(np.uint8)


def drawn(renderer: Renderer, person: Character, shot: Shot) -> NDArray[np.float64]:
    """How much of each pixel shows hair, outfit, shoes and background: [size, size, 4]."""
    bones = build_skeleton(person.body, sample_pose(shot.pose, shot.phase, np.random.default_rng([shot.pose_seed, 5])))
    mesh = marked(person, bones)
    camera = place_camera(shot, person, bones, mesh[0])
    picture = renderer.draw(mesh, camera, sample_lights(shot.scene_seed), False, "flat").astype(float) / 255
    inside = picture[..., 3:]
    return np.concatenate([picture[..., :3] * inside, 1 - inside], axis=2)


def shares(renderer: Renderer, person: Character, shot: Shot) -> NDArray[np.float64]:
    """Shares of the picture that show hair, outfit, shoes and background: [4]."""
    found: NDArray[np.float64] = drawn(renderer, person, shot).mean((0, 1))
    return found


def labels(parts: NDArray[np.float64]) -> NDArray[np.uint8]:
    """What most of each pixel shows, of `drawn`: place in `PARTS`, or `OTHER`; uint8 [size, size]."""
    whole = np.concatenate([parts, 1 - parts.sum(2, keepdims=True)], axis=2)
    return whole.argmax(2).astype(np.uint8)


def measure(data: Path) -> int:
    """Write `visible.npy`, float32 [n, 4] in the order of `PARTS`, and `parts.npy`, uint8 [n, 64, 64] of `labels`, for
    all pictures of a packed folder; how many. Goes on where it stopped.
    """
    import polars as pl

    table = pl.read_parquet(data / "labels.parquet").sort("index")
    rows, partial, where = table.to_dicts(), data / "visible.part.npy", data / "parts.npy"
    if not partial.exists():
        np.lib.format.open_memmap(where, "w+", np.uint8, (len(rows), SIZE, SIZE))
    found = np.load(partial) if partial.exists() else np.full((len(rows), len(PARTS)), np.nan, np.float32)
    places = np.lib.format.open_memmap(where, "r+")
    renderer = Renderer(SIZE)
    for number in np.flatnonzero(np.isnan(found[:, 0])):
        character, _ = WORLDS[rows[number].get("world") or "all"]
        shown = drawn(renderer, character(int(rows[number]["character"])), shot_of(rows[number]))
        places[number], found[number] = labels(shown), shown.mean((0, 1))
        if number % SAVE_EVERY == SAVE_EVERY - 1:
            places.flush()
            np.save(partial, found)
    renderer.close()
    places.flush()
    np.save(data / "visible.npy", found)
    partial.unlink(missing_ok=True)
    return len(found)


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args(argv)
    os.environ.setdefault("LP_NUM_THREADS", "1")
    print(json.dumps({"pictures": measure(args.data)}))


if __name__ == "__main__":
    main()
