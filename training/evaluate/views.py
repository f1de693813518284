"""Names of views in words.

Not for finding views in pictures or captions: that is `diversity.views`.
"""

from __future__ import annotations

FACE = "face"  # last part of labels of faces: "full_body/front/face"
SIDES = {
    "front": " from the front",
    "three_quarter": " at a three-quarter angle",
    "side": " from the side",
    "back_three_quarter": " from behind at an angle",
    "back": " from behind",
}


def spelt(label: str) -> str:
    """The label full_body/back as "full-body from behind"; that of a face as "the face in full-body pictures …"."""
    whole = label.removesuffix(f"/{FACE}")
    framing, _, side = whole.partition("/")
    if whole != label:
        return f"the face in {framing.replace('_', '-')} pictures{SIDES.get(side, '')}"
    return framing.replace("_", "-") + SIDES.get(side, "")
