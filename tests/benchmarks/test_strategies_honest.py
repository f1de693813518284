"""The benchmark of strategies compares with strong baselines, says what was kept, and mixes no settings."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as bench
from benchmarks.strategies import figures, other_encoder, page, prepare, run, suites
from benchmarks.strategies.prepare import Prepared
from benchmarks.strategies.rivals import Candidates
from benchmarks.strategies.suites import LabelledSet, Suite
from benchmarks.strategies.summary import summarise
from benchmarks.strategies.table import ALL, CURATED, DISTINCT
from benchmarks.strategies.truth import Judge, Label


def pool_of(vectors, **changed):
    n = len(vectors)
    return Candidates(
        **{
            "keys": tuple(f"{i:03d}" for i in range(n)),
            "vectors": vectors,
            "group_size": np.ones(n, np.int64),
            "cells": ("a",) * n,
            "targets": {},
            "quality": np.linspace(0, 1, n),
            "protected": np.zeros(n, bool),
            "pinned": np.zeros(n, bool),
            "place": np.arange(n),
            "sharpness": np.linspace(0, 1, n),
            **changed,
        }
    )


@pytest.fixture
def prepared():
    """Six kinds of two copies each, in one of two views; de-duplicated: six pictures."""
    vectors = np.repeat(np.eye(6, dtype=np.float32), 2, axis=0)
    labels = [Label(f"v{i // 6}", f"v{i // 6}/c{i // 2}", f"g{i // 2}") for i in range(12)]
    one_each = np.arange(0, 12, 2)
    pools = {ALL: pool_of(vectors), **dict.fromkeys((DISTINCT, CURATED), pool_of(vectors[one_each]))}
    rows = {ALL: np.arange(12), DISTINCT: one_each, CURATED: one_each}
    return Prepared(pools, rows, Judge(labels, vectors), "seen", "other", "digest")


@pytest.fixture
def result(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "prepare", lambda *_, **__: prepared)
    sets = [LabelledSet(name, tmp_path, None) for name in ("one", "two")]
    settings = run.Settings(("random", "stratified", "ours"), seeds=3)
    return run.run_suite("demo", Suite("Demo", lambda: sets, (4, 8)), settings, tmp_path)


def row_of(result, strategy, pool, budget):
    (row,) = (
        row for row in result["rows"] if (row["strategy"], row["pool"], row["budget"]) == (strategy, pool, budget)
    )
    return row


def test_cells_are_told_as_a_share_of_what_can_be_reached():
    labels = [Label("v", f"c{i}", f"g{i}") for i in range(10)]
    judge = Judge(labels, np.eye(10, dtype=np.float32))
    assert judge.scores(np.arange(4), 4)["reached"] == 1.0  # no four pictures show more than four of ten
    assert judge.scores(np.arange(3), 4)["reached"] == 0.75  # fewer kept than could have been
    assert judge.scores(np.arange(10), 20)["reached"] == 1.0
    assert judge.scores(np.arange(4))["reached"] == 1.0


def test_how_many_were_really_kept_is_told_where_the_pool_is_too_small(result):
    few, enough = row_of(result, "random", DISTINCT, 8), row_of(result, "random", DISTINCT, 4)
    assert few["kept"] == {"least": 6, "most": 6}
    assert (page.fewer(few), page.fewer(enough)) == ("6 kept", "")
    assert page.fewer({"budget": 8, "kept": {"least": 5, "most": 7}}) == "5–7 kept"
    assert "| random | distinct, 6 kept |" in "\n".join(figures._every({**result, "budgets": [8]}))
    assert "| 8, 6 kept | **ours** |" in figures.readme({"suites": [result]})


def test_ours_is_compared_with_random_from_the_distinct_and_with_stratified(result, tmp_path):
    ours, base = row_of(result, "ours", CURATED, 4), row_of(result, "random", DISTINCT, 4)
    assert set(ours["beside"]) == {"random/distinct", "stratified/all", "stratified/distinct"}
    expected = ours["values"]["reached"]["mean"] - base["values"]["reached"]["mean"]
    assert ours["beside"]["random/distinct"]["reached"]["mean"] == pytest.approx(expected)
    lines = figures.readme({"suites": [result]}).splitlines()
    assert [line.split("|")[3].strip() for line in lines[2:6]] == ["**ours**", *figures.SHOWN]
    assert len({line.count("|") for line in lines}) == 1
    assert "; ours " in lines[4]
    run.write([result], tmp_path / "r.json", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert all(text.count(f"<small>{words}</small>") == 2 for words in page.BASELINES.values())


def test_without_a_baseline_its_difference_is_not_told(result):
    alone = [row for row in result["rows"] if row["strategy"] == "ours"]
    assert [words for words, *_ in page.beside(alone, alone[0])] == []
    before = {**row_of(result, "ours", CURATED, 4)}
    del before["beside"]  # results of an earlier version
    told = {words: page.compared(over, "reached") for words, _, over in page.beside(result["rows"], before)}
    assert told["random, de-duplicated"] == "–"
    assert told["random, all files"] != "–"


@pytest.fixture
def bare(monkeypatch, tmp_path, prepared):
    """The command on suites of one made set each, in a place of its own."""
    monkeypatch.setattr(run, "prepare", lambda *_, **__: prepared)
    monkeypatch.setattr(suites, "CACHE", tmp_path / "out")
    monkeypatch.setattr(run, "RESULTS", suites.ROOT / "benchmarks" / "results" / "no-such-results.json")
    monkeypatch.setattr(run, "_loras", lambda: None)
    for name, suite in list(suites.SUITES.items()):
        made = Suite(suite.words, lambda name=name: [LabelledSet(name, tmp_path, None)], (4,))
        monkeypatch.setitem(suites.SUITES, name, made)
    written = []
    real = run.write
    monkeypatch.setattr(run, "write", lambda told, file, *more: written.append(file) or real(told, file, *more))
    return written


@pytest.mark.parametrize(
    "words",
    [["--suite", "kaykit"], ["--only", "random", "ours"], ["--budgets", "3"], ["--seeds", "2"], ["--captions"]],
)
def test_a_part_of_the_benchmark_never_stands_for_the_whole(words, bare, capsys):
    assert run.main(["--seeds", "2", *words] if "--suite" not in words else words) == 0
    assert bare == [suites.CACHE / "part" / "strategies.json"]
    assert bare[0].with_suffix(".html").is_file()
    assert not run.RESULTS.is_file()
    assert "A part of the benchmark: benchmarks/results/no-such-results.json stays as it is." in capsys.readouterr().out


def test_parts_of_other_settings_are_not_mixed(bare):
    for words in (["--suite", "kaykit", "--seeds", "2"], ["--suite", "lpc", "--seeds", "3"]):
        assert run.main(words) == 0
    assert [suite["name"] for suite in json.loads(bare[0].read_text())["suites"]] == ["lpc"]


def test_what_make_bench_runs_is_the_whole_in_both_ways():
    for full in (False, True):
        (words,) = (words for words in bench.chosen(full=full, shared=True) if words[0] == "benchmarks.strategies")
        assert not run._is_part(run._parser().parse_args(words[1:]))
    assert run._is_part(run._parser().parse_args(["--model", "other"]))


@pytest.mark.parametrize(
    "changed",
    [
        "diversity/richness.py",
        "diversity/coverage.py",
        "diversity/rarefaction.py",
        "diversity/select/facility.py",
        "benchmarks/strategies/prepare.py",
        "benchmarks/strategies/other_encoder.py",
        "benchmarks/strategies/rivals.py",
        "benchmarks/strategies/truth.py",
    ],
)
def test_runs_are_repeated_when_the_code_that_chooses_or_judges_changes(changed, monkeypatch):
    before, real = run._code(), run.record.file_hash
    edited = suites.ROOT / changed
    monkeypatch.setattr(run.record, "file_hash", lambda file: "edited" if file == edited else real(file))
    assert run._code() != before


@pytest.mark.parametrize(
    "changed",
    [
        {"sharpness": np.zeros(12)},
        {"quality": np.zeros(12)},
        {"group_size": np.full(12, 2)},
        {"place": np.arange(12)[::-1]},
        {"protected": np.ones(12, bool)},
        {"targets": {"a": 3}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_runs_are_repeated_when_any_column_of_a_pool_changes(changed, prepared):
    pool = prepared.pools[ALL]
    other = Candidates(**{**pool.__dict__, **changed})
    before, after = (prepare._digest({ALL: each}, prepared.judge) for each in (pool, other))
    assert before != after


def test_the_judges_vectors_are_made_again_when_its_code_changes(tmp_path, monkeypatch):
    made = []
    vectors = np.eye(2, dtype=np.float32)
    monkeypatch.setattr(other_encoder, "vectors_of", lambda _: made.append(1) or ("judge", vectors))
    thumbnails = SimpleNamespace(iter_rows=lambda: [("x", b""), ("y", b"")])
    dataset = SimpleNamespace(read=lambda _: thumbnails)
    frame = {"content": SimpleNamespace(to_list=lambda: ["x", "y"])}
    for _ in range(2):
        assert prepare._judged(dataset, frame, tmp_path)[0] == "judge"
    assert len(made) == 1
    monkeypatch.setattr(prepare.record, "file_hash", lambda _: "edited")
    prepare._judged(dataset, frame, tmp_path)
    assert len(made) == 2


def test_no_count_is_made_up_for_rows_that_do_not_tell_it():
    row = {"strategy": "random", "pool": ALL, "budget": 1, "set": "a", "scores": {"views": 1.0}, "problem": None}
    assert summarise([row])[0]["kept"] is None
