"""Verdicts by the protocol, from made-up rows: supported, refuted, undecided; primaries; pages."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("diffusers", reason="diffusers is not installed: the ladder cannot be trained")

import ladder_rows

from benchmarks.richness import analyse, claims, encoded, report, run, statistics
from benchmarks.richness.arms import OTHER_PROMPTS, Job, jobs
from benchmarks.richness.statistics import Found
from benchmarks.richness.table import Ladder, loss, score
from training.evaluate import ladder


@pytest.fixture(autouse=True)
def _fewer_rounds(monkeypatch):
    """Enough for these effects; the ladder itself takes more."""
    monkeypatch.setattr(statistics, "RESAMPLED", 100)
    monkeypatch.setattr(statistics, "PERMUTED", 499)


PART = claims.Part("C9", "a part", 0.1, lambda ladder: Found(0, 0, 0, 1, 8, 8))
SAME = replace(PART, same=True)


def found(value: float, low: float, high: float, p: float = 0.001, characters: int = 8) -> Found:
    return Found(value, low, high, p, characters, characters, 0.1)


@pytest.mark.parametrize(
    ("part", "effect", "verdict"),
    [
        (PART, found(0.2, 0.1, 0.3), "supported"),
        (PART, found(0.2, 0.1, 0.3, p=0.06), "undecided"),  # not after Holm
        (PART, found(0.08, 0.02, 0.14), "undecided"),  # surely above 0, but perhaps smaller than matters
        (PART, found(0.05, 0.02, 0.09), "refuted"),  # surely smaller than matters
        (PART, found(-0.3, -0.4, -0.2), "refuted"),
        (PART, found(0.2, -0.1, 0.5), "undecided"),
        (PART, found(0.2, 0.1, 0.3, characters=3), "undecided"),
        (PART, found(math.nan, math.nan, math.nan), "undecided"),
        (SAME, found(0.0, -0.05, 0.05), "supported"),
        (SAME, found(0.3, 0.2, 0.4), "refuted"),
        (SAME, found(-0.3, -0.4, -0.2), "refuted"),
        (SAME, found(0.05, -0.05, 0.15), "undecided"),
    ],
)
def test_verdicts_follow_the_protocol(part, effect, verdict):
    judged = claims.judge(part, effect)
    assert judged.verdict == verdict
    assert bool(judged.settles) is (verdict == "undecided")


def test_a_claim_is_refuted_by_one_part_and_supported_by_all():
    yes, no, open_ = (
        claims.judge(PART, effect) for effect in (found(0.2, 0.1, 0.3), found(-1, -2, -0.5), found(0.2, -1, 1))
    )
    assert claims.verdict_of([yes, yes]) == "supported"
    assert claims.verdict_of([yes, no, open_]) == "refuted"
    assert claims.verdict_of([yes, open_]) == "undecided"


def test_more_characters_settle_what_is_unclear():
    wide = claims.judge(PART, found(0.2, -0.2, 0.6))
    assert wide.settles == "about 32 characters instead of 8"


def test_what_no_number_of_characters_settles_is_said():
    assert "more than 1,000" in claims.judge(PART, found(PART.least - 1e-3, -0.2, 0.6)).settles
    shoes = replace(PART, needs=claims.SHOES)
    assert claims.settles(shoes, replace(found(0.0, 0.0, 0.0), characters=0)) == claims.SHOES
    assert "at least 4 characters" in claims.settles(PART, replace(found(0.0, 0.0, 0.0), characters=0))
    assert {part.claim for part in claims.PARTS if part.needs} == {"C9", "C12", "caution"}


def test_every_claim_of_the_issue_has_a_part_and_every_threshold_stands_in_the_protocol():
    named = {part.claim for part in claims.PARTS}
    assert named == {"C3", "C5", "C6", "C8", "C9", "C10", "C11", "C12", "C13", "caution"}
    text = (report.HERE / "PROTOCOL.md").read_text(encoding="utf-8")
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(("| C", "| caution"))]
    assert [(row[0], float(row[3]), "≈" in row[1]) for row in table] == [
        (part.claim, part.least, part.same) for part in claims.PARTS
    ]


def test_planted_effects_are_found_and_claims_without_rows_stay_undecided():
    told = analyse.analyse(ladder_rows.core())
    for end, one in told.primary:
        assert end.sign * one.value > 0.5, end
        assert one.p < 0.05
    verdict, parts = told.claims["C10"]
    assert [one.verdict for one in parts[:2]] == ["supported", "supported"]
    assert verdict == "undecided"  # related16 was not trained
    assert told.claims["C5"][0] == "undecided"
    assert not told.preliminary
    assert 0 < told.false_alarms < 0.08


def test_without_effects_primaries_are_significant_at_the_nominal_rate(monkeypatch):
    """Family-wise, after Holm: 5 % of ladders, so one of 16 is expected."""
    monkeypatch.setattr(statistics, "RESAMPLED", 4)
    alarms = 0
    for seed in range(16):
        made = Ladder(ladder_rows.core(strength=0.0, seed=seed))
        p = [claims.endpoint(made, end.measure, **end.settings).p for end in analyse.PRIMARY]
        alarms += min(statistics.holm(p)) < 0.05
    assert alarms <= 4


def test_overfitted_loras_are_told_apart_where_losses_tell_them():
    told = analyse.analyse(ladder_rows.core())
    areas = {one.told_from: one for one in told.areas if one.line == 0.10}
    assert areas["common held-out loss against the base"].found.value > 0.8
    assert areas["sample pictures alone (pick), one character left out"].found.value > 0.6
    assert all(one.decided for one in areas.values())


def asked_again(rows, noise):
    """What other seeds say: the planted loss and noise of their own."""
    rng = np.random.default_rng(5)
    lost = [score(row, "truth.lost", weight=1.0) for row in rows]
    more = [[one + float(rng.normal(0, noise)) for _ in range(2)] for one in lost]
    return [{"id": row["id"], "scores": {"truth.lost": each}} for row, each in zip(rows, more, strict=True)]


def test_a_truth_that_repeats_tells_its_own_labels_and_one_that_does_not_tells_nothing():
    rows = ladder_rows.core()
    for noise, correlated, told in ((0.001, (0.99, 1.0), (0.99, 1.0)), (50.0, (-0.4, 0.4), (0.3, 0.7))):
        again = analyse.analyse(rows, asked_again(rows, noise)).again
        assert correlated[0] <= again.repeats.value <= correlated[1]
        first, *measures = again.areas
        assert first.told_from == "the same ground truth, other seeds"
        assert told[0] <= first.found.value <= told[1]
        assert len(measures) == 3
    assert analyse.analyse(rows).again is None
    assert analyse.analyse(rows, asked_again(rows, 0.1)[:2]).again is None  # too few characters for an interval


def test_other_seeds_say_who_is_overfitted_where_measures_have_not_seen_them():
    """One LoRA lost little at first and much with other seeds: with *, it is overfitted."""
    rows = ladder_rows.core()
    calm = min(rows, key=lambda row: score(row, "truth.lost", weight=1.0))["id"]
    again = asked_again(rows, 0.0)
    told = analyse.analyse(rows, again).again.areas
    for one in again:
        if one["id"] == calm:
            one["scores"]["truth.lost"] = [5.0, 5.0]
    changed = analyse.analyse(rows, again).again.areas
    assert changed[0].overfitted == told[0].overfitted  # by the first drawing
    assert [one.overfitted for one in changed[1:]] == [one.overfitted + 1 for one in told[1:]]
    assert all(one.told_from.endswith(" *") for one in told[1:])


def test_drift_is_told_of_rows_that_have_it_and_counts_on_later_ones():
    rows = ladder_rows.core()
    more = [job for job in jobs(ladder_rows.TOONS, ()) if job.block == "claims"]
    claims_rows = [ladder_rows.row(job) for job in more]
    for row in claims_rows:  # drift says exactly what is lost
        lost = score(row, "truth.lost", weight=1.0)
        row["scores"].append(ladder_rows.score("drift.share", lost, {"weight": 1.0}))
    found = {one.told_from: one for one in analyse.analyse(rows + claims_rows).whole if "drift" in one.told_from}
    every = found["drift of unrelated pictures, on all it is known of"]
    later = found["drift of unrelated pictures, on later LoRAs"]
    assert every.found.value == later.found.value == 1
    assert every.found.n == sum(job.arm not in OTHER_PROMPTS for job in more)
    assert later.found.n == sum(job.arm not in OTHER_PROMPTS for job in more[analyse.DRIFT_CHOSEN_ON :])


def test_the_whole_evaluation_counts_where_it_was_not_chosen():
    rows = ladder_rows.core()
    more = [job for job in jobs(ladder_rows.TOONS, ()) if job.block == "claims"]
    rows += [ladder_rows.row(job) for job in more]
    later, every = (one for one in analyse.analyse(rows).whole if "whole" in one.told_from)
    told = [row for row in rows if row["arm"] not in OTHER_PROMPTS]
    assert every.found.n == len(told)
    assert later.found.n == sum(job.arm not in OTHER_PROMPTS for job in more[analyse.CHOSEN_ON :])
    (alone,) = analyse.analyse(ladder_rows.core()).whole  # nothing was made later
    assert alone.told_from == every.told_from


def test_a_row_with_a_problem_is_left_out_and_named():
    rows = ladder_rows.core()
    rows[3] = {**rows[3], "problem": "the loss is not a number", "scores": []}
    told = analyse.analyse(rows)
    assert told.excluded == [rows[3]["id"]]
    assert told.core == 54
    assert told.preliminary


def test_scores_are_told_apart_by_their_settings_and_steps():
    row = ladder_rows.row(Job("mono16-toon000", "core", "mono16", "toon000"))
    row["readings"] = {"100": [ladder_rows.score("truth.lost", 0.77, {"weight": 1.0})]}
    assert score(row, "truth.lost", 100, weight=1.0) == 0.77
    assert score(row, "truth.lost", 400, weight=1.0) == score(row, "truth.lost", weight=1.0)
    assert score(row, "truth.lost", weight=0.7) != score(row, "truth.lost", weight=1.0)
    assert math.isnan(score(row, "truth.lost", 200, weight=1.0))
    assert math.isnan(score(row, "truth.nothing"))


def test_the_class_of_which_there_is_too_much_does_not_count_for_the_others():
    row = ladder_rows.row(Job("thief64-toon000", "claims", "thief64", "toon000"))
    assert loss(row, 400, "common", "others") == pytest.approx(0.1)
    assert Ladder([row]).losses("thief64", 400, "common", "others") == {"toon000": pytest.approx(0.1)}


def test_shoes_decide_what_is_said_of_shoes():
    rows = ladder_rows.core(strength=0.0, noise=0.01)
    changed = [
        {**row, "scores": [_shoeless(one) if row["arm"] == "portrait16" else one for one in row["scores"]]}
        for row in rows
    ]
    parts = {one.part.what: one for one in analyse.analyse(changed).claims["C9"][1]}
    assert parts["without shoes in the set, shoes come out wrong"].verdict == "supported"
    assert parts["16 rich pictures overfit less than 64 monotonous ones"].verdict == "refuted"  # no such effect planted


def test_what_ships_is_seen_by_one_encoder(tmp_path, monkeypatch):
    """Richness is the shipped encoder's; what the row's own encoder saw stays behind, losses and judges do not."""
    rows = ladder_rows.core()
    file = encoded.file_of(tmp_path, "new")
    for row in rows:
        run.append(file, {"id": row["id"], "scores": [ladder_rows.score("richness.vendi_1", 3.5, {"encoder": "new"})]})
    text = ladder_rows.score("control.difference", 0.1, {"by": "text"})
    judged = ladder_rows.score("control.difference", 0.2, {"by": "judges"})
    rows[0]["scores"] += [text, judged]

    def shipped(encoder):
        monkeypatch.setattr(encoded, "shipped", lambda: encoder)
        report.write(rows, tmp_path, tmp_path / "CLAIMS.md", tmp_path / "shipped.jsonl")
        return ladder.read(tmp_path / "shipped.jsonl")

    (first, *others) = shipped("new")
    assert [score(row, "richness.vendi_1", encoder="new") for row in (first, *others)] == [3.5] * len(rows)
    assert math.isnan(score(first, "memory.own"))
    assert math.isnan(score(first, "richness.pictures"))
    assert score(first, "loss.gap", set="common") == score(rows[0], "loss.gap", set="common")
    assert score(first, "truth.lost", weight=1.0) == score(rows[0], "truth.lost", weight=1.0)
    assert (score(first, "control.difference", by="judges"), score(first, "control.difference")) == (0.2, 0.2)
    assert "| vendi_1 to new |" in (tmp_path / "CLAIMS.md").read_text(encoding="utf-8")
    assert shipped("the rows' own") == [report.slim(row) for row in rows]


def test_an_encoder_looks_at_sets_that_it_has_not_seen():
    rows = [{"id": name, "arm": "mono16", "experiment": {"encoder": encoder}} for name, encoder in ("ax", "by", "cx")]
    assert [row["id"] for row in encoded.missing(rows, {"c"}, "y")] == ["a"]
    assert encoded.missing([{**rows[0], "arm": "stack"}], (), "y") == []  # a stack is of no set


def test_pages_are_written_from_rows_and_twice_the_same(tmp_path):
    rows = ladder_rows.core()
    pages = []
    for name in ("one", "two"):
        folder = tmp_path / name
        report.write(rows, folder, folder / "CLAIMS.md", folder / "ladder.jsonl")
        pages.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert pages[0] == pages[1]
    assert set(pages[0]) == {"CLAIMS.md", "analysis.json", "ladder.jsonl", "ladder.svg", "readme.md"}
    text = pages[0]["CLAIMS.md"].decode()
    assert "- **C10**: undecided (2 supported" in text
    told = json.loads(pages[0]["analysis.json"])
    assert told["claims"]["C10"]["parts"][0]["verdict"] == "supported"
    shipped = ladder.read(tmp_path / "one" / "ladder.jsonl")
    assert len(shipped) == 55
    assert "losses" not in shipped[0]


def _shoeless(one):
    return {**one, "value": one["value"] - 0.3} if one["measure"] == "truth.shoes" else one
