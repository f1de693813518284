"""Captions inside picture files: prompts of generators, and descriptions and keywords that people wrote.

Only heads of files are read, no pixels. Not for sidecars.
"""

from __future__ import annotations

import json
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from html import unescape
from pathlib import Path
from typing import Any, BinaryIO

from diversity.ingest.text import clean, decode_text

HEAD = 1 << 18  # bytes of a file that are looked at; text that comes later is not found
MOST = 1 << 20  # bytes of one text, unpacked

_DESCRIPTION, _COMMENT, _USER, _EXIF_IFD = 0x010E, 0x9C9C, 0x9286, 0x8769
_KEYWORDS = 0x9C9E
_CODES = (b"ASCII\0\0\0", b"UNICODE\0", b"JIS\0\0\0\0\0", b"\0" * 8)
_FROM_MACHINES = re.compile(  # what cameras and programs write into fields that are meant for people
    r"digital camera|^(sony dsc|dcim\S*|default|untitled|image|screenshot|exif_jpeg_picture|charset=.*)$"
    r"|^(created|written|edited|file written|processed) (with|by) |^https?://\S+$",
    re.IGNORECASE,
)
_END_OF_PROMPT = re.compile(r"^(Negative prompt|Steps): ", re.MULTILINE)
_ITEM = re.compile(r"<rdf:li[^>]*>(.*?)</rdf:li>", re.DOTALL)


def caption(location: Path) -> str | None:
    """What is written inside the picture file at `location`; None where nothing is, or it cannot be read."""
    try:
        with location.open("rb") as file:
            return of(file)
    except (OSError, ValueError):
        return None


def of(file: BinaryIO) -> str | None:
    """What is written inside an open picture file: a generator's prompt first, then a description, then keywords."""
    start = file.read(12)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        file.seek(8)
        texts = dict(_png(file.read(HEAD)))
    elif start.startswith(b"\xff\xd8"):
        texts = dict(_jpeg(start + file.read(HEAD)))
    elif start[:4] == b"RIFF" and start[8:] == b"WEBP":
        texts = dict(_webp(file))
    else:
        return None
    return _best(texts)


# what is a caption ---------------------------------------------------------------------------------------------------


def _best(texts: Mapping[str, str]) -> str | None:
    """The text that says what the picture shows, among texts by their field."""
    for name in ("parameters", "UserComment"):
        if prompt := _parameters(texts.get(name, "")):
            return prompt
    for name in ("prompt", "invokeai_metadata", "sd-metadata", "Comment"):
        if prompt := _from_json(texts.get(name, "")):
            return prompt
    for name in ("Description", "caption", "Caption", "ImageDescription", "UserComment", "XPComment", "dc:description"):
        text = clean(texts.get(name))
        if text and not _FROM_MACHINES.search(text) and not text.startswith(("{", "[{", "<?xml")):
            return text
    return clean(texts.get("dc:subject")) or clean(texts.get("XPKeywords"))


def _parameters(text: str) -> str | None:
    """The prompt of a text as A1111's web interface writes it; None where it is of another kind."""
    end = _END_OF_PROMPT.search(text)
    return plain_prompt(text[: end.start()]) if end else None


def plain_prompt(prompt: str) -> str | None:
    r"""A prompt as a caption: no networks (`<lora:…>`), no weights: "(smile:1.2)" → "smile"; "\(" becomes "("."""
    text = re.sub(r"<[^<>]*>|\bBREAK\b", ",", prompt).replace("\\(", "\x01").replace("\\)", "\x02")
    before = ""
    while before != text:
        before = text
        text = re.sub(r"[(\[{]([^()\[\]{}]*?)(?::\s*-?[\d.]+)?[)\]}]", r"\1", text)
    text = text.replace("\x01", "(").replace("\x02", ")")
    parts = [" ".join(part.split()) for part in text.split(",")]
    return clean(", ".join(part for part in parts if part))


def _from_json(text: str) -> str | None:
    """The positive prompt of ComfyUI's graph, NovelAI's comment or InvokeAI's record."""
    try:
        found = json.loads(text) if text[:1] == "{" else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    for name in ("positive_prompt", "prompt", "uc_prompt"):
        if isinstance(found.get(name), str):
            return plain_prompt(found[name])
    return _from_graph(found)


def _from_graph(graph: Mapping[str, Any]) -> str | None:
    """The text that flows into the `positive` input of a sampler: nodes name others as [id, output]."""
    for node in graph.values():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        if isinstance(inputs, dict) and isinstance(inputs.get("positive"), list):
            return _upstream(graph, inputs["positive"])
    return None


def _upstream(graph: Mapping[str, Any], start: list[Any]) -> str | None:
    waiting, seen = [str(start[0])] if start else [], set()
    while waiting:
        name = waiting.pop(0)
        node = graph.get(name)
        if name in seen or not isinstance(node, dict) or not isinstance(node.get("inputs"), dict):
            continue
        seen.add(name)
        for key in ("text", "text_g", "prompt", "string", "value"):
            if isinstance(node["inputs"].get(key), str):
                return plain_prompt(node["inputs"][key])
        waiting += [str(value[0]) for value in node["inputs"].values() if isinstance(value, list) and value]
    return None


# where texts lie -----------------------------------------------------------------------------------------------------


def _png(data: bytes) -> Iterator[tuple[str, str]]:
    """Texts before the pixels, by keyword (PNG 1.2, section 4.2.3), and those of EXIF and XMP."""
    at = 0
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        content = data[at + 8 : at + 8 + size]
        if name in (b"IDAT", b"IEND") or len(content) < size:
            return
        if name in (b"tEXt", b"zTXt", b"iTXt"):
            yield from _png_text(name, content)
        elif name == b"eXIf":
            yield from _exif(content)
        at += 12 + size


def _png_text(kind: bytes, content: bytes) -> Iterator[tuple[str, str]]:
    keyword, found, rest = content.partition(b"\0")
    if not found:
        return
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:]
        rest = rest.partition(b"\0")[2].partition(b"\0")[2]
    elif packed:
        rest = rest[1:]
    if packed:
        rest = _unpacked(rest)
    if keyword == b"XML:com.adobe.xmp":
        yield from _xmp(rest)
    else:
        yield keyword.decode("latin-1"), decode_text(rest[:MOST])


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MOST)
    except zlib.error:
        return b""


def _jpeg(data: bytes) -> Iterator[tuple[str, str]]:
    """Texts of EXIF and XMP in the segments before the picture."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        content = data[at + 4 : at + 2 + size]
        if size < 2 or len(content) < size - 2:
            return
        if data[at + 1] == 0xE1 and content.startswith(b"Exif\0\0"):
            yield from _exif(content[6:])
        elif data[at + 1] == 0xE1 and content.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            yield from _xmp(content)
        at += 2 + size


def _webp(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """Texts of EXIF and XMP, which lie behind the pixels."""
    for _ in range(64):
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little")
        if head[:4] in (b"EXIF", b"XMP ") and size <= MOST:
            content = file.read(size + size % 2)[:size]
            yield from _exif(content.removeprefix(b"Exif\0\0")) if head[:4] == b"EXIF" else _xmp(content)
        else:
            file.seek(size + size % 2, 1)


def _exif(data: bytes) -> Iterator[tuple[str, str]]:
    from PIL import Image

    exif = Image.Exif()
    try:
        with warnings.catch_warnings(action="ignore"):
            exif.load(b"Exif\0\0" + data)
            found: dict[int, Any] = {tag: exif.get(tag) for tag in (_DESCRIPTION, _COMMENT, _KEYWORDS)}
            found[_USER] = exif.get_ifd(_EXIF_IFD).get(_USER)
    except Exception:  # Pillow's reader of broken EXIF raises nearly anything
        return
    if text := clean(found[_DESCRIPTION]):
        yield "ImageDescription", text
    for tag, name in ((_COMMENT, "XPComment"), (_KEYWORDS, "XPKeywords")):
        if isinstance(found[tag], bytes):
            text = found[tag].decode("utf-16-le", "replace").rstrip("\0")
            yield name, ", ".join(part.strip() for part in text.split(";")) if tag == _KEYWORDS else text
    if isinstance(found[_USER], bytes):
        yield "UserComment", _user_comment(found[_USER])


def _user_comment(data: bytes) -> str:
    """EXIF 2.32, section 4.6.5: eight bytes name the character code; A1111 writes UTF-16 with either end first."""
    code, text = data[:8], data[8:]
    if code not in _CODES:
        return decode_text(data)
    if code == b"UNICODE\0":
        zeros = text[::2].count(0), text[1::2].count(0)
        return text.decode("utf-16-be" if zeros[0] >= zeros[1] else "utf-16-le", "replace")
    return decode_text(text)


def _xmp(data: bytes) -> Iterator[tuple[str, str]]:
    """dc:description and dc:subject, found without an XML parser: entities of its own cannot blow up."""
    text = decode_text(data[:MOST])
    for name in ("dc:description", "dc:subject"):
        begin, end = text.find(f"<{name}"), text.find(f"</{name}>")
        if 0 <= begin < end:
            items = [unescape(item).strip() for item in _ITEM.findall(text[begin:end])]
            yield name, ", ".join(item for item in items if item)
