"""The text beside an exported picture.

Not for pruning or scoring captions.
"""

from __future__ import annotations

from collections.abc import Collection

from diversity.captions import apart_group, normal_tag, trigger_tags


def with_trigger(caption: str, trigger: str | None) -> str:
    """`caption`, stripped, beginning with the tags of `trigger`; found elsewhere in it, they are moved to the front.

    Only whole tags count: "red hair" does not hold the trigger "red", though "red_hair" is "red hair". A caption of
    several lines keeps them.
    """
    text = caption.strip()
    wanted = tags(trigger or "")
    if not wanted:
        return text
    own = trigger_tags(trigger)
    found = [tag for line in text.split("\n") for tag in tags(line)]
    begins = [tag.casefold() for tag in found[: len(wanted)]] == [tag.casefold() for tag in wanted]
    if begins and not text.startswith(",") and not any(normal_tag(tag) in own for tag in found[len(wanted) :]):
        return text
    first, *others = [_without(line, own) for line in text.split("\n")]
    return "\n".join([", ".join([*wanted, first] if first else wanted), *others]).strip()


def tags(text: str) -> list[str]:
    """What stands between commas, stripped, without what is empty."""
    return [tag.strip() for tag in text.split(",") if tag.strip()]


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


def _without(line: str, own: Collection[str]) -> str:
    """`line` without the tags `own`; as it is where it has other tags only."""
    parts = tags(line)
    left = [tag for tag in parts if normal_tag(tag) not in own]
    return line if left == parts and parts else ", ".join(left)
