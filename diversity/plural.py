"""Numbers with their noun: "1 file", "2 files". Not for wording beyond that."""

from __future__ import annotations


def count(n: int, one: str, many: str = "") -> str:
    """`n` with `one`, or with `many` (default: `one` with an s) where n is not 1."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
