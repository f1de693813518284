"""Who the ladder is about: toon characters that nobody trained on, an artist's models, and one way to draw both.

Not for what is drawn of them: that is `pool.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.toonworld import captions, glb, judged, prompts, render, visible
from benchmarks.toonworld.camera import Shot
from benchmarks.toonworld.character import CLOTH_COLOURS, HAIR_COLOURS, Character, sample_character
from benchmarks.toonworld.poses import POSES
from benchmarks.toonworld.scene import Picture, Renderer

SEED = 77
OTHERS_SEED = 78  # of related, unrelated and style pictures
TOONS = (0, 1, 3, 10, 12, 17, 19, 21)  # what `first_admitted` finds; a test looks again
KAYKIT = ("Barbarian", "Knight", "Rogue")
MODELS = Path(__file__).resolve().parents[3] / "shared" / "data" / "kaykit_models"
# Whom the base and the judges were made with: world, seed, count (fewer were rendered).
SEEN = (("all", 11, 20_000), ("all", 12, 20_000), ("plain", 21, 5_000), ("figures", 31, 10_000))
LOOKS = ("hair_colour", "hair_style", "outfit_colour", "outfit_kind", "shoes_colour", "shoes_kind")

Combination = tuple[str, ...]


class Subject(Protocol):
    """Whoever can be drawn.

    Attributes:
        name: Of its folder and its rows.
        looks: Attribute → label in the judges' words; empty where no labels are known.
    """

    name: str
    looks: dict[str, str]

    def still(self, shot: Shot) -> Shot:
        """`shot` in the pose of monotonous sets; its phase stays."""
        ...

    def moving(self, renderer: Renderer, shot: Shot, key: Sequence[int]) -> Shot:
        """`shot` in a random pose that lets one see what it is framed on."""
        ...

    def draw(self, renderer: Renderer, shot: Shot) -> Picture:
        """RGB uint8 [size, size, 3]."""
        ...

    def caption(self, shot: Shot) -> list[str]:
        """What a caption says, without trigger and without looks."""
        ...

    def shown(self, renderer: Renderer, framing: str, azimuth: float) -> dict[str, str]:
        """The looks that a picture at rest shows in a view, in the judges' words; none where they are not known."""
        ...


class Toon:
    """A character of the toon world."""

    def __init__(self, person: Character) -> None:
        self.person, self.name = person, f"toon{person.seed % render.SEED_STRIDE:03d}"
        self.looks = dict(zip(LOOKS, _looks(person), strict=True))

    def still(self, shot: Shot) -> Shot:
        """Standing."""
        return replace(shot, pose="standing", pose_seed=0)

    def moving(self, renderer: Renderer, shot: Shot, key: Sequence[int]) -> Shot:
        """Any pose shows what it should."""
        rng = np.random.default_rng([*key, 921])
        return replace(shot, pose=str(rng.choice(POSES)), phase=float(rng.random()), pose_seed=int(rng.integers(2**31)))

    def draw(self, renderer: Renderer, shot: Shot) -> Picture:
        """See `render.draw_picture`."""
        return render.draw_picture(renderer, self.person, shot)

    def caption(self, shot: Shot) -> list[str]:
        """Side, framing, expression, pose, background, in the plainest words."""
        values = captions.visible_values(render.label_row(self.person, shot, ""))
        slots = ("side", "framing", "expression", "pose", "background")
        return _said({slot: values[slot] for slot in slots if slot in values}, shot)

    def shown(self, renderer: Renderer, framing: str, azimuth: float) -> dict[str, str]:
        """See `judged.truths`."""
        shot = self.still(replace(render.sample_shot(0, 0), framing=framing, azimuth=azimuth, elevation=8.0, zoom=0.2))
        shot = replace(shot, focus="shoes", style="shaded", phase=0.0, shift_y=0.6)
        shares = visible.shares(renderer, self.person, shot).astype(np.float32)
        truths = judged.truths(render.label_row(self.person, shot, ""), shares)
        return {name: label for name, label in truths.items() if name in LOOKS}


class KayKit:
    """One of the artist's models."""

    def __init__(self, file: Path) -> None:
        self._file, self.name = file, file.stem.lower()
        self.looks: dict[str, str] = {}
        self._model: glb.Model | None = None

    @property
    def model(self) -> glb.Model:
        """Read when it is first drawn."""
        if self._model is None:
            self._model = glb.Model(self._file)
        return self._model

    def still(self, shot: Shot) -> Shot:
        """Idle."""
        return replace(shot, pose="Idle", expression="neutral", mouth=0.0)

    def moving(self, renderer: Renderer, shot: Shot, key: Sequence[int]) -> Shot:
        """A random moment in which it stands and hides nothing; idle where none of `glb.TRIES` does."""
        rng = np.random.default_rng([*key, 922])
        shot = replace(shot, expression="neutral", mouth=0.0)
        for _ in range(glb.TRIES):
            tried = replace(shot, pose=str(rng.choice(self.model.animations)), phase=float(rng.random()))
            if glb.tells_the_truth(renderer, self.model, tried, "none"):
                return tried
        return self.still(shot)

    def draw(self, renderer: Renderer, shot: Shot) -> Picture:
        """See `glb.draw_picture`."""
        return glb.draw_picture(renderer, self.model, shot)

    def caption(self, shot: Shot) -> list[str]:
        """Side, framing, background: an animation has no word."""
        framing = "shoes" if shot.framing == "detail" else shot.framing
        values = {"side": shot.side, "framing": framing, "background": shot.background}
        return _said(values, shot)

    def shown(self, renderer: Renderer, framing: str, azimuth: float) -> dict[str, str]:
        """Nothing: its looks have no labels."""
        return {}


def _said(values: Mapping[str, str], shot: Shot) -> list[str]:
    """The plainest words of each slot; a background with its colour's name."""
    words = {slot: captions.phrase(slot, value, None) for slot, value in values.items()}
    return list((words | {"background": prompts.before(shot.backdrop, words["background"])}).values())


def second_form(person: Character) -> Character:
    """The same character with other colours of hair, outfit and shoes: half-way round each table."""
    hair, cloth = list(HAIR_COLOURS), list(CLOTH_COLOURS)
    return replace(
        person,
        hair_colour=hair[(hair.index(person.hair_colour) + len(hair) // 2) % len(hair)],
        outfit="robe" if person.outfit == "armour" else person.outfit,
        outfit_colour=_turned(person.outfit_colour, cloth),
        shoes_colour=_turned(person.shoes_colour, cloth),
    )


def toons() -> list[Toon]:
    """The ladder's toon characters."""
    return [Toon(sample_character(SEED * render.SEED_STRIDE + number)) for number in TOONS]


def first_admitted(count: int, seen: frozenset[Combination]) -> tuple[int, ...]:
    """The first `count` numbers of `SEED` that the protocol admits, given the combinations of looks that were seen."""
    found: list[int] = []
    number = 0
    while len(found) < count:
        person = sample_character(SEED * render.SEED_STRIDE + number)
        if admitted(person) and _looks(person) not in seen:
            found.append(number)
        number += 1
    return tuple(found)


def kaykit(folder: Path = MODELS) -> list[KayKit]:
    """The artist's models; none where the shared data are not there."""
    return [KayKit(folder / f"{name}.glb") for name in KAYKIT if (folder / f"{name}.glb").is_file()]


def everyone() -> list[Subject]:
    """All characters of the ladder, toon ones first."""
    return [*toons(), *kaykit()]


def admitted(person: Character) -> bool:
    """Whether hair and shoes can be judged."""
    return (
        person.hair_style != "bald" and person.headgear in ("none", "crown", "headband") and person.shoes != "greaves"
    )


def combinations_seen(most: int = max(count for *_, count in SEEN)) -> frozenset[Combination]:
    """Looks of the characters that the base or the judges were made with (`SEEN`), of each seed at `most` so many."""
    return frozenset(
        _looks(render.WORLDS[world][0](seed * render.SEED_STRIDE + number))
        for world, seed, count in SEEN
        for number in range(min(count, most))
    )


def _looks(person: Character) -> Combination:
    """Values of `LOOKS`."""
    return (
        person.hair_colour,
        person.hair_style,
        person.outfit_colour,
        person.outfit,
        person.shoes_colour,
        person.shoes,
    )


def _turned(colour: str, colours: list[str]) -> str:
    return colours[(colours.index(colour) + len(colours) // 2) % len(colours)]
