"""The text beside an exported picture.

Not for pruning or scoring captions.
"""

from __future__ import annotations

from collections.abc import Collection

from diversity.captions import apart_group


def with_trigger(caption: str, trigger: str | None) -> str:
    """`caption`, stripped, beginning with `trigger`; a trigger tag elsewhere in it is moved to the front."""
    text = caption.strip()
    word = (trigger or "").strip()
    if not word:
        return text
    tags = [tag.strip() for tag in text.split(",")]
    if any(_same(tag, word) for tag in tags[1:]):
        text = ", ".join(tag for tag in tags if tag and not _same(tag, word))
    begins = _same(text[: len(word)], word) and not text[len(word) : len(word) + 1].isalnum()
    if text and begins:
        return text
    return f"{word}, {text}" if text else word


def without(caption: str, groups: Collection[str]) -> str:
    """`caption` without its tags of `groups` ("artist", "quality", "rating"); other words stay as they are."""
    if not groups:
        return caption
    kept = [[part for part in line.split(",") if apart_group(part) not in groups] for line in caption.split("\n")]
    return "\n".join(",".join(parts).strip() for parts in kept)


def one_line(caption: str) -> str:
    """`caption` on one line: most trainers read only the first."""
    lines = [line.strip() for line in caption.splitlines()]
    result = ""
    for line in filter(None, lines):
        glue = "" if not result else " " if result[-1] in ",.;:!?" else ", "
        result += glue + line
    return result


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
