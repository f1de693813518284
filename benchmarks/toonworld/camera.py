"""Where the picture is taken from: a shot's numbers, the camera they give, and the labels that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.toonworld.character import Character
from benchmarks.toonworld.mesh import Array
from benchmarks.toonworld.poses import Skeleton

FRAMINGS = ("headshot", "half_body", "full_body", "detail")
SIDES = ("front", "three_quarter", "side", "back_three_quarter", "back")
SIDE_EDGES = (30.0, 70.0, 115.0, 150.0)


def fold_azimuth(azimuth: float) -> float:
    """|azimuth| in 0..180 degrees: 0 is the front, 180 the back, whichever way round."""
    return abs((azimuth + 180.0) % 360.0 - 180.0)


def side_of(azimuth: float) -> str:
    """The side label of an azimuth in degrees; an edge belongs to the view nearer to the front."""
    return SIDES[int(np.searchsorted(SIDE_EDGES, fold_azimuth(azimuth), side="left"))]


@dataclass(frozen=True)
class Shot:
    """One picture of a character. Angles in degrees; ``phase`` and ``mouth`` in 0..1; ``zoom``, ``shift_*`` are
    framing slack in 0..1; ``backdrop`` is the background's colour, one of ``scene.BACKDROPS``, or empty for any.
    """

    framing: str
    azimuth: float
    elevation: float
    pose: str
    phase: float
    pose_seed: int
    expression: str
    mouth: float
    background: str
    scene_seed: int
    focus: str = "shoes"
    zoom: float = 0.5
    shift_x: float = 0.5
    shift_y: float = 0.5
    roll: float = 0.0
    fov: float = 28.0
    style: str = "shaded"
    backdrop: str = ""

    @property
    def side(self) -> str:
        """Side label of the azimuth."""
        return side_of(self.azimuth)


@dataclass(frozen=True)
class Camera:
    """A perspective camera: ``position``, ``target`` and ``up`` float64 [3]; ``fov`` vertical, in degrees."""

    position: Array
    target: Array
    up: Array
    fov: float


def _mix(low: float, high: float, t: float) -> float:
    return low + (high - low) * t


def _band(shot: Shot, person: Character, bones: Skeleton) -> tuple[Array, float]:
    """Middle of the view float64 [3] and half its height, for every framing but the full body."""
    body, points = person.body, bones.landmarks()
    head, crown = points["head"], points["head"][1] + body.head[1]
    big = person.kind in ("chibi", "stocky")
    if shot.framing == "headshot":
        half = body.head[1] * _mix(1.1, 1.65 if big else 2.3, shot.zoom)
        drop = _mix(-0.1, 0.75, shot.shift_y) * max(half - body.head[1] * 0.95, 0.12 * body.head[1])
        return head - np.array([0.0, drop, 0.0]), half
    if shot.framing == "half_body":
        top = crown + body.head[1] * _mix(-0.15, 0.45, shot.shift_y)
        bottom = points["pelvis"][1] + _mix(-0.62 * body.leg, 0.3 * body.torso, shot.zoom)
        middle = 0.5 * (points["pelvis"] + head)
        return np.array([middle[0], 0.5 * (top + bottom), middle[2]]), 0.5 * max(top - bottom, 2.6 * body.head[1])
    if shot.focus != "shoes":
        return points[shot.focus] - np.array([0.0, body.hand * 0.5, 0.0]), body.hand * _mix(3.0, 6.0, shot.zoom)
    feet = _mix(points["left_foot"], points["right_foot"], _mix(0.15, 0.85, shot.shift_x))
    ground = min(points["left_foot"][1], points["right_foot"][1]) - body.foot * 0.55
    ceiling = (
        _mix(0.7 * body.leg, body.leg + 0.6 * body.torso, shot.zoom) if big else _mix(0.45, 1.05, shot.zoom) * body.leg
    )
    low = ground - _mix(0.03, 0.3, shot.shift_y) * ceiling
    high = ground + max(ceiling, body.foot * 3.5)
    return np.array([feet[0], 0.5 * (low + high), feet[2]]), 0.5 * (high - low)


def place_camera(shot: Shot, person: Character, bones: Skeleton, vertices: Array) -> Camera:
    """The camera of a shot; ``vertices`` float64 [n, 3] of the posed character let the full body fit whole."""
    azimuth, elevation = np.radians(shot.azimuth), np.radians(shot.elevation)
    back = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    right = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
    up = np.cross(back, right)
    if shot.framing == "full_body":
        across, along = vertices @ right, vertices @ up
        spans = [(a.min(), a.max()) for a in (across, along)]
        half = max(high - low for low, high in spans) / 2 * _mix(1.1, 1.75, shot.zoom)
        middle = [(low + high) / 2 for low, high in spans]
        slack = [half - (high - low) / 2 for low, high in spans]
        middle = [
            m + s * 0.6 * (shift - 0.5) for m, s, shift in zip(middle, slack, (shot.shift_x, shot.shift_y), strict=True)
        ]
        target = right * middle[0] + up * middle[1] + back * float(np.median(vertices @ back))
    else:
        target, half = _band(shot, person, bones)
        target = target + right * half * 0.3 * (shot.shift_x - 0.5)
    distance = half / np.tan(np.radians(shot.fov) / 2)
    roll = np.radians(shot.roll)
    return Camera(target + back * distance, target, up * np.cos(roll) + right * np.sin(roll), shot.fov)
