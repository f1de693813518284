"""What the comparison with peers says of answers, and how it runs and reports them; no peer is installed here."""

from __future__ import annotations

import cProfile
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import profile_stages
from benchmarks.peers import answers, environments, figures, inputs, protocol, run, tasks
from benchmarks.peers.environments import Absent, last_line, python_of
from benchmarks.peers.inputs import Job
from benchmarks.peers.protocol import Answer
from benchmarks.peers.tasks import TASKS, Floor, Task


def answer(found, seconds=1.0):
    return Answer(found, seconds, seconds, 0.1, 0.2, 100.0, "1.0")


HOST = {"cpu": "a processor", "cores": 2}


def test_pairs_are_judged_by_labels_without_what_does_not_count():
    job = Job("set", {}, ({("a", "b"), ("a", "flip"), ("c", "d")}, {"flip"}))
    found = answers.compare_pairs(job, {"pairs": [["a", "b"], ["c", "d"]]}, {"pairs": [["a", "b"], ["a", "c"]]})
    assert found["ours_f1"] == 1.0
    assert found["peer_f1"] == pytest.approx(2 * 1 / (2 + 2))
    assert found["agreement"] == pytest.approx(1 / 3)
    assert (found["ours_wrong"], found["peer_wrong"]) == (0, 1)


def test_where_nothing_is_alike_wrong_pairs_decide():
    job = Job("distinct", {}, (set(), set()))
    better = answers.compare_pairs(job, {"pairs": []}, {"pairs": [["a", "b"]]})
    worse = answers.compare_pairs(job, {"pairs": [["a", "b"]]}, {"pairs": []})
    assert better["ours_f1"] is None
    kept = TASKS["hash"].floors["imagededup"].answer
    assert kept(better)
    assert not kept(worse)


def test_scores_are_compared_by_rank_and_flags_one_by_one():
    def scored(values, flagged):
        return {
            "scores": {str(i): {"dark": value} for i, value in enumerate(values)},
            "flags": {str(i): ["dark"] if i in flagged else [] for i in range(len(values))},
        }

    job = Job("set", {})
    found = answers.compare_scores(job, scored([1, 2, 3, 4], {0}), scored([10, 20, 30, 400], {0, 1}))
    assert found["dark_rank"] == pytest.approx(1.0)
    assert found["dark_same_flag"] == 0.75
    assert found["dark_tied"] == 0.25
    assert answers.compare_scores(job, scored([1, 1], ()), scored([1, 2], ()))["dark_rank"] is None
    floor = TASKS["quality"].floors["cleanvision"].answer
    assert floor(found)
    assert not floor(answers.compare_scores(job, scored([1, 2, 3, 4], {0}), scored([4, 3, 2, 1], {0})))


def test_a_score_that_falls_with_every_step_of_blur_is_told_from_one_that_does_not():
    falls = {f"{n:02d}-{step}.png": {"blurry": -float(step)} for n in range(3) for step in range(5)}
    assert answers.graded(falls) == 1.0
    assert answers.graded({**falls, "01-2.png": {"blurry": 0.0}}) == pytest.approx(11 / 12)
    assert answers.graded({name: {"blurry": 1.0} for name in falls}) == 0.0  # cut off at its most


def test_objectives_are_recomputed_and_double_picks_are_told(tmp_path):
    vectors = np.eye(4, dtype=np.float32)
    np.save(tmp_path / "v.npy", vectors)
    job = Job("eye", {"vectors": str(tmp_path / "v.npy")})
    found = answers.compare_objectives(job, {"order": [0, 1, 2]}, {"order": [3, 3, 3]})
    assert (found["ours_objective"], found["peer_objective"], found["ratio"]) == (3.0, 1.0, 3.0)
    assert found["peer_twice"] == 2


def test_what_a_peer_gets_wrong_is_said_beside_what_is_right():
    ours = {"1": 4.0, "2": 3.0, "inf": 2.0, "also": {"effective rank": 5.0}}
    others = {"score_X, q = 2": 4.0, "score_K, q = 2": 3.0, "intdiv_X": "TypeError: no"}
    peer = {**ours, "also": {"effective rank": 5.0, **others}}
    found = answers.compare_vendi(Job("v", {}), ours, peer)
    assert found["largest_difference"] == 0
    assert found["score_X, q = 2"] == "4.0 for 3.0000"
    assert found["score_K, q = 2"] == "equal"
    assert found["intdiv_X"] == "TypeError: no"
    assert found["orders_compared"] == 4
    for changed in ({"2": 3.1}, {"also": {**peer["also"], "effective rank": 5.1}}):
        off = answers.compare_vendi(Job("v", {}), ours, {**peer, **changed})
        assert not TASKS["vendi"].floors["vendi-score"].answer(off)


def test_orphans_are_removed_pictures_that_nothing_left_is_like(tmp_path):
    angles = np.radians([0, 20, 40])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    line = float(np.cos(np.radians(21)))
    assert answers.orphans(vectors, [1, 2], line) == 1
    assert answers.orphans(vectors, [1], line) == 0
    assert answers.orphans(vectors, [], line) == 0
    assert answers.orphans(vectors, [0, 1, 2], line) == 3


def test_bursts_have_neighbours_and_ends_that_are_not():
    rows = inputs.bursts(5, 30, 0)
    similar = rows @ rows.T - 2 * np.eye(len(rows))
    assert rows.shape == (150, 64)
    assert np.median(similar.max(axis=1)) > 0.95
    assert similar.max(axis=1).min() < 1
    assert np.median(similar) < 0.5


@pytest.mark.parametrize("task", ["vendi", "coverage", "keepers", "facility", "large"])
def test_our_own_adapters_answer_in_a_process_of_their_own(task, tmp_path):
    (job,) = TASKS[task].jobs(tmp_path, True)
    found = protocol.run(TASKS[task].ours, job.asked)
    assert found.version
    assert found.seconds > 0
    assert found.imports > 0
    if task == "vendi":
        assert found.found["1"] > found.found["2"] > found.found["inf"] > 1
    if task == "coverage":
        assert 0 < found.found["coverage"] < 1
    if task == "keepers":
        vectors = np.load(job.asked["vectors"])
        assert found.found["removed"]
        assert answers.orphans(vectors, found.found["removed"], job.asked["threshold"]) == 0
    if task in ("facility", "large"):
        assert len(set(found.found["order"])) == job.asked["keep"]


def test_what_no_peer_is_asked_runs_alone_and_the_peers_say_why(tmp_path, monkeypatch):
    settings = run.Settings(tmp_path / "peers", repeats=1)
    small = TASKS["large"].jobs
    monkeypatch.setitem(run.TASKS, "large", replace(TASKS["large"], jobs=lambda made, _: small(made, True)))
    ours, *others = run.rows(["large"], [*environments.PEERS, tasks.ALONE], settings, {})
    assert ours["answers"]["ratio"] > 1.01  # of random picks
    assert ours["kept"] is True
    assert ours["ours"]["peak_mb"]["median"] > 0
    assert [row["peer"] for row in others] == ["apricot", "submodlib"]
    assert all("80 GB" in row["absent"] for row in others)
    assert not list(run.rows(["large"], ["prdc"], settings, {}))
    for table in (figures.table, figures.readme):
        lines = table({"rows": [ours, *others]}).splitlines()
        assert len(lines) == 2 + 3
        assert len({line.count("|") for line in lines}) == 1


def test_a_promise_of_seconds_is_of_ours():
    floor = TASKS["large"].floors[tasks.ALONE]
    took = {"answers": {"ratio": 1.5}, "ours": {"seconds": {"median": 89.0}}}
    assert run.promise(floor, took)["kept"]
    assert not run.promise(floor, {**took, "ours": {"seconds": {"median": 91.0}}})["kept"]
    assert not run.promise(floor, {**took, "answers": {"ratio": 0.9}})["kept"]
    assert run.promise(floor, {"answers": {"ratio": 1.5}})["kept"]  # nothing was timed


def test_on_a_graph_of_neighbours_the_objective_is_close_to_that_on_all_pairs(tmp_path):
    vectors = inputs._stored(tmp_path, "cloud", inputs.cloud(2_000, 0, 100))
    job = Job("both", {"vectors": vectors, "keep": 50})
    whole, near = (protocol.run("ours_facility", {**job.asked, "neighbours": way}).found for way in (False, True))
    assert whole["order"] != near["order"]
    assert answers.compare_objectives(job, near, whole)["ratio"] > 0.98


def test_the_rule_of_the_paper_leaves_orphans_where_ours_leaves_none(tmp_path):
    (job,) = TASKS["keepers"].jobs(tmp_path, True)
    row = run.one_row("keepers", job, "paper", run.Settings(tmp_path, repeats=1))
    assert row["answers"]["ours_orphans"] == 0
    assert row["answers"]["peer_orphans"] > 0
    assert row["kept"] is True


def test_a_set_with_broken_files_is_asked_again_without_them(tmp_path):
    whole, sound = inputs.readable_sets(tmp_path, True)  # the sample set has one file that is cut off
    files = [sum(file.suffix != ".txt" for file in Path(job.asked["folder"]).iterdir()) for job in (whole, sound)]
    assert files[0] == files[1] + 1
    assert sound.label == "sample set, sound files"


def test_a_peer_that_fails_is_absent_with_its_last_words(tmp_path):
    with pytest.raises(Absent, match="it fails: ModuleNotFoundError: No module named 'no_such_adapter'"):
        protocol.run("no_such_adapter", {}, None)
    assert last_line("warning\n\nError: no wheels \n\n") == "Error: no wheels"


def test_what_does_not_install_is_absent_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "_uv", lambda *_: [sys.executable, "-c", "import sys; sys.exit('no such wheel')"])
    with pytest.raises(Absent, match="does not install: no such wheel"):
        python_of("prdc", tmp_path)
    assert not list(tmp_path.rglob(environments.READY))


def test_fastdup_is_never_installed_by_us(tmp_path):
    with pytest.raises(Absent, match=r"non-commercial.*--fastdup"):
        python_of("fastdup", tmp_path)
    assert not list(tmp_path.iterdir())
    assert python_of("fastdup", tmp_path, tmp_path / "python") == tmp_path / "python"


def test_runs_alternate_and_a_failing_peer_costs_no_run_of_ours(monkeypatch):
    order = []

    def fake(adapter, job, python=None):
        order.append(adapter)
        if adapter == "broken":
            raise Absent("it fails: no")
        return answer({})

    monkeypatch.setattr(protocol, "run", fake)
    task = Task("words", "ours", {"a": "theirs", "b": "broken"}, lambda *_: [], lambda *_: {})
    settings = run.Settings(Path(), repeats=3)
    run.alternate(task, Job("x", {}), "a", None, settings)
    assert order == ["theirs", "ours", "ours", "theirs", "theirs", "ours"]
    order.clear()
    with pytest.raises(Absent):
        run.alternate(task, Job("x", {}), "b", None, settings)
    assert order == ["broken"]


def test_only_the_quick_way_repeats_slow_runs_less(monkeypatch):
    monkeypatch.setattr(protocol, "run", lambda *_: answer({}, run.PATIENCE / 3))
    task = Task("words", "ours", {"a": "theirs"}, lambda *_: [], lambda *_: {})
    for quick, times in ((False, 4), (True, 2)):
        settings = run.Settings(Path(), repeats=4, quick=quick)
        assert [len(side) for side in run.alternate(task, Job("x", {}), "a", None, settings)] == [times, times]
    alone = replace(task, peers={})
    row = run.alone_row(alone, Job("x", {}), {}, run.Settings(Path(), repeats=4, quick=True))
    assert row["repeats"] == 3


def test_the_quick_way_takes_pictures_of_the_sample_set_alone_but_vectors_of_full_size(tmp_path, monkeypatch):
    asked = []
    for name in ("hash", "vendi"):
        monkeypatch.setitem(
            run.TASKS, name, replace(TASKS[name], jobs=lambda _, small, name=name: asked.append((name, small)) or [])
        )
    for quick, timed in ((True, True), (False, True), (False, False)):
        list(run.rows(["hash", "vendi"], [], run.Settings(tmp_path / "peers", timed=timed, quick=quick), {}))
    assert asked == [
        ("hash", True),
        ("vendi", False),
        ("hash", False),
        ("vendi", False),
        ("hash", True),
        ("vendi", True),
    ]


def test_all_installations_together_have_so_much_time(tmp_path, monkeypatch):
    given = []

    def fake(name, cache, own, *, seconds):
        given.append(seconds)
        now[0] += 50.0
        if name == "prdc":
            raise Absent("no wheels")
        return cache / name

    now = [0.0]
    monkeypatch.setattr(environments, "python_of", fake)
    monkeypatch.setattr(environments.time, "monotonic", lambda: now[0])
    found = environments.interpreters(["apricot", "prdc", "submodlib"], tmp_path, None, 80.0)
    assert given == [80.0, 30.0, -20.0]
    assert (found["apricot"], str(found["prdc"])) == (tmp_path / "apricot", "no wheels")
    with pytest.raises(Absent, match="in the time that is left"):
        environments._run([sys.executable, "-c", "import time; time.sleep(9)"], -20.0)


def test_a_promise_needs_both_speed_and_answer():
    floor = Floor("twice as fast and right", 2.0, lambda found: found["right"] is True)
    good, bad = {"right": True}, {"right": False}
    assert run.promise(floor, {"faster": 2.5, "answers": good})["kept"]
    assert not run.promise(floor, {"faster": 1.5, "answers": good})["kept"]
    assert not run.promise(floor, {"faster": 2.5, "answers": bad})["kept"]
    assert run.promise(floor, {"answers": good})["kept"]  # nothing was timed
    assert run.promise(None, {"answers": good}) == {"floor": None, "kept": None}


def test_a_timed_row_has_medians_and_ranges_and_is_kept_among_others(tmp_path, monkeypatch):
    seconds = iter([4.0, 1.0, 2.0, 8.0, 6.0, 1.0])  # who begins changes with every round
    monkeypatch.setattr(protocol, "run", lambda *_: answer({"pairs": []}, next(seconds)))
    ours, theirs = run.alternate(TASKS["vendi"], Job("x", {}), "vendi-score", None, run.Settings(tmp_path, repeats=3))
    told = run.summary(theirs)["seconds"]
    assert told == {"median": 6.0, "low": 4.0, "high": 8.0, "n": 3}
    assert run.summary(theirs)["reading"]["median"] == 0.2
    assert run.summary(ours)["seconds"]["median"] == 1.0
    monkeypatch.setattr(run, "RESULTS", tmp_path / "peers.json")
    for value in (1, 2):
        run.write([{"task": "hash", "peer": "p", "input": "i", "n": value}])
        run.write([{"task": "vendi", "peer": "p", "input": "i", "n": 0}])
    stored = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert [(r["task"], r["n"]) for r in stored] == [("hash", 2), ("vendi", 0)]


def test_shares_are_medians_of_alternating_rounds(monkeypatch):
    taken = {"work": iter([99.0, 4.0, 2.0, 8.0]), "limit": iter([99.0, 1.0, 1.0, 4.0])}  # the first round warms up
    order = []
    monkeypatch.setattr(profile_stages, "_seconds", lambda what: order.append(what) or next(taken[what]))
    row = profile_stages.measured(profile_stages.Part("a", "b", "work", "limit"), 3)
    assert order == ["work", "limit"] * 4
    assert (row["seconds"], row["limit_seconds"], row["left"], row["share"]) == (4.0, 1.0, 3.0, 0.25)
    assert row["spread"] == 0.25


def test_vector_parts_run_and_name_their_limits():
    vectors = inputs.cloud(200, 0, 10)
    parts = list(profile_stages.vector_parts(vectors, 20))
    assert [part.against for part in parts].count("one matrix product") == 2
    for part in parts:
        part.work()
        part.limit()


def test_the_functions_of_a_profile_are_sorted_by_their_own_time():
    profile = cProfile.Profile()
    profile.runcall(sorted, range(300_000), key=lambda x: -x)
    found = profile_stages.hottest(profile, 3)
    assert len(found) == 3
    assert [row["seconds"] for row in found] == sorted((row["seconds"] for row in found), reverse=True)
    assert 300_000 in [row["calls"] for row in found]


def test_every_stage_of_a_first_run_is_profiled(monkeypatch):
    from diversity.dataset import Dataset
    from diversity.stages import STAGES

    ran = []
    monkeypatch.setattr(Dataset, "run", lambda self, name: ran.append(name))
    rows = profile_stages.stages(profile_stages.SAMPLE, "toon")
    assert [row["stage"] for row in rows] == ran
    assert set(ran) == set(STAGES)
    assert all(row["functions"] for row in rows)


@pytest.mark.slow
def test_every_part_of_the_scan_has_work_and_a_limit():
    pictures = profile_stages.Pictures(profile_stages.SAMPLE / "10_mira", "toon", most=8)
    rows = [profile_stages.measured(part, 1) for part in pictures.parts()]
    assert len(rows) == 6
    assert all(row["seconds"] > 0 and row["limit_seconds"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no wheels", "no wheels"),
        ("it fails: urllib.error.URLError: <urlopen error>", "it fails: URLError"),
        ("it fails: OSError: image file is truncated", "it fails: OSError"),
    ],
)
def test_a_reason_for_absence_names_the_error_and_spares_its_words(said, shown):
    assert figures._why({"absent": said}) == shown


def test_tables_of_peers_show_what_is_absent_and_what_is_not_kept():
    timed = run.summary([answer({}, 2.0), answer({}, 4.0)])
    row = {"task": "hash", "peer": "p", "input": "i", "absent": None, "version": "1", "answers": {"ours_f1": 0.5}}
    row |= {"parts": {"greedy": {"ours": 1.0, "theirs": 4.5, "faster": 4.5}}}
    row |= {"ours": timed, "theirs": timed, "faster": 1.0, "floor": "faster", "kept": False}
    gone = {"task": "copies", "peer": "q", "input": "i", "absent": "no wheels"}
    lines = figures.table({"rows": [row, gone]}).splitlines()
    assert "3.00 (2.00–4.00, n = 2)" in lines[2]
    assert "ours f1 0.5; greedy alone 4.5 ×" in lines[2]
    assert "**not kept**" in lines[2]
    assert "absent: no wheels" in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_the_readme_has_one_row_for_each_task_and_peer():
    def row(faster, kept, seconds, **changed):
        side = {"seconds": {"median": seconds, "low": seconds, "high": seconds}}
        said = {"task": "hash", "words": "Hashes", "peer": "p", "input": str(faster), "absent": None, "answers": {}}
        said["machine"] = HOST
        return {**said, "ours": side, "theirs": side, "faster": faster, "floor": "faster", "kept": kept, **changed}

    gone = {"task": "hash", "words": "Hashes", "peer": "q", "input": "i", "absent": "no wheels", "machine": HOST}
    three = [row(1.5, True, 2.0), row(0.9, False, 4.0), {**gone, "peer": "p"}, gone]
    lines = figures.readme({"rows": three}).splitlines()
    assert lines[2:] == [
        "| Hashes | p | 2 of 3 | 6.0 | 6.0 | 0.9–1.5 | faster: **kept on 1 of 2** |",
        "| Hashes | q | | | | | absent: no wheels |",
    ]
    assert "| 2 | 5.0 | 5.0 | 1.5 | faster: kept |" in figures.readme(
        {"rows": [row(1.5, True, 2.0), row(1.5, True, 3.0)]}
    )


def test_figures_of_two_machines_are_never_added_up():
    def row(host, seconds):
        side = {"seconds": {"median": seconds}}
        said = {"task": "hash", "words": "Hashes", "peer": "p", "input": "i", "absent": None, "answers": {}}
        return {**said, "machine": host, "ours": side, "theirs": side, "faster": 1.0, "floor": None, "kept": None}

    other = {"cpu": "another one", "cores": 64}
    lines = figures.readme({"rows": [row(HOST, 2.0), row(other, 3.0)]}).splitlines()
    assert [line.split(" | ")[3] for line in lines[2:]] == ["2.0", "3.0"]


def test_one_run_has_no_range():
    assert figures._span(run.summary([answer({}, 2.0)])["seconds"]) == "2.00 (n = 1)"


def test_pages_hold_what_the_committed_results_give():
    """A table that was typed, or results that were committed without their pages, are found here."""
    from benchmarks import figures as pages

    before = pages.README.read_text(encoding="utf-8")
    assert pages.readme(before) == before
    assert pages.DOC.read_text(encoding="utf-8") == pages.page()


def test_marks_in_the_readme_are_filled_from_results(tmp_path, monkeypatch):
    from benchmarks import figures as pages

    marks = "".join(f"<!-- table {name} -->\n<!-- end {name} -->\n" for name in pages.README_TABLES)
    monkeypatch.setattr(pages, "README", tmp_path / "README.md")
    monkeypatch.setattr(pages, "DOC", tmp_path / "figures.md")
    pages.README.write_text(f"before\n{marks}after\n", encoding="utf-8")
    pages.main()
    text = pages.README.read_text(encoding="utf-8")
    for name, write in pages.README_TABLES.items():
        file = pages.RESULTS / f"{name}.json"
        expected = write(json.loads(file.read_text(encoding="utf-8"))) + "\n" if file.is_file() else ""
        assert f"<!-- table {name} -->\n{expected}<!-- end {name} -->" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    pages.main()
    assert pages.README.read_text(encoding="utf-8") == text
