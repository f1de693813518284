"""JSON sidecars of downloaders: captions from booru tags, with artist, rating and quality tags set apart.

Not for metadata files that speak for a whole folder: that is `imagefolder.py`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from diversity.captions import apart_group
from diversity.ingest.folder import Folder
from diversity.ingest.source import normal, shown
from diversity.ingest.text import caption_of, clean, read_text

Apart = tuple[tuple[str, str], ...]  # (group, tag)

SHOWN = ("character", "copyright", "species", "general")  # groups that a caption is made of, in this order
_GROUPS = {  # how sites call their groups → how we do
    **{name: name for name in SHOWN},
    **{name: "artist" for name in ("artist", "artists", "creator", "director")},
    **{name: "meta" for name in ("meta", "metadata", "medium", "style")},
    **{"characters": "character", "series": "copyright", "parody": "copyright", "lore": "meta", "invalid": "meta"},
}
_RATINGS = {"g": "general", "s": "safe", "q": "questionable", "e": "explicit"}
_DANBOORU = {**_RATINGS, "s": "sensitive"}  # sites of its software have a g of their own, below which s is not safe
_OF_DANBOORU = ("danbooru", "aibooru", "atfbooru", "booruvar")  # gallery-dl's categories of these sites
_DOWNLOADER = ("category", "subcategory")  # gallery-dl writes both: its "caption" and "text" are what the author said


@dataclass(frozen=True, slots=True)
class Said:
    """What a record says of a picture.

    Attributes:
        caption: Tags between commas, or the caption that is written there; None: nothing.
        apart: Tags that do not say what the picture shows, with their group: artist, rating, quality or meta.
    """

    caption: str | None
    apart: Apart = ()


class Records:
    """The JSON sidecars of one folder, by the picture's whole name ("1.jpg.json") or its stem ("1.json")."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        found = (name for name in folder.files if name.lower().endswith(".json"))
        self._names = {normal(name[: -len(".json")]): name for name in found}

    def of(self, name: str) -> tuple[Said, str] | None:
        """What the sidecar of the picture `name` says, and its path relative to the root."""
        for base in (name, posixpath.splitext(name)[0]):
            sidecar = self._names.get(normal(base))
            text = read_text(self._folder.location / sidecar) if sidecar else None
            said = parse(text) if text else None
            if sidecar and said:
                return said, shown(self._folder.relative(sidecar))
        return None


def parse(text: str) -> Said | None:
    """What one JSON document says; None where it is broken or speaks of nothing that we know."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return said_by(record) if isinstance(record, dict) else None


def said_by(record: Mapping[str, Any]) -> Said | None:
    """What one record says.

    A written caption wins over tags, unless a downloader wrote the record. Known are danbooru's `tag_string_general`
    and its kin, gelbooru's and moebooru's `tags`, gallery-dl's `tags_general`, e621's `tags.general`.
    """
    groups: dict[str, list[str]] = {}
    for group, tag in _tags(record):
        groups.setdefault(group, []).append(tag)
    plain = list(dict.fromkeys(tag for group in SHOWN for tag in groups.get(group, ())))
    apart = [(apart_group(tag) or group, tag) for group in ("artist", "meta") for tag in groups.get(group, ())]
    apart += [(found, tag) for tag in plain if (found := apart_group(tag)) is not None]
    plain = [tag for tag in plain if apart_group(tag) is None]
    rating = clean(record.get("rating"))
    if rating:
        letters = _DANBOORU if _is_danbooru(record) else _RATINGS
        apart.append(("rating", letters.get(rating.lower(), rating.lower())))
    written = None if all(name in record for name in _DOWNLOADER) else caption_of(record)
    caption = written or ", ".join(plain) or None
    if caption is None and not apart:
        return None
    return Said(caption, tuple(dict.fromkeys(apart)))


def _tags(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(group, tag) of every tag in a record; tags without a group only where no tag has one."""
    grouped = [(_GROUPS[name], value) for key, value in record.items() if (name := _group_of(key)) in _GROUPS]
    tags = record.get("tags", record.get("tag_string"))
    if isinstance(tags, Mapping):
        grouped += [(_GROUPS[str(name)], value) for name, value in tags.items() if str(name) in _GROUPS]
    found = [(group, tag) for group, value in grouped for tag in _list(value)]
    if found:
        yield from found
        return
    for tag in _list(tags):
        prefix, colon, rest = tag.partition(":")
        group = _GROUPS.get(prefix.strip()) if colon and rest else None
        yield (group, rest.strip()) if group else ("general", tag)


def _is_danbooru(record: Mapping[str, Any]) -> bool:
    """Whether a site of danbooru's software wrote the record: by gallery-dl's category, else by keys it alone has."""
    category = record.get("category")
    if isinstance(category, str) and "subcategory" in record:
        return category.lower() in _OF_DANBOORU
    return any(str(key).startswith("tag_string") for key in record)


def _group_of(key: object) -> str:
    """The group in "tag_string_artist" or "tags_artist"; "" for other keys."""
    match = re.fullmatch(r"(?:tag_string|tags)_(\w+)", str(key))
    return match[1] if match else ""


def _list(value: object) -> list[str]:
    """Tags from a list, or from a text between commas or else spaces; spaces for underscores."""
    if isinstance(value, str):
        value = value.split(",") if "," in value else value.split()
    if not isinstance(value, (list, tuple)):
        return []
    names = (item.get("name") if isinstance(item, Mapping) else item for item in value)
    return [_spaced(text) for name in names if (text := clean(name))]


def _spaced(tag: str) -> str:
    """Spaces for underscores, but for emoticons: they have no two letters or digits in a row."""
    return tag.replace("_", " ").strip() if re.search(r"[^\W_]{2}", tag) else tag
