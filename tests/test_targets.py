"""Rare, missing and over-represented views."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity import tables, targets, taxonomy

TAXONOMY = taxonomy.load()
FRAMINGS = [*TAXONOMY.axes["framing"].names, "unsure"]
SIDES = [*TAXONOMY.axes["side"].names, "unsure"]

pictures = st.lists(st.tuples(st.sampled_from(FRAMINGS), st.sampled_from(SIDES)), max_size=60)


def views_of(labels):
    rows = [
        (f"k{i:03}", axis, label, 0.3 if label == "unsure" else 0.9, "caption")
        for i, pair in enumerate(labels)
        for axis, label in zip(("framing", "side"), pair, strict=True)
    ]
    return pl.DataFrame(rows, schema=tables.VIEWS, orient="row")


def states(found):
    return dict(found.table.select("cell", "state").rows())


@given(pictures)
def test_states_follow_from_have_and_want(labels):
    found = targets.find(views_of(labels), {}, TAXONOMY)
    assert found.table.schema == pl.Schema(tables.TARGETS)
    assert found.table["cell"].is_unique().all()
    for row in found.table.iter_rows(named=True):
        expected = {"missing"} if row["have"] == 0 else {"rare"} if row["have"] < row["want"] else {"ample", "thief"}
        assert row["state"] in expected
        assert bool(row["advice"]) == (row["state"] != "ample")


@given(pictures)
def test_pictures_in_rare_cells_are_protected_and_no_others(labels):
    found = targets.find(views_of(labels), {}, TAXONOMY)
    state = states(found)
    assert found.protected == {key for key, cell in found.cells.items() if state.get(cell) == "rare"}
    assert set(found.cells) == {f"k{i:03}" for i in range(len(labels))}


@given(pictures, st.data())
@settings(max_examples=50)
def test_copies_count_once(labels, data):
    copies = data.draw(st.lists(st.integers(0, max(len(labels) - 1, 0)), max_size=10)) if labels else []
    groups = {f"k{len(labels) + j:03}": f"k{i:03}" for j, i in enumerate(copies)}
    alone = targets.find(views_of(labels), {}, TAXONOMY)
    copied = targets.find(views_of(labels + [labels[i] for i in copies]), groups, TAXONOMY)
    assert copied.table.equals(alone.table)
    assert copied.protected == alone.protected
    assert copied.distinct == len(labels)


@given(pictures, st.randoms())
def test_row_order_does_not_matter(labels, random):
    views = views_of(labels)
    order = list(range(views.height))
    random.shuffle(order)
    assert targets.find(views[order], {}, TAXONOMY).table.equals(targets.find(views, {}, TAXONOMY).table)


@given(st.integers(0, 100_000), st.floats(0.001, 1), st.floats(0.001, 1))
def test_want_grows_with_the_set_and_the_share_within_its_limits(n, a, b):
    rules = TAXONOMY.targets
    low, high = sorted((a, b))
    assert rules.least <= targets.want(n, low, rules) <= targets.want(n, high, rules) <= rules.most
    assert targets.want(n, a, rules) <= targets.want(n + 50, a, rules)
    assert targets.want(n, 0, rules) == 0


def test_unsure_pictures_never_make_a_cell_ample():
    labels = [("full_body", "back")] * 2 + [("full_body", "unsure")] * 30 + [("unsure", "back")] * 30
    found = targets.find(views_of(labels), {}, TAXONOMY)
    assert states(found)["full_body/back"] == "rare"
    assert found.unsure == 60
    assert "could not be told" in found.explain("half_body/back")


def test_nothing_is_called_missing_where_nothing_is_known():
    found = targets.find(views_of([("unsure", "unsure")] * 9), {}, TAXONOMY)
    assert found.table.height == 0
    assert set(found.cells.values()) == {"unsure"}
    assert targets.find(views_of([]), {}, TAXONOMY).distinct == 0


def test_details_are_wanted_over_all_sides_together():
    body = [("full_body", "front")] * 40
    few = targets.find(views_of([*body, ("detail", "front"), ("detail", "unsure")]), {}, TAXONOMY)
    assert states(few)["detail/front"] == states(few)["detail/unsure"] == "rare"
    assert "detail/back" not in states(few)
    enough = targets.find(views_of(body + [("detail", s) for s in SIDES]), {}, TAXONOMY)
    assert {state for cell, state in states(enough).items() if cell.startswith("detail")} == {"ample"}
    none = targets.find(views_of(body), {}, TAXONOMY)
    asked = none.table.filter(pl.col("cell").str.starts_with("detail"))
    assert asked["want"].sum() == targets.want(40, 0.0816, TAXONOMY.targets, pooled=True)
    assert asked["advice"].n_unique() == 1


def test_too_many_front_faces_are_a_thief_and_the_advice_says_so():
    labels = [("headshot", "front")] * 30 + [("full_body", "front")] * 6 + [("full_body", "back")] * 2
    found = targets.find(views_of(labels), {}, TAXONOMY)
    assert states(found)["headshot/front"] == "thief"
    assert "30 headshots from the front are 79 %" in found.explain("headshot/front")
    assert found.explain("full_body/back").startswith("2 full-body pictures from behind, want 3: add 1")
    assert found.explain("nowhere/at all") == ""


def test_off_subject_pictures_count_nowhere():
    labels = [("full_body", "back")] * 3 + [("headshot", "front")] * 20
    found = targets.find(views_of(labels), {}, TAXONOMY, off_subject={"k000", "k001", "k002"})
    assert states(found)["full_body/back"] == "missing"
    assert "k000" not in found.cells
    assert found.distinct == 20


def test_a_group_is_where_its_keeper_is_and_an_unsure_keeper_asks_its_copies():
    views = views_of([("full_body", "back"), ("full_body", "side"), ("unsure", "unsure"), ("headshot", "front")])
    found = targets.find(views, {"k001": "k000", "k003": "k002"}, TAXONOMY)
    assert found.cells == {
        "k000": "full_body/back",
        "k001": "full_body/back",
        "k002": "headshot/front",
        "k003": "headshot/front",
    }


def test_a_copy_that_a_caption_describes_speaks_for_a_keeper_that_was_guessed():
    views = views_of([("full_body", "side"), ("full_body", "back")])
    views = views.with_columns(source=pl.when(pl.col("key") == "k000").then(pl.lit("prompt")).otherwise("source"))
    assert targets.find(views, {"k001": "k000"}, TAXONOMY).cells["k000"] == "full_body/back"


def test_a_cell_can_be_declared_unwanted():
    rules = TAXONOMY.targets.model_copy(update={"cells": {"headshot/back": 0.0}})
    found = targets.find(views_of([("full_body", "front")] * 9), {}, TAXONOMY.model_copy(update={"targets": rules}))
    assert "headshot/back" not in states(found)
    assert sum(targets.cell_shares(TAXONOMY).values()) == pytest.approx(1)
