"""File names that survive every file system and never collide.

Not for paths: a name here is one component, without a folder and without an extension.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

LONGEST = 120  # UTF-8 bytes of a stem: leaves room for "_1024x1024_sdxl.npz" in 255, and for folders in Windows' 260
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_CONTROL = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff]")  # YAML reads these only as escapes
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}


def safe(text: str, longest: int = LONGEST) -> str:
    """`text` as a file name component on Linux, macOS and Windows; letters of all scripts and emoji stay.

    Leading dots go too: trainers' `*` does not match hidden files.
    """
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text))
    name = name.encode("utf-8")[:longest].decode("utf-8", "ignore").strip(" ").rstrip(". ")
    if name.startswith("."):
        name = "_" + name[1:]
    if name.split(".")[0].rstrip().lower() in _RESERVED:
        name = f"_{name}"
    return name or "_"


def unique(wanted: Sequence[tuple[str, str]]) -> dict[str, str]:
    """A name of its own for every key, also where upper and lower case, or NFC and NFD, are the same.

    Args:
        wanted: (key, text) pairs; keys are unique.

    Returns:
        key → safe name: `text` itself where no other wants it, else with (a part of) the key appended. The
        same set of pairs gives the same names in any order.
    """
    names = {key: safe(text) for key, text in sorted(wanted)}
    wishes = Counter(folded(name) for name in names.values())
    alone = {key: name for key, name in names.items() if wishes[folded(name)] == 1}
    taken = {folded(name) for name in alone.values()}
    result = dict(alone)
    for key, name in names.items():
        if key in alone:
            continue
        tails = [key[:8], key, *(f"{key}-{number}" for number in range(2, 100))]
        result[key] = next(free for tail in tails if folded(free := f"{name}-{tail}") not in taken)
        taken.add(folded(result[key]))
    return result


def quoted(text: str) -> str:
    """`text` between double quotes as TOML, YAML and JSON all read it."""
    found = json.dumps(text, ensure_ascii=False)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", found)


def folded(name: str) -> str:
    """What a file system sees of `name` that ignores case and Unicode form: a canonical caseless match (Unicode D145).

    Upper case first: Windows takes some letters for one that folding keeps apart (ı and i).
    """
    upper = unicodedata.normalize("NFD", name).upper()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", upper).casefold())
