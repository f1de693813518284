"""A LoRA on each strategy's subset: who is compared, what is held out, what is resumed, what is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("diffusers", reason="diffusers is not installed: no LoRA can be trained")
pytest.importorskip("pyvista", reason="pyvista is not installed: the toon world cannot be drawn")

from benchmarks.richness import people, pool
from benchmarks.richness import run as ladder
from benchmarks.richness.arms import BATCH, STEPS
from benchmarks.richness.pool import Item, Pool
from benchmarks.strategies import downstream, downstream_sets, figures, page
from benchmarks.strategies import run as strategies
from benchmarks.strategies.downstream_summary import standing, summarise
from benchmarks.strategies.prepare import Prepared
from benchmarks.strategies.rivals import Candidates
from benchmarks.strategies.table import ALL, CURATED, DISTINCT
from benchmarks.strategies.truth import Judge, Label
from diversity.errors import SelectionError

MADE = 2_400  # characters rendered for the base; the judges had fewer
STRATEGIES = list(downstream_sets.STRATEGIES)


def blank_pool(side: int = 8) -> Pool:
    """The parts and groups of a planned pool, one colour each."""
    parts: dict[str, list[Item]] = {}
    for number, one in enumerate(pool.plan(5, claims=False)):
        pixels = np.full((side, side, 3), number % 251, np.uint8)
        view = f"{one.shot.framing}/{one.shot.side}"
        parts.setdefault(one.part, []).append(Item(pixels, f"caption {number}", one.group, view, "flat", 0.0))
    return Pool(parts)


def ready_of(items, *, rare=0) -> Prepared:
    """Groups at right angles to one another; the last `rare` candidates must stay; files in reverse order."""
    names = sorted({item.group for item in items})
    vectors = np.eye(len(names), dtype=np.float32)[[names.index(item.group) for item in items][::-1]]
    n = len(items)

    def candidates(protected):
        return Candidates(
            keys=tuple(f"{i:03d}" for i in range(n)),
            vectors=vectors,
            group_size=np.ones(n, np.int64),
            cells=tuple("front" if i % 4 else "back" for i in range(n)),
            targets={},
            quality=np.ones(n),
            protected=np.arange(n) >= n - protected,
            pinned=np.zeros(n, bool),
            place=np.arange(n),
            sharpness=np.ones(n),
        )

    pools = {ALL: candidates(0), DISTINCT: candidates(0), CURATED: candidates(rare)}
    judge = Judge([Label(item.view, item.view, item.group) for item in items][::-1], vectors)
    paths = tuple(f"{n - 1 - i:03d}.png" for i in range(n))
    return Prepared(pools, dict.fromkeys(pools, np.arange(n)), judge, "seen", "other", "digest", paths)


def row_of(strategy, character, **values):
    """A trained LoRA with some scores."""
    scores = [
        {"measure": name, "value": value, "settings": json.dumps({"set": "common", "weight": 1.0})}
        for name, value in values.items()
    ]
    about = {"id": f"{strategy}-{character}", "block": "downstream", "arm": strategy, "character": character}
    told = {"pool": ALL, "judged": False, "n": 24, "seed": 0, "steps": STEPS, "batch": BATCH, "base": "a base"}
    return {**about, **told, "scores": scores}


def test_the_characters_are_the_first_that_nobody_trained_on():
    seen = people.combinations_seen(MADE)
    assert people.first_admitted(len(downstream_sets.CHARACTERS), seen) == downstream_sets.CHARACTERS


def test_what_is_measured_on_is_in_no_strategys_reach():
    whole = blank_pool()
    choose_from = {item.group for item in downstream_sets.candidates(whole)}
    measured = [*downstream_sets.held_out(whole), *whole.part("common")]
    assert len({item.group for item in measured}) == len(measured) == 20
    assert not choose_from & {item.group for item in measured}


def test_the_candidates_are_a_long_tail_with_copies():
    items = downstream_sets.candidates(blank_pool())
    groups = [item.group for item in items]
    assert len(items) == 100
    assert sorted(groups.count(name) for name in set(groups))[-5:] == [1, 12, 12, 12, 12]
    assert sum(item.view.startswith("detail") for item in items) == 2


def test_every_stop_leaves_whole_comparisons():
    plan = downstream.planned()
    assert len({job.id for job in plan}) == len(plan) == len(STRATEGIES) * len(downstream_sets.CHARACTERS)
    for at in range(0, len(plan), len(STRATEGIES)):
        some = plan[at : at + len(STRATEGIES)]
        assert [job.arm for job in some] == STRATEGIES
        assert len({job.character for job in some}) == 1
    assert STRATEGIES[0] == "random"


def test_a_subset_is_the_pictures_that_the_strategy_names_weighted_where_it_says_so():
    items = downstream_sets.candidates(blank_pool())
    ready = ready_of(items, rare=3)
    for strategy, where in downstream_sets.STRATEGIES.items():
        kept = downstream_sets.subset(ready, items, strategy, seed=1)
        order = strategies.TABLE[strategy].pick(ready.pools[where], downstream_sets.KEPT, seed=1).order
        assert [item.caption for item in kept.items] == [items[len(items) - 1 - i].caption for i in order]
        shares = [item.weight for item in kept.items]
        assert np.mean(shares) == pytest.approx(1)
        assert (len(set(shares)) > 1) == (strategy == "ours")
    assert kept.scores["copies"] == pytest.approx(
        2 / 24
    )  # the three that must stay are of one moment; else one of each
    with pytest.raises(SelectionError, match="--keep 30"):
        downstream_sets.subset(ready_of(items, rare=30), items, "ours", seed=1)


def test_what_an_interrupted_call_left_is_used_for_the_same_subset_alone(tmp_path):
    items = downstream_sets.candidates(blank_pool())
    one, two = (downstream_sets.Subset(some, {}) for some in (items[:3], items[1:4]))
    downstream_sets.keep_only(one, tmp_path / "set")
    (tmp_path / "set" / "run").mkdir()
    downstream_sets.keep_only(one, tmp_path / "set")
    assert (tmp_path / "set" / "run").is_dir()
    downstream_sets.keep_only(two, tmp_path / "set")
    assert not (tmp_path / "set" / "run").exists()


class Bench:
    """Trains nothing."""

    def __init__(self, folder, judges=None):
        self.folder, self.judges, self.base = folder, judges, "a base"
        self.trained, self.experiment = [], {}

    def set_folder(self, job):
        return self.folder / "sets" / job.id

    def made(self, job, arm, cast):
        material = arm.make(cast.pool, cast.others)
        self.trained.append((job.id, cast.seed, arm.steps, len(material.train), len(material.own)))
        return row_of(job.arm, job.character, **{"loss.gap": 0.1}) | {"n": len(material.train), "seed": cast.seed}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    whole = blank_pool()
    monkeypatch.setattr(downstream_sets, "pool_of", lambda *_: whole)
    monkeypatch.setattr(
        downstream_sets, "prepared", lambda name, items, _: ready_of(items, rare=30 * (name == "toon001"))
    )
    monkeypatch.setattr(pool, "others", lambda _: whole)
    monkeypatch.setattr(downstream, "LORAS", tmp_path / "results")
    monkeypatch.setattr(strategies, "LORAS", tmp_path / "results")
    monkeypatch.setattr(downstream, "WORK", tmp_path / "work")
    return Bench(tmp_path / "work")


def made(bench, limit=None):
    return ladder.run(downstream.Downstream(bench), downstream.planned()[:10], downstream.LORAS, limit)


def test_a_stopped_call_goes_on_and_all_strategies_get_the_same_steps_and_held_out_pictures(bench, capsys):
    assert made(bench, limit=3) == 3
    assert made(bench) == 7
    assert made(bench) == 0
    assert [name for name, *_ in bench.trained] == [job.id for job in downstream.planned()[:9]]  # ours-toon001 fails
    assert {(seed, *rest) for _, seed, *rest in bench.trained} == {(0, STEPS, 24, 8), (1, STEPS, 24, 8)}
    lines = (downstream.LORAS / "downstream.jsonl").read_text().splitlines()
    assert len(lines) == 10
    first, failed = json.loads(lines[0]), json.loads(lines[9])
    assert first["subset"]["views"] > 0
    assert (first["candidates"], first["pool"], first["judged"]) == (100, ALL, False)
    assert "--keep 30" in failed["problem"]
    found = summarise(downstream.rows(), 60)
    assert (found["loras"], list(found["problems"])) == (9, ["ours-toon001"])
    assert {row["strategy"]: row["pairs"] for row in found["rows"]}["ours"] == 1


def test_the_plan_needs_no_model_and_a_missing_one_is_told(bench, capsys, tmp_path, monkeypatch):
    made(bench, limit=2)
    capsys.readouterr()
    assert strategies.main(["--downstream", "--plan"]) == 0
    assert capsys.readouterr().out.split()[0] == downstream.planned()[2].id
    monkeypatch.setattr(downstream, "WORK", tmp_path / "drawn")
    assert strategies.main(["--downstream", "--base", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err
    assert not downstream.WORK.exists()  # nothing was drawn


def test_new_rows_reach_the_figures_beside_the_suites(bench, tmp_path, monkeypatch):
    file = tmp_path / "strategies.json"
    file.write_text(json.dumps({"level": 0.9, "suites": []}))
    monkeypatch.setattr(strategies, "RESULTS", file)
    monkeypatch.setattr(strategies.suites, "CACHE", tmp_path)
    monkeypatch.setattr(downstream, "Bench", lambda *_: bench)
    monkeypatch.setattr(downstream, "judges_of", lambda _: None)
    monkeypatch.setattr(downstream.bases, "load", lambda *_, **__: None)
    assert strategies.main(["--downstream", "--limit", "1"]) == 0
    assert json.loads(file.read_text())["downstream"]["loras"] == 1
    assert strategies.main(["--downstream", "--limit", "4"]) == 0
    found = json.loads(file.read_text())["downstream"]
    assert (found["loras"], found["planned"], found["standing"]) == (5, 60, "too few to say anything")


@pytest.mark.parametrize(
    ("pairs", "words"),
    [(2, "too few to say anything"), (3, "a smoke test"), (5, "a smoke test"), (6, "indicative"), (12, "a claim")],
)
def test_page_and_tables_say_what_so_many_loras_are_good_for(pairs, words, tmp_path):
    assert standing(pairs) == words
    rng = np.random.default_rng(0)
    rows = []
    for number in range(pairs):
        of_character, noise = rng.normal(), rng.normal(scale=0.001)
        rows.append(row_of("random", f"t{number}", **{"loss.gap": of_character, "truth.copied": 0.5}))
        rows.append(row_of("ours", f"t{number}", **{"loss.gap": of_character - 0.05 + noise}))
    rows.append(row_of("ours", "lone", **{"loss.gap": 9.0}))  # without random beside it: no pair
    found = summarise(rows, 60)
    ours = next(row for row in found["rows"] if row["strategy"] == "ours")
    assert (found["standing"], ours["standing"], ours["pairs"]) == (words, words, pairs)
    assert ours["gains"]["lora_gap"]["mean"] == pytest.approx(-0.05, abs=0.002)  # characters differ far more
    assert page.verdict(ours, "lora_gap") == "better"
    assert found["measures"] == ["lora_gap", "lora_copied"]
    result = {"level": 0.9, "suites": [], "downstream": found}
    page.write(result, tmp_path / "page.html")
    shown = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"This is {words}:" in shown
    assert "No judges have seen" in shown
    table = figures.readme(result)
    assert f"This is **{words}**" in table
    assert "No judges" in table
    assert "| ours | " in table
    assert "**better**" in table
    judged = summarise([{**row, "judged": True} for row in rows], 60)
    assert "No judges" not in figures.readme({**result, "downstream": judged})


def test_nothing_is_told_where_no_lora_was_trained(tmp_path):
    assert summarise([], 60) is None
    page.write({"level": 0.9, "suites": []}, tmp_path / "page.html")
    assert "What LoRAs learn" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_judges_that_were_named_must_be_there(tmp_path, monkeypatch):
    from training import judges

    monkeypatch.setattr(judges, "FOLDER", tmp_path / "none")
    assert downstream.judges_of(None) is None
    with pytest.raises(judges.JudgesError):
        downstream.judges_of(tmp_path)
