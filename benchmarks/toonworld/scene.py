"""What surrounds the character: backgrounds drawn in 2D, lights, and the off-screen renderer (one merged mesh per
picture).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.toonworld.camera import Camera
from benchmarks.toonworld.mesh import Array, vertex_normals

STYLES = ("shaded", "cel", "outline", "flat")
CEL_SHADER = """//VTK::Light::Impl
  vec3 tone = max(vertexColorVSOutput.rgb, vec3(0.02));
  float light = dot(fragOutput0.rgb / tone, vec3(0.3333));
  float band = light < 0.55 ? 0.62 : light < 0.95 ? 0.86 : 1.06;
  fragOutput0.rgb = min(tone * band, vec3(1.0));
"""
BACKGROUNDS = ("flat", "gradient", "noise", "horizon", "outdoors", "indoors", "pattern", "white")
BACKDROPS: dict[str, tuple[int, int, int]] = {
    "red": (214, 120, 112),
    "orange": (240, 184, 124),
    "yellow": (240, 222, 138),
    "green": (142, 196, 142),
    "teal": (116, 190, 190),
    "blue": (124, 162, 222),
    "purple": (176, 148, 214),
    "pink": (240, 182, 206),
    "grey": (164, 168, 176),
}
PALE, SHADE = 0.75, 0.55  # how white a gradient of one colour ends, how dark the ground before a wall of one colour is
Picture = NDArray[np.uint8]


def random_colour(rng: np.random.Generator) -> Array:
    """A colour float64 [3] in 0..255, from pale to saturated to dark."""
    hue, saturation, value = rng.random(), rng.beta(1.3, 1.6), rng.beta(2.6, 1.3)
    ramp = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return 255 * value * (1 - saturation + saturation * ramp)


def draw_background(kind: str, seed: int, size: int, backdrop: str = "") -> Picture:
    """Background uint8 [size, size, 3] of one of ``BACKGROUNDS``; the same seed gives the same picture at every size
    (nearly). With a `backdrop`, a flat one, a gradient or a horizon in one of ``BACKDROPS``.
    """
    if backdrop:
        return _of_one_colour(kind, seed, size, np.array(BACKDROPS[backdrop], float))
    rng = np.random.default_rng([seed, 7])
    first, second = random_colour(rng), random_colour(rng)
    rows = np.linspace(0, 1, size)[:, None, None]
    if kind == "white":
        canvas = np.full((size, size, 3), 255.0)
    elif kind == "flat":
        canvas = np.broadcast_to(first, (size, size, 3))
    elif kind == "gradient":
        angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.4 else np.pi / 2
        t = np.linspace(-1, 1, size)[None, :, None] * np.cos(angle) + (2 * rows - 1) * np.sin(angle)
        canvas = first + (second - first) * np.clip(0.5 + 0.5 * t, 0, 1)
    elif kind == "noise":
        cells = int(rng.integers(4, 14))
        spots = rng.uniform(0, 255, (cells, cells, 3)) * 0.7 + 0.3 * first
        canvas = np.asarray(
            Image.fromarray(spots.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC), dtype=float
        )
    elif kind == "horizon":
        edge = rng.uniform(0.35, 0.85)
        sky = first + (255 - first) * rng.uniform(0, 0.5) * rows
        canvas = np.where(rows < edge, sky, second * (1.1 - 0.35 * rows))
        canvas = np.broadcast_to(canvas, (size, size, 3))
    elif kind == "pattern":
        canvas = _pattern(rng, first, second, size)
    else:
        canvas = _scene(kind, rng, size)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _of_one_colour(kind: str, seed: int, size: int, colour: Array) -> Picture:
    """All of a background follows from its kind and colour, but for where a horizon lies."""
    rows = np.linspace(0, 1, size)[:, None, None]
    if kind == "gradient":
        colour = colour + (255 - colour) * PALE * rows
    elif kind == "horizon":
        edge = np.random.default_rng([seed, 7]).uniform(0.5, 0.75)
        colour = np.where(rows < edge, colour, colour * SHADE)
    return np.broadcast_to(colour, (size, size, 3)).round().astype(np.uint8)


def _pattern(rng: np.random.Generator, first: Array, second: Array, size: int) -> Array:
    """Stripes, checks or dots in two colours, float64 [size, size, 3]."""
    y, x = np.mgrid[0:size, 0:size] / size
    count, style = rng.integers(4, 12), rng.integers(3)
    if style == 0:
        angle = rng.uniform(0, np.pi)
        mask = ((x * np.cos(angle) + y * np.sin(angle)) * count) % 1 < 0.5
    elif style == 1:
        mask = (np.floor(x * count) + np.floor(y * count)) % 2 < 1
    else:
        mask = ((x * count) % 1 - 0.5) ** 2 + ((y * count) % 1 - 0.5) ** 2 < rng.uniform(0.04, 0.14)
    second = first + (second - first) * rng.uniform(0.35, 1.0)
    return np.where(mask[..., None], first, second)


def _tint(colour: Array) -> tuple[int, ...]:
    return tuple(int(c) for c in np.clip(colour, 0, 255))


def _scene(kind: str, rng: np.random.Generator, size: int) -> Array:
    """A simple drawn scene, float64 [size, size, 3]: hills, trees and clouds, or a room."""
    scale = 4 * 96
    image = Image.new("RGB", (scale, scale))
    edge = int(scale * rng.uniform(0.5, 0.8))
    (_draw_landscape if kind == "outdoors" else _draw_room)(ImageDraw.Draw(image), rng, scale, edge)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(scale * rng.uniform(0.005, 0.02)))
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS), dtype=float)


def _draw_landscape(pen: ImageDraw.ImageDraw, rng: np.random.Generator, scale: int, edge: int) -> None:
    """Sky, clouds, hills, ground and trees; the ground begins at row ``edge``."""
    sky = np.array([(150, 205, 240), (250, 205, 160), (190, 190, 225), (120, 140, 200)][rng.integers(4)]) + rng.normal(
        0, 8, 3
    )
    ground = np.array(
        [(112, 168, 84), (206, 184, 132), (150, 160, 150), (232, 236, 240)][rng.integers(4)]
    ) + rng.normal(0, 8, 3)
    pen.rectangle((0, 0, scale, edge), fill=_tint(sky))
    for _ in range(int(rng.integers(0, 5))):
        x, y, w = rng.integers(0, scale), rng.integers(0, edge * 0.6), rng.integers(30, 90)
        for step in range(3):
            pen.ellipse(
                (x + step * w * 0.4, y - w * 0.1 * (step == 1), x + step * w * 0.4 + w * 0.7, y + w * 0.4),
                fill=_tint(sky * 0.3 + 178),
            )
    for _ in range(int(rng.integers(1, 4))):
        x, w, h = rng.integers(-50, scale), rng.integers(120, 300), rng.integers(30, 140)
        pen.ellipse((x - w, edge - h, x + w, edge + h), fill=_tint(0.5 * ground + 0.5 * sky * rng.uniform(0.6, 1.0)))
    pen.rectangle((0, edge, scale, scale), fill=_tint(ground))
    for _ in range(int(rng.integers(0, 7))):
        x, base, h = rng.integers(0, scale), edge + rng.integers(-5, 40), rng.integers(50, 150)
        leaf = _tint(np.array([70, 130, 74]) + rng.normal(0, 20, 3))
        pen.rectangle((x - h * 0.06, base - h * 0.4, x + h * 0.06, base), fill=(104, 74, 50))
        pen.polygon([(x - h * 0.32, base - h * 0.3), (x + h * 0.32, base - h * 0.3), (x, base - h)], fill=leaf)


def _draw_room(pen: ImageDraw.ImageDraw, rng: np.random.Generator, scale: int, edge: int) -> None:
    """A wall with framed pictures and a floor from row ``edge``."""
    wall, floor = random_colour(rng) * 0.6 + 90, random_colour(rng) * 0.5 + 60
    pen.rectangle((0, 0, scale, edge), fill=_tint(wall))
    pen.rectangle((0, edge, scale, scale), fill=_tint(floor))
    pen.rectangle((0, edge - 10, scale, edge), fill=_tint(wall * 0.75))
    for _ in range(int(rng.integers(1, 4))):
        x, y, w, h = (
            rng.integers(0, scale),
            rng.integers(20, edge // 2),
            rng.integers(40, 130),
            rng.integers(50, 130),
        )
        pen.rectangle((x - 6, y - 6, x + w + 6, y + h + 6), fill=_tint(wall * 0.6))
        pen.rectangle((x, y, x + w, y + h), fill=_tint(random_colour(rng) * 0.5 + 120))


@dataclass(frozen=True)
class Lights:
    """Key light direction (degrees, relative to the camera), strengths in 0..1 and the key's colour in 0..1."""

    azimuth: float
    elevation: float
    key: float
    fill: float
    ambient: float
    colour: tuple[float, float, float]
    shine: float


def sample_lights(seed: int) -> Lights:
    """Random lights of a picture."""
    rng = np.random.default_rng([seed, 11])
    warm = rng.normal(0, 0.06)
    return Lights(
        rng.uniform(-70, 70),
        rng.uniform(10, 65),
        rng.uniform(0.45, 0.9),
        rng.uniform(0.1, 0.4),
        rng.uniform(0.15, 0.45),
        (float(np.clip(1 + warm, 0, 1)), 1.0 - abs(warm) * 0.4, float(np.clip(1 - warm, 0, 1))),
        float(rng.uniform(0, 0.25)),
    )


class Renderer:
    """An off-screen VTK window of ``size`` x ``size`` pixels, drawn at twice that and averaged down."""

    def __init__(self, size: int) -> None:
        import pyvista

        self.size = size
        self._pyvista = pyvista
        self._plotter = pyvista.Plotter(off_screen=True, window_size=(2 * size, 2 * size), lighting="none")
        self._plotter.disable_anti_aliasing()
        self._plotter.render_window.SetMultiSamples(0)
        self._lights = [pyvista.Light(light_type="scene light") for _ in range(2)]
        for light in self._lights:
            light.positional = False
            self._plotter.add_light(light)
        blank = self._pyvista.PolyData(np.zeros((3, 3)), np.array([3, 0, 1, 2]))
        blank["rgb"] = np.zeros((3, 3), dtype=np.uint8)
        self._actor = self._plotter.add_mesh(blank, scalars="rgb", rgb=True, reset_camera=False, show_scalar_bar=False)
        self._banded = False
        self._plotter.show(auto_close=False)

    def close(self) -> None:
        """Free the window."""
        self._plotter.close()

    def draw(
        self,
        mesh: tuple[Array, NDArray[np.int64], Picture],
        camera: Camera,
        lights: Lights,
        flat: bool,
        style: str = "shaded",
    ) -> Picture:
        """RGBA uint8 [size, size, 4] (straight alpha) of a mesh (vertices, faces, colours), in one of ``STYLES``.

        With ``flat`` every face has one normal.
        """
        vertices, faces, colours = mesh
        cells = np.concatenate([np.full((len(faces), 1), 3), faces], axis=1).ravel()
        data = self._pyvista.PolyData(vertices.astype(np.float32), cells)
        data["rgb"] = colours
        if not flat:
            data.point_data.active_normals = vertex_normals(vertices, faces)
        look = self._actor.prop
        look.interpolation = "flat" if flat else "phong"
        look.ambient, look.diffuse, look.specular, look.specular_power = (
            lights.ambient,
            0.8,
            0.0 if flat else lights.shine,
            20,
        )
        if style == "flat":  # the colours themselves, unlit
            look.ambient, look.diffuse, look.specular = 1.0, 0.0, 0.0
        self._band(style in ("cel", "outline"))
        self._actor.mapper.SetInputData(data)
        self._aim(camera, lights)
        self._plotter.render()
        image = self._plotter.screenshot(transparent_background=True, return_img=True).astype(np.float32)
        if style == "outline":
            _ink(image)
        image[..., 3] /= 255.0
        image[..., :3] *= image[..., 3:]
        pooled = (image[0::2, 0::2] + image[1::2, 0::2] + image[0::2, 1::2] + image[1::2, 1::2]) / 4
        cover = pooled[..., 3:]
        rgb = pooled[..., :3] / np.maximum(cover, 1e-6)
        return np.concatenate([rgb, cover * 255], axis=-1).round().clip(0, 255).astype(np.uint8)

    def _band(self, wanted: bool) -> None:
        """Light in three steps instead of a smooth ramp."""
        if wanted != self._banded:
            shader = self._actor.GetShaderProperty()
            shader.ClearAllFragmentShaderReplacements()
            if wanted:
                shader.AddFragmentShaderReplacement("//VTK::Light::Impl", True, CEL_SHADER, False)
            self._banded = wanted

    def _aim(self, camera: Camera, lights: Lights) -> None:
        view = self._plotter.camera
        view.position, view.focal_point, view.up = camera.position.tolist(), camera.target.tolist(), camera.up.tolist()
        view.view_angle = camera.fov
        distance = float(np.linalg.norm(camera.position - camera.target))
        view.clipping_range = (distance * 0.05, distance + 20.0)
        back = (camera.position - camera.target) / distance
        base = np.degrees(np.arctan2(back[0], back[2]))
        for light, turn, tilt, strength in (
            (self._lights[0], lights.azimuth, lights.elevation, lights.key),
            (self._lights[1], 0.0, 5.0, lights.fill),
        ):
            a, e = np.radians(base + turn), np.radians(tilt)
            light.position = (
                camera.target + 10 * np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
            ).tolist()
            light.focal_point = camera.target.tolist()
            light.intensity = strength
            light.diffuse_color = lights.colour


def _ink(image: NDArray[np.float32]) -> None:
    """Draw dark lines where colours or the silhouette of an RGBA float32 [h, w, 4] picture change, in place."""
    import cv2

    kernel = np.ones((3, 3), np.uint8)
    colours = image[..., :3] * (image[..., 3:] > 0)
    change = cv2.morphologyEx(colours, cv2.MORPH_GRADIENT, kernel).max(axis=2)
    silhouette = cv2.morphologyEx(image[..., 3], cv2.MORPH_GRADIENT, kernel)
    line = np.clip(np.maximum((change - 40) / 40, silhouette / 255), 0, 1)[..., None]
    image[..., :3] = image[..., :3] * (1 - line) + 24 * line
    image[..., 3] = np.maximum(image[..., 3], 255 * line[..., 0])


def composite(rgba: Picture, background: Picture) -> Picture:
    """Straight-alpha RGBA [s, s, 4] over RGB [s, s, 3], uint8."""
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    return (rgba[..., :3] * alpha + background * (1 - alpha)).round().astype(np.uint8)
