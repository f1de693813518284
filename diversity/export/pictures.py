"""Pictures into an export: hard link, copy, extract from a tar, or convert; the originals are only ever read.

Not for captions and configuration files.
"""

from __future__ import annotations

import io
import os
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from diversity import formats
from diversity.errors import ExportError
from diversity.export import private
from diversity.export.base import ExportOptions
from diversity.export.items import Item
from diversity.trainer_view import BucketRules, fitted

if TYPE_CHECKING:
    from PIL import Image, ImageFile

    from diversity.ingest.source import Source

_JPEG = ("JPEG", "MPO")
READABLE = {  # by every trainer, under these extensions
    **dict.fromkeys(_JPEG, (".jpg", ".jpeg")),
    "PNG": (".png",),
    "WEBP": (".webp",),
}
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # trainers clip these to white
_ORIENTATION = 0x0112
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, ImportError)  # what Pillow raises
Fit = tuple[tuple[int, int], tuple[int, int, int, int]]  # size to scale to, box to cut out of that


class Pictures:
    """Places pictures into a folder.

    Args:
        options: See there.
        rules: The trainer's buckets, for `options.fit`.

    Attributes:
        root: The pictures' folder.
    """

    def __init__(self, options: ExportOptions, rules: BucketRules | None = None) -> None:
        self.root, self._copy = options.root, options.link == "copy"
        self._read = options.read or self._read_source
        self._sources: dict[str, Source] | None = None
        self._fit, self._rules = options.fit, rules or BucketRules(options.resolution or 512)

    def place(self, item: Item, folder: Path) -> tuple[str, str]:
        """Put the picture of `item` into `folder` as `<stem><extension>`.

        A picture that some trainers skip (another format), turn sideways (EXIF orientation) or clip (16 bit) is
        written as an upright 8-bit JPEG or PNG, and so is one that `options.fit` makes smaller; of any other the
        pixels keep their bytes. Private metadata never come along.

        Returns:
            The file's name, and how it came there: "linked", "copied", "extracted", "copied without private metadata"
            or "converted: why".

        Raises:
            ExportError: the picture is gone or cannot be opened any more.
        """
        plain = self.root / item.path
        if plain.is_file():
            return self._put(plain, item.path, item.stem, folder)
        return self._put(io.BytesIO(self._bytes(item.path)), item.path, item.stem, folder)

    def place_file(self, file: Path, stem: str, folder: Path, suffix: str | None = None) -> str:
        """Put a picture that belongs to another (a control, a mask) into `folder` in the same way; its name.

        Raises:
            ExportError: it is gone or cannot be opened.
        """
        return self._put(file, file.as_posix(), stem, folder, suffix)[0]

    def _put(
        self, source: Path | io.BytesIO, path: str, stem: str, folder: Path, suffix: str | None = None
    ) -> tuple[str, str]:
        data = source.read_bytes() if isinstance(source, Path) else source.getvalue()
        found, why = inspect(data, path)
        if suffix is not None and found != suffix:
            found, why = suffix, why or f"{suffix} is asked for"
        fit = self._fitting(data) if self._fit != "none" else None
        why = why or ("fitted to its bucket" if fit else "")
        name = stem + found
        if not why:
            try:
                without = private.stripped(data)
            except ValueError as error:  # openable, but not built as its format demands
                why = f"{error}"
            else:
                if without is None:
                    return name, self._bring(source, folder / name)
                (folder / name).write_bytes(without)
                return name, "copied without private metadata"
        try:
            save_plain(data, folder / name, fit)
        except _BROKEN as error:
            if isinstance(error, OSError) and error.errno:
                raise  # the disk, not the picture
            raise _unreadable(path, error) from None
        return name, f"converted: {why}"

    def _fitting(self, data: bytes) -> Fit | None:
        """How `options.fit` changes the picture; None where it does not."""
        with opened(data) as image:
            size = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        width, height = size[::-1] if turned else size
        fit = fitted(width, height, self._rules, cut=self._fit == "crop")
        return None if fit == ((width, height), (0, 0, width, height)) else fit

    def _bring(self, source: Path | io.BytesIO, target: Path) -> str:
        """Hard link, else copy; or the bytes that came out of a tar."""
        if not isinstance(source, Path):
            target.write_bytes(source.getvalue())
            return "extracted"
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
            self._sources = {source.path: source for source in list_sources(self.root, Config().scan)}
        if path not in self._sources:
            raise FileNotFoundError("The file is gone.")
        return self._sources[path].read()


def opened(data: bytes) -> ImageFile.ImageFile:
    """The picture in `data`, its header read, as the scan reads it.

    Not `Image.open`: its limit on pixels is lower than `scan.max_pixels`, and it knows no HEIC by itself.

    Raises:
        OSError: it is no picture that is read.
        ImportError: the library for its format is not installed.
    """
    name = formats.sniff(data)
    if name is None:
        raise OSError(formats.refusal(data))
    try:
        return formats.opener(name)(io.BytesIO(data), "")
    except (IndexError, TypeError, struct.error) as error:  # plugins throw these on a broken header
        raise OSError(f"The picture is damaged ({error}).") from None


def inspect(data: bytes, path: str) -> tuple[str, str]:
    """The extension that a picture gets in an export, and why it has to be converted ("" to keep its bytes).

    Raises:
        ExportError: it cannot be opened.
    """
    suffix = Path(path).suffix.lower()
    try:
        with opened(data) as image:
            kind, mode = image.format or "", image.mode
            turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
    except _BROKEN as error:
        raise _unreadable(path, error) from None
    fitting = READABLE.get(kind)
    if fitting is None:
        return ".png", f"{kind} is not read by every trainer"
    if turned or mode in _DEEP:
        return fitting[0] if kind in _JPEG else ".png", "turned upright" if turned else f"{mode} has more than 8 bits"
    return suffix if suffix in fitting else fitting[0], ""


def save_plain(data: bytes, target: Path, fit: Fit | None = None) -> None:
    """Write the first frame of `data`, upright and with 8 bits; its colour profile stays, other metadata go."""
    from PIL import ImageOps

    with opened(data) as source:
        image: Image.Image = ImageOps.exif_transpose(source)
        profile = source.info.get("icc_profile")
        jpeg = target.suffix in (".jpg", ".jpeg")
        if image.mode in _DEEP:
            image, profile = _eight_bits(image), None
        elif image.mode not in ("L", "RGB", *(("CMYK",) if jpeg else ("LA", "P", "RGBA"))):
            image, profile = image.convert("RGBA" if image.has_transparency_data else "RGB"), None
        if fit is not None:
            image = _fit(image, fit)
        if jpeg and image.mode not in ("L", "RGB", "CMYK"):
            image = image.convert("RGB")
        image.info = {name: value for name, value in image.info.items() if name == "transparency"}
        if jpeg:
            image.save(target, quality=95, subsampling=0, icc_profile=profile)
        elif target.suffix == ".webp":
            image.save(target, lossless=True, icc_profile=profile)
        else:
            image.save(target, compress_level=1, icc_profile=profile)


def _fit(image: Image.Image, fit: Fit) -> Image.Image:
    """`image` scaled and cut; palettes cannot be blended and become colours first."""
    from PIL import Image

    if image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.size != fit[0]:
        image = image.resize(fit[0], Image.Resampling.LANCZOS)
    return image.crop(fit[1])


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
