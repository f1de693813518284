"""Captions: the trigger first, kept tags kept, the rest fairly shuffled and dropped."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity import taxonomy
from diversity.captions import Matcher
from training.captions import Captions
from training.config import CaptionConfig

WORDS = ("hat", "shoes", "smile", "dress", "boots", "cape", "sword", "belt", "scarf", "gloves")
words = st.lists(st.sampled_from(WORDS), unique=True)


def rules(**changes: object) -> CaptionConfig:
    return CaptionConfig.model_validate({"dropout": 0.0, "variants": 0, **changes})


@settings(max_examples=60, deadline=None)
@given(words, st.integers(0, 4), st.integers(0, 1000), st.sampled_from([0, 4]))
def test_the_trigger_is_first_and_kept_tags_are_never_moved_or_dropped(
    tags: list[str], keep: int, step: int, variants: int
) -> None:
    captions = Captions(rules(trigger="mira", keep_tokens=keep, tag_dropout=0.5, variants=variants))
    texts = captions.texts(", ".join(tags))
    drawn = captions.draw(texts, "picture", 0, step, 0).split(", ")
    assert drawn[0] == "mira"
    assert drawn[1 : 1 + keep] == tags[:keep]
    assert set(drawn[1:]) <= set(tags)
    assert len(set(drawn)) == len(drawn)


def test_shuffling_is_uniform() -> None:
    """χ² over the 24 orders of 4 tags: 23 degrees of freedom, 4 standard deviations."""
    captions = Captions(rules())
    texts = captions.texts("hat, shoes, smile, dress")
    orders = Counter(captions.draw(texts, "p", 0, step, 0) for step in range(2400))
    assert len(orders) == 24
    assert sum((n - 100) ** 2 / 100 for n in orders.values()) < 23 + 4 * 46**0.5


@pytest.mark.parametrize(("field", "rate"), [("dropout", 0.1), ("tag_dropout", 0.3)])
def test_dropout_rates_are_the_asked_ones(field: str, rate: float) -> None:
    captions = Captions(rules(**{field: rate, "shuffle": False}))
    texts = captions.texts("hat")
    dropped = sum(captions.draw(texts, "p", 0, step, 0) == "" for step in range(3000))
    assert abs(dropped - 3000 * rate) < 4 * (3000 * rate * (1 - rate)) ** 0.5


def test_a_drawn_text_depends_on_its_exposure_and_on_nothing_else() -> None:
    captions, texts = Captions(rules()), Captions(rules()).texts("hat, shoes, smile, dress, cape, boots")
    assert captions.draw(texts, "p", 3, 5, 1) == Captions(rules()).draw(texts, "p", 3, 5, 1)
    drawn = {captions.draw(texts, "p", 3, step, sample) for step in range(5) for sample in range(2)}
    assert len(drawn) > 5


def test_with_variants_every_drawn_text_is_among_the_few_that_are_cached() -> None:
    captions = Captions(rules(variants=3, dropout=0.2, tag_dropout=0.2))
    texts = captions.texts("hat, shoes, smile, dress, cape")
    known = captions.all_texts(texts, "p")
    assert len(known) <= 4
    assert {captions.draw(texts, "p", 0, step, 0) for step in range(200)} == known


def test_a_sentence_is_not_torn_apart() -> None:
    captions = Captions(rules(trigger="mira"))
    texts = captions.texts("A girl in a red dress, seen from behind, is walking.")
    drawn = {captions.draw(texts, "p", 0, step, 0) for step in range(20)}
    assert drawn == {"mira, A girl in a red dress, seen from behind, is walking."}


def test_a_trigger_elsewhere_in_the_caption_moves_to_the_front() -> None:
    assert Captions(rules(trigger="mira")).plain("hat, Mira, smile") == "mira, hat, smile"


TRIGGER = r"mira \(game\), 1girl, blue coat"


@settings(max_examples=60, deadline=None)
@given(st.permutations(["1girl", "Mira_(game)", "hat", "blue_coat", "smile", "coat", "cape"]), st.integers(0, 1000))
def test_all_tags_of_a_trigger_come_first_in_order_once_and_stay(tags: list[str], step: int) -> None:
    """Also where they stand apart in the caption, in another spelling, or would be pruned."""
    captions = Captions(rules(trigger=TRIGGER, keep_tokens=1, tag_dropout=0.5, prune=("blue *", "1girl")))
    drawn = captions.draw(captions.texts(", ".join(tags)), "picture", 0, step, 0).split(", ")
    others = [tag for tag in tags if tag in ("hat", "smile", "coat", "cape")]
    assert drawn[:4] == [*TRIGGER.split(", "), others[0]]
    assert set(drawn[4:]) <= set(others[1:])
    assert len(set(drawn)) == len(drawn)


def test_a_trigger_of_several_tags_is_all_that_a_bare_picture_has() -> None:
    assert Captions(rules(trigger="mira,blue coat,")).plain(None) == "mira, blue coat"
    assert Captions(rules(trigger="mira, blue coat")).plain("blue coat") == "mira, blue coat"


def test_a_sentence_begins_with_all_tags_of_the_trigger() -> None:
    captions = Captions(rules(trigger="mira, blue coat"))
    assert captions.plain("A girl is walking.") == "mira, blue coat, A girl is walking."


def test_lines_are_one_caption_or_alternatives() -> None:
    assert Captions(rules()).plain("hat\nsmile") == "hat, smile"
    captions = Captions(rules(alternatives=True))
    texts = captions.texts("hat\n\nA girl is smiling.")
    assert {captions.draw(texts, "p", 0, step, 0) for step in range(40)} == {"hat", "A girl is smiling."}


@pytest.mark.parametrize(
    ("prune", "left"),
    [
        (("hair",), "1girl, blue eyes, closed eyes, smile, from behind, red dress"),
        (("eyes",), "1girl, long hair, hair between eyes, closed eyes, smile, from behind, red dress"),
        (("hair", "eyes"), "1girl, closed eyes, smile, from behind, red dress"),
        (("smile", "red *"), "1girl, long hair, hair between eyes, blue eyes, closed eyes, from behind"),
        (("side",), "1girl, long hair, hair between eyes, blue eyes, closed eyes, smile, red dress"),
        (("Red_Dress",), "1girl, long hair, hair between eyes, blue eyes, closed eyes, smile, from behind"),
    ],
)
def test_groups_tags_patterns_and_axes_are_pruned(prune: tuple[str, ...], left: str) -> None:
    caption = "1girl, long hair, hair between eyes, blue eyes, closed eyes, smile, from behind, red dress"
    captions = Captions(rules(prune=prune), Matcher(taxonomy.load(None)))
    assert captions.plain(caption) == left


def test_no_caption_and_no_trigger_is_the_empty_text() -> None:
    captions = Captions(rules())
    assert captions.plain(None) == ""
    assert captions.draw(captions.texts(None), "p", 0, 0, 0) == ""
