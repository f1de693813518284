"""How the benchmark of strategies judges, sums up, resumes and shows."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from benchmarks.strategies import page, run, suites
from benchmarks.strategies.prepare import Prepared, prepare
from benchmarks.strategies.rivals import Candidates
from benchmarks.strategies.suites import LabelledSet, Suite
from benchmarks.strategies.summary import against, estimate, summarise
from benchmarks.strategies.table import ALL, CURATED, DISTINCT
from benchmarks.strategies.truth import Judge, Label, aligned, read_labels
from diversity.dataset import Dataset
from diversity.errors import InputError

KINDS = 6


def label(view, group, cell=""):
    return Label(view, f"{view}/{cell}", group)


def pool_of(vectors):
    n = len(vectors)
    return Candidates(
        keys=tuple(f"{i:03d}" for i in range(n)),
        vectors=vectors,
        group_size=np.ones(n, np.int64),
        cells=("a",) * n,
        targets={},
        quality=np.linspace(0, 1, n),
        protected=np.zeros(n, bool),
        pinned=np.zeros(n, bool),
        place=np.arange(n),
        sharpness=np.linspace(0, 1, n),
    )


@pytest.fixture
def prepared():
    """Six kinds of four copies each; one view per kind, the last view rare."""
    vectors = np.repeat(np.eye(KINDS, dtype=np.float32), 4, axis=0)
    labels = [label("back" if i // 4 == KINDS - 1 else "front", f"g{i // 4}", str(i % 2)) for i in range(4 * KINDS)]
    labels = [x if x.view == "back" else label("front", x.group, x.cell[-1]) for x in labels]
    pools = {name: pool_of(vectors) for name in (ALL, DISTINCT, CURATED)}
    rows = dict.fromkeys(pools, np.arange(4 * KINDS))
    return Prepared(pools, rows, Judge(labels, vectors), "seen", "other", "digest")


def test_what_a_selection_is_worth_is_counted_right(prepared):
    scores = prepared.judge.scores(np.array([0, 1, 4, 20]))  # two copies of one kind, another kind, the rare one
    assert scores["copies"] == pytest.approx(1 / 4)
    assert scores["views"] == 1
    assert scores["reached"] == pytest.approx(3 / 4)  # front/0, front/1, back/0 of these and back/1
    assert scores["coverage"] == pytest.approx(1.0)  # k-th neighbour of orthogonal kinds is at a right angle
    assert scores["richness"] == pytest.approx(2 ** (1.5), rel=1e-5)  # shares 1/2, 1/4, 1/4


def test_rare_pictures_are_those_of_views_with_few_different_ones():
    labels = [label("front", f"f{i}") for i in range(4)] + [
        label("back", "b0"),
        label("back", "b0"),
        label("side", "s"),
    ]
    judge = Judge(labels, np.eye(7, dtype=np.float32))
    assert judge.rare == {"b0", "s"}
    assert judge.scores(np.array([0, 5]))["rare"] == 0.5
    every = Judge([label(view, view) for view in "abc"], np.eye(3, dtype=np.float32))
    assert every.scores(np.array([0]))["rare"] is None  # where all is rare the word says nothing


def test_without_labels_only_the_other_encoder_judges():
    scores = Judge(None, np.eye(5, dtype=np.float32)).scores(np.array([0, 3]))
    assert {name for name, value in scores.items() if value is not None} == {"coverage", "richness"}
    assert scores["richness"] == pytest.approx(2.0)


def test_labels_are_read_and_what_is_missing_is_said(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("file,side,pose,dup_group\nx/a.png,back,run,1\nother/b.png,front,sit,2\n")
    found = read_labels(file, ["side"], ["pose"], "dup_group", under="x/")
    assert found == {"a.png": Label("back", "back/run", "1")}
    with pytest.raises(InputError, match=r"no column 'framing'.*file, side, pose"):
        read_labels(file, ["framing", "side"], [], "dup_group")
    with pytest.raises(InputError, match="1 of 2 pictures have no label"):
        aligned(found, ["a.png", "c.png"])


def test_an_estimate_is_a_t_interval_over_sets_of_means_over_draws():
    found = estimate({"a": [1.0, 3.0], "b": [4.0], "c": [6.0]})
    assert found["mean"] == 4.0
    assert (found["over"], found["n"]) == ("sets", 3)
    assert found["high"] - found["mean"] == pytest.approx(2.919986 * 2.0 / np.sqrt(3), rel=1e-5)  # t(0.95, 2)
    assert estimate({"a": [2.0]}) == {"mean": 2.0, "low": None, "high": None, "over": "nothing", "n": 1}


def test_a_difference_is_taken_set_by_set():
    """Sets that differ much from one another do not blur a difference that is the same in all."""
    mine, base = {"a": [0.9], "b": [0.2], "c": [0.5]}, {"a": [0.7, 0.9], "b": [0.1], "c": [0.4]}
    found = against(mine, base)
    assert (found["low"], found["high"]) == pytest.approx((0.1, 0.1))
    assert against(mine, {"z": [1.0]}) is None
    one = against({"a": [0.9]}, {"a": [0.1 * i for i in range(11)]})
    assert one["over"] == "draws"
    assert one["low"] == pytest.approx(0.9 - 0.95)


def test_runs_resume_after_a_kill_and_start_over_when_the_set_changes(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "prepare", lambda *_, **__: prepared)
    one, settings = LabelledSet("set", tmp_path, None), run.Settings(("random", "ours"), seeds=3)
    file = tmp_path / "rows.jsonl"

    def again():
        return run.run_set(one, "suite", (4, 8), settings, run.Log.read(file))

    first = again()
    lines = file.read_text().splitlines()
    assert len(first) == len(lines) == 2 * 3 * 2 + 2  # random from two pools with three seeds, ours once, two budgets
    file.write_text("\n".join(lines[:-3]) + "\n" + lines[-3][:20])  # killed while writing
    second = again()
    assert [row["scores"].keys() for row in second] == [row["scores"].keys() for row in first]
    done = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    assert len({row["key"] for row in done}) == len(lines)
    monkeypatch.setattr(run, "prepare", lambda *_, **__: Prepared(**{**prepared.__dict__, "digest": "other"}))
    again()
    assert len({row["key"] for row in run.Log.read(file).rows.values()}) == 2 * len(lines)


def test_ours_says_what_it_needs_where_a_budget_is_below_what_must_stay(prepared):
    guarded = Candidates(**{**prepared.pools[CURATED].__dict__, "protected": np.arange(4 * KINDS) < 9})
    asked = Prepared(**{**prepared.__dict__, "pools": {**prepared.pools, CURATED: guarded}})
    scores, problem = run.one_run(asked, "ours", CURATED, 8, 0)
    assert not scores
    assert "--keep 9" in problem


def test_the_page_is_one_file_with_every_strategy_and_loads_nothing(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "prepare", lambda *_, **__: prepared)
    sets = [LabelledSet(name, tmp_path, None) for name in ("one", "two")]
    settings = run.Settings(("random", "ours", "dpp"), seeds=8)
    result = run.run_suite("demo", Suite("Demo sets", lambda: sets, (4,)), settings, tmp_path)
    run.write([result], tmp_path / "strategies.json", tmp_path / "strategies.html")
    text = (tmp_path / "strategies.html").read_text(encoding="utf-8")
    assert not re.search(r"<(?:script|img|link)[^>]+(?:src|href)=\"(?!data:|#)", text)
    charts = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])["charts"]
    assert charts
    assert all(f'data-chart="{name}"' in text for name in charts)
    assert all(f'<th scope="row">{name}</th>' in text for name in settings.strategies)
    assert text.count("<small>random, de-duplicated</small>") == 1
    rows = {
        (r["strategy"], r["pool"]): r
        for r in json.loads((tmp_path / "strategies.json").read_text())["suites"][0]["rows"]
    }
    assert rows["ours", CURATED]["gains"]["copies"]["mean"] < 0  # facility location takes one of each kind first
    assert page.verdict(rows["dpp", ALL], "cpu") in ("better", "worse", "not told")


def test_results_of_suites_that_were_not_run_stay(tmp_path):
    row = {"strategy": "random", "pool": ALL, "budget": 1, "set": "a", "scores": {"views": 1.0}, "problem": None}

    def suite(name):
        told = {"words": name, "sets": ["a"], "budgets": [1], "encoder": "e", "judged_by": "j"}
        return {"name": name, **told, "captions": False, "seeds": 1, "rows": summarise([row])}

    for name in ("x", "y", "x"):
        run.write([suite(name)], tmp_path / "r.json", tmp_path / "r.html")
    assert [s["name"] for s in json.loads((tmp_path / "r.json").read_text())["suites"]] == ["x", "y"]


def test_a_wrong_name_is_an_error_in_words(capsys):
    assert run.main(["--only", "best"]) == 2
    assert "Strategies are ours, random" in capsys.readouterr().err


def test_budgets_of_a_folder_are_shares_of_its_files(tmp_path):
    for i in range(20):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    assert suites.of_folder(tmp_path, None, ()).budgets == (2, 4, 6)
    assert suites.of_folder(tmp_path, None, (5,)).budgets == (5,)


@pytest.mark.slow
def test_ours_is_what_the_product_selects(tmp_path, monkeypatch):
    """The benchmark builds its pool from the tables; the product's own stage must pick the same pictures."""
    monkeypatch.setattr("benchmarks.strategies.prepare.CACHE", tmp_path)
    folder = suites.ROOT / "diversity" / "assets" / "sample_set" / "10_mira"
    ready = prepare(LabelledSet("mira", folder, None), "test")
    (place,) = (tmp_path / "workspaces" / "test").iterdir()
    settings = {"encoder": {"model": "toon"}, "views": {"captions": False}, "select": {"keep": 40}}
    product = Dataset.open(folder, workspace_folder=place, overrides=settings).run("select").read("selection/default")
    scores, problem = run.one_run(ready, "ours", CURATED, 40, 0)
    pool = ready.pools[CURATED]
    picks = run.TABLE["ours"].pick(pool, 40, seed=0).order
    assert problem is None
    assert scores["kept"] == 40
    assert [pool.keys[i] for i in picks] == product.sort("rank")["key"].to_list()


def test_the_readme_gets_its_table_between_its_marks_and_keeps_the_rest():
    from benchmarks.figures import filled

    text = "before\n<!-- table x -->\nold\n<!-- end x -->\nafter <!-- table y --><!-- end y -->\n"
    once = filled(text, "x", "| new \\1 |")
    assert once == text.replace("old", "| new \\1 |")
    assert filled(once, "x", "| new \\1 |") == once
    assert filled("no marks", "x", "table") == "no marks"


def test_tables_of_figures_hold_every_row(prepared, tmp_path, monkeypatch):
    from benchmarks.strategies import figures

    monkeypatch.setattr(run, "prepare", lambda *_, **__: prepared)
    sets = [LabelledSet(name, tmp_path, None) for name in ("one", "two")]
    settings = run.Settings(("random", "ours", "dpp"), seeds=4)
    result = {"level": 0.9, "suites": [run.run_suite("d", Suite("Demo", lambda: sets, (4, 8)), settings, tmp_path)]}
    section = figures.section(result)
    assert section.count("\n| Demo, 2 of 2 sets |") == 2
    assert section.count("\n| dpp |") == 2  # two pools at the middle budget
    columns = {line.count("|") for line in figures.readme(result).splitlines()}
    assert len(columns) == 1


@pytest.mark.slow
def test_a_toon_set_is_rendered_once_with_a_label_for_every_picture(tmp_path):
    from benchmarks.strategies.toon_sets import COLUMNS, render

    render(tmp_path / "set", 88, 0)
    labels = read_labels(tmp_path / "set" / "labels.csv", *COLUMNS)
    names = {file.name for file in (tmp_path / "set" / "pictures").iterdir()}
    assert labels.keys() == names
    assert len({label.group for label in labels.values()}) < len(names) - 40  # bursts and re-saved copies
    before = (tmp_path / "set" / "labels.csv").stat().st_mtime_ns
    render(tmp_path / "set", 88, 0)
    assert (tmp_path / "set" / "labels.csv").stat().st_mtime_ns == before


def test_intervals_of_shares_end_where_shares_do_but_differences_may_be_negative():
    rows = [
        {"strategy": name, "pool": ALL, "budget": 1, "set": one, "scores": {"views": value}, "problem": None}
        for name, values in {"random": (1.0, 0.9, 1.0), "worst": (0.0, 0.1, 0.3)}.items()
        for one, value in zip("abc", values, strict=True)
    ]
    found = {row["strategy"]: row for row in summarise(rows)}
    assert found["random"]["values"]["views"]["high"] == 1
    assert found["worst"]["values"]["views"]["low"] == 0
    assert found["worst"]["gains"]["views"]["low"] < -1
    assert page.verdict(found["worst"], "views") == "worse"
    assert re.fullmatch(r"−\d+ % \(−\d+ to −\d+ %\)", page.compared(found["worst"], "views"))
