"""Private metadata out of picture files, byte by byte: place, camera, owner, prompts, previews; pixels stay.

Not for pictures that are encoded anew anyway: those are written without metadata.
"""

from __future__ import annotations

import re

_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in JPEG's coded data, FF is followed by 00 or a restart
_SHOWN = frozenset(  # PNG chunks that decide how a picture looks; text, EXIF, times and unknown ones do not
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs sPLT hIST acTL fcTL fdAT cICP mDCV cLLI".split()
)
_WEBP_SHOWN = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_FLAGS = 0x08 | 0x04  # "there is EXIF" and "there is XMP"


def stripped(data: bytes) -> bytes | None:
    """`data` without what is not needed to show it; None where there is nothing private in it.

    Colour profiles, transparency and animation stay. What lies behind the picture's end (a motion photo's film, a
    second picture) goes. EXIF goes with its orientation: call this only for upright pictures.

    Raises:
        ValueError: the file is not JPEG, PNG or WebP, or is not built as its format demands.
    """
    if data.startswith(b"\xff\xd8"):
        kept = _jpeg(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        kept = _png(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kept = _webp(data)
    else:
        raise ValueError("not a JPEG, PNG or WebP file")
    return None if kept == data else kept


def _jpeg(data: bytes) -> bytes:
    """Markers of ITU T.81 annex B: application segments go, but for JFIF, the colour profile and Adobe's transform."""
    kept, at = [data[:2]], 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if len(data) < at + 2 or data[at] != 0xFF:
            raise ValueError("a JPEG segment does not begin with a marker")
        marker = data[at + 1]
        if marker == 0xD9:
            return b"".join([*kept, b"\xff\xd9"])
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise ValueError("a JPEG segment is longer than the file")
        if _is_shown(marker, data[at + 4 : end]):
            kept.append(data[at:end])
        at = end
        if marker == 0xDA:
            found = _NEXT_MARKER.search(data, at)
            if found is None:
                raise ValueError("the JPEG has no end")
            kept.append(data[at : found.start()])
            at = found.start()


def _is_shown(marker: int, content: bytes) -> bool:
    if marker == 0xFE:  # comment
        return False
    if not 0xE0 <= marker <= 0xEF:
        return True
    wanted = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}.get(marker)
    return wanted is not None and content.startswith(wanted)


def _png(data: bytes) -> bytes:
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        name, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            break
        if name in _SHOWN:
            kept.append(data[at:end])
        if name == b"IEND":
            return b"".join(kept)
        at = end
    raise ValueError("the PNG has no end")


def _webp(data: bytes) -> bytes:
    kept, at = [], 12
    last = 8 + int.from_bytes(data[4:8], "little")
    if last > len(data):
        raise ValueError("the WebP is cut off")
    while at + 8 <= last:
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if end > last:
            raise ValueError("a WebP chunk is longer than the file")
        if name == b"VP8X" and size >= 1:
            kept.append(data[at : at + 8] + bytes([data[at + 8] & ~_WEBP_FLAGS]) + data[at + 9 : end])
        elif name in _WEBP_SHOWN:
            kept.append(data[at:end])
        at = end
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
