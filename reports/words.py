"""The plain words of the report: names of views, states and measures, and what each means.

Not for numbers or layout: those are `facts.py` and the templates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

FRAMINGS = ("headshot", "half_body", "full_body", "detail")
SIDES = ("front", "three_quarter", "side", "back_three_quarter", "back")

_NAMES = {"three_quarter": "three-quarter", "back_three_quarter": "three-quarter back", "unsure": "not sure"}
_PHRASES = {
    "headshot": "headshot",
    "half_body": "half-body picture",
    "full_body": "full-body picture",
    "detail": "close-up of a detail (shoes, hands, …)",
    "front": "from the front",
    "three_quarter": "at a three-quarter angle",
    "side": "from the side",
    "back_three_quarter": "from behind at an angle",
    "back": "from behind",
    "unsure": "(side not sure)",
}

_CELL = re.compile(rf"\b(?:{'|'.join(FRAMINGS)})/(?:{'|'.join(sorted(SIDES, key=len, reverse=True))})(?![\w./])")

_MEASURED = re.compile(r" \((?:hash|embedding) \d\.\d+, line \d\.\d+\)")

STATES = {"missing": "missing", "rare": "rare", "thief": "takes attention", "ample": "enough"}
STATE_ORDER = {"missing": 0, "rare": 1, "thief": 2, "ample": 3}
STATUSES = {
    "kept": "kept",
    "copy": "copy",
    "left_out": "left out",
    "undecided": "not chosen yet",
    "problem": "unusable",
}
TIERS = {
    "bytes": "same file",
    "pixels": "same pixels",
    "hash": "same composition",
    "embedding": "looks the same",
}

FLAGS = {
    "blurred": ("Blurred", "Soft at a fixed scale. A model learns the softness too."),
    "dark": ("Very dark", "Most pixels are near black."),
    "bright": ("Very bright", "Most pixels are near white."),
    "low_contrast": ("Low contrast", "Little difference between the lightest and the darkest parts."),
    "small": ("Small", "Fewer pixels than training usually wants; it will be enlarged."),
    "flat_background": ("Plain background", "One flat colour behind the subject: learned fast, needs fewer steps."),
    "cut_out": ("Cut-out", "Transparent background: needs fewer steps, and the edge may be learned."),
    "borders": ("Borders", "Flat bars along the edges. Crop them, or they are learned."),
    "overlay": ("Text or logo on top", "Subtitles and watermarks are learned. Repair or crop these pictures first."),
    "animated": ("Animated", "Only the first frame is used."),
}

# preset -> what the page says where it says nothing of views, or other things of them
PRESETS = {
    "style": "This set is judged as a style: no view is asked for. What counts is that its pictures differ.",
    "outfit": "This set is judged as an outfit: details and whole figures are asked for, heads less.",
    "concept": "This set is judged as a concept: every side is asked for, near or far.",
}

# table -> the command that writes it
STAGE_OF = {
    "images": "scan",
    "thumbnails": "scan",
    "duplicates": "dedup",
    "views": "views",
    "targets": "views",
    "bindings": "views",
    "scores": "score",
    "map": "report",
    "trainer": "trainer",
    "selection": "select",
    "dropped": "select",
}


RECORDS = {
    "tables": "Hashes of the tables",
    "duplicates": "How copies were found",
    "familiarity": "Whether the encoder knows such pictures",
}


@dataclass(frozen=True)
class MeasureWords:
    """How one measure is called and what it means.

    Attributes:
        name: What a person reads in a table.
        meaning: One or two sentences.
        share: Whether the value is a share of 1, shown in percent.
    """

    name: str
    meaning: str
    share: bool = False


SCOPES = {"set": "Whole set", "selection": "Selection, weighted"}
_RAREFIED = "Measured on as many distinct pictures in every set, so that small and large sets compare."

MEASURES = {
    "effective_rank": MeasureWords(
        "Acts like this many different pictures",
        "Effective rank: the number of independent directions that the pictures span (Roy & Vetterli). "
        "Ten copies of one picture act like one.",
    ),
    "distinct": MeasureWords("Distinct pictures", "Groups left when every picture and its copies count as one."),
    "pictures": MeasureWords("Pictures", "Files that could be read, copies and all."),
    "view_entropy": MeasureWords(
        "Balance of views", "Entropy of the framing and side labels, in nats: higher is more even."
    ),
    "taxonomy_coverage": MeasureWords(
        "Views with enough", "Share of the wanted views that have as many distinct pictures as wanted.", share=True
    ),
    "turntable_coverage": MeasureWords(
        "Turntable seen", "Share of a full turn around the subject within reach of a picture.", share=True
    ),
    "coverage": MeasureWords("Pool covered", "Share of the reference pictures within reach of this set.", share=True),
    "vendi_1": MeasureWords(
        "Different pictures, by similarity",
        "Vendi score of order 1: the exponential of the entropy of the similarities.",
    ),
    "vendi_2": MeasureWords("Different pictures, frequent ones count more", "Vendi score of order 2."),
    "vendi_inf": MeasureWords(
        "Different pictures, only the most common direction counts", "Vendi score of infinite order."
    ),
}

GLOSSARY = {
    "copy": "A near-duplicate of another picture that adds nothing new: another size, crop, compression or "
    "neighbouring frame. Copies are dropped, because every copy makes the model look at the same thing once more.",
    "keeper": "The picture of a group of copies that stays: the one kept by hand, else the one of best quality.",
    "variant": "Alike, yet worth keeping: another expression, pose or detail. Variants stay and share their weight.",
    "view": "What the picture shows of the subject: its framing (headshot, half body, full body, detail) and its side "
    "(front, three-quarter, side, three-quarter back, back).",
    "rare": "A view with fewer distinct pictures than wanted. Its pictures are protected: selection never drops them.",
    "missing": "A view without any picture. The model will have to guess it.",
    "takes attention": "A view with so many pictures that it draws attention away from all others.",
    "tied": "In the set, this tag and this view go together more often than in 95 of 100 shuffled sets, near-copies "
    "counted once and all tags of the set taken into account.",
    "weight": "How often a picture is shown in training, relative to the average of 1. Unlike pictures get more.",
    "richness": "How many independent directions a set spans. Forty unlike pictures are richer than four hundred "
    "alike ones.",
    "gain": "What a picture added when it was picked. When gains get small, further pictures repeat what is there. "
    "Rare views and pictures kept by hand are picked first, so the curve may jump where they end.",
    "map": "Pictures that look alike to the encoder lie close together. Distances between far islands mean little.",
    "interval": "The range in brackets: how far the number could lie elsewhere with other pictures of the same kind.",
}


def name(label: str | None) -> str:
    """`back_three_quarter` → "three-quarter back"; unknown labels lose their underscores."""
    if not label:
        return "not labelled"
    return _NAMES.get(label, label.replace("_", " "))


def cell_phrase(cell: str) -> str:
    """`full_body/back` → "full body from behind"."""
    framing, _, side = cell.partition("/")
    said = "picture" if framing == "unsure" else _PHRASES.get(framing, framing.replace("_", " "))
    return f"{said} {_PHRASES.get(side, side.replace('_', ' '))}".rstrip()


def alike(similarity: float | None, tier: str | None) -> str:
    """`97 % alike, same composition`; never "100 %" for what is not the same file or pixels."""
    kind = TIERS.get(tier or "", tier or "")
    if similarity is None or tier in ("bytes", "pixels"):
        return kind
    share = "over 99 %" if similarity > 0.99 else number(similarity, share=True)
    return f"{share} alike, {kind}" if kind else f"{share} alike"


def readable(text: str) -> str:
    """`text` with cells such as `full_body/back` in words."""
    return _CELL.sub(lambda found: cell_phrase(found[0]), text)


def without_numbers(text: str) -> str:
    """A reason of the table `duplicates` without what was measured: the page shows that beside each picture."""
    return _MEASURED.sub("", text)


def measure_words(measure: str) -> MeasureWords:
    """Words of a measure without its scope; an unknown one is shown by its own name."""
    base = measure.removesuffix("_rarefied")
    found = MEASURES.get(base, MeasureWords(base.replace("_", " "), ""))
    if base == measure:
        return found
    return replace(found, name=f"{found.name}, at equal size", meaning=f"{found.meaning} {_RAREFIED}")


def flag_words(flag: str) -> tuple[str, str]:
    """Title and meaning of a quality flag."""
    return FLAGS.get(flag, (flag.replace("_", " ").capitalize(), ""))


def count(n: int, one: str, many: str | None = None) -> str:
    """`3 pictures`, `1 picture`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def number(value: float | None, *, share: bool = False, fine: bool = False) -> str:
    """A number as a person reads it: 23, 4.6, 0.31, 45 %; an en dash where there is none; one digit more if `fine`."""
    if value is None or value != value:
        return "–"
    if share:
        return f"{_unsigned_zero(f'{value * 100:.{int(fine)}f}')} %"
    size = abs(value)
    if value == int(value):
        return _unsigned_zero(f"{value:,.0f}")
    digits = 0 if size >= 10 else 1 if size >= 1 else 2
    return _unsigned_zero(f"{value:,.{digits + fine}f}")


def _unsigned_zero(text: str) -> str:
    """`0.00` for `-0.00`, which rounding leaves."""
    return text if text.strip("-0.") else text.removeprefix("-")


def weight(value: float | None) -> str:
    """`1.25`; "" where there is none."""
    return "" if value is None else f"{value:.2f}"


def weight_of(value: float | None) -> str:
    """Weight of a LoRA: "0.8", "1"; "unknown" where it could not be read."""
    return "unknown" if value is None else f"{value:g}"


def span(low: float | None, high: float | None, *, share: bool = False, fine: bool = False) -> str:
    """`19–27`, `40–61 %`; "" where an end is unknown."""
    if low is None or high is None or low != low or high != high:
        return ""
    first = number(low, share=share, fine=fine)
    return f"{first.removesuffix(' %')}–{number(high, share=share, fine=fine)}"


def lines(value: object) -> list[str]:
    """A note or a list of notes as lines; none for what is empty."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return [plain(item) for item in items if item is not None and item != ""]


def plain(value: object) -> str:
    """Any JSON value as one line of text, for provenance."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)
