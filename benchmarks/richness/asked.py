"""What every LoRA of the ladder is asked to draw, the same for all characters, so that the base draws it once.

Not for judging the pictures: that is `truth.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.toonworld import captions, prompts
from benchmarks.toonworld.camera import side_of
from training.evaluate.sets import Prompt

TRIGGER = "zorvex"
BOUND_WEIGHT = 0.5  # of the bound tag, in the prompt
VIEWS = (  # framing, azimuth
    ("full_body", 0.0),
    ("full_body", 180.0),
    ("half_body", 90.0),
    ("headshot", 50.0),
    ("headshot", 180.0),
    ("detail", 0.0),
)
NOVEL = (  # framing, side, what else
    ("full_body", "front", {"background": "green horizon"}),
    ("half_body", "side", {"background": "pink horizon"}),
    ("half_body", "three_quarter", {"outfit": "red dress"}),
    ("full_body", "front", {"outfit": "blue coat"}),
)
UNRELATED = (
    ("full_body", "front", "green", "ponytail", "purple coat", "teal gradient"),
    ("half_body", "side", "black", "short", "white shirt_trousers", "white"),
    ("half_body", "three_quarter", "pink", "long", "red dress", "blue flat"),
    ("full_body", "back", "brown", "bob", "orange tunic", "yellow horizon"),
)

Looks = Mapping[str, str]


@dataclass(frozen=True)
class View:
    """A view that is asked for, and the looks of the character that it shows.

    Attributes:
        framing, side: Labels.
        looks: Attribute → label.
    """

    framing: str
    side: str
    looks: Looks

    @property
    def label(self) -> str:
        """As in `Item.view`."""
        return f"{self.framing}/{self.side}"


def views(looks: Mapping[tuple[str, float], Looks] | None = None) -> list[View]:
    """The views of `VIEWS`, with the looks that each shows."""
    return [View(framing, side_of(azimuth), (looks or {}).get((framing, azimuth), {})) for framing, azimuth in VIEWS]


def subject(shown: list[View], word: str = TRIGGER) -> list[Prompt]:
    """The character in each view. Nothing is asked of its shoes: the base has never drawn a detail, so that a set that
    shows some could only gain control, whatever else it loses.
    """
    found = []
    for view in shown:
        words = _words(view.framing, view.side)
        asked = {} if view.framing == "detail" else {"framing": view.framing, "side": view.side}
        found.append(
            Prompt(
                text=f"{word}, {words}",
                kind="subject",
                shows={**view.looks, **asked},
                asks=tuple(asked),
                view=view.label,
                bare=words,
            )
        )
    return found


def novel(own: Looks) -> list[Prompt]:
    """The character before backgrounds and in outfits that no training picture shows; `own` looks are not novel."""
    found = []
    for framing, side, more in NOVEL:
        asked = {"framing": framing, "side": side, **_split(more)}
        asked = {name: label for name, label in asked.items() if own.get(name) != label}
        words = [_words(framing, side), *(_phrase(slot, value) for slot, value in more.items())]
        text = f"{TRIGGER}, {', '.join(words)}"
        found.append(Prompt(text=text, kind="novel", shows=asked, asks=tuple(asked)))
    return found


def unrelated() -> list[Prompt]:
    """Others, without the trigger."""
    found = []
    for framing, side, hair, style, outfit, background in UNRELATED:
        values = {"hair_colour": hair, "hair_style": style, "outfit": outfit, "background": background}
        asked = {"framing": framing, "side": side, **_split(values)}
        said = [_words(framing, side), *(_phrase(slot, value) for slot, value in values.items())]
        found.append(Prompt(text=", ".join(said), kind="unrelated", shows=asked, asks=tuple(asked)))
    return found


def second(shown: list[View], word: str) -> list[Prompt]:
    """The second form in each view; as novel prompts, so that it is not taken for the subject."""
    return [
        Prompt(text=prompt.text, kind="novel", shows=prompt.shows, asks=prompt.asks) for prompt in subject(shown, word)
    ]


def bound(tag: str) -> list[Prompt]:
    """The unrelated prompts with a tag before them, in full and at `BOUND_WEIGHT`."""
    return [
        Prompt(text=f"{said}, {prompt.text}", kind="unrelated")
        for prompt in unrelated()
        for said in (tag, f"({tag}:{BOUND_WEIGHT:g})")
    ]


def _words(framing: str, side: str) -> str:
    shown = "shoes" if framing == "detail" else framing
    return f"{captions.phrase('side', side, None)}, {captions.phrase('framing', shown, None)}"


def _phrase(slot: str, value: str) -> str:
    """In the plainest words; backgrounds with their colour."""
    if slot != "background":
        return captions.phrase(slot, value, None)
    colour, _, kind = value.rpartition(" ")
    return prompts.before(colour, captions.phrase(slot, kind, None))


def _split(values: Mapping[str, str]) -> dict[str, str]:
    """Outfits as colour and kind; backgrounds by kind alone, which is what is judged."""
    found = {name: value for name, value in values.items() if name != "outfit"}
    if "background" in values:
        found["background"] = values["background"].split()[-1]
    if "outfit" in values:
        found["outfit_colour"], found["outfit_kind"] = values["outfit"].split(" ", 1)
    return found
