"""Who is in the picture: a character is a frozen specification sampled from a seed; it holds no geometry.

Body lengths are in units where an ordinary adult is about 1.7 high.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

Colour = tuple[int, int, int]

HAIR_COLOURS: dict[str, Colour] = {
    "black": (38, 34, 40),
    "brown": (112, 70, 44),
    "blonde": (232, 198, 110),
    "red": (178, 60, 36),
    "white": (232, 232, 236),
    "grey": (138, 140, 146),
    "blue": (70, 104, 196),
    "pink": (236, 138, 172),
    "green": (78, 150, 92),
    "purple": (128, 82, 170),
}
CLOTH_COLOURS: dict[str, Colour] = {
    "red": (190, 44, 48),
    "blue": (52, 92, 178),
    "green": (46, 124, 78),
    "yellow": (226, 184, 60),
    "purple": (118, 68, 152),
    "white": (228, 228, 226),
    "black": (46, 46, 52),
    "brown": (120, 82, 54),
    "grey": (128, 132, 138),
    "pink": (226, 130, 164),
    "orange": (222, 124, 48),
    "teal": (44, 140, 146),
}
METAL_COLOURS: dict[str, Colour] = {
    "grey": (136, 142, 150),
    "white": (206, 210, 216),
    "black": (66, 68, 78),
    "yellow": (206, 168, 82),
}
SKINS: tuple[Colour, ...] = (
    (246, 212, 186),
    (234, 190, 156),
    (214, 164, 126),
    (178, 124, 88),
    (124, 82, 58),
    (240, 200, 176),
)
EYE_COLOURS: tuple[Colour, ...] = (
    (52, 92, 160),
    (70, 130, 70),
    (110, 70, 40),
    (40, 40, 46),
    (150, 60, 60),
    (110, 80, 160),
)

HAIRSTYLES = ("short", "bob", "long", "ponytail", "twintails", "bun", "spiky", "mohawk", "afro", "bald")
HEADGEAR = (
    "none",
    "hood",
    "helmet",
    "wizard_hat",
    "brim_hat",
    "cap",
    "beanie",
    "animal_hat",
    "crown",
    "headband",
    "horned_helmet",
)
OUTFITS = ("shirt_trousers", "dress", "robe", "armour", "coat", "tunic", "skirt")
SHOES = ("boots", "sneakers", "sandals", "heels", "greaves")
PROPS = ("none", "sword", "staff", "book", "shield", "mug", "bag", "axe", "lantern", "spear", "bow")
BODIES = ("realistic", "anime", "chibi", "stocky")


@dataclass(frozen=True)
class Body:
    """Proportions: lengths and radii, all in the units of the module."""

    head: tuple[float, float, float]
    head_boxy: tuple[float, float]
    neck: float
    torso: float
    shoulder: float
    waist: float
    hip: float
    depth: float
    arm: float
    arm_radius: float
    hand: float
    leg: float
    leg_radius: float
    foot: float

    @property
    def height(self) -> float:
        """Standing height, feet to crown."""
        return self.leg + self.torso + self.neck + 2 * self.head[1]


@dataclass(frozen=True)
class Character:
    """Everything that stays the same from picture to picture of one character. Colours are names from the tables
    above.
    """

    seed: int
    name: str
    kind: str
    body: Body
    detail: float
    flat: bool
    skin: Colour
    eye_style: str
    eye_colour: Colour
    nose: str
    beard: str
    glasses: bool
    hair_style: str
    hair_colour: str
    headgear: str
    headgear_colour: str
    outfit: str
    outfit_colour: str
    second_colour: str
    accent_colour: str
    shoes: str
    shoes_colour: str
    cape: bool
    cape_colour: str
    backpack: bool
    scarf: bool
    belt: bool
    emblem: bool
    gloves: bool
    prop: str
    prop_hand: str

    def as_row(self) -> dict[str, object]:
        """The fields that labels carry, as plain values."""
        row = asdict(self)
        for name in ("body", "skin", "eye_colour", "detail", "seed"):
            row.pop(name)
        return row


def sample_body(kind: str, rng: np.random.Generator) -> Body:
    """Random proportions of one of ``BODIES``."""
    low, high = {
        "realistic": ((0.10, 0.125, 0.10), 1.45),
        "anime": ((0.14, 0.16, 0.14), 1.3),
        "chibi": ((0.30, 0.27, 0.27), 0.62),
        "stocky": ((0.33, 0.31, 0.29), 0.72),
    }[kind]
    big = kind in ("chibi", "stocky")
    scale = rng.uniform(0.85, 1.2)
    head = tuple(float(value * scale * rng.uniform(0.93, 1.07)) for value in low)
    rest = high * rng.uniform(0.88, 1.1)
    wide = rng.uniform(0.9, 1.25) * (1.25 if kind == "stocky" else 1.0)
    leg_share = rng.uniform(0.36, 0.52) if big else rng.uniform(0.54, 0.6)
    shoulder = (rng.uniform(0.17, 0.25) if big else rng.uniform(0.15, 0.2)) * wide
    limb = (rng.uniform(0.06, 0.09) if big else rng.uniform(0.042, 0.058)) * wide
    boxy = (rng.uniform(0.5, 0.85), rng.uniform(0.5, 0.9)) if kind == "stocky" else (rng.uniform(0.8, 1), 1.0)
    return Body(
        head=head,
        head_boxy=boxy,
        neck=0.0 if big else rng.uniform(0.05, 0.08),
        torso=rest * (1 - leg_share),
        shoulder=shoulder,
        waist=shoulder * rng.uniform(0.7, 1.1 if big else 0.8),
        hip=shoulder * rng.uniform(0.75, 1.15 if big else 0.9),
        depth=rng.uniform(0.65, 0.95) if big else rng.uniform(0.55, 0.7),
        arm=rest * (rng.uniform(0.44, 0.6) if big else rng.uniform(0.42, 0.47)),
        arm_radius=limb * 0.85,
        hand=limb * (rng.uniform(1.1, 1.6) if big else rng.uniform(0.9, 1.1)),
        leg=rest * leg_share,
        leg_radius=limb * rng.uniform(1.1, 1.4),
        foot=limb * (rng.uniform(1.3, 1.8) if big else rng.uniform(1.25, 1.5)),
    )


def make_name(rng: np.random.Generator) -> str:
    """A pronounceable made-up name of two or three syllables."""
    heads, tails = (
        ("ka", "mi", "ro", "lu", "ta", "zen", "bo", "fi", "nor", "vel", "ash", "gri"),
        ("ra", "lin", "to", "ven", "mo", "sha", "dor", "nia"),
    )
    middle = rng.choice(("", "", "li", "ma", "re"))
    return str(rng.choice(heads)) + str(middle) + str(rng.choice(tails))


def sample_character(seed: int) -> Character:
    """The character of one seed; the same seed is always the same character."""
    rng = np.random.default_rng([seed, 101])

    def pick(options: Iterable[str], p: Sequence[float] | None = None) -> str:
        return str(rng.choice(list(options), p=p))

    kind = pick(BODIES, (0.16, 0.2, 0.24, 0.4))
    outfit, headgear = pick(OUTFITS), "none" if rng.random() < 0.45 else pick(HEADGEAR[1:])
    metal = headgear in ("helmet", "horned_helmet", "crown")
    detail = float(rng.uniform(0.5, 0.8) if kind == "stocky" else rng.uniform(0.75, 1.15))
    return Character(
        seed=seed,
        name=make_name(rng),
        kind=kind,
        body=sample_body(kind, rng),
        detail=detail,
        flat=bool(rng.random() < (0.45 if kind == "stocky" else 0.12)),
        skin=SKINS[rng.integers(len(SKINS))],
        eye_style=pick(("dot", "tall_dot", "round", "anime"), (0.3, 0.25, 0.2, 0.25)),
        eye_colour=EYE_COLOURS[rng.integers(len(EYE_COLOURS))],
        nose=pick(("none", "small", "big", "long")),
        beard=pick(("none", "short", "long", "moustache"), (0.74, 0.1, 0.1, 0.06)),
        glasses=bool(rng.random() < 0.08),
        hair_style=pick(HAIRSTYLES, (0.15, 0.15, 0.18, 0.12, 0.08, 0.08, 0.1, 0.04, 0.05, 0.05)),
        hair_colour=pick(HAIR_COLOURS),
        headgear=headgear,
        headgear_colour=pick(METAL_COLOURS if metal else CLOTH_COLOURS),
        outfit=outfit,
        outfit_colour=pick(METAL_COLOURS if outfit == "armour" else CLOTH_COLOURS),
        second_colour=pick(CLOTH_COLOURS),
        accent_colour=pick(CLOTH_COLOURS),
        shoes="greaves" if outfit == "armour" and rng.random() < 0.6 else pick(SHOES[:4], (0.4, 0.3, 0.15, 0.15)),
        shoes_colour=pick(CLOTH_COLOURS),
        cape=bool(rng.random() < 0.33),
        cape_colour=pick(CLOTH_COLOURS),
        backpack=bool(rng.random() < 0.12),
        scarf=bool(rng.random() < 0.2),
        belt=bool(rng.random() < 0.6),
        emblem=bool(rng.random() < 0.3),
        gloves=bool(rng.random() < 0.35),
        prop="none" if rng.random() < 0.35 else pick(PROPS[1:]),
        prop_hand=pick(("left", "right")),
    )
