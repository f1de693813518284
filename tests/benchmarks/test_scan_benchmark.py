"""The scan's benchmark measures what it says, with an encoder of any size."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks import duplicates, scan
from benchmarks.machine import machine
from benchmarks.scan import PARTS, Parts, Pass, one_round, random_clip
from diversity.scan import BATCH

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def test_every_part_and_the_pass_are_measured_on_the_same_pictures(tmp_path: Path) -> None:
    folder, model = tmp_path / "pictures", tmp_path / "model"
    folder.mkdir()
    model.mkdir()
    rng = np.random.default_rng(0)
    for i in range(2 * BATCH + 3):
        Image.fromarray(rng.integers(0, 256, (48, 48, 3), np.uint8)).save(folder / f"{i:03}.png")
    (folder / "broken.png").write_bytes(b"nothing")
    parts = Parts(folder, random_clip(model, TINY), 2 * BATCH + 4)
    assert len(parts.pictures) == len(parts.prepared) == 2 * BATCH + 3
    row = one_round(parts, os.cpu_count() or 1)
    assert all(row[part] > 0 for part in PARTS)
    assert 0 < row["over_limit"] < row["over_all_work"]
    assert 0 < row["pass_seconds"] <= row["pass_wall"]
    assert row["over_limit_by_clock"] <= row["over_limit"]


@pytest.mark.parametrize(
    ("held", "seconds"),
    [
        (0.0, 10.0),  # nobody waited
        (4.0, 8.0),  # two seconds on each of two cores went to other programs
        (19.0, 6.0),  # more than others can have had: 12 processor seconds on two cores take six
    ],
)
def test_waiting_for_our_own_workers_is_not_taken_off_the_pass(held: float, seconds: float, monkeypatch) -> None:
    class Fixed:
        decode = measure = prepare = forward = staticmethod(lambda: None)
        whole_pass = staticmethod(lambda: Pass(10.0, held, 12.0))

    monkeypatch.setattr(scan, "core_seconds", lambda _: 4.0)
    row = one_round(Fixed(), 2)
    assert (row["pass_seconds"], row["pass_wall"]) == (seconds, 10.0)
    assert row["over_limit"] == pytest.approx(4.0 / seconds)
    assert row["over_limit_by_clock"] == pytest.approx(0.4)
    assert row["over_all_work_by_clock"] == pytest.approx(0.6)


def test_where_a_clock_runs_behind_the_processors_the_clock_counts(monkeypatch) -> None:
    class Fixed:
        decode = measure = prepare = forward = staticmethod(lambda: None)
        whole_pass = staticmethod(lambda: Pass(10.0, 1.0, 20.5))  # two clocks are never read at once

    monkeypatch.setattr(scan, "core_seconds", lambda _: 4.0)
    assert one_round(Fixed(), 2)["pass_seconds"] == 10.0


def test_results_say_on_what_they_were_measured(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(scan, "RESULTS", tmp_path)
    monkeypatch.setattr(scan, "Parts", lambda *_: SimpleNamespace(encoder=SimpleNamespace(id="e")))
    monkeypatch.setattr(scan, "measured", lambda *_: {"pictures": 1})
    monkeypatch.setattr("sys.argv", ["scan", "--clip", "0"])
    scan.main()
    assert json.loads((tmp_path / "scan.json").read_text())["machine"] == machine()


def test_copies_say_on_what_they_were_measured(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(duplicates, "ROOT", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(duplicates, "measure", lambda *_: [])
    monkeypatch.setattr("sys.argv", ["duplicates", "--encoder", "layout"])
    duplicates.main()
    found = json.loads((tmp_path / "benchmarks" / "results" / "duplicates-layout.json").read_text())
    assert found["machine"] == machine()
