"""Which picture formats are read, found by their first bytes: the file's name does not matter.

Not for decoding pixels: that is `decode.py`. Only the openers listed here ever run; in particular PostScript, PDF and
SVG, which are programs rather than pictures, never reach one.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from typing import Any

from PIL import ImageFile

Opener = Callable[[BytesIO, str], ImageFile.ImageFile]

OPENERS = {
    "JPEG": ("PIL.JpegImagePlugin", "jpeg_factory"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif.as_plugin", "HeifImageFile"),
    "PPM": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "ICO": ("PIL.IcoImagePlugin", "IcoImageFile"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PSD": ("PIL.PsdImagePlugin", "PsdImageFile"),
    "QOI": ("PIL.QoiImagePlugin", "QoiImageFile"),
    "TGA": ("PIL.TgaImagePlugin", "TgaImageFile"),
}
ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF"})  # formats whose frames are moments, not pages or layers

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\1\0", "ICO"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"8BPS", "PSD"),
    (b"qoif", "QOI"),
)
_REFUSED = (
    ((b"%!PS", b"\xc5\xd0\xd3\xc6", b"%PDF"), "The file is a PostScript or PDF document, which is not read."),
    ((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"), "JPEG XL is not read; convert the picture to PNG, WebP or JPEG."),
    ((b"version https://git-lfs",), "The file is a Git LFS pointer; fetch the picture itself with `git lfs pull`."),
    ((b"PK\x03\x04", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf"), "The file is an archive; unpack it first."),
)
_MARKUP = (
    ((b"<svg",), "The file is an SVG drawing, which is not read."),
    ((b"<!doctype html", b"<html"), "The file is a web page, not a picture: the download went wrong."),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})


def sniff(data: bytes) -> str | None:
    """The format of `data`: a key of `OPENERS`, or None."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _sniff_iso(data)
    if data[:1] == b"P" and data[1:2] in b"1234567Ff" and data[2:3].isspace():
        return "PPM"
    if data[-18:-2] == b"TRUEVISION-XFILE":
        return "TGA"
    return None


def refusal(data: bytes) -> str:
    """Why bytes that `sniff` does not know are not read, as one sentence."""
    for starts, reason in _REFUSED:
        if data.startswith(starts):
            return reason
    head = data[:1000].lower()
    for marks, reason in _MARKUP:
        if any(mark in head for mark in marks):
            return reason
    if not data.strip(b"\0"):
        return "The file holds nothing but zeros: it was not copied or downloaded to its end."
    return "The file is not a picture in a format that is read."


def opener(name: str) -> Opener:
    """The function that reads the header of a format; its module is imported when first needed.

    Raises:
        ImportError: the library for that format is not installed.
    """
    module, attribute = OPENERS[name]
    found: Any = getattr(import_module(module), attribute)
    return found  # type: ignore[no-any-return]


def _sniff_iso(data: bytes) -> str | None:
    """AVIF or HEIF by the brands in the first box of an ISO media file; None for films and others."""
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None
