"""A GLB file as numpy arrays: coloured parts, nodes, skin and animations, posed at any time (glTF 2.0). Not a general
importer: what `../shared/data/kaykit_models` does not use (sparse or interleaved data, splines, matrices) is refused.

VTK's reader shows the rest pose the first time that an animation is enabled, so movement is computed here.
"""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.toonworld.mesh import Array
from benchmarks.toonworld.scene import Picture

TYPES = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
AT_REST = {"translation": (0.0, 0.0, 0.0), "rotation": (0.0, 0.0, 0.0, 1.0), "scale": (1.0, 1.0, 1.0)}


@dataclass(frozen=True)
class Part:
    """What one node draws: points float64 [n, 3] in its own frame, faces int64 [m, 3], colours uint8 [n, 3]; where it
    is skinned, four bones int64 [n, 4] (places in the skin) and their weights float64 [n, 4].
    """

    name: str
    node: int
    points: Array
    faces: NDArray[np.int64]
    colours: Picture
    bones: NDArray[np.int64] | None
    weights: Array | None


@dataclass(frozen=True)
class Track:
    """How one of `AT_REST` of a node changes: times float64 [k] in seconds, values float64 [k, 3 or 4]."""

    node: int
    path: str
    times: Array
    values: Array

    def at(self, time: float) -> Array:
        """The value at a time; held before the first and after the last."""
        after = int(np.clip(np.searchsorted(self.times, time), 1, max(1, len(self.times) - 1)))
        if len(self.times) == 1:
            return self.values[0]
        first, second = self.values[after - 1], self.values[after]
        span = self.times[after] - self.times[after - 1]
        share = float(np.clip((time - self.times[after - 1]) / span, 0, 1))
        if self.path != "rotation":
            return first + (second - first) * share
        return turned(first, second, share)


class Rig:
    """A GLB's parts, nodes, skin and animations.

    Attributes:
        names: Of all nodes.
        children: Numbers of every node's children.
        bones: Names of the skin's bones.
        bind: Inverse bind matrices float64 [bones, 4, 4].
        parts: Everything that is drawn.
        animations: Tracks by name.

    Raises:
        ValueError: the file is no GLB, has no skin, or uses what is not read here.
    """

    def __init__(self, file: Path) -> None:
        self._file, data = file, file.read_bytes()
        if data[:4] != b"glTF":
            raise ValueError(f"{file} is not a GLB file")
        length = struct.unpack_from("<I", data, 12)[0]  # section 4.4: header, JSON chunk, binary chunk
        self._tree: dict[str, Any] = json.loads(data[20 : 20 + length])
        self._binary = data[28 + length :]
        nodes = self._tree["nodes"]
        if not self._tree.get("skins") or any("matrix" in node for node in nodes):
            raise ValueError(f"{file} has no skin, or nodes placed by matrices")
        self.names = [str(node.get("name", number)) for number, node in enumerate(nodes)]
        self.children = [list(node.get("children", ())) for node in nodes]
        self._rest = [{path: np.array(node.get(path, AT_REST[path]), float) for path in AT_REST} for node in nodes]
        skin = self._tree["skins"][0]
        self._joints = np.array(skin["joints"])
        self.bones = [self.names[joint] for joint in skin["joints"]]
        matrices = self._values(skin["inverseBindMatrices"])
        self.bind: Array = matrices.reshape(-1, 4, 4).transpose(0, 2, 1)  # stored column by column
        self.parts = [self._part(number) for number, node in enumerate(nodes) if "mesh" in node]
        self.animations = {each["name"]: self._tracks(each) for each in self._tree["animations"]}

    def duration(self, animation: str) -> float:
        """Seconds."""
        return max(float(track.times[-1]) for track in self.animations[animation])

    def places(self, animation: str | None = None, time: float = 0.0) -> Array:
        """Transforms of all nodes to the world, float64 [nodes, 4, 4]; of the rest pose without an animation."""
        values = [dict(rest) for rest in self._rest]
        for track in self.animations[animation] if animation else ():
            values[track.node][track.path] = track.at(time)
        found = np.broadcast_to(np.eye(4), (len(values), 4, 4)).copy()
        waiting = [(root, np.eye(4)) for root in self._tree["scenes"][self._tree.get("scene", 0)]["nodes"]]
        while waiting:
            node, parent = waiting.pop()
            found[node] = parent @ placed(**values[node])
            waiting += [(child, found[node]) for child in self.children[node]]
        return found

    def moves(self, places: Array) -> Array:
        """What every bone does to the rest pose, float64 [bones, 4, 4]."""
        moved: Array = places[self._joints] @ self.bind
        return moved

    def points(self, part: Part, places: Array, moves: Array) -> Array:
        """A part's points in the world, float64 [n, 3]."""
        if part.bones is None or part.weights is None:
            return part.points @ places[part.node][:3, :3].T + places[part.node][:3, 3]
        mixed = np.einsum("nb,nbij->nij", part.weights, moves[part.bones])
        return np.einsum("nij,nj->ni", mixed[:, :3, :3], part.points) + mixed[:, :3, 3]

    def _values(self, number: int) -> Array:
        """One accessor's numbers, float64 [count, width]."""
        accessor = self._tree["accessors"][number]
        view = self._tree["bufferViews"][accessor["bufferView"]]
        if "sparse" in accessor or "byteStride" in view or accessor["componentType"] not in TYPES:
            raise ValueError(f"{self._file} holds sparse, interleaved or signed data")
        width, start = WIDTHS[accessor["type"]], view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        kind = np.dtype(TYPES[accessor["componentType"]])
        values = np.frombuffer(self._binary, kind, width * accessor["count"], start).reshape(-1, width).astype(float)
        return values / np.iinfo(kind).max if accessor.get("normalized") else values

    def _part(self, number: int) -> Part:
        node = self._tree["nodes"][number]
        primitives = self._tree["meshes"][node["mesh"]]["primitives"]
        if len(primitives) != 1 or primitives[0].get("mode", 4) != 4:
            raise ValueError(f"{self._file} has meshes of several materials or of lines")
        at = primitives[0]["attributes"]
        skinned = "skin" in node
        return Part(
            self.names[number],
            number,
            self._values(at["POSITION"]),
            self._values(primitives[0]["indices"]).astype(np.int64).reshape(-1, 3),
            self._colours(primitives[0]["material"], self._values(at["TEXCOORD_0"])),
            self._values(at["JOINTS_0"]).astype(np.int64) if skinned else None,
            self._values(at["WEIGHTS_0"]) if skinned else None,
        )

    def _colours(self, material: int, places: Array) -> Picture:
        """The base colour texture at texture coordinates [n, 2] ((0, 0) is top left), nearest texel: uint8 [n, 3]."""
        source = self._tree["materials"][material]["pbrMetallicRoughness"]["baseColorTexture"]["index"]
        image = self._tree["images"][self._tree["textures"][source]["source"]]
        view = self._tree["bufferViews"][image["bufferView"]]
        start = view.get("byteOffset", 0)
        pixels = np.asarray(Image.open(io.BytesIO(self._binary[start : start + view["byteLength"]])).convert("RGB"))
        size = np.array([pixels.shape[1], pixels.shape[0]])
        columns, rows = (np.floor((places % 1.0) * size).astype(int) % size).T
        return pixels[rows, columns]

    def _tracks(self, animation: dict[str, Any]) -> list[Track]:
        tracks = []
        for channel in animation["channels"]:
            sampler, target = animation["samplers"][channel["sampler"]], channel["target"]
            if sampler.get("interpolation", "LINEAR") != "LINEAR":
                raise ValueError(f"{self._file} has animations that are not linear between their keys")
            times, values = self._values(sampler["input"])[:, 0], self._values(sampler["output"])
            tracks.append(Track(target["node"], target["path"], times, values))
        return tracks


def placed(translation: Array, rotation: Array, scale: Array) -> Array:
    """Translation, rotation (quaternion x, y, z, w) and scale as one matrix float64 [4, 4]."""
    x, y, z, w = rotation / np.linalg.norm(rotation)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, :3] *= scale
    matrix[:3, 3] = translation
    return matrix


def turned(first: Array, second: Array, share: float) -> Array:
    """Between two unit quaternions the short way round (slerp; glTF 2.0, appendix C.4)."""
    second = -second if float(first @ second) < 0 else second
    angle = float(np.arccos(np.clip(first @ second, -1, 1)))
    if angle < 1e-4:
        return first + (second - first) * share
    result: Array = (np.sin((1 - share) * angle) * first + np.sin(share * angle) * second) / np.sin(angle)
    return result
