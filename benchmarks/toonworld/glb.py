"""Skinned, animated GLB models as subjects of the toon world's camera: ``python -m benchmarks.toonworld.glb MODEL.glb
--out DIR --count N --seed S``.

Any view, pose and framing of a KayKit adventurer with the labels of `render`, all of them `held_out`: nothing that is
shipped trains on these pictures or is calibrated with them. Not for any GLB: the rig's bone names are KayKit's.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.toonworld import captions
from benchmarks.toonworld.camera import Shot, place_camera
from benchmarks.toonworld.character import Character, sample_character
from benchmarks.toonworld.gltf import Part, Rig
from benchmarks.toonworld.mesh import Array, Frame, rot_y
from benchmarks.toonworld.poses import Skeleton
from benchmarks.toonworld.render import TWIN_SHARE, sample_shot, twin_of
from benchmarks.toonworld.scene import Picture, Renderer, composite, draw_background, sample_lights

Mesh = tuple[Array, NDArray[np.int64], Picture]
JOINTS = ("hips", "chest", "head", "upperarm.l", "hand.l", "hand.r", "foot.l", "foot.r", "toes.l")
TRUNK = ("hips", "chest", "head")
HANDS = ("handslot.l", "handslot.r")  # what hangs here are alternatives: weapons, shields, mugs
FOCUS = {  # what a detail shows: the bones that carry it
    "shoes": ("foot.l", "toes.l", "foot.r", "toes.r"),
    "left_hand": ("wrist.l", "hand.l"),
    "right_hand": ("wrist.r", "hand.r"),
}
LEAST_SHOWN = 0.06  # share of a detail's pixels that show it; behind a cape or a shield they do not
UPRIGHT, TWISTED = 0.75, 40.0  # least cosine of a trunk bone with the vertical; most degrees between facing and a bone
PROP_SHARE, TRIES = 0.4, 50
SAID = ("name", "side", "framing", "background", "style")


@dataclass(frozen=True)
class Moment:
    """The model at one time of one animation, turned so that it faces +z (y up, its left hand at +x).

    Attributes:
        mesh: Vertices float64 [n, 3], faces int64 [m, 3], colours uint8 [n, 3].
        joints: Position float64 [3] of every bone of `JOINTS`, and of the `middle` of the head.
        upright: Whether the trunk stands, and hips, chest and head agree on where the front is; only then does a side
            mean something.
    """

    mesh: Mesh
    joints: dict[str, Array]
    upright: bool

    def skeleton(self) -> Skeleton:
        """The bones that cameras aim at."""
        at = {name: Frame(position) for name, position in self.joints.items()}
        arms = {"left": (at["hand.l"],) * 3, "right": (at["hand.r"],) * 3}
        legs = {"left": (at["foot.l"],) * 3, "right": (at["foot.r"],) * 3}
        return Skeleton(at["hips"], at["chest"], at["middle"], arms, legs)


class Model:
    """A GLB file as a subject.

    Attributes:
        name: Of the file.
        animations: Names.
        props: Names of what can be put into a hand.
        figure: A character with the model's proportions, which is all that cameras ask of one.

    Raises:
        ValueError: the file is no GLB, or its rig is not KayKit's.
    """

    def __init__(self, file: Path) -> None:
        self.name, self._rig = file.stem, Rig(file)
        if missing := set(JOINTS) - set(self._rig.bones):
            raise ValueError(f"{file} has no bones named {', '.join(sorted(missing))}: not a KayKit adventurer")
        self._bones = {name: self._rig.bones.index(name) for name in JOINTS}
        self.animations = tuple(self._rig.animations)
        self.props = tuple(name for hand in HANDS for name in self._hanging(hand))
        worn = (*self._hanging("head"), *(part.name for part in self._rig.parts if part.name.endswith("_Head")))
        head = self._merged(self._rig.places(), [part for part in self._rig.parts if part.name in worn])[0]
        self._middle = (head.min(0) + head.max(0)) / 2
        self.figure = self._measure(np.ptp(head, axis=0) / 2)

    def moment(self, animation: str | None, phase: float, prop: str = "none") -> Moment:
        """`animation` (None: at rest) at `phase` in 0..1, with one of `props` in hand or none."""
        places = self._rig.places(animation, phase * self._rig.duration(animation) if animation else 0.0)
        moves = self._rig.moves(places)
        ends = {name: (moves[bone] @ np.linalg.inv(self._rig.bind[bone]))[:3, 3] for name, bone in self._bones.items()}
        ends["middle"] = (moves[self._bones["head"]] @ np.append(self._middle, 1.0))[:3]
        trunk = np.stack([moves[self._bones[name]][:3, :3] for name in TRUNK])
        angles = np.arctan2(trunk[:, 0, 2], trunk[:, 2, 2])  # where each bone takes +z
        facing = float(np.angle(np.exp(1j * angles).sum()))
        apart = np.degrees(np.abs(np.angle(np.exp(1j * (angles - facing)))))
        upright = bool(trunk[:, 1, 1].min() > UPRIGHT and apart.max() < TWISTED)
        turn = rot_y(-facing)
        vertices, faces, colours = self._merged(places, self._shown(prop))
        return Moment((vertices @ turn.T, faces, colours), {n: turn @ at for n, at in ends.items()}, upright)

    def carried(self, bones: tuple[str, ...], prop: str = "none") -> NDArray[np.bool_]:
        """Which vertices of a moment's mesh move mostly with some bones: [n]."""
        wanted = [number for number, name in enumerate(self._rig.bones) if name in bones]
        found = []
        for part in self._shown(prop):
            weight = np.zeros(len(part.points))
            if part.bones is not None and part.weights is not None:
                weight = (part.weights * np.isin(part.bones, wanted)).sum(1)
            found.append(weight > 0.5)
        return np.concatenate(found)

    def _shown(self, prop: str) -> list[Part]:
        return [part for part in self._rig.parts if part.name not in self.props or part.name == prop]

    def _hanging(self, node: str) -> list[str]:
        """Names of what is drawn at a node's children."""
        return [self._rig.names[child] for child in self._rig.children[self._rig.names.index(node)]]

    def _merged(self, places: Array, parts: list[Part]) -> Mesh:
        """One mesh of several parts."""
        moves = self._rig.moves(places)
        starts = np.cumsum([0, *(len(part.points) for part in parts)])
        faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
        vertices = np.concatenate([self._rig.points(part, places, moves) for part in parts])
        return vertices, np.concatenate(faces), np.concatenate([part.colours for part in parts])

    def _measure(self, head: Array) -> Character:
        """Proportions at rest; `head` float64 [3] is half its extent."""
        at, person = self.moment(None, 0.0).joints, sample_character(0)
        leg = float(at["hips"][1])
        body = replace(
            person.body,
            head=(float(head[0]), float(head[1]), float(head[2])),
            leg=leg,
            torso=float(at["upperarm.l"][1]) - leg,
            foot=float(at["foot.l"][1]) / 0.55,  # where `poses.build_skeleton` puts an ankle
            hand=0.5 * float(np.linalg.norm(at["toes.l"] - at["foot.l"])),
        )
        return replace(person, name=self.name.lower(), kind="stocky", body=body, flat=False)


def draw_rgba(renderer: Renderer, model: Model, shot: Shot, prop: str = "none") -> Picture:
    """The model alone, RGBA uint8 [size, size, 4]; `shot.pose` names an animation, `shot.phase` a time of it."""
    moment = model.moment(shot.pose, shot.phase, prop)
    camera = place_camera(shot, model.figure, moment.skeleton(), moment.mesh[0])
    return renderer.draw(moment.mesh, camera, sample_lights(shot.scene_seed), model.figure.flat, shot.style)


def draw_picture(renderer: Renderer, model: Model, shot: Shot, prop: str = "none") -> Picture:
    """The finished picture, RGB uint8 [size, size, 3]."""
    rgba = draw_rgba(renderer, model, shot, prop)
    return composite(rgba, draw_background(shot.background, shot.scene_seed, renderer.size, shot.backdrop))


def tells_the_truth(renderer: Renderer, model: Model, shot: Shot, prop: str) -> bool:
    """Whether the picture is what its labels say: the figure stands upright, a detail is not hidden."""
    moment = model.moment(shot.pose, shot.phase, prop)
    if shot.framing != "detail" or not moment.upright:
        return moment.upright
    vertices, faces, colours = moment.mesh
    marked = np.where(model.carried(FOCUS[shot.focus], prop)[:, None], 255, np.zeros_like(colours)).astype(np.uint8)
    camera = place_camera(shot, model.figure, moment.skeleton(), vertices)
    lights = sample_lights(shot.scene_seed)
    drawn = renderer.draw((vertices, faces, marked), camera, lights, model.figure.flat, "flat")
    return float((drawn[..., :3].min(2) * (drawn[..., 3] > 128) > 128).mean()) >= LEAST_SHOWN


def plan(renderer: Renderer, model: Model, count: int, seed: int) -> list[tuple[Shot, str, str]]:
    """(shot, prop, duplicate group) of `count` pictures; about a third of the moments have a twin, the next frame."""
    entries: list[tuple[Shot, str, str]] = []
    index = 0
    while len(entries) < count:
        rng = np.random.default_rng([seed, 909, index])
        prop = str(rng.choice(model.props)) if model.props and rng.random() < PROP_SHARE else "none"
        shot, group = _sample(renderer, model, prop, [seed, index]), f"{model.name}-{seed}-{index}"
        entries.append((shot, prop, group))
        twin = replace(twin_of(shot, seed, index), mouth=0.0)
        if rng.random() < TWIN_SHARE and tells_the_truth(renderer, model, twin, prop):
            entries.append((twin, prop, group))
        index += 1
    return entries[:count]


def _sample(renderer: Renderer, model: Model, prop: str, key: list[int]) -> Shot:
    """As `render.sample_shot`, in a random moment of a random animation; tried again until it tells the truth."""
    rng = np.random.default_rng([key[0], 910, key[1]])
    shot = replace(sample_shot(key[0], key[1]), expression="neutral", mouth=0.0)
    for attempt in range(TRIES):
        azimuth = shot.azimuth if attempt == 0 else float(rng.uniform(-180, 180))
        shot = replace(shot, azimuth=azimuth, pose=str(rng.choice(model.animations)), phase=float(rng.random()))
        if tells_the_truth(renderer, model, shot, prop):
            return shot
    raise ValueError(f"{model.name} shows no {shot.framing} in {TRIES} random moments")


def label_row(model: Model, shot: Shot, prop: str, group: str) -> dict[str, object]:
    """Ground truth of one picture in the columns of `render`; what is worn is not labelled."""
    row = {"split": "held_out", "character": model.name, **asdict(shot), "side": shot.side, "dup_group": group}
    values = {"name": model.figure.name, "framing": captions.framing_value(row), "side": shot.side}
    values |= {"background": shot.background, "style": shot.style}
    caption = ", ".join(captions.phrase(slot, values[slot], None) for slot in SAID)
    return {**row, "name": model.figure.name, "prop": prop, "caption": caption}


def make(file: Path, out: Path, count: int, seed: int, size: int) -> int:
    """Render `count` pictures into `out` (images.npy, labels.parquet, labels.csv); returns how many."""
    import polars as pl

    out.mkdir(parents=True, exist_ok=True)
    model, renderer = Model(file), Renderer(size)
    entries = plan(renderer, model, count, seed)
    np.save(out / "images.npy", np.stack([draw_picture(renderer, model, shot, prop) for shot, prop, _ in entries]))
    renderer.close()
    rows = [{"index": number, **label_row(model, *entry)} for number, entry in enumerate(entries)]
    table = pl.DataFrame(rows, infer_schema_length=None)
    table.write_parquet(out / "labels.parquet")
    table.write_csv(out / "labels.csv")
    return len(rows)


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    args = parser.parse_args(argv)
    print(f"{make(args.model, args.out, args.count, args.seed, args.size)} pictures in {args.out}")


if __name__ == "__main__":
    main()
