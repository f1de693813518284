"""The prompts of an evaluation: subject in views, novel combinations, unrelated scenes from a TOML file; captions.

Not for keyword weights (`training.prompts`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from diversity.captions import normal_tag, parse
from diversity.config import Section
from diversity.errors import ConfigError
from diversity.taxonomy import words
from training import keyed
from training.evaluate.sets import Material, Prompt
from training.prompts import literal

FILE = Path(__file__).parents[1] / "assets" / "evaluation_prompts.toml"
LEAST = 3  # novel prompts that are kept even where captions hold their words


class Line(Section):
    """One prompt of the file."""

    words: str = Field(min_length=1, description="what follows the trigger word")
    view: str = Field("", description="framing, or framing/side, that fidelity is told by")
    new: str = Field("", description="what no training picture should show")
    shows: dict[str, str] = Field(default_factory=dict, description="attribute → label, as the toon judges say it")


class Bank(Section):
    """One table of the file."""

    subject: tuple[Line, ...] = ()
    novel: tuple[Line, ...] = ()
    unrelated: tuple[Line, ...] = ()


def read(file: Path | None = None, *, toon: bool = False) -> Bank:
    """The prompts for the toon base, or for any other one.

    A file of one's own may hold the keys without a table.

    Raises:
        ConfigError: it cannot be read or understood.
    """
    file = file or FILE
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        return Bank.model_validate(found.get("toon" if toon else "general", found))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read.", f"{error.strerror or error}.", "Check --prompts.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML.", f"{error}.", "Mend the file.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"'{where}' of {file.name} cannot be used.", f"{first['msg']}.", "Mend the file.") from None


def prompts(
    bank: Bank,
    trigger: str,
    captions: Sequence[str] = (),
    *,
    class_word: str = "",
    looks: Mapping[str, str] | None = None,
) -> tuple[Prompt, ...]:
    """The prompts to draw.

    Args:
        bank: Of the file.
        trigger: Word that stands for the subject; "" where there is none: then no prompt goes without it.
        captions: Of the training pictures; novel prompts that they hold already are left out, but for the first three.
        class_word: Stands in the trigger's place where the trigger is left out, as in "woman".
        looks: Attribute → label of the subject's own looks, where they are known; only in pictures that show them.
    """
    found = []
    for line in bank.subject:
        shows = {**_visible(looks or {}, line.shows.get("framing")), **line.shows}
        bare = _joined(class_word, line.words) if trigger else ""
        found.append(Prompt(_joined(trigger, line.words), "subject", shows, tuple(line.shows), line.view, bare))
    said = {words(tag) for caption in captions for tag in (*parse(caption).tags, *map(normal_tag, caption.split(",")))}
    fresh = [line for line in bank.novel if not line.new or words(line.new) not in said]
    for line in fresh if len(fresh) >= LEAST else bank.novel[:LEAST]:
        plain = _joined(class_word, line.words)
        named = {**_visible(looks or {}, line.shows.get("framing")), **line.shows}
        found.append(Prompt(_joined(trigger, line.words), "novel", named, tuple(line.shows), words=plain))
    found += [
        Prompt(line.words, "unrelated", line.shows, tuple(line.shows), words=line.words) for line in bank.unrelated
    ]
    return tuple(found)


def of_captions(train: Material, pictures: int, seed: int) -> dict[Prompt, int]:
    """Prompts that are captions of training pictures, each with its number of seeds; where copies are likeliest.

    Copies are looked for there in the literature (Carlini et al. 2023, 2301.13188; Somepalli et al. 2023, 2212.03860
    and 2305.20086). Every group of near-copies gives one caption, no caption comes twice, and a sample of them is
    taken that depends on seed and captions alone. Where there are fewer captions than pictures, seeds fill up.

    Args:
        train: Pictures that were trained on, with the captions that the text encoder read.
        pictures: How many pictures the seeds add up to; none where no picture has a caption.
        seed: Of the sample.
    """
    first: dict[str, str] = {}
    for row in sorted(range(len(train)), key=lambda row: train.contents[row]):
        if train.captions[row]:
            first.setdefault(train.groups[row], train.captions[row])
    captions = sorted(set(first.values()), key=lambda caption: keyed.number("caption", seed, caption))[:pictures]
    return {
        Prompt(literal(caption), "caption"): (pictures - turn - 1) // len(captions) + 1
        for turn, caption in enumerate(captions)
    }


SHOWN_IN = {  # framings in which a look can be seen; as the toon judges are asked
    "hair_colour": ("headshot", "half_body", "full_body"),
    "hair_style": ("headshot", "half_body", "full_body"),
    "outfit_kind": ("half_body", "full_body"),
    "outfit_colour": ("half_body", "full_body"),
    "shoes_kind": ("full_body", "detail"),
    "shoes_colour": ("full_body", "detail"),
}


def _visible(looks: Mapping[str, str], framing: str | None) -> dict[str, str]:
    return {name: label for name, label in looks.items() if framing in SHOWN_IN.get(name, ())}


def _joined(first: str, rest: str) -> str:
    return f"{first}, {rest}" if first else rest
