"""A pale mark on a textured picture is found beside a softer clean one; what is done to a whole picture is none."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from diversity.alignment import laid_over, shot
from diversity.covered import Covered, hidden
from diversity.strokes import marked

Change = Callable[[Image.Image], Image.Image]
SIDE = 384


def fur(seed: int) -> Image.Image:
    """Hairs along one way over soft spots of several lightnesses."""
    rng = np.random.default_rng(seed)

    def noise(across: float, down: float) -> np.ndarray:
        field = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), sigmaX=across, sigmaY=down)
        return field / field.std()

    light = 118 + 34 * noise(34, 34) + 26 * noise(1.6, 9) + 12 * noise(1, 1)
    return Image.fromarray(np.clip(light[..., None] * [1.06, 0.98, 0.84], 0, 255).astype(np.uint8))


def lettered(picture: Image.Image, grey: int, alpha: int, size: int, places: list[tuple[int, int]]) -> Image.Image:
    layer = Image.new("RGBA", picture.size, (grey, grey, grey, 0))
    draw, font = ImageDraw.Draw(layer), ImageFont.load_default(size)
    for place in places:
        draw.text(place, "SAMPLE.COM", fill=(grey, grey, grey, alpha), font=font, anchor="mm")
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def jpeg(picture: Image.Image, quality: int = 90) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def seen(one: Image.Image, other: Image.Image) -> Covered | None:
    laid = laid_over(*(shot(jpeg(picture)) for picture in (one, other)))
    return None if laid is None else hidden(*laid)


MARKS: dict[str, Change] = {
    "pale": lambda p: lettered(p, 255, 120, 52, [(192, 190)]),
    "dark": lambda p: lettered(p, 0, 120, 52, [(192, 190)]),
    "tiled": lambda p: lettered(p, 255, 120, 26, [(x, y) for x in (60, 200, 340) for y in range(30, 384, 60)]),
}
SOFTER: dict[str, Change] = {
    "blurred": lambda p: p.filter(ImageFilter.GaussianBlur(1.2)),
    "smaller": lambda p: p.resize((192, 192), Image.Resampling.BOX),
    "enlarged again": lambda p: p.resize((192, 192), Image.Resampling.BOX).resize(p.size, Image.Resampling.BICUBIC),
    "recompressed": lambda p: jpeg(p, 40),
}
EDITS: dict[str, Change] = SOFTER | {
    "sharpened": lambda p: p.filter(ImageFilter.UnsharpMask(2, 150, 0)),
    "brightened": lambda p: p.point(lambda value: min(255, int(value * 1.15 + 8))),
    "of more contrast": lambda p: ImageEnhance.Contrast(p).enhance(1.4),
    "of another gamma": lambda p: p.point(lambda value: int(255 * (value / 255) ** 0.7)),
    "in black and white": lambda p: p.convert("L").convert("RGB"),
}


@pytest.mark.parametrize(("mark", "least"), [("pale", 14), ("dark", 4), ("tiled", 10)])
def test_marks_on_fur_are_found_beside_softer_clean_pictures(mark: str, least: int) -> None:
    """Of 16. Dark strokes are told from dark hairs less often; never is the clean picture taken for the marked one."""
    found = [seen(softer(fur(seed)), MARKS[mark](fur(seed))) for softer in SOFTER.values() for seed in range(4)]
    assert set(found) <= {Covered(1, "a mark"), None}
    assert found.count(Covered(1, "a mark")) >= least


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_is_done_to_a_whole_picture_is_no_mark(edit: Change) -> None:
    for seed in range(4):
        assert seen(fur(seed), edit(fur(seed))) is None
        assert seen(edit(fur(seed)), fur(seed)) is None


def test_the_two_pictures_may_come_in_either_order() -> None:
    pairs = [(SOFTER["smaller"](fur(seed)), MARKS["tiled"](fur(seed))) for seed in range(4)]
    found = [(seen(clean, covered), seen(covered, clean)) for clean, covered in pairs]
    assert set(found) <= {(Covered(1, "a mark"), Covered(0, "a mark")), (None, None)}
    assert found.count((Covered(1, "a mark"), Covered(0, "a mark"))) >= 2


def test_what_lies_where_the_picture_is_light_is_no_mark() -> None:
    """Highlights that were taken back: of one sign, but told by the picture itself."""
    for seed in range(3):
        light = np.asarray(fur(seed).convert("L").resize((128, 128)), np.float32) * (100 / 255)
        dimmed = np.where(light > 70, light - 12, light).astype(np.float32)
        assert marked(light, dimmed, np.ones((128, 128), bool)) is None


def test_equal_pictures_carry_no_mark() -> None:
    light = np.asarray(fur(0).convert("L").resize((128, 128)), np.float32) * (100 / 255)
    inside = np.ones((128, 128), bool)
    assert marked(light, light.copy(), inside) is None
    inside[:, 90:] = False
    assert marked(light, light + 3, inside) is None
