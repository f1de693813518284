"""What captions say about views."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diversity import captions, taxonomy

TAXONOMY = taxonomy.load()
MATCHER = captions.Matcher(TAXONOMY)


def said(caption):
    return {axis: evidence.label for axis, evidence in MATCHER.evidence(caption).items() if evidence.confidence >= 0.6}


@pytest.mark.parametrize(
    ("caption", "framing", "side"),
    [
        ("1girl, from_behind, upper_body", "half_body", "back"),
        ("knight, (From Behind:1.2), ((full body))", "full_body", "back"),
        ("(from behind, full body:1.3), castle", "full_body", "back"),
        ("hero, profile, cowboy shot", "half_body", "side"),
        ("a knight seen from the back, full body", "full_body", "back"),
        ("A full-length portrait of a knight in profile.", "full_body", "side"),
        ("photo of a man facing the camera, head and shoulders", "headshot", "front"),
        ("closeup of the boots of a knight", "detail", None),
        ("knight, front view, shoes, feet close-up", "detail", "front"),
        ("close-up, red boots", "detail", None),
        ("close-up, smile", "headshot", None),
        ("portrait, close-up, three-quarter view", "headshot", "three_quarter"),
        ("upper body, portrait", "half_body", None),
    ],
)
def test_booru_tags_and_sentences_name_framing_and_side(caption, framing, side):
    found = said(caption)
    assert (found.get("framing"), found.get("side")) == (framing, side)


@pytest.mark.parametrize(
    "caption",
    [
        "looking back, smile",
        "1girl, looking at viewer, red dress",
        "a child peeking out from behind a tree in the park",
        "face mask, side ponytail, front door, bare back",
        "a knight who is not from behind and without a portrait",
        "shoes, boots, red dress, standing",
        "shoes are not visible, the face is hidden",
        "",
        None,
    ],
)
def test_words_that_only_resemble_a_view_are_no_label(caption):
    assert said(caption) == {}


def test_contradicting_tags_say_nothing():
    assert "framing" not in said("full body, upper body, from side")
    assert said("full body, upper body, from side")["side"] == "side"


def test_the_more_specific_tag_wins_over_the_words_it_holds():
    assert said("back three-quarter view, full body")["side"] == "back_three_quarter"
    assert said("three-quarter view, from behind")["side"] == "back_three_quarter"
    assert said("from behind, from side")["side"] == "back_three_quarter"
    assert said("a three-quarter view from behind of a man in a hat")["side"] == "back_three_quarter"


def test_three_quarter_view_says_that_it_may_be_seen_from_behind():
    assert MATCHER.evidence("three-quarter view")["side"].may_be == ("back_three_quarter",)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("From_Behind", "from behind"),
        ("(from behind:1.2)", "from behind"),
        ("((upper body))", "upper body"),
        ("[full body]", "full body"),
        (r"saber \(fate\)", "saber (fate)"),
        ("miku (append)", "miku (append)"),
        ("^_^", "^_^"),
        ("  long   hair ", "long hair"),
    ],
)
def test_weights_underscores_and_brackets_leave_the_tag(raw, normal):
    assert captions.normal_tag(raw) == normal


@given(st.text(max_size=60))
def test_any_text_is_parsed_and_labelled_from_the_taxonomy(text):
    for axis, evidence in MATCHER.evidence(text).items():
        assert evidence.label in TAXONOMY.axes[axis].labels
        assert 0 < evidence.confidence <= 1
    assert all(tag for tag in captions.parse(text).tags)


@given(st.permutations(["from behind", "upper body", "red hair", "shoes", "close-up of the boots"]))
def test_order_of_tags_does_not_matter(tags):
    assert said(", ".join(tags)) == said(", ".join(sorted(tags)))


def test_tag_table_has_every_tag_once_with_its_axis():
    images = pl.DataFrame(
        {
            "key": ["b", "a", "c", "d"],
            "caption": ["knight, from behind, Knight", "upper_body, knight", None, "a knight is seen from behind."],
        }
    )
    table = captions.tag_table(images, TAXONOMY)
    assert table.rows() == [
        ("a", "upper body", "framing"),
        ("a", "knight", None),
        ("b", "knight", None),
        ("b", "from behind", "side"),
        ("d", "seen from behind", "side"),
    ]
    statistics = captions.tag_statistics(table)
    assert statistics.row(0, named=True) == {"tag": "knight", "group": None, "count": 2, "share": pytest.approx(2 / 3)}
    assert captions.tag_statistics(table.clear()).height == 0


@pytest.mark.parametrize(
    ("trigger", "tags"),
    [
        (r"mira \(game\), 1girl", ("mira (game)", "1girl")),
        ("Mira, Blue_Coat,", ("mira", "blue coat")),
        ("mira, mira", ("mira",)),
        (" , ", ()),
        (None, ()),
    ],
)
def test_every_tag_of_a_trigger_is_part_of_it(trigger, tags):
    assert captions.trigger_tags(trigger) == tags
