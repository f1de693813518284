"""Captions in booru tags and simple English, made from labels: every phrase states one label, so its truth is known
for every picture.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Row = Mapping[str, object]

FRAMING_WORDS: dict[str, tuple[str, ...]] = {
    "headshot": (
        "portrait",
        "headshot",
        "face close-up",
        "close-up",
        "close up of the face",
        "head shot",
        "face",
        "bust",
        "a close-up of a head",
    ),
    "half_body": (
        "upper body",
        "half body",
        "cowboy shot",
        "half-length",
        "waist up",
        "medium shot",
        "half body shot",
        "from the waist up",
    ),
    "full_body": (
        "full body",
        "full shot",
        "full-body",
        "whole body",
        "head to toe",
        "full length",
        "wide shot",
        "whole figure",
    ),
    "shoes": (
        "shoes",
        "feet close-up",
        "shoes close-up",
        "close-up of the shoes",
        "feet",
        "lower body",
        "legs and feet",
        "footwear",
        "a pair of shoes",
        "close-up of the feet",
        "detail of the shoes",
        "boots close-up",
    ),
    "hand": ("hand close-up", "close-up of a hand", "hand", "hand focus", "detail of a hand"),
}
DETAIL_WORDS = ("detail", "detail shot", "detail view")
SIDE_WORDS: dict[str, tuple[str, ...]] = {
    "front": (
        "from front",
        "front view",
        "facing viewer",
        "seen from the front",
        "from the front",
        "front",
        "facing forward",
        "looking at viewer",
    ),
    "three_quarter": (
        "three-quarter view",
        "three quarter view",
        "from a three-quarter angle",
        "3/4 view",
        "half turned",
        "angled view",
    ),
    "side": ("from side", "profile", "side view", "from the side", "seen from the side", "in profile"),
    "back_three_quarter": (
        "back three-quarter view",
        "from behind at an angle",
        "three-quarter back view",
        "3/4 back view",
        "half turned away",
        "three-quarter view from behind",
    ),
    "back": (
        "from behind",
        "back view",
        "seen from the back",
        "from the back",
        "back",
        "rear view",
        "facing away",
        "seen from behind",
    ),
}
POSE_WORDS: dict[str, tuple[str, ...]] = {
    "standing": ("standing", "idle", "standing still"),
    "walking": ("walking", "walk"),
    "running": ("running", "run"),
    "arms_up": ("arms up", "cheering", "hands raised"),
    "waving": ("waving", "one hand raised"),
    "hands_on_hips": ("hands on hips",),
    "sitting": ("sitting", "seated"),
    "crouching": ("crouching", "squatting"),
    "jumping": ("jumping", "in the air"),
    "slashing": ("attacking", "swinging"),
    "pointing": ("pointing",),
    "fighting": ("fighting stance", "guard stance"),
    "casting": ("casting a spell", "reaching out"),
    "arms_out": ("outstretched arms", "t-pose", "arms out"),
}
BACKGROUND_WORDS: dict[str, tuple[str, ...]] = {
    "flat": ("flat background", "simple background", "plain background", "single colour background"),
    "white": ("white background", "cut-out on white", "plain white background"),
    "gradient": ("gradient background", "smooth background"),
    "noise": ("blurry background", "noise background", "colourful background", "noise texture background"),
    "horizon": ("horizon background", "horizon", "ground and sky"),
    "outdoors": ("outdoors", "landscape", "trees and hills"),
    "indoors": ("indoors", "in a room", "room"),
    "pattern": ("patterned background", "pattern", "stripes and dots background"),
}
STYLE_WORDS: dict[str, tuple[str, ...]] = {
    "shaded": ("soft shading", "shaded"),
    "cel": ("cel shading", "toon shading"),
    "outline": ("line art", "black outlines"),
    "flat": ("flat colors", "flat color"),
}
EXPRESSION_WORDS: dict[str, tuple[str, ...]] = {
    "neutral": ("neutral expression", "expressionless", "calm face"),
    "smile": ("smile", "smiling", "happy"),
    "open_mouth": ("open mouth", "talking"),
    "sad": ("sad", "frown"),
    "angry": ("angry", "angry face"),
    "surprised": ("surprised", "wide eyes"),
}
HAIR_WORDS: dict[str, tuple[str, ...]] = {
    "short": ("short hair",),
    "bob": ("bob cut", "bob hair"),
    "long": ("long hair",),
    "ponytail": ("ponytail",),
    "twintails": ("twintails", "pigtails"),
    "bun": ("hair bun",),
    "spiky": ("spiky hair",),
    "mohawk": ("mohawk",),
    "afro": ("afro", "curly hair"),
    "bald": ("bald", "no hair"),
}
HEADGEAR_WORDS: dict[str, tuple[str, ...]] = {
    "hood": ("hood", "wearing a hood"),
    "helmet": ("helmet", "wearing a helmet"),
    "wizard_hat": ("wizard hat", "witch hat", "pointed hat"),
    "brim_hat": ("hat", "brimmed hat"),
    "cap": ("cap", "baseball cap"),
    "beanie": ("beanie", "knit hat"),
    "animal_hat": ("animal hat", "animal ears"),
    "crown": ("crown", "wearing a crown"),
    "headband": ("headband",),
    "horned_helmet": ("horned helmet", "viking helmet"),
}
OUTFIT_WORDS: dict[str, tuple[str, ...]] = {
    "shirt_trousers": ("shirt", "shirt and trousers"),
    "dress": ("dress",),
    "robe": ("robe", "long robe"),
    "armour": ("armour", "armor"),
    "coat": ("coat", "long coat"),
    "tunic": ("tunic",),
    "skirt": ("skirt", "shirt and skirt"),
}
SHOE_WORDS: dict[str, tuple[str, ...]] = {
    "boots": ("boots",),
    "sneakers": ("sneakers", "trainers"),
    "sandals": ("sandals",),
    "heels": ("high heels", "heels"),
    "greaves": ("armoured boots", "metal boots"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "blonde": ("blonde", "yellow"),
    "grey": ("grey", "gray"),
    "brown": ("brown",),
    "red": ("red",),
    "purple": ("purple", "violet"),
    "teal": ("teal", "cyan"),
}
FILLERS = (
    "a picture",
    "a picture of a character",
    "a drawing",
    "1girl",
    "1boy",
    "solo",
    "a 3d render",
    "a cartoon character",
    "a toon character",
    "game character",
    "masterpiece",
    "best quality",
    "a photo of a character",
    "a character",
    "an image",
    "a person",
    "low poly",
    "illustration",
)
TEMPLATES = (
    "{}",
    "{}",
    "a picture {}",
    "a picture of {}",
    "a character, {}",
    "a toon character, {}",
    "a photo of {}",
    "{} of a character",
    "a drawing, {}",
    "1girl, {}",
    "solo, {}",
    "{}, solo",
    "an image, {}",
    "a {} picture",
    "a {}",
)


SAYINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "framing": FRAMING_WORDS,
    "detail": {"detail": DETAIL_WORDS},
    "side": SIDE_WORDS,
    "pose": POSE_WORDS,
    "background": BACKGROUND_WORDS,
    "expression": EXPRESSION_WORDS,
    "hair_style": HAIR_WORDS,
    "style": STYLE_WORDS,
}
NOUNS: dict[str, dict[str, tuple[str, ...]]] = {
    "outfit": OUTFIT_WORDS,
    "shoes": SHOE_WORDS,
    "headgear": HEADGEAR_WORDS,
    "cape": {"cape": ("cape", "cloak")},
}


def one_of(words: tuple[str, ...], rng: np.random.Generator | None) -> str:
    """A random synonym; the plainest, which is the first, without a generator."""
    return words[int(rng.integers(len(words)))] if rng is not None else words[0]


def colour_word(name: str, rng: np.random.Generator | None) -> str:
    """A word for a colour name."""
    return one_of(COLOUR_WORDS.get(name, (name,)), rng)


def framing_value(row: Row) -> str:
    """The framing label, details told apart: ``shoes`` or ``hand``."""
    if row["framing"] != "detail":
        return str(row["framing"])
    return "shoes" if row["focus"] == "shoes" else "hand"


def visible_values(row: Row) -> dict[str, str]:
    """What can be said of a picture: slot -> value, only for what its framing and side let one see."""
    framing, front = framing_value(row), row["side"] in ("front", "three_quarter", "side")
    values = {"framing": framing, "side": str(row["side"]), "background": str(row["background"])}
    if "style" in row:
        values["style"] = str(row["style"])
    if row["framing"] == "detail":
        values["detail"] = "detail"
    if framing != "hand":
        values["outfit"] = f"{row['outfit_colour']} {row['outfit']}"
    if framing in ("headshot", "half_body", "full_body"):
        bare = row["headgear"] in ("none", "crown", "headband")
        values["hair_style"] = str(row["hair_style"])
        if row["hair_style"] != "bald":
            values["hair_colour"] = str(row["hair_colour"])
        if not bare and row["hair_style"] in ("short", "spiky", "afro", "bun", "mohawk", "bald"):
            values.pop("hair_style")
        values["headgear"] = "none" if row["headgear"] == "none" else f"{row['headgear_colour']} {row['headgear']}"
        values["name"] = str(row["name"])
        if front and framing != "full_body":
            values["expression"] = str(row["expression"])
    if framing in ("full_body", "shoes"):
        values["shoes"] = f"{row['shoes_colour']} {row['shoes']}"
    if framing in ("full_body", "half_body"):
        values["pose"] = str(row["pose"])
        values["cape"] = f"{row['cape_colour']} cape" if row["cape"] else "none"
        values["prop"] = str(row["prop"])
    return values


def phrase(slot: str, value: str, rng: np.random.Generator | None) -> str:
    """Words for one slot's value; an empty string where the value is best left unsaid ("none")."""
    if value == "none":
        return ""
    if slot in SAYINGS:
        return one_of(SAYINGS[slot][value], rng)
    if slot in ("name", "hair_colour"):
        return value if slot == "name" else f"{colour_word(value, rng)} hair"
    if slot == "prop":
        return one_of((value, f"holding a {value}", f"{value} in hand"), rng)
    colour, thing = value.split(" ", 1)
    noun = one_of(NOUNS[slot][thing], rng)
    if noun.startswith("wearing a "):
        return f"wearing a {colour_word(colour, rng)} {noun.removeprefix('wearing a ')}"
    return f"{colour_word(colour, rng)} {noun}"


def full_caption(row: Row, rng: np.random.Generator) -> str:
    """A booru-style caption with everything visible: name, side, framing, hair, clothes, pose, background."""
    values = visible_values(row)
    order = (
        "name",
        "side",
        "framing",
        "expression",
        "hair_colour",
        "hair_style",
        "headgear",
        "outfit",
        "cape",
        "shoes",
        "pose",
        "prop",
        "background",
        "style",
    )
    parts = [phrase(slot, values[slot], rng) for slot in order if slot in values]
    return ", ".join(part for part in parts if part)


def partial_caption(values: Mapping[str, str], rng: np.random.Generator) -> tuple[str, dict[str, str]]:
    """A caption of a random subset of ``values`` (often a single one) and the subset it states."""
    slots = [slot for slot in values if values[slot] != "none"]
    count = int(rng.choice((1, 1, 2, 2, 3, 4, 6, 9)))
    weights = np.array([4.0 if slot in ("framing", "side") else 1.0 for slot in slots])
    chosen = list(rng.choice(slots, size=min(count, len(slots)), replace=False, p=weights / weights.sum()))
    text = ", ".join(phrase(slot, values[slot], rng) for slot in chosen)
    return dress(text, rng), {slot: values[slot] for slot in chosen}


def dress(text: str, rng: np.random.Generator) -> str:
    """The phrase inside a template, sometimes with meaningless filler words around it."""
    if rng.random() < 0.25:
        text = f"{one_of(FILLERS, rng)}, {text}"
    return one_of(TEMPLATES, rng).format(text)
