"""Names of views in words.

Not for finding views in pictures or captions: that is `diversity.views`.
"""

from __future__ import annotations

SIDES = {
    "front": " from the front",
    "three_quarter": " at a three-quarter angle",
    "side": " from the side",
    "back_three_quarter": " from behind at an angle",
    "back": " from behind",
}


def spelt(label: str) -> str:
    """The label full_body/back as "full-body from behind"."""
    framing, _, side = label.partition("/")
    return framing.replace("_", "-") + SIDES.get(side, "")
