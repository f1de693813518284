"""Captions as people save them: any common encoding, sidecar files, columns of a record.

Not for what captions mean: that is `diversity/captions.py`.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 20  # a caption file larger than this is not a caption
COLUMNS = ("text", "caption", "prompt")  # the names Hugging Face datasets, img2dataset and diffusers' scripts use
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decode_text(data: bytes) -> str:
    """`data` as text with LF line ends; never fails.

    A byte order mark decides; else UTF-8; else UTF-16 where every other byte of the beginning is zero (Windows
    Notepad's "Unicode" without a mark); else Windows-1252 with Latin-1 for the bytes that it leaves undefined.
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None) or _guess(data)
    text = data.decode(encoding, "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def read_text(path: Path) -> str | None:
    """The text of a small file, stripped; None where it is blank, too large, gone or may not be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        return clean(decode_text(path.read_bytes()))
    except OSError:
        return None


def clean(value: object) -> str | None:
    """A caption from a column: stripped text, the first of a list of texts, or None where there is no text."""
    if isinstance(value, (list, tuple)):
        value = next((item for item in value if isinstance(item, str)), None)
    if not isinstance(value, str):
        return None
    text = value.encode("utf-8", "replace").decode().strip()  # JSON may smuggle in half a surrogate pair
    return text or None


def caption_of(record: Mapping[str, Any]) -> str | None:
    """The caption in a metadata record: the first of `COLUMNS` that holds text, in any case."""
    lowered = {str(name).strip().lower(): value for name, value in record.items()}
    return next((text for column in COLUMNS if (text := clean(lowered.get(column)))), None)


def _guess(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and "\0" not in text:
        return "utf-8"
    head = data[:2000]
    if len(head) >= 4 and head[1::2].count(0) > 0.4 * len(head[1::2]):
        return "utf-16-le"
    if len(head) >= 4 and head[0::2].count(0) > 0.4 * len(head[0::2]):
        return "utf-16-be"
    if text:
        return "utf-8"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"
