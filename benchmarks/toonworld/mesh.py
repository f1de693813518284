"""Coloured triangle meshes from simple primitives, collected into one mesh per character; it knows nothing of
characters.

Frame everywhere: y up, the character faces +z, its left hand is at +x. Angles are in radians unless a name says
degrees. Around the vertical axis ``phi = 0`` is the front (+z) and ``phi = pi/2`` the character's left (+x).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Colour = tuple[int, int, int]
Mask = Callable[[Array, Array], NDArray[np.bool_]]

TURN = 2 * np.pi


def rot_x(angle: float) -> Array:
    """Rotation about x, float64 [3, 3]; a negative angle swings a hanging limb to the front."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=float)


def rot_y(angle: float) -> Array:
    """Rotation about the vertical, float64 [3, 3]; a positive angle turns +z towards +x."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=float)


def rot_z(angle: float) -> Array:
    """Rotation about z, float64 [3, 3]; a positive angle swings a hanging limb to +x."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=float)


def align_down(direction: Array) -> Array:
    """Rotation float64 [3, 3] that takes (0, -1, 0) to ``direction`` (any length above zero)."""
    y = -direction / np.linalg.norm(direction)
    helper = np.array([0.0, 0.0, 1.0]) if abs(y[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    x = np.cross(y, helper)
    x /= np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)], axis=1)


@dataclass(frozen=True)
class Frame:
    """A place to build in: ``origin`` float64 [3] and ``axes`` float64 [3, 3] (columns are the local x, y, z)."""

    origin: Array
    axes: Array = field(default_factory=lambda: np.eye(3))

    def point(self, x: float, y: float, z: float) -> Array:
        """World position float64 [3] of a local point."""
        return self.origin + self.axes @ np.array([x, y, z], dtype=float)

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, axes: Array | None = None) -> Frame:
        """The frame at a local point, turned further by ``axes`` where given."""
        return Frame(self.point(x, y, z), self.axes if axes is None else self.axes @ axes)


@lru_cache(maxsize=512)
def grid_faces(rows: int, columns: int, wrap: bool) -> NDArray[np.int64]:
    """Triangles int64 [m, 3] of a rows x columns grid of vertices; ``wrap`` joins the last column to the first."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns if wrap else columns - 1), indexing="ij")
    row, column = row.ravel(), column.ravel()
    following = (column + 1) % columns
    a, b = row * columns + column, row * columns + following
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])


def signed_power(values: Array, exponent: float) -> Array:
    """``sign(v) * |v| ** exponent``, elementwise: what makes an ellipsoid boxy (exponent below 1)."""
    return np.sign(values) * np.abs(values) ** exponent


@dataclass
class MeshBuilder:
    """Collects primitives; ``detail`` multiplies the number of segments (0.5 is low-poly, 1.0 is round)."""

    detail: float = 1.0
    _vertices: list[Array] = field(default_factory=list)
    _faces: list[NDArray[np.int64]] = field(default_factory=list)
    _colours: list[NDArray[np.uint8]] = field(default_factory=list)
    _count: int = 0

    def add(self, vertices: Array, faces: NDArray[np.int64], colour: Colour) -> None:
        """Append ``vertices`` float64 [n, 3] and ``faces`` int [m, 3] in one colour."""
        self._vertices.append(vertices)
        self._faces.append(faces + self._count)
        self._colours.append(np.broadcast_to(np.array(colour, dtype=np.uint8), (len(vertices), 3)))
        self._count += len(vertices)

    def segments(self, base: int) -> int:
        """Number of segments for ``base`` at this level of detail, at least 5."""
        return max(5, round(base * self.detail))

    def blob(
        self,
        frame: Frame,
        radii: Sequence[float],
        colour: Colour,
        boxy: tuple[float, float] = (1.0, 1.0),
        keep: Mask | None = None,
    ) -> None:
        """Superellipsoid about the frame's origin; ``boxy`` = exponents (vertical, around), 1 round and 0.3 almost a
        box.

        ``keep(theta, phi)`` with theta in -pi/2..pi/2 and phi in -pi..pi says which faces stay (hair caps, hoods).
        """
        rows, columns = self.segments(11), self.segments(18)
        theta = np.linspace(-np.pi / 2, np.pi / 2, rows)[:, None]
        phi = np.arange(columns)[None, :] * TURN / columns - np.pi
        ring = signed_power(np.cos(theta), boxy[0])
        local = np.stack(
            [
                radii[0] * ring * signed_power(np.sin(phi), boxy[1]),
                np.broadcast_to(radii[1] * signed_power(np.sin(theta), boxy[0]), (rows, columns)),
                radii[2] * ring * signed_power(np.cos(phi), boxy[1]),
            ],
            axis=-1,
        ).reshape(-1, 3)
        faces = grid_faces(rows, columns, True)
        if keep is not None:
            inside = keep(
                np.broadcast_to(theta, (rows, columns)).ravel(), np.broadcast_to(phi, (rows, columns)).ravel()
            )
            faces = faces[inside[faces].all(axis=1)]
        self.add(frame.origin + local @ frame.axes.T, faces, colour)

    def lathe(
        self,
        frame: Frame,
        profile: Sequence[tuple[float, float]],
        colour: Colour,
        squash: tuple[float, float] = (1.0, 1.0),
        arc: tuple[float, float] = (-np.pi, np.pi),
        boxy: float = 1.0,
    ) -> None:
        """Surface of revolution about the local y axis: ``profile`` = (radius, height) from one end to the other.

        ``squash`` scales the radius along x and z; ``arc`` = range of phi (a partial one is an open curtain: capes,
        hair).
        """
        whole = arc[1] - arc[0] > TURN - 1e-6
        columns = self.segments(18 if whole else max(6, int(18 * (arc[1] - arc[0]) / TURN) + 1))
        phi = np.linspace(arc[0], arc[1], columns, endpoint=not whole)
        radius, height = np.array(profile, dtype=float).T
        local = np.stack(
            [
                radius[:, None] * squash[0] * signed_power(np.sin(phi), boxy)[None],
                np.broadcast_to(height[:, None], (len(radius), columns)),
                radius[:, None] * squash[1] * signed_power(np.cos(phi), boxy)[None],
            ],
            axis=-1,
        ).reshape(-1, 3)
        self.add(frame.origin + local @ frame.axes.T, grid_faces(len(radius), columns, whole), colour)

    def limb(self, start: Array, end: Array, radii: tuple[float, float], colour: Colour) -> None:
        """Rounded, tapered limb from ``start`` to ``end`` (float64 [3] each)."""
        length = float(np.linalg.norm(end - start))
        if length < 1e-6:
            return
        first, last = radii
        profile = [(1e-4, first * 0.9), (first * 0.7, first * 0.6), (first, 0.0), (last, -length)]
        profile += [(last * 0.7, -length - last * 0.6), (1e-4, -length - last * 0.9)]
        self.lathe(Frame(start, align_down(end - start)), profile, colour)

    def tube(self, points: Sequence[Array], radius: float, colour: Colour) -> None:
        """A chain of limbs of one radius through ``points``."""
        for start, end in pairwise(points):
            self.limb(start, end, (radius, radius), colour)

    def box(self, frame: Frame, half: Sequence[float], colour: Colour) -> None:
        """Box with hard edges, ``half`` = half extents along the local axes."""
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float) * np.array(half)
        quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        vertices = np.concatenate([corners[list(quad)] for quad in quads])
        faces = np.concatenate([[[4 * i, 4 * i + 1, 4 * i + 2], [4 * i, 4 * i + 2, 4 * i + 3]] for i in range(6)])
        self.add(frame.origin + vertices @ frame.axes.T, faces, colour)

    def build(self) -> tuple[Array, NDArray[np.int64], NDArray[np.uint8]]:
        """The merged mesh: vertices float64 [n, 3], faces int64 [m, 3], colours uint8 [n, 3]."""
        return np.concatenate(self._vertices), np.concatenate(self._faces), np.concatenate(self._colours)


def vertex_normals(vertices: Array, faces: NDArray[np.int64]) -> NDArray[np.float32]:
    """Area-weighted normals float32 [n, 3], unit rows, for smooth shading."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(face[:, k], 3), minlength=len(vertices)) for k in range(3)], axis=1
    )
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)).astype(np.float32)
