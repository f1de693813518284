"""Body, clothes, shoes and props, and the assembly of a whole posed character into one mesh.

One file of over 400 lines: a catalogue of small shapes that share their helpers and are read side by side.
"""

from __future__ import annotations

import numpy as np

from benchmarks.toonworld.character import CLOTH_COLOURS, METAL_COLOURS, Character, Colour
from benchmarks.toonworld.head import DARK, add_head, cloth, shade
from benchmarks.toonworld.mesh import Frame, MeshBuilder, rot_x, rot_z
from benchmarks.toonworld.poses import Skeleton

WOOD: Colour = (124, 84, 52)
STEEL: Colour = (186, 192, 200)
GOLD: Colour = (208, 170, 80)


def outfit_rgb(person: Character) -> Colour:
    """The RGB of the main garment."""
    return METAL_COLOURS[person.outfit_colour] if person.outfit == "armour" else CLOTH_COLOURS[person.outfit_colour]


def build_character(person: Character, bones: Skeleton, expression: str = "neutral", mouth: float = 0.6) -> MeshBuilder:
    """The whole character, posed, as one mesh builder."""
    mesh = MeshBuilder(detail=person.detail)
    _add_torso(mesh, person, bones)
    for side in ("left", "right"):
        _add_arm(mesh, person, bones.arms[side])
        _add_leg(mesh, person, bones.legs[side])
    _add_lower_garment(mesh, person, bones)
    _add_back(mesh, person, bones)
    add_head(mesh, person, bones.head, expression, mouth)
    if person.prop != "none":
        _add_prop(mesh, person, bones.arms[person.prop_hand][2], 1.0 if person.prop_hand == "left" else -1.0)
    return mesh


def _add_torso(mesh: MeshBuilder, person: Character, bones: Skeleton) -> None:
    body, colour = person.body, outfit_rgb(person)
    squash, height = (1.0, body.depth), body.torso
    profile = [
        (1e-4, -0.06 * height),
        (body.hip, 0.0),
        (body.waist, height * 0.42),
        (body.shoulder * 0.98, height * 0.78),
        (body.shoulder * 0.86, height * 0.95),
        (body.shoulder * 0.35, height * 1.05),
        (1e-4, height * 1.06),
    ]
    mesh.lathe(bones.pelvis, profile, colour, squash, boxy=0.85)
    if body.neck:
        mesh.limb(
            bones.chest.point(0, 0.01, 0),
            bones.head.point(0, -body.head[1] * 0.6, 0),
            (body.arm_radius * 0.95,) * 2,
            person.skin,
        )
    chest = bones.pelvis.moved(y=height * 0.62)
    front = body.shoulder * body.depth * 0.93
    if person.emblem:
        mesh.blob(
            chest.moved(0, height * 0.05, front),
            (body.shoulder * 0.3, body.shoulder * 0.3, body.shoulder * 0.08),
            cloth(person.accent_colour),
        )
    if person.outfit == "armour":
        _add_breastplate(mesh, person, bones, chest, front)
    elif person.outfit in ("coat", "shirt_trousers") and not person.emblem:
        for step in range(3):
            mesh.blob(
                bones.pelvis.moved(0, height * (0.4 + 0.16 * step), front * 1.02),
                (body.shoulder * 0.06,) * 3,
                shade(cloth(person.accent_colour), 1.1),
            )
    if person.outfit in ("coat", "robe", "tunic"):
        collar = [(body.shoulder * 0.6, height * 0.92), (body.shoulder * 0.5, height * 1.08)]
        mesh.lathe(bones.pelvis, collar, shade(colour, 0.75), squash, (0.5, 2 * np.pi - 0.5))
    _add_accessories(mesh, person, bones, front)


def _add_accessories(mesh: MeshBuilder, person: Character, bones: Skeleton, front: float) -> None:
    """Belt and scarf; ``front`` = how far the chest reaches to the front."""
    body, height = person.body, person.body.torso
    if person.belt:
        mesh.lathe(
            bones.pelvis,
            [(body.waist * 1.08, height * 0.16), (body.waist * 1.1, height * 0.3)],
            shade(cloth(person.accent_colour), 0.75),
            (1.0, body.depth),
            boxy=0.85,
        )
        mesh.box(
            bones.pelvis.moved(0, height * 0.23, body.waist * body.depth * 1.1),
            (body.waist * 0.2, height * 0.08, 0.012),
            GOLD,
        )
    if person.scarf:
        mesh.blob(
            bones.chest.moved(0, 0.0, 0),
            (body.shoulder * 0.75, height * 0.13, body.shoulder * body.depth),
            cloth(person.accent_colour),
        )
        mesh.limb(
            bones.chest.point(body.shoulder * 0.35, -0.02, front),
            bones.pelvis.point(body.shoulder * 0.4, height * 0.4, front * 1.1),
            (body.shoulder * 0.16,) * 2,
            cloth(person.accent_colour),
        )


def _add_breastplate(mesh: MeshBuilder, person: Character, bones: Skeleton, chest: Frame, front: float) -> None:
    body, metal = person.body, outfit_rgb(person)
    mesh.blob(
        chest.moved(0, 0, front * 0.35),
        (body.shoulder * 0.88, body.torso * 0.3, front * 0.75),
        shade(metal, 1.1),
        (0.8, 0.8),
    )
    for side, sign in (("left", 1.0), ("right", -1.0)):
        at = Frame(bones.arms[side][0].origin, bones.chest.axes @ rot_z(-sign * 0.3))
        mesh.blob(
            at.moved(sign * 0.01, 0.01),
            (body.arm_radius * 2.0, body.arm_radius * 1.5, body.arm_radius * 2.0),
            shade(metal, 0.92),
            keep=lambda t, p: t > -0.5,
        )
    mesh.lathe(
        bones.pelvis,
        [(body.hip * 1.08, body.torso * 0.1), (body.hip * 1.35, -body.torso * 0.22)],
        shade(metal, 0.8),
        (1.0, body.depth * 1.05),
    )


def _add_arm(mesh: MeshBuilder, person: Character, arm: tuple[Frame, Frame, Frame]) -> None:
    upper, elbow, hand = arm
    body, sleeve = person.body, outfit_rgb(person)
    radius = body.arm_radius
    bare = person.outfit in ("dress", "tunic") and person.seed % 3 == 0
    lower = person.skin if bare or (person.outfit in ("shirt_trousers", "skirt") and person.seed % 2 == 0) else sleeve
    mesh.limb(upper.origin, elbow.origin, (radius * 1.15, radius), person.skin if bare and person.seed % 2 else sleeve)
    mesh.limb(elbow.origin, hand.origin, (radius, radius * 0.85), lower)
    if person.outfit == "robe":
        length = float(np.linalg.norm(hand.origin - elbow.origin))
        mesh.lathe(
            elbow,
            [(radius * 1.1, 0.0), (radius * 2.1, -length * 1.05), (radius * 1.7, -length * 0.95)],
            shade(sleeve, 0.92),
        )
    glove = shade(cloth(person.accent_colour), 0.8)
    skin = glove if person.gloves else person.skin
    if person.gloves:
        mesh.lathe(hand, [(radius * 1.05, radius * 0.4), (radius * 1.35, radius * 2.2)], glove)
    mesh.blob(hand.moved(y=-body.hand * 0.5), (body.hand * 0.75, body.hand, body.hand * 0.9), skin)
    mesh.blob(
        hand.moved(y=-body.hand * 0.3, z=body.hand * 0.8), (body.hand * 0.28, body.hand * 0.5, body.hand * 0.3), skin
    )


def _add_leg(mesh: MeshBuilder, person: Character, leg: tuple[Frame, Frame, Frame]) -> None:
    hip, knee, ankle = leg
    radius = person.body.leg_radius
    bare = person.outfit in ("dress", "skirt") and person.seed % 3 != 0
    colour = person.skin if bare else outfit_rgb(person) if person.outfit == "armour" else cloth(person.second_colour)
    shin = person.skin if person.shoes == "sandals" and person.outfit in ("tunic", "shirt_trousers") else colour
    mesh.limb(hip.origin, knee.origin, (radius * 1.15, radius), colour)
    mesh.limb(knee.origin, ankle.origin, (radius, radius * 0.8), shin)
    if person.outfit == "armour":
        mesh.blob(knee.moved(z=radius * 0.5), (radius * 0.9, radius * 0.9, radius * 0.8), shade(colour, 1.1))
    _add_shoe(mesh, person, knee, ankle)


def _add_shoe(mesh: MeshBuilder, person: Character, knee: Frame, ankle: Frame) -> None:
    radius, size = person.body.leg_radius, person.body.foot
    colour = METAL_COLOURS["grey"] if person.shoes == "greaves" else cloth(person.shoes_colour)
    sole: Colour = (238, 236, 230) if person.shoes == "sneakers" else shade(colour, 0.5)
    low, length = -size * 0.42, size * (1.35 if person.shoes == "heels" else 1.55)
    foot = ankle.moved(z=size * 0.45)
    upper = person.skin if person.shoes == "sandals" else colour
    mesh.blob(foot.moved(y=-size * 0.1), (size * 0.72, size * 0.45, length * 0.72), upper, (0.8, 0.8))
    mesh.blob(foot.moved(y=low), (size * 0.78, size * 0.16, length * 0.78), sole, (0.5, 0.8))
    shaft = float(np.linalg.norm(knee.origin - ankle.origin)) * (0.62 if person.seed % 2 else 0.4)
    if person.shoes in ("boots", "greaves"):
        mesh.lathe(ankle, [(radius * 1.0, 0.0), (radius * 1.1, shaft * 0.6), (radius * 1.3, shaft)], colour)
        mesh.lathe(
            ankle,
            [(radius * 1.33, shaft * 0.8), (radius * 1.4, shaft * 1.08)],
            shade(colour, 1.3 if person.seed % 3 else 0.6),
        )
    if person.shoes == "sneakers":
        for step in range(3):
            mesh.blob(
                foot.moved(y=size * 0.25 - step * size * 0.09, z=length * 0.2 * step),
                (size * 0.32, size * 0.06, size * 0.06),
                (240, 240, 236),
            )
    if person.shoes == "sandals":
        for z in (0.0, 0.55):
            mesh.blob(foot.moved(y=-size * 0.02, z=length * z * 0.8), (size * 0.76, size * 0.4, size * 0.14), colour)
    if person.shoes == "heels":
        mesh.limb(
            ankle.point(0, -size * 0.1, -size * 0.25),
            ankle.point(0, -size * 0.55, -size * 0.3),
            (size * 0.2, size * 0.1),
            shade(colour, 0.8),
        )
        mesh.blob(foot.moved(y=low * 0.4, z=length * 0.45), (size * 0.5, size * 0.3, length * 0.45), colour)
    if person.shoes == "greaves":
        mesh.blob(
            foot.moved(y=0.0, z=length * 0.35), (size * 0.5, size * 0.4, length * 0.55), shade(colour, 1.15), (0.7, 0.7)
        )


def _add_lower_garment(mesh: MeshBuilder, person: Character, bones: Skeleton) -> None:
    body, colour = person.body, outfit_rgb(person)
    reach = {"dress": 0.62, "robe": 0.93, "coat": 0.7, "tunic": 0.32, "skirt": 0.45}.get(person.outfit, 0.0)
    if not reach:
        return
    tint = cloth(person.second_colour) if person.outfit == "skirt" else colour
    bent = max(float(np.arccos(np.clip(leg[0].axes[1, 1], -1, 1))) for leg in bones.legs.values())
    length = body.leg * reach * (0.45 + 0.55 * np.cos(min(bent, 1.2)))
    knees = 0.5 * sum(bones.legs[s][1].origin - bones.legs[s][0].origin for s in ("left", "right"))
    flow = Frame(
        bones.pelvis.point(0, body.torso * 0.12, 0),
        bones.pelvis.axes @ rot_x(-0.55 * float(np.arctan2(knees[2], max(-knees[1], 1e-3)))),
    )
    flare = {"dress": 1.9, "robe": 1.6, "coat": 1.5, "tunic": 1.4, "skirt": 1.8}[person.outfit] + 0.35 * min(bent, 1.0)
    profile = [
        (body.waist * 1.02, 0.02),
        (body.hip * 1.15, -length * 0.2),
        (body.hip * flare, -length - body.torso * 0.12),
    ]
    arc = (0.35, 2 * np.pi - 0.35) if person.outfit == "coat" else (-np.pi, np.pi)
    squash = (1.0, max(body.depth, 0.75))
    mesh.lathe(flow, profile, tint, squash, arc)
    mesh.lathe(flow, [(r * 0.95, y) for r, y in profile], shade(tint, 0.6), squash, arc)
    hem = profile[-1]
    mesh.lathe(
        flow,
        [(hem[0] * 0.985, hem[1] * 0.9), (hem[0] * 1.02, hem[1])],
        shade(cloth(person.accent_colour), 0.95),
        squash,
        arc,
    )


def _add_back(mesh: MeshBuilder, person: Character, bones: Skeleton) -> None:
    back = person.body.shoulder * person.body.depth
    if person.cape:
        _add_cape(mesh, person, bones, back)
    if person.backpack:
        _add_backpack(mesh, person, bones, back)


def _add_cape(mesh: MeshBuilder, person: Character, bones: Skeleton, back: float) -> None:
    body = person.body
    colour = cloth(person.cape_colour)
    length = (body.torso + body.leg * (0.25 + 0.5 * (person.seed % 7) / 6)) * 1.0
    at = bones.chest.moved(y=-0.005, axes=rot_x(0.1))
    arc = (np.pi * 0.47, np.pi * 1.53)
    profile = [
        (body.shoulder * 0.62, 0.02),
        (body.shoulder * 1.16, -body.torso * 0.12),
        (body.shoulder * 1.3, -length * 0.55),
        (body.shoulder * 1.45, -length),
    ]
    squash = (1.0, max(0.85, body.depth * 1.15))
    mesh.lathe(at, profile, colour, squash, arc)
    mesh.lathe(at, [(r * 0.96, y) for r, y in profile], shade(colour, 0.65), squash, arc)
    mesh.tube(
        [
            at.point(-body.shoulder * 0.7, 0.0, back * 0.5),
            at.point(0, -0.02, back * 0.95),
            at.point(body.shoulder * 0.7, 0.0, back * 0.5),
        ],
        body.arm_radius * 0.4,
        GOLD,
    )


def _add_backpack(mesh: MeshBuilder, person: Character, bones: Skeleton, back: float) -> None:
    body = person.body
    pack = bones.pelvis.moved(0, body.torso * 0.55, -back * 1.3)
    mesh.blob(
        pack,
        (body.shoulder * 0.8, body.torso * 0.42, back * 0.6),
        shade(cloth(person.second_colour), 0.85),
        (0.5, 0.5),
    )
    mesh.blob(
        pack.moved(0, -body.torso * 0.1, -back * 0.55),
        (body.shoulder * 0.5, body.torso * 0.18, back * 0.2),
        shade(cloth(person.second_colour), 0.65),
        (0.5, 0.5),
    )
    for sign in (-1.0, 1.0):
        strap = [
            bones.pelvis.point(sign * body.shoulder * 0.6, body.torso * h, z)
            for h, z in ((0.9, -back * 0.9), (1.04, 0.0), (0.8, back * 0.95), (0.3, back * 0.9))
        ]
        mesh.tube(strap, body.arm_radius * 0.35, WOOD)


def _add_prop(mesh: MeshBuilder, person: Character, hand: Frame, sign: float) -> None:
    body = person.body
    unit, grip = body.height * 0.1, hand.moved(y=-body.hand * 0.6, axes=rot_x(np.pi / 2 * 0.85))
    _PROPS[person.prop](mesh, person, grip, unit, sign)


def _rod(mesh: MeshBuilder, at: Frame, low: float, high: float, radius: float, colour: Colour) -> None:
    mesh.limb(at.point(0, low, 0), at.point(0, high, 0), (radius, radius), colour)


def _sword(mesh: MeshBuilder, person: Character, at: Frame, unit: float, sign: float) -> None:
    _rod(mesh, at, -unit, unit * 0.8, unit * 0.18, WOOD)
    mesh.box(at.moved(y=unit * 0.9), (unit * 0.22, unit * 0.14, unit * 0.8), GOLD)
    mesh.box(at.moved(y=unit * 3.0), (unit * 0.08, unit * 2.0, unit * 0.38), STEEL)
    mesh.lathe(at.moved(y=unit * 5.0), [(unit * 0.38, 0), (1e-4, unit * 0.7)], STEEL, (0.2, 1.0))


def _staff(mesh: MeshBuilder, person: Character, at: Frame, unit: float, sign: float) -> None:
    _rod(mesh, at, -unit * 4, unit * 4.5, unit * 0.2, WOOD)
    mesh.blob(at.moved(y=unit * 5), (unit * 0.7,) * 3, cloth(person.accent_colour))


def _spear(mesh: MeshBuilder, person: Character, at: Frame, unit: float, sign: float) -> None:
    _rod(mesh, at, -unit * 4, unit * 5, unit * 0.16, WOOD)
    mesh.lathe(at.moved(y=unit * 5), [(unit * 0.45, 0), (1e-4, unit * 1.5)], STEEL, (1.0, 0.4))


def _axe(mesh: MeshBuilder, person: Character, at: Frame, unit: float, sign: float) -> None:
    _rod(mesh, at, -unit, unit * 3.2, unit * 0.2, WOOD)
    mesh.lathe(
        at.moved(0, unit * 2.7, 0, axes=rot_z(np.pi / 2)),
        [(unit * 1.3, -unit * 0.12), (unit * 1.3, unit * 0.12)],
        STEEL,
        arc=(-0.9, 0.9),
    )
    mesh.box(at.moved(0, unit * 2.7, unit * 0.65), (unit * 0.12, unit * 0.9, unit * 0.6), STEEL)


def _book(mesh: MeshBuilder, person: Character, at: Frame, unit: float, sign: float) -> None:
    mesh.box(at, (unit * 0.3, unit * 1.0, unit * 0.8), cloth(person.accent_colour))
    mesh.box(at.moved(z=unit * 0.06), (unit * 0.24, unit * 0.93, unit * 0.8), (240, 234, 216))


def _shield(mesh: MeshBuilder, person: Character, at: Frame, unit: float, sign: float) -> None:
    disc = at.moved(sign * unit * 0.7, 0, 0, axes=rot_z(-sign * np.pi / 2))
    radius = unit * 2.2
    mesh.lathe(
        disc,
        [(1e-4, unit * 0.35), (radius * 0.8, unit * 0.2), (radius, 0.0), (radius, -unit * 0.12), (1e-4, -unit * 0.05)],
        cloth(person.accent_colour),
    )
    mesh.lathe(disc, [(radius * 0.88, unit * 0.2), (radius * 1.04, unit * 0.02), (radius * 1.04, -unit * 0.14)], STEEL)
    mesh.blob(disc.moved(y=unit * 0.35), (unit * 0.5, unit * 0.3, unit * 0.5), STEEL)


def _mug(mesh: MeshBuilder, person: Character, at: Frame, unit: float, sign: float) -> None:
    cup = at.moved(axes=rot_x(-np.pi / 2 * 0.85))
    mesh.lathe(
        cup,
        [
            (1e-4, -unit * 0.5),
            (unit * 0.55, -unit * 0.5),
            (unit * 0.6, unit * 0.6),
            (unit * 0.5, unit * 0.6),
            (1e-4, unit * 0.4),
        ],
        cloth(person.accent_colour),
    )
    mesh.tube(
        [cup.point(sign * unit * x, unit * y, 0) for x, y in ((0.55, 0.4), (1.0, 0.3), (1.0, -0.2), (0.55, -0.35))],
        unit * 0.12,
        cloth(person.accent_colour),
    )


def _bag(mesh: MeshBuilder, person: Character, at: Frame, unit: float, sign: float) -> None:
    world = Frame(at.origin)
    mesh.tube([world.point(0, 0, z * unit) for z in (-0.5, 0.5)], unit * 0.12, DARK)
    mesh.blob(
        world.moved(y=-unit * 1.1),
        (unit * 0.55, unit * 0.9, unit * 1.1),
        shade(cloth(person.accent_colour), 0.85),
        (0.5, 0.5),
    )


def _lantern(mesh: MeshBuilder, person: Character, at: Frame, unit: float, sign: float) -> None:
    world = Frame(at.origin)
    _rod(mesh, world, -unit * 0.7, 0.0, unit * 0.08, DARK)
    mesh.blob(world.moved(y=-unit * 1.3), (unit * 0.5, unit * 0.6, unit * 0.5), (255, 226, 120))
    mesh.lathe(world.moved(y=-unit * 0.9), [(unit * 0.7, 0), (1e-4, unit * 0.4)], DARK)
    mesh.lathe(world.moved(y=-unit * 2.0), [(1e-4, 0), (unit * 0.6, 0), (unit * 0.6, unit * 0.2)], DARK)


def _bow(mesh: MeshBuilder, person: Character, at: Frame, unit: float, sign: float) -> None:
    angles = np.linspace(-1.1, 1.1, 8)
    points = [at.point(0, np.sin(a) * unit * 3, (np.cos(a) - 0.45) * unit * 2) for a in angles]
    mesh.tube(points, unit * 0.16, WOOD)
    mesh.tube([points[0], points[-1]], unit * 0.04, (236, 232, 220))


_PROPS = {
    "sword": _sword,
    "staff": _staff,
    "book": _book,
    "shield": _shield,
    "mug": _mug,
    "bag": _bag,
    "axe": _axe,
    "lantern": _lantern,
    "spear": _spear,
    "bow": _bow,
}
