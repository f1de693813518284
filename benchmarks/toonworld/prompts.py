"""What the toon base is told about a picture, and prompts of combinations nobody rendered. Not the encoder's texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.toonworld import captions, character, plain, scene
from benchmarks.toonworld.camera import SIDES

CONTEXT = 48
ORDER = (
    "side",
    "framing",
    "hair_colour",
    "hair_style",
    "headgear",
    "outfit",
    "cape",
    "shoes",
    "expression",
    "pose",
    "prop",
    "background",
    "style",
)
UNSAID = {"side": 0.04, "framing": 0.04}
UNSAID_ELSE, PLAIN_SHARE, SHUFFLED_SHARE = 0.15, 0.6, 0.4
PIECES = 1200
JUDGED = ("framing", "side", "hair_colour", "outfit_colour", "background")


def caption(row: Mapping[str, object], rng: np.random.Generator) -> str:
    """A caption without the character's name, some parts left unsaid, often in the plainest words."""
    values = captions.visible_values(row)
    slots = [s for s in ORDER if s in values and rng.random() >= UNSAID.get(s, UNSAID_ELSE)]
    if rng.random() < SHUFFLED_SHARE:
        rng.shuffle(slots)
    parts = [captions.phrase(s, values[s], None if rng.random() < PLAIN_SHARE else rng) for s in slots]
    if "background" in slots and row.get("backdrop") and rng.random() >= UNSAID_ELSE:
        place = slots.index("background")
        parts[place] = before(str(row["backdrop"]), parts[place])
    return ", ".join(part for part in parts if part)


def before(colour: str, background: str) -> str:
    """The words of a background with its colour's name; white has none to add."""
    return f"{colour} {background}".strip()


@dataclass(frozen=True)
class Wanted:
    """A prompt and the attributes that it names."""

    prompt: str
    values: dict[str, str]


def sample_wanted(seed: int) -> Wanted:
    """A random combination of framing, side, hair, outfit and background, independent of any rendered character."""
    rng = np.random.default_rng([seed, 808])
    framing = str(rng.choice(plain.FRAMINGS))
    hair = str(rng.choice([style for style in character.HAIRSTYLES if style != "bald"]))
    outfit = str(rng.choice([o for o in character.OUTFITS if o != "armour"]))
    values = {
        "framing": framing,
        "side": str(rng.choice(SIDES)),
        "hair_colour": str(rng.choice(list(character.HAIR_COLOURS))),
        "hair_style": hair,
        "outfit": f"{rng.choice(list(character.CLOTH_COLOURS))} {outfit}",
        "background": str(rng.choice(list(plain.BACKGROUNDS))),
    }
    colour_behind = "" if values["background"] == "white" else str(rng.choice(list(scene.BACKDROPS)))
    *look, background = (captions.phrase(slot, values[slot], None) for slot in ORDER if slot in values)
    text = ", ".join([*look, before(colour_behind, background)])
    colour, kind = values["outfit"].split(" ", 1)
    return Wanted(text, {**values, "outfit_colour": colour, "outfit_kind": kind})


def build_tokenizer(texts: Sequence[str], folder: Path) -> int:
    """Learn a small byte-pair vocabulary and write a `CLIPTokenizer` (vocab.json, merges.txt); returns its size."""
    from tokenizers import Tokenizer, models, trainers
    from transformers import CLIPTokenizer

    plan = CLIPTokenizer().backend_tokenizer  # CLIP's own splitting, without its words
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = plan.normalizer, plan.pre_tokenizer
    letters = sorted(set(chr(code) for code in range(33, 127)))
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator([*texts, *letters * 5], trainer)
    state = _parts(tokenizer)
    vocabulary = {piece: number for number, piece in enumerate(state[0])}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    made = CLIPTokenizer(vocab=vocabulary, merges=state[1], model_max_length=CONTEXT)
    made.save_pretrained(folder)
    return len(vocabulary)


def _parts(tokenizer: object) -> tuple[list[str], list[tuple[str, str]]]:
    """Pieces in order of their numbers, and merges."""
    import json

    model = json.loads(tokenizer.to_str())["model"]  # type: ignore[attr-defined]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    return sorted(model["vocab"], key=model["vocab"].get), merges
