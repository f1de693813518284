"""How the character stands: joint angles sampled per pose name, and the skeleton they give."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.toonworld.character import Body
from benchmarks.toonworld.mesh import Array, Frame, rot_x, rot_y, rot_z

POSES = (
    "standing",
    "walking",
    "running",
    "arms_up",
    "waving",
    "hands_on_hips",
    "sitting",
    "crouching",
    "jumping",
    "slashing",
    "pointing",
    "fighting",
    "casting",
    "arms_out",
)
STRIDES = {"walking": (0.5, 0.35), "running": (0.9, 1.3)}


@dataclass(frozen=True)
class Limb:
    """Angles of an arm or a leg in radians: forward swing, outward swing, bend of elbow or knee, twist of an arm."""

    swing: float = 0.0
    out: float = 0.0
    bend: float = 0.0
    twist: float = 0.0


@dataclass(frozen=True)
class Pose:
    """One pose: lean of the torso, turns of torso and head, four limbs, lift off the ground, all in radians and units
    of height.
    """

    name: str
    lean: float = 0.0
    sway: float = 0.0
    turn: float = 0.0
    head_turn: float = 0.0
    head_nod: float = 0.0
    head_tilt: float = 0.0
    left_arm: Limb = Limb(0.05, 0.18, 0.2)
    right_arm: Limb = Limb(0.05, 0.18, 0.2)
    left_leg: Limb = Limb(0.0, 0.06, 0.0)
    right_leg: Limb = Limb(0.0, 0.06, 0.0)
    lift: float = 0.0


def base_pose(name: str, phase: float) -> Pose:
    """The pose ``name`` at ``phase`` in 0..1 of its movement, without personal variation."""
    wave = float(np.sin(2 * np.pi * phase))
    if name in STRIDES:
        return _moving(name, phase, wave)
    still = Pose(
        name,
        sway=0.015 * wave,
        left_arm=Limb(0.05 + 0.04 * wave, 0.2, 0.25),
        right_arm=Limb(0.05 - 0.04 * wave, 0.2, 0.25),
    )
    return replace(still, **{**_arm_poses(wave), **_body_poses(wave)}.get(name, {}))


def _moving(name: str, phase: float, wave: float) -> Pose:
    """Walking and running: arms and legs swing against each other."""
    lower = float(max(0.0, np.sin(2 * np.pi * phase + 0.9)))
    stride, bend = STRIDES[name]
    return Pose(
        name,
        lean=0.06 * stride * 3,
        turn=0.12 * wave,
        left_arm=Limb(-stride * wave, 0.15, bend),
        right_arm=Limb(stride * wave, 0.15, bend),
        left_leg=Limb(stride * wave, 0.04, stride * 1.2 * (1 - lower)),
        right_leg=Limb(-stride * wave, 0.04, stride * 1.2 * lower),
        lift=0.03 * stride,
    )


def _arm_poses(wave: float) -> dict[str, dict[str, object]]:
    """What differs from standing, where only the arms do; ``wave`` in -1..1."""
    both_casting, both_out = Limb(1.2, 0.4, 0.4 + 0.2 * wave), Limb(0.0, 1.45 + 0.1 * wave, 0.05)
    on_hip = Limb(-0.35, 0.85, 1.5, -1.1)
    return {
        "arms_up": {"left_arm": Limb(0.2, 2.6 + 0.15 * wave, 0.3), "right_arm": Limb(0.2, 2.6 - 0.15 * wave, 0.3)},
        "waving": {"right_arm": Limb(0.1, 2.2 + 0.35 * wave, 0.5)},
        "hands_on_hips": {"left_arm": on_hip, "right_arm": on_hip},
        "pointing": {"right_arm": Limb(1.45 + 0.08 * wave, 0.05, 0.05)},
        "casting": {"left_arm": both_casting, "right_arm": both_casting, "lean": -0.08},
        "arms_out": {"left_arm": both_out, "right_arm": both_out},
    }


def _body_poses(wave: float) -> dict[str, dict[str, object]]:
    """What differs from standing, where the legs or the torso do; ``wave`` in -1..1."""
    seat, rest, fling = Limb(1.5, 0.12, 1.5), Limb(0.5, 0.15, 0.6), Limb(0.2, 1.5, 0.2)
    return {
        "sitting": {"left_leg": seat, "right_leg": seat, "left_arm": rest, "right_arm": rest},
        "crouching": {
            "lean": 0.45,
            "left_leg": Limb(1.25, 0.25, 1.9),
            "right_leg": Limb(0.9, 0.25, 1.9),
            "left_arm": Limb(0.6, 0.2, 0.7),
        },
        "jumping": {
            "lift": 0.12 + 0.05 * wave,
            "left_leg": Limb(0.5, 0.1, 0.8),
            "right_leg": Limb(-0.1, 0.1, 0.7),
            "left_arm": fling,
            "right_arm": fling,
        },
        "slashing": {
            "turn": 0.25 * wave,
            "lean": 0.15,
            "right_arm": Limb(1.5 + 0.8 * wave, 0.3, 0.3),
            "left_arm": Limb(-0.3, 0.5, 0.5),
            "left_leg": Limb(0.35, 0.15, 0.3),
            "right_leg": Limb(-0.35, 0.15, 0.2),
        },
        "fighting": {
            "lean": 0.12,
            "left_arm": Limb(0.8, 0.2, 1.4 + 0.2 * wave),
            "right_arm": Limb(0.7, 0.2, 1.5 - 0.2 * wave),
            "left_leg": Limb(0.3, 0.2, 0.35),
            "right_leg": Limb(-0.2, 0.2, 0.3),
        },
    }


def sample_pose(name: str, phase: float, rng: np.random.Generator) -> Pose:
    """``base_pose`` with small personal variation of every joint and of the head."""
    pose = base_pose(name, phase)

    def vary(limb: Limb) -> Limb:
        angles = np.array([limb.swing, limb.out, limb.bend, limb.twist])
        return Limb(*(float(a) for a in angles + rng.normal(0, 1, 4) * (0.09, 0.05, 0.08, 0.05)))

    return replace(
        pose,
        lean=pose.lean + rng.normal(0, 0.03),
        turn=pose.turn + rng.normal(0, 0.05),
        head_turn=float(np.clip(rng.normal(0, 0.12), -0.3, 0.3)),
        head_nod=float(rng.normal(0.02, 0.08)),
        head_tilt=float(rng.normal(0, 0.05)),
        left_arm=vary(pose.left_arm),
        right_arm=vary(pose.right_arm),
        left_leg=vary(pose.left_leg),
        right_leg=vary(pose.right_leg),
    )


@dataclass(frozen=True)
class Skeleton:
    """Joint frames of a posed body; ``arms`` and ``legs`` by side: frames of upper end, middle and lower end (hand,
    ankle).
    """

    pelvis: Frame
    chest: Frame
    head: Frame
    arms: dict[str, tuple[Frame, Frame, Frame]]
    legs: dict[str, tuple[Frame, Frame, Frame]]

    def landmarks(self) -> dict[str, Array]:
        """Named points float64 [3] that cameras aim at."""
        return {
            "head": self.head.origin,
            "chest": self.chest.origin,
            "pelvis": self.pelvis.origin,
            "left_hand": self.arms["left"][2].origin,
            "right_hand": self.arms["right"][2].origin,
            "left_foot": self.legs["left"][2].origin,
            "right_foot": self.legs["right"][2].origin,
        }


def _chain(root: Frame, sign: float, limb: Limb, length: float, fold: float) -> tuple[Frame, Frame, Frame]:
    """Frames along an arm (``fold`` -1: the elbow bends to the front) or a leg (``fold`` 1)."""
    upper = Frame(root.origin, root.axes @ rot_x(-limb.swing) @ rot_z(sign * limb.out) @ rot_y(sign * limb.twist))
    middle = upper.moved(y=-length * 0.5, axes=rot_x(fold * limb.bend))
    return upper, middle, middle.moved(y=-length * 0.5)


def build_skeleton(body: Body, pose: Pose) -> Skeleton:
    """Joint frames with the lowest foot (or, sitting, the seat) on the ground, y = 0."""
    ankle = body.leg - body.foot * 0.55
    legs, low = {}, 0.0
    for side, sign, limb in (("left", 1.0, pose.left_leg), ("right", -1.0, pose.right_leg)):
        legs[side] = _chain(Frame(np.array([sign * body.hip * 0.52, 0.0, 0.0])), sign, limb, ankle, 1.0)
        low = min(low, legs[side][2].origin[1])
    height = -low + body.foot * 0.55 + pose.lift * body.height
    up = np.array([0.0, height, 0.0])
    legs = {side: tuple(Frame(f.origin + up, f.axes) for f in chain) for side, chain in legs.items()}
    pelvis = Frame(up, rot_y(pose.turn) @ rot_z(pose.sway) @ rot_x(pose.lean))
    chest = pelvis.moved(y=body.torso)
    tilt = rot_y(pose.head_turn) @ rot_x(pose.head_nod - 0.6 * pose.lean) @ rot_z(pose.head_tilt)
    head = chest.moved(y=body.neck, axes=tilt).moved(y=body.head[1] * 0.93)
    arms = {
        side: _chain(chest.moved(x=sign * body.shoulder * 1.02, y=-body.arm_radius * 1.1), sign, limb, body.arm, -1.0)
        for side, sign, limb in (("left", 1.0, pose.left_arm), ("right", -1.0, pose.right_arm))
    }
    return Skeleton(pelvis, chest, head, arms, legs)
