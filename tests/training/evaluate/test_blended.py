"""Two characters in one LoRA: whose words they are, and that separate ones are told from blended ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import toys
from PIL import Image

from training.evaluate import blended as module
from training.evaluate.blended import blended, concepts
from training.evaluate.drawing import DrawnPicture, Gallery, Place
from training.evaluate.rows import Rows
from training.evaluate.seen import Seen
from training.evaluate.sets import EvaluationSets, Material, Prompt

COLOURS = {"anna": (200, 40, 60), "mira": (40, 70, 210)}
MIXED = tuple((a + b) // 2 for a, b in zip(*COLOURS.values(), strict=True))
SETTINGS = toys.QUICK.model_copy(update={"seeds": 3})


def picture(colour: tuple[int, ...], seed: int) -> Image.Image:
    """A plane of a colour, with some noise."""
    noise = np.random.default_rng(seed).normal(0, 25, (16, 16, 3))
    return Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


def material(n: int = 6, *, captions: bool = True, folders: tuple[str, str] = ("10_anna", "5_mira")) -> Material:
    """`n` pictures of each, two of a moment."""
    pictures, names, said, groups = [], [], [], []
    for folder, word in zip(folders, COLOURS, strict=True):
        for i in range(n):
            pictures.append(picture(COLOURS[word], len(pictures)))
            names.append(f"{folder}/{i}.png")
            said.append(f"{word}, smile" if captions else "smile")
            groups.append(f"{word} {i // 2}")
    unique = tuple(map(str, range(len(names))))
    views = ("",) * len(names)
    return Material(tuple(pictures), (), tuple(said), tuple(groups), unique, views, tuple(names), ())


def test_two_kohya_folders_with_words_of_their_own_are_two_characters() -> None:
    assert concepts(material()) == ("anna", "mira")
    assert concepts(material(folders=("3_anna girl", "4_mira girl"))) == ("anna", "mira")


@pytest.mark.parametrize(
    ("captions", "folders"),
    [
        (False, ("10_anna", "5_mira")),  # nobody says the words
        (True, ("10_anna", "5_anna")),  # one character in two folders
        (True, ("anna", "mira")),  # no kohya folders
        (True, ("10_smile", "5_mira")),  # a word that both say
    ],
)
def test_anything_else_is_not(captions: bool, folders: tuple[str, str]) -> None:
    assert concepts(material(captions=captions, folders=folders)) is None


def seen_with(monkeypatch: pytest.MonkeyPatch, drawn: dict[str, tuple[int, ...]], **sets: Any) -> Seen:
    """A LoRA that draws a plane of `drawn[word]` for every prompt that begins with the word."""
    prompts = tuple(Prompt(f"anna, {words}", "subject") for words in ("full body", "smile", "hat"))

    def gallery(places: dict[Place, int], trigger: str) -> Gallery:
        return Gallery(
            DrawnPicture(picture(drawn[place.text(trigger).split(",")[0]], 100 * number + seed), place, "", seed)
            for number, (place, seeds) in enumerate(places.items())
            for seed in range(seeds)
        )

    monkeypatch.setattr(module, "draw", lambda base, adapter, places, of, settings, how: gallery(places, of.trigger))
    given = {"train": material(), "held_out": {}, "trigger": "anna", "concepts": ("anna", "mira")} | sets
    own = EvaluationSets(prior=None, prompts=prompts, **given)
    return Seen(gallery({Place(p, SETTINGS.weight): 3 for p in prompts}, "anna"), own, toys.Toy(), None, None)


def found(seen: Seen, rows: Rows) -> Any:
    return blended(None, None, seen, (SETTINGS, None), rows)  # type: ignore[arg-type] - nothing is drawn


def test_characters_that_stay_themselves_are_not_blended(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows()
    result = found(seen_with(monkeypatch, COLOURS), rows)
    assert result.words == ("anna", "mira")
    assert result.found.first.value == pytest.approx(0, abs=0.05)
    assert result.found.second.value == pytest.approx(0, abs=0.05)
    assert result.found.first.n == 3
    assert rows.frame()["measure"].to_list() == ["blend.towards", "blend.towards", "blend.apart"]
    assert '"to": "train"' in rows.frame()["settings"][0]


def test_one_face_for_both_is_half_way_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    result = found(seen_with(monkeypatch, dict.fromkeys(COLOURS, MIXED)), Rows())
    assert result.found.first.above(0.25)
    assert result.found.first.value + result.found.second.value == pytest.approx(1, abs=0.1)
    assert result.found.apart == pytest.approx(0, abs=0.1)


def test_held_out_pictures_of_both_are_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows()
    found(seen_with(monkeypatch, COLOURS, held_out={"held_out": material(4)}), rows)
    assert '"to": "held_out"' in rows.frame()["settings"][0]


def test_too_few_pictures_of_one_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows()
    assert found(seen_with(monkeypatch, COLOURS, train=material(2)), rows) is None
    assert "2 moments of each" in rows.notes[0]
    assert found(seen_with(monkeypatch, COLOURS, concepts=()), rows) is None
    assert len(rows.notes) == 1


def test_another_trigger_is_put_in_the_words_place() -> None:
    assert module._named("hero, full body, superhero", "hero", "mira") == "mira, full body, superhero"
    assert module._named("full body", "", "mira") == "mira, full body"


def test_a_word_of_several_tags_is_held_where_all_of_them_are() -> None:
    assert module._holds("anna, smile, Red Coat", "anna, red coat")
    assert not module._holds("anna, smile, blue coat", "anna, red coat")
    assert not module._holds("joanna, red coat", "anna, red coat")
