"""The comparison with peers times the same work on both sides, and takes no row from another machine or program."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import duplicates
from benchmarks.duplicates import SHARED
from benchmarks.peers import protocol, run
from benchmarks.peers.environments import Absent
from benchmarks.peers.inputs import Job
from benchmarks.peers.protocol import Answer
from benchmarks.peers.tasks import DECODE, TASKS, Floor, Task


def answer(found, seconds=1.0):
    return Answer(found, seconds, seconds, 0.1, 0.2, 100.0, "1.0")


@pytest.fixture
def adapter(monkeypatch):
    monkeypatch.syspath_prepend(str(protocol.ADAPTERS))
    return importlib.import_module


def test_of_vendi_scores_only_the_three_dual_ones_are_timed(adapter, monkeypatch):
    called = []
    names = ("score_dual", "score_X", "score_K", "intdiv_X", "entropy_q")
    vendi = SimpleNamespace(**{n: lambda *_, n=n, **__: called.append(n) or 1.0 for n in names})
    theirs, ours = adapter("vendi_scores"), adapter("ours_vendi")
    monkeypatch.setattr(theirs, "load", lambda: (vendi, np))
    vectors = np.eye(3)
    assert theirs.work({}, vectors).keys() == ours.work({}, vectors).keys() == {"1", "2", "inf"}
    assert called == ["score_dual"] * 3
    assert theirs.also({}, vectors)["effective rank"] == pytest.approx(np.e)
    assert ours.also({}, vectors) == {"effective rank": pytest.approx(3.0)}
    assert {"score_X", "score_K", "intdiv_X"} <= set(called)


def test_what_is_compared_beside_the_work_is_in_the_answer(tmp_path):
    (job,) = TASKS["vendi"].jobs(tmp_path, True)
    found = protocol.run("ours_vendi", job.asked)
    assert found.found["also"]["effective rank"] > found.found["1"]
    assert found.reading > 0


def said(folder, code):
    """What a fresh process prints that knows the adapters' folder as `HERE`."""
    file = folder / "said.py"
    file.write_text(f"import subprocess, sys\nHERE = {str(protocol.ADAPTERS)!r}\n{code}", encoding="utf-8")
    return subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=True).stdout


TOLD = "import sys; sys.path.insert(0, sys.argv[1]); import _run; print(_run.peak_mb())"


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the system tells no high-water mark")
def test_the_peak_of_a_child_is_not_its_parents(tmp_path):
    """Linux hands `ru_maxrss` on through exec: with it, every adapter would need as much as whoever started it."""
    start = f"held = b'x' * (300 * 2**20)\nsubprocess.run([sys.executable, '-c', {TOLD!r}, HERE], check=True)\n"
    assert 1 < float(said(tmp_path, start)) < 150


def test_the_peak_counts_what_a_child_of_the_adapter_held(tmp_path):
    start = "subprocess.run([sys.executable, '-c', 'b\"x\" * (300 * 2**20)'], check=True)\n"
    told = "sys.path.insert(0, HERE)\nimport _run\nprint(_run.peak_mb())\n"
    assert float(said(tmp_path, start + told)) > 300


def test_pairs_of_peers_are_closed_into_groups_as_ours_are(adapter):
    pairs = adapter("_pairs")
    assert pairs.closed([("b", "a"), ("b", "c"), ("x", "y")]) == [("a", "b"), ("a", "c"), ("b", "c"), ("x", "y")]
    assert pairs.closed([]) == []
    chain = [(f"{i:03d}", f"{i + 1:03d}") for i in range(60)]
    assert len(pairs.closed(reversed(chain))) == 61 * 60 // 2


def test_fastdup_is_asked_for_its_connected_components_at_its_own_defaults(adapter, monkeypatch):
    asked = {}
    members = [[7, "/p/a"], [7, "/p/s/b"], [7, "/p/c"], [9, "/p/d"]]
    rows = SimpleNamespace(values=SimpleNamespace(tolist=lambda: members))
    frame = {("component_id", "filename"): rows}
    made = SimpleNamespace(
        run=lambda **words: asked.update(words),
        connected_components=lambda: (_Frame(frame), None),
    )
    theirs = adapter("fastdup_pairs")
    monkeypatch.setattr(theirs, "load", lambda: SimpleNamespace(create=lambda **_: made))
    found = theirs.work({"scratch": "/s", "folder": "/p", "threshold": 0.9}, None)
    assert found["pairs"] == [("a", "c"), ("a", "s/b"), ("c", "s/b")]
    assert asked == {"overwrite": True}


class _Frame:
    def __init__(self, columns):
        self.columns = columns

    def __getitem__(self, names):
        return self.columns[tuple(names)]


def test_models_are_loaded_within_the_time_on_both_sides(adapter, monkeypatch):
    loaded = []
    ours, theirs = adapter("ours_copies"), adapter("imagededup_cnn")
    monkeypatch.setattr("diversity.encoders.load_encoder", lambda config: loaded.append(config.model))
    bench = SimpleNamespace(groups_of=lambda *_: ((), [], 0.0), pairs_of=lambda *_: set())
    monkeypatch.setattr(ours, "load", lambda: bench)
    assert ours.read({}) is theirs.read({}) is None
    assert not loaded
    ours.work({"folder": ".", "model": "toon"}, None)
    assert loaded == ["toon"]

    class Net:
        def __init__(self, verbose):
            loaded.append("net")

        def find_duplicates(self, **_):
            return {"a": ["b"], "b": ["a", "c"], "c": []}

    monkeypatch.setitem(sys.modules, "imagededup", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "imagededup.methods", SimpleNamespace(CNN=Net))
    found = theirs.work({"folder": ".", "threshold": 0.9}, None)
    assert loaded[-1] == "net"
    assert found["pairs"] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_files_are_read_before_anybody_is_timed(tmp_path, monkeypatch):
    (tmp_path / "pictures" / "sub").mkdir(parents=True)
    for name in ("pictures/a.png", "pictures/sub/b.png", "v.npy", "other"):
        (tmp_path / name).write_bytes(b"x")
    seen = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: seen.append(file.name) or read(file))
    monkeypatch.setattr(protocol, "run", lambda *_: seen.append("run") or answer({}))
    task = Task("words", "ours", {"a": "theirs"}, lambda *_: [], lambda *_: {})
    asked = {"folder": str(tmp_path / "pictures"), "vectors": str(tmp_path / "v.npy"), "keep": 3, "model": "toon"}
    run.alternate(task, Job("x", asked), "a", None, run.Settings(tmp_path, repeats=1))
    assert seen == ["a.png", "b.png", "v.npy", "run", "run"]


def test_a_promise_of_a_part_is_of_the_medians_of_that_part():
    def one(similarities, greedy):
        return answer({"parts": {"similarities": similarities, "greedy": greedy}})

    found = run.parts([one(1.0, 1.0), one(1.0, 3.0), one(1.0, 2.0)], [one(2.0, 8.0), one(2.0, 9.0), one(2.0, 7.0)])
    assert found["greedy"] == {"ours": 2.0, "theirs": 8.0, "faster": 4.0}
    floor = TASKS["facility"].floors["apricot"]
    good = {"answers": {"ratio": 1.0}, "faster": 2.5}
    assert run.promise(floor, {**good, "parts": found})["kept"]
    slow = {"greedy": {**found["greedy"], "faster": 3.9}}
    assert not run.promise(floor, {**good, "parts": slow})["kept"]
    assert run.promise(floor, {"answers": {"ratio": 1.0}})["kept"]  # nothing was timed
    assert run.parts([answer({})], [answer({})]) == {}


def test_hashing_is_measured_beside_decoding_alone(tmp_path):
    floor = TASKS["decode"].floors[DECODE]
    all_read = {"ours_pictures": 5.0, "peer_pictures": 5.0}
    assert run.promise(floor, {"faster": 0.86, "answers": all_read})["kept"]
    assert not run.promise(floor, {"faster": 0.84, "answers": all_read})["kept"]
    assert not run.promise(floor, {"faster": 1.2, "answers": {**all_read, "ours_pictures": 4.0}})["kept"]
    (job,) = TASKS["decode"].jobs(tmp_path, True)
    row = run.one_row("decode", job, DECODE, run.Settings(tmp_path, repeats=1))
    assert row["answers"]["ours_pictures"] == row["answers"]["peer_pictures"] > 90
    assert row["theirs"]["seconds"]["n"] == 1


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is absent")
def test_every_labelled_set_is_an_input_and_one_holds_1800_pictures(tmp_path):
    jobs = TASKS["copies"].jobs(tmp_path, False)
    folders = {job.asked["folder"] for job in jobs}
    for _, pattern, _ in duplicates.SETS:
        assert {str(folder) for folder in SHARED.glob(pattern)} <= folders
    joined = Path(jobs[-1].asked["folder"])
    files = {file.relative_to(joined).as_posix() for file in joined.rglob("*") if file.is_file()}
    assert len(files) >= 1_800
    assert jobs[-1].label == f"{len(files)} pictures of several sets"
    pairs, ignored = jobs[-1].truth
    assert {name for pair in pairs for name in pair} | ignored <= files
    apart = [job.truth for job in jobs if Path(job.asked["folder"]).name in {file.split("/")[0] for file in files}]
    assert len(pairs) == sum(len(truth[0]) for truth in apart)
    assert len(ignored) == sum(len(truth[1]) for truth in apart)
    assert not any(f"{one}/" in two for one in ("caltech_101_rand_resize", "mixed_images") for two in files)


@pytest.fixture
def one_task(monkeypatch):
    made = []
    task = Task("Words", "ours", {"prdc": "theirs"}, lambda *_: [Job("x", {})], lambda *_: {}, {"prdc": Floor("f")})
    monkeypatch.setitem(run.TASKS, "coverage", task)
    monkeypatch.setattr(protocol, "run", lambda name, *_: made.append(name) or answer({}))
    run._versions.cache_clear()
    yield made
    run._versions.cache_clear()


def rows(settings, done):
    run._versions.cache_clear()
    return list(run.rows(["coverage"], ["prdc"], settings, done))


@pytest.mark.parametrize(
    "changed",
    [
        "peers/adapters/_run.py",
        "peers/adapters/prdc_coverage.py",
        "peers/tasks.py",
        "peers/inputs.py",
        "peers/answers.py",
        "duplicates.py",
        "strategies/rivals.py",
    ],
)
def test_a_row_of_another_program_is_measured_again(changed, one_task, tmp_path, monkeypatch):
    settings, done = run.Settings(tmp_path / "peers", repeats=1, pythons={"prdc": Path("python")}), {}
    rows(settings, done)
    rows(settings, done)
    assert one_task == ["theirs", "ours"]
    real = run.record.file_hash
    edited = run.HERE.parent / changed
    monkeypatch.setattr(run.record, "file_hash", lambda file: "edited" if file == edited else real(file))
    rows(settings, done)
    assert one_task == ["theirs", "ours"] * 2


def test_a_row_of_another_machine_or_interpreter_is_measured_again(one_task, tmp_path, monkeypatch):
    done = {}
    settings = run.Settings(tmp_path / "peers", repeats=1, pythons={"prdc": Path("python")})
    (row,) = rows(settings, done)
    assert row["machine"] == run.machine()
    rows(run.Settings(tmp_path / "peers", repeats=1, pythons={"prdc": Path("another")}), done)
    assert len(one_task) == 4
    monkeypatch.setattr(run, "machine", lambda: {"cpu": "another", "cores": 64})
    (row,) = rows(settings, done)
    assert len(one_task) == 6
    assert row["machine"]["cores"] == 64


def test_what_was_absent_is_asked_again_and_not_kept(one_task, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "ROWS", tmp_path / "out" / "peers.jsonl")
    monkeypatch.setattr(run, "RESULTS", tmp_path / "peers.json")
    found = iter([Absent("no wheels"), Path("python")])
    monkeypatch.setattr(run, "interpreters", lambda *_: {"prdc": next(found)})
    words = ["--task", "coverage", "--peer", "prdc", "--repeats", "1", "--cache", str(tmp_path / "peers")]
    assert run.main(words) == 0
    assert run.ROWS.read_text() == ""
    assert json.loads(run.RESULTS.read_text())["rows"][0]["absent"] == "no wheels"
    assert run.main(words) == 0
    assert json.loads(run.RESULTS.read_text())["rows"][0]["absent"] is None
    assert len(run.ROWS.read_text().splitlines()) == 1
