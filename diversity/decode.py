"""From the bytes of a picture file to pixels, or to one plain sentence that says why not.

Not for which formats there are (`formats.py`) nor for what the pixels show (`quality.py`, `hashing.py`).

Decisions: the picture is found by content, not by name; EXIF orientation is applied; of an animation the first frame
is used; transparent parts are laid on mid grey, because that is the least foreign to encoders trained on photos and
gives neither dark nor light subjects a fringe or a lost outline; colour profiles are not applied. Threads may decode
at the same time; Pillow's codecs release the interpreter while they work.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from diversity import formats

BACKGROUND = 128  # grey level behind transparent parts
ORIENTATION = 0x0112  # EXIF tag
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns about odd metadata and about sizes; sizes are checked here, and warnings would tear a progress bar.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadPicture(Exception):  # a state of a file, not a fault of the program
    """A file that cannot be used as a picture; `str()` is a plain sentence that says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """One decoded picture.

    Attributes:
        picture: RGB, upright, transparent parts on mid grey.
        pixels: The same, uint8 [height, width, 3], read only.
        alpha: Opacity (L, 255 opaque), None where everything is opaque.
        rgba: The same with its transparent parts, None where everything is opaque.
        format: Pillow's name, for example JPEG.
        mode: Pillow's mode in the file, for example CMYK.
        frames: Of an animation; pages of a TIFF and layers of a PSD are not counted.
        width: Pixels, after orientation.
        height: Pixels, after orientation.
    """

    picture: Image.Image
    pixels: NDArray[np.uint8]
    alpha: Image.Image | None
    rgba: Image.Image | None
    format: str
    mode: str
    frames: int
    width: int
    height: int

    @property
    def content(self) -> str:
        """32 hex digits over size and RGB or RGBA pixels: equal for equal pixels in any lossless format.

        Computed anew whenever it is asked for: a fifth of the time of decoding a JPEG.
        """
        digest = hashlib.sha256(f"{self.width}x{self.height}".encode())
        digest.update(self.pixels.data if self.rgba is None else self.rgba.tobytes())
        return digest.hexdigest()[:32]


def decode(data: bytes, *, max_pixels: int) -> Decoded:
    """Decode the picture in `data`.

    Args:
        data: A whole file, of any kind.
        max_pixels: Larger pictures are refused by their header, before any pixel is decoded.

    Raises:
        BadPicture: and nothing else, whatever the bytes are.
    """
    try:
        return _decode(data, max_pixels)
    except BadPicture:
        raise
    except MemoryError:
        raise BadPicture("The picture does not fit into memory.") from None
    except ImportError as error:
        raise BadPicture(f"The library for this format is not installed ({error.name}).") from None
    except Exception as error:  # plugins throw struct, Syntax, Overflow, Zero... on hostile bytes
        raise BadPicture(_sentence(error)) from None


def _decode(data: bytes, max_pixels: int) -> Decoded:
    image = _open(data)
    mode, (width, height) = image.mode, image.size
    if width * height > max_pixels:
        raise BadPicture(
            f"The picture has {width} × {height} pixels, more than the limit of {max_pixels} (scan.max_pixels)."
        )
    if width < 1 or height < 1:
        raise BadPicture("The picture has no pixels.")
    image.load()
    upright = _upright(_eight_bit(image), _orientation(image))
    frames = _frames(image)
    picture, alpha = _flatten(upright)
    return Decoded(
        picture=picture,
        pixels=np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, picture.width, 3),
        alpha=alpha,
        rgba=None if alpha is None else upright,
        format=image.format or "",
        mode=mode,
        frames=frames,
        width=picture.width,
        height=picture.height,
    )


def _open(data: bytes) -> ImageFile.ImageFile:
    """Read the header.

    Not `Image.open`: that tries whatever plugins a process has registered, and its limit on pixels is global.
    """
    if not data:
        raise BadPicture("The file is empty.")
    name = formats.sniff(data)
    if name is None:
        raise BadPicture(formats.refusal(data))
    if name == "JPEG" and _zero_tail(data):
        raise BadPicture("The picture is cut off: the end of the file is filled with zeros.")
    return formats.opener(name)(BytesIO(data), "")


def _zero_tail(data: bytes) -> bool:
    """Whether a JPEG's end was never written: many zeros, and no end mark after the last scan's start."""
    return data.endswith(bytes(512)) and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")


def _eight_bit(image: Image.Image) -> Image.Image:
    """The picture as RGB, or as RGBA where it has transparency."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_scaled(np.asarray(image))).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        return converted if converted is not None else image.convert("RGB")
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode in ("La", "PA"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _scaled(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Deep or float samples [h, w] as uint8, never clipped.

    Ranges that are a convention (0..65535; 0..1 and 0..255 for floats) are kept, so that dark pictures stay dark;
    others are stretched from their least to their greatest value.
    """
    deep = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(deep.min()), float(deep.max())
    ceilings = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (65535.0,)
    ceiling = next((limit for limit in ceilings if high <= limit), None)
    if low < 0 or ceiling is None:
        deep, ceiling = deep - low, max(high - low, 1e-300)
    return np.rint(deep * (255.0 / ceiling)).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none or it cannot be read. Called after `load`: TIFF applies its own."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # broken metadata of a sound picture
        return 1
    return value if isinstance(value, int) else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    operation = _TRANSPOSE.get(orientation)
    return image if operation is None else image.transpose(operation)


def _flatten(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """RGB on mid grey and opacity of an RGB or RGBA picture; opacity is None where all is opaque."""
    if image.mode == "RGB":
        return image, None
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB"), None
    picture = Image.new("RGB", image.size, (BACKGROUND,) * 3)
    picture.paste(image, mask=alpha)
    return picture, alpha


def _frames(image: ImageFile.ImageFile) -> int:
    """Frames of an animation, counted without decoding them; 1 where the later ones are damaged."""
    if image.format not in formats.ANIMATED:
        return 1
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except Exception:  # the first frame, which is used, was decoded
        return 1


def _sentence(error: Exception) -> str:
    """What a plugin's exception means, in plain words with its own text as detail."""
    detail = (str(error) or type(error).__name__).splitlines()[0][:120].rstrip(". ")
    if "truncated" in detail.lower() or isinstance(error, EOFError):
        return f"The picture is cut off: the end of the file is missing ({detail})."
    return f"The picture is damaged or of a kind that is not read ({detail})."
