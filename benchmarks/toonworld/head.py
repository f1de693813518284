"""Head, face, hair and headgear of a character, built in the head's own frame (its origin is the middle of the
skull).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.toonworld.character import CLOTH_COLOURS, HAIR_COLOURS, METAL_COLOURS, Character, Colour
from benchmarks.toonworld.mesh import Frame, Mask, MeshBuilder, rot_x, rot_y, rot_z, signed_power

EXPRESSIONS = ("neutral", "smile", "open_mouth", "sad", "angry", "surprised")
DARK: Colour = (34, 28, 32)
WHITE: Colour = (244, 244, 242)


def shade(colour: Colour, factor: float) -> Colour:
    """A darker (``factor`` < 1) or lighter colour."""
    return tuple(int(np.clip(c * factor, 0, 255)) for c in colour)  # type: ignore[return-value]


def cloth(name: str) -> Colour:
    """The RGB of a cloth or metal colour name."""
    return CLOTH_COLOURS[name]


@dataclass(frozen=True)
class Head:
    """Where things sit on one head: its frame, radii and boxiness."""

    frame: Frame
    radii: tuple[float, float, float]
    boxy: tuple[float, float]

    def surface(self, phi: float, theta: float, scale: float = 1.0) -> Frame:
        """Frame on the skull's surface (times ``scale``), its z axis pointing outwards."""
        ring = signed_power(np.cos(theta), self.boxy[0])
        point = (
            self.radii[0] * ring * signed_power(np.sin(phi), self.boxy[1]) * scale,
            self.radii[1] * signed_power(np.sin(theta), self.boxy[0]) * scale,
            self.radii[2] * ring * signed_power(np.cos(phi), self.boxy[1]) * scale,
        )
        return self.frame.moved(*(float(p) for p in point), axes=rot_y(phi * 0.8) @ rot_x(-theta * 0.7))


def add_head(mesh: MeshBuilder, person: Character, frame: Frame, expression: str, mouth: float) -> None:
    """Skull, face, hair and headgear; ``mouth`` in 0..1 says how far an open mouth is open."""
    head = Head(frame, person.body.head, person.body.head_boxy)
    mesh.blob(frame, head.radii, person.skin, head.boxy)
    _add_face(mesh, person, head, expression, mouth)
    covered = person.headgear in (
        "hood",
        "helmet",
        "horned_helmet",
        "animal_hat",
        "beanie",
        "cap",
        "wizard_hat",
        "brim_hat",
    )
    if person.hair_style != "bald":
        _add_hair(mesh, person, head, covered)
    if person.headgear != "none":
        _HEADGEAR[person.headgear](mesh, person, head)


def _add_face(mesh: MeshBuilder, person: Character, head: Head, expression: str, mouth: float) -> None:
    size = head.radii[1]
    for sign in (-1.0, 1.0):
        _add_eye(mesh, person, head.surface(sign * 0.42, -0.05, 0.985), size, expression)
        brow_tilt = {"angry": -0.4, "sad": 0.35}.get(expression, 0.08) * sign
        lift = 0.1 if expression == "surprised" else 0.0
        brow = head.surface(sign * 0.42, 0.27 + lift, 1.0)
        mesh.blob(
            brow.moved(axes=rot_z(-brow_tilt)),
            (size * 0.17, size * 0.04, size * 0.05),
            shade(HAIR_COLOURS[person.hair_colour], 0.8),
        )
        mesh.blob(
            head.surface(sign * 1.5, -0.1, 1.02), (size * 0.12, size * 0.2, size * 0.08), shade(person.skin, 0.94)
        )
        if person.glasses:
            rim = head.surface(sign * 0.42, -0.05, 1.06)
            ring = [
                rim.point(np.cos(a) * size * 0.22, np.sin(a) * size * 0.22, 0) for a in np.linspace(0, 2 * np.pi, 9)
            ]
            mesh.tube(ring, size * 0.025, DARK)
    nose = {"none": 0.0, "small": 0.07, "big": 0.13, "long": 0.11}[person.nose]
    if nose:
        depth = 2.0 if person.nose == "long" else 1.1
        mesh.blob(
            head.surface(0.0, -0.22, 1.0),
            (size * nose, size * nose * 1.1, size * nose * depth),
            shade(person.skin, 0.95),
        )
    _add_mouth(mesh, head, expression, mouth)
    _add_beard(mesh, person, head)


def _add_eye(mesh: MeshBuilder, person: Character, at: Frame, size: float, expression: str) -> None:
    wide = 1.2 if expression == "surprised" else 0.75 if expression == "angry" else 1.0
    if person.eye_style in ("dot", "tall_dot"):
        tall = 1.5 if person.eye_style == "tall_dot" else 1.05
        mesh.blob(at, (size * 0.115, size * 0.115 * tall * wide, size * 0.06), DARK)
        mesh.blob(at.moved(size * 0.035, size * 0.05, size * 0.05), (size * 0.03, size * 0.03, size * 0.02), WHITE)
        return
    tall = 1.4 if person.eye_style == "anime" else 1.0
    width = size * 0.19
    mesh.blob(at, (width, width * tall * wide, size * 0.05), WHITE)
    mesh.blob(
        at.moved(0, -size * 0.01, size * 0.025),
        (width * 0.68, width * tall * 0.8 * wide, size * 0.04),
        person.eye_colour,
    )
    mesh.blob(at.moved(0, -size * 0.01, size * 0.045), (width * 0.38, width * tall * 0.5 * wide, size * 0.03), DARK)
    mesh.blob(at.moved(width * 0.25, width * tall * 0.35, size * 0.06), (width * 0.2, width * 0.22, size * 0.02), WHITE)
    mesh.blob(at.moved(0, width * tall * wide * 0.95, size * 0.02), (width * 1.1, size * 0.035, size * 0.05), DARK)


def _add_mouth(mesh: MeshBuilder, head: Head, expression: str, opening: float) -> None:
    size = head.radii[1]
    colour: Colour = (150, 62, 60)
    if expression in ("open_mouth", "surprised"):
        height = size * (0.05 + 0.13 * opening)
        mesh.blob(head.surface(0.0, -0.55, 0.985), (size * 0.15, height, size * 0.05), (110, 36, 42))
        return
    bend = {"smile": 0.13, "sad": -0.11, "angry": -0.06}.get(expression, 0.02)
    angles = np.linspace(-0.3, 0.3, 5)
    points = [head.surface(float(a), -0.58 + bend * ((a / 0.3) ** 2 * 0.9 - 0.3), 1.0).origin for a in angles]
    mesh.tube(points, size * 0.028, colour)


def _add_beard(mesh: MeshBuilder, person: Character, head: Head) -> None:
    size, colour = head.radii[1], HAIR_COLOURS[person.hair_colour]
    if person.beard == "moustache" or person.beard == "long":
        for sign in (-1.0, 1.0):
            mesh.blob(
                head.surface(sign * 0.16, -0.42, 1.03).moved(axes=rot_z(-sign * 0.3)),
                (size * 0.17, size * 0.06, size * 0.06),
                colour,
            )
    if person.beard in ("short", "long"):
        radii = tuple(r * 1.06 for r in head.radii)
        mesh.blob(
            head.frame,
            radii,
            colour,
            head.boxy,
            keep=lambda t, p: (t < -0.42) & (np.abs(p) < 1.5) & ~((t > -0.7) & (np.abs(p) < 0.3)),
        )
    if person.beard == "long":
        mesh.blob(
            head.frame.moved(0, -size * 1.05, head.radii[2] * 0.6), (size * 0.42, size * 0.55, size * 0.25), colour
        )


def _cap_mask(hairline: float, open_phi: float, nape: float) -> Mask:
    """Keep the skull's cap above ``hairline`` in front (|phi| < open_phi) and above ``nape`` behind."""
    return lambda theta, phi: np.where(np.abs(phi) < open_phi, theta > hairline, theta > nape)


def _add_hair(mesh: MeshBuilder, person: Character, head: Head, covered: bool) -> None:
    colour, style, size = HAIR_COLOURS[person.hair_colour], person.hair_style, head.radii[1]
    radii = tuple(r * (1.0 if covered else 1.09) * 1.02 for r in head.radii)
    nape = -0.75 if style in ("bob", "long", "afro") else -0.35
    if style == "mohawk":
        for angle in np.linspace(-0.5, 2.6, 7):
            at = head.frame.point(0, np.sin(angle + 0.5) * radii[1] * 1.05, np.cos(angle + 0.5) * radii[2] * 1.05)
            mesh.blob(Frame(at, head.frame.axes), (size * 0.13, size * 0.3, size * 0.26), colour)
        return
    mesh.blob(
        head.frame.moved(0, size * 0.03, -size * 0.02), radii, colour, head.boxy, keep=_cap_mask(0.42, 0.95, nape)
    )
    if style == "afro" and not covered:
        mesh.blob(
            head.frame.moved(0, size * 0.35, -size * 0.2),
            tuple(r * 1.32 for r in radii),
            colour,
            keep=_cap_mask(0.15, 1.0, -0.6),
        )
    if style in ("bob", "long"):
        _add_curtain(mesh, head, radii, colour, 0.75 if style == "bob" else 1.7 + 0.5 * (person.seed % 5) / 4)
    if style == "spiky" and not covered:
        for phi in np.linspace(0, 2 * np.pi, 9)[:-1]:
            for theta in (0.45, 0.95):
                spike = head.surface(float(phi), theta, 1.05)
                mesh.lathe(spike.moved(axes=rot_x(np.pi / 2 - 0.5)), [(size * 0.26, 0.0), (1e-4, size * 0.55)], colour)
    _add_tails(mesh, head, style, colour, covered)
    if not covered:
        for phi in (-0.55, 0.0, 0.5):
            fringe = head.surface(phi, 0.5, 1.07)
            mesh.blob(fringe.moved(axes=rot_z(phi * 0.6)), (size * 0.3, size * 0.2, size * 0.1), shade(colour, 1.04))


def _add_curtain(mesh: MeshBuilder, head: Head, radii: tuple[float, ...], colour: Colour, length: float) -> None:
    """Hair hanging from the temples round the back, ``length`` in head radii below the middle."""
    profile = [(1.0, 0.25 * radii[1]), (1.04, 0.0), (1.03, -0.5 * length * radii[1]), (0.86, -length * radii[1])]
    mesh.lathe(head.frame, profile, shade(colour, 0.97), (radii[0], radii[2]), (0.98, 2 * np.pi - 0.98), head.boxy[1])
    inner = [(r * 0.9, y) for r, y in profile]
    mesh.lathe(head.frame, inner, shade(colour, 0.7), (radii[0], radii[2]), (1.05, 2 * np.pi - 1.05), head.boxy[1])


def _add_tails(mesh: MeshBuilder, head: Head, style: str, colour: Colour, covered: bool) -> None:
    size, point = head.radii[1], head.frame.point
    if style == "ponytail":
        start = point(0, size * (0.0 if covered else 0.5), -head.radii[2] * 1.1)
        mesh.limb(start, point(0, -size * 1.5, -head.radii[2] * 1.5), (size * 0.3, size * 0.12), colour)
    elif style == "twintails":
        for sign in (-1.0, 1.0):
            mesh.limb(
                point(sign * head.radii[0] * 1.15, size * 0.25, 0),
                point(sign * head.radii[0] * 1.5, -size * 1.6, -size * 0.1),
                (size * 0.28, size * 0.1),
                colour,
            )
    elif style == "bun" and not covered:
        mesh.blob(head.frame.moved(0, size * 0.95, -head.radii[2] * 0.5), (size * 0.4,) * 3, colour)


def _shell(mesh: MeshBuilder, head: Head, scale: float, colour: Colour, opening: tuple[float, float, float]) -> None:
    """A cap around the skull, lined darker; ``opening`` = (hairline, half width, nape) as in ``_cap_mask``."""
    for factor, tint in ((scale, 1.0), (scale * 0.96, 0.6)):
        mesh.blob(
            head.frame.moved(0, head.radii[1] * 0.03),
            tuple(r * factor for r in head.radii),
            shade(colour, tint),
            head.boxy,
            keep=_cap_mask(*opening),
        )


def _hood(mesh: MeshBuilder, person: Character, head: Head) -> None:
    colour, size = cloth(person.headgear_colour), head.radii[1]
    _shell(mesh, head, 1.22, colour, (0.62, 0.85, -1.2))
    mesh.lathe(
        head.frame.moved(0, size * 0.9, -head.radii[2] * 0.75, axes=rot_x(-0.9)),
        [(size * 0.5, 0), (1e-4, size * 0.55)],
        colour,
    )
    mesh.lathe(
        head.frame, [(1.05, -0.85 * size), (1.35, -1.25 * size)], shade(colour, 0.93), (head.radii[0], head.radii[2])
    )


def _helmet(mesh: MeshBuilder, person: Character, head: Head) -> None:
    colour, size = METAL_COLOURS[person.headgear_colour], head.radii[1]
    closed = person.seed % 2 == 0
    _shell(mesh, head, 1.17, colour, (0.3, 0.8, -1.1))
    if closed:
        mesh.blob(
            head.frame,
            tuple(r * 1.2 for r in head.radii),
            shade(colour, 0.92),
            head.boxy,
            keep=lambda t, p: (t < -0.3) & (t > -1.1) & (np.abs(p) < 1.1),
        )
    visor = head.surface(0.0, 0.42, 1.2)
    mesh.blob(visor, (head.radii[0] * 0.95, size * 0.12, head.radii[2] * 0.28), shade(colour, 0.9))
    if person.seed % 3 == 0:
        crest = cloth(person.accent_colour)
        for angle in np.linspace(0.5, 2.6, 6):
            at = head.frame.point(0, np.sin(angle) * size * 1.28, np.cos(angle) * head.radii[2] * 1.28)
            mesh.blob(Frame(at, head.frame.axes), (size * 0.08, size * 0.22, size * 0.22), crest)


def _horned_helmet(mesh: MeshBuilder, person: Character, head: Head) -> None:
    colour, size = METAL_COLOURS[person.headgear_colour], head.radii[1]
    _shell(mesh, head, 1.17, colour, (0.4, 0.95, -0.1))
    for sign in (-1.0, 1.0):
        base, tip = (
            head.frame.point(sign * head.radii[0] * 1.1, size * 0.5, 0),
            head.frame.point(sign * head.radii[0] * 1.75, size * 1.4, 0),
        )
        mesh.limb(base, tip, (size * 0.22, size * 0.04), (226, 214, 190))


def _wizard_hat(mesh: MeshBuilder, person: Character, head: Head) -> None:
    colour, size = cloth(person.headgear_colour), head.radii[1]
    squash = (head.radii[0] / size, head.radii[2] / size)
    at = head.frame.moved(0, size * 0.42, 0, axes=rot_x(-0.12))
    mesh.lathe(
        at,
        [(size * 1.05, 0.02), (size * 1.9, -size * 0.05), (size * 1.9, 0.0), (size * 1.03, size * 0.08)],
        colour,
        squash,
    )
    mesh.lathe(at, [(size * 1.06, 0), (size * 0.6, size * 0.95), (1e-4, size * 2.0)], colour, squash)
    mesh.lathe(at, [(size * 1.1, 0.03), (size * 0.98, size * 0.25)], cloth(person.accent_colour), squash)


def _brim_hat(mesh: MeshBuilder, person: Character, head: Head) -> None:
    colour, size = cloth(person.headgear_colour), head.radii[1]
    squash = (head.radii[0] / size, head.radii[2] / size)
    at = head.frame.moved(0, size * 0.45, 0, axes=rot_x(-0.1))
    mesh.lathe(at, [(size, 0.02), (size * 1.75, 0.0), (size * 1.75, size * 0.06), (size, size * 0.1)], colour, squash)
    mesh.lathe(
        at,
        [(size * 1.06, 0), (size * 0.98, size * 0.55), (size * 0.7, size * 0.78), (1e-4, size * 0.8)],
        colour,
        squash,
    )
    mesh.lathe(at, [(size * 1.1, 0.03), (size * 1.05, size * 0.22)], cloth(person.accent_colour), squash)


def _cap(mesh: MeshBuilder, person: Character, head: Head) -> None:
    colour, size = cloth(person.headgear_colour), head.radii[1]
    _shell(mesh, head, 1.15, colour, (0.4, 1.2, 0.2))
    mesh.blob(
        head.surface(0.0, 0.36, 1.25), (head.radii[0] * 0.75, size * 0.06, head.radii[2] * 0.55), shade(colour, 0.8)
    )


def _beanie(mesh: MeshBuilder, person: Character, head: Head) -> None:
    colour, size = cloth(person.headgear_colour), head.radii[1]
    _shell(mesh, head, 1.16, colour, (0.38, 1.2, 0.1))
    mesh.lathe(
        head.frame,
        [(1.13, 0.22 * size), (1.17, 0.36 * size), (1.12, 0.52 * size)],
        shade(colour, 0.8),
        (head.radii[0], head.radii[2]),
        boxy=head.boxy[1],
    )
    if person.seed % 2:
        mesh.blob(head.frame.moved(0, size * 1.25, 0), (size * 0.24,) * 3, WHITE)


def _animal_hat(mesh: MeshBuilder, person: Character, head: Head) -> None:
    colour, size = cloth(person.headgear_colour), head.radii[1]
    _shell(mesh, head, 1.2, colour, (0.36, 1.0, -0.7))
    long = person.seed % 3 == 0
    for sign in (-1.0, 1.0):
        ear = head.frame.moved(
            sign * head.radii[0] * 0.75, size * (1.35 if long else 1.05), 0, axes=rot_z(-sign * 0.25)
        )
        mesh.blob(ear, (size * 0.2, size * (0.55 if long else 0.26), size * 0.13), colour)
        if person.seed % 2:
            mesh.blob(head.surface(sign * 0.4, 0.72, 1.2), (size * 0.09, size * 0.1, size * 0.06), DARK)
    if person.seed % 2:
        mesh.blob(head.surface(0.0, 0.5, 1.25), (size * 0.36, size * 0.2, size * 0.36), shade(colour, 1.15))
        mesh.blob(head.surface(0.0, 0.55, 1.55), (size * 0.1, size * 0.08, size * 0.08), DARK)


def _crown(mesh: MeshBuilder, person: Character, head: Head) -> None:
    colour, size = METAL_COLOURS["yellow"], head.radii[1]
    squash = (head.radii[0], head.radii[2])
    mesh.lathe(head.frame.moved(0, size * 0.55), [(0.98, 0.0), (1.02, size * 0.32)], colour, squash, boxy=head.boxy[1])
    for phi in np.linspace(0, 2 * np.pi, 8)[:-1]:
        at = head.frame.moved(np.sin(phi) * squash[0], size * 0.85, np.cos(phi) * squash[1])
        mesh.lathe(at, [(size * 0.16, 0), (1e-4, size * 0.35)], colour)
        mesh.blob(at.moved(0, -size * 0.12, 0), (size * 0.07,) * 3, cloth(person.accent_colour))


def _headband(mesh: MeshBuilder, person: Character, head: Head) -> None:
    colour, size = cloth(person.headgear_colour), head.radii[1]
    mesh.lathe(
        head.frame, [(1.08, 0.3 * size), (1.09, 0.55 * size)], colour, (head.radii[0], head.radii[2]), boxy=head.boxy[1]
    )
    knot = head.frame.point(0, 0.42 * size, -head.radii[2] * 1.1)
    for sign in (-1.0, 1.0):
        mesh.limb(
            knot,
            head.frame.point(sign * size * 0.3, -0.5 * size, -head.radii[2] * 1.4),
            (size * 0.1, size * 0.07),
            colour,
        )


_HEADGEAR = {
    "hood": _hood,
    "helmet": _helmet,
    "horned_helmet": _horned_helmet,
    "wizard_hat": _wizard_hat,
    "brim_hat": _brim_hat,
    "cap": _cap,
    "beanie": _beanie,
    "animal_hat": _animal_hat,
    "crown": _crown,
    "headband": _headband,
}
