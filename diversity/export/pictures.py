"""Pictures into an export: hard link, copy, extract from a tar, or convert; the originals are only ever read.

Not for cropping or resizing.
"""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.errors import ExportError
from diversity.export.base import ExportOptions
from diversity.export.items import Item

if TYPE_CHECKING:
    from PIL import Image

    from diversity.ingest.source import Source

_JPEG = ("JPEG", "MPO")
READABLE = {  # by every trainer, under these extensions
    **dict.fromkeys(_JPEG, (".jpg", ".jpeg")),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
}
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # trainers clip these to white
_ORIENTATION = 0x0112
_BROKEN = (OSError, SyntaxError, ValueError, EOFError)  # what Pillow raises; UnidentifiedImageError is an OSError


class Pictures:
    """Places pictures into a folder."""

    def __init__(self, options: ExportOptions) -> None:
        from pillow_heif import register_heif_opener

        register_heif_opener()
        self._root, self._copy = options.root, options.link == "copy"
        self._read = options.read or self._read_source
        self._sources: dict[str, Source] | None = None

    def place(self, item: Item, folder: Path) -> tuple[str, str]:
        """Put the picture of `item` into `folder` as `<stem><extension>`.

        A picture that some trainers skip (another format), turn sideways (EXIF orientation) or clip (16 bit) is
        written as an upright 8-bit JPEG or PNG; any other keeps its bytes.

        Returns:
            The file's name, and how it came there: "linked", "copied", "extracted" or "converted: why".

        Raises:
            ExportError: the picture is gone or cannot be opened any more.
        """
        plain = self._root / item.path
        is_plain = plain.is_file()
        data = b"" if is_plain else self._bytes(item.path)
        source = plain if is_plain else io.BytesIO(data)
        suffix, why = inspect(source, item.path)
        name = item.stem + suffix
        if why:
            try:
                save_plain(source, folder / name)
            except _BROKEN as error:
                if isinstance(error, OSError) and error.errno:
                    raise  # the disk, not the picture
                raise _unreadable(item.path, error) from None
            return name, f"converted: {why}"
        if is_plain:
            return name, self._bring(plain, folder / name)
        (folder / name).write_bytes(data)
        return name, "extracted"

    def _bring(self, source: Path, target: Path) -> str:
        """Hard link, else copy."""
        if not self._copy:
            try:
                os.link(source.resolve(), target)
            except (OSError, NotImplementedError):
                target.unlink(missing_ok=True)
            else:
                return "linked"
        shutil.copyfile(source, target)
        return "copied"

    def _bytes(self, path: str) -> bytes:
        try:
            return self._read(path)
        except (OSError, KeyError) as error:
            raise _unreadable(path, error) from None

    def _read_source(self, path: str) -> bytes:
        """A tar member, or a file whose name is no valid Unicode, found as the scan found it."""
        from diversity.config import Config
        from diversity.ingest.scan import list_sources

        if self._sources is None:
            self._sources = {source.path: source for source in list_sources(self._root, Config().scan)}
        if path not in self._sources:
            raise FileNotFoundError("The file is gone.")
        return self._sources[path].read()


def inspect(source: Path | io.BytesIO, path: str) -> tuple[str, str]:
    """The extension that a picture gets in an export, and why it has to be converted ("" to keep its bytes).

    Raises:
        ExportError: it cannot be opened.
    """
    from PIL import Image

    suffix = Path(path).suffix.lower()
    try:
        with Image.open(source) as image:
            kind, mode = image.format or "", image.mode
            turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
    except Image.DecompressionBombError:
        return suffix, ""  # larger than Pillow likes, but scanned without a problem
    except _BROKEN as error:
        raise _unreadable(path, error) from None
    fitting = READABLE.get(kind)
    if fitting is None:
        return ".png", f"{kind} is not read by every trainer"
    if turned or mode in _DEEP:
        return fitting[0] if kind in _JPEG else ".png", "turned upright" if turned else f"{mode} has more than 8 bits"
    return suffix if suffix in fitting else fitting[0], ""


def save_plain(source: Path | io.BytesIO, target: Path) -> None:
    """Write the first frame of `source`, upright and with 8 bits; its colour profile stays, other metadata go."""
    from PIL import Image, ImageOps

    with Image.open(source) as opened:
        image: Image.Image = ImageOps.exif_transpose(opened)
        profile = opened.info.get("icc_profile")
        jpeg = target.suffix == ".jpg"
        if image.mode in _DEEP:
            image, profile = _eight_bits(image), None
        elif image.mode not in ("L", "RGB", *(("CMYK",) if jpeg else ("LA", "P", "RGBA"))):
            image, profile = image.convert("RGBA" if image.has_transparency_data else "RGB"), None
        image.info = {name: value for name, value in image.info.items() if name == "transparency"}
        if jpeg:
            image.save(target, quality=95, subsampling=0, icc_profile=profile)
        else:
            image.save(target, compress_level=1, icc_profile=profile)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey levels brought to 0..255: 16-bit integers by 257, floats and larger integers by their own range."""
    import numpy as np
    from PIL import Image

    levels = np.nan_to_num(np.asarray(image, np.float64))
    low, high = 0.0, 65535.0
    if image.mode == "F" or levels.min() < low or levels.max() > high:
        low, high = float(levels.min()), float(levels.max())
    scaled = (levels - low) / max(high - low, 1e-12) * 255
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _unreadable(path: str, error: Exception) -> ExportError:
    why = str(error).rstrip(".") or "It is gone"
    return ExportError(f"{path} was selected but cannot be read.", f"{why}.", "Run `diversity scan` again.")
