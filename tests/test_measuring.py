"""Measuring in child processes: the same answers as here, whatever happens to a child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diversity import measuring
from diversity.config import ScanConfig
from diversity.ingest import Source, list_sources
from diversity.ingest.source import UNREADABLE
from diversity.measure import measure_source
from diversity.measuring import ChildDied, MeasuringChild, MeasuringPool

CONFIG = ScanConfig()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (40 + i, 50, 4), dtype=np.uint8)).save(root / f"{i}.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return list_sources(root, CONFIG)


@pytest.fixture(scope="module")
def pool() -> Iterator[MeasuringPool]:
    with MeasuringPool(CONFIG, 1) as found:
        yield found


def test_a_child_gives_what_this_process_gives(pool: MeasuringPool, sources: list[Source]) -> None:
    there = list(pool.measure(sources))
    here = [measure_source(source, CONFIG) for source in sources]
    assert len(there) == 7
    assert [m.columns for m in there] == [m.columns for m in here]
    assert [m.thumbnail for m in there] == [m.thumbnail for m in here]
    for a, b in zip(there, here, strict=True):
        assert (a.pixels is None) == (b.pixels is None) == (a.columns["problem"] is not None)
        assert a.pixels is None or np.array_equal(a.pixels, b.pixels)


def test_settings_reach_the_child(sources: list[Source]) -> None:
    with MeasuringPool(ScanConfig(max_pixels=100), 1) as strict:
        assert all(m.columns["problem"] for m in strict.measure(sources))


def test_a_child_imports_neither_settings_nor_tables_nor_torch(
    monkeypatch: pytest.MonkeyPatch, sources: list[Source], tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # every import is told on stderr
    start = subprocess.Popen
    with (tmp_path / "imports.txt").open("w+") as told:
        monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: start(*args, **{**options, "stderr": told}))
        with MeasuringPool(CONFIG, 1) as fresh:
            assert len(list(fresh.measure(sources))) == len(sources)
        told.seek(0)
        imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in told}
    assert {"cv2", "PIL", "diversity"} <= imported
    assert imported.isdisjoint({"polars", "pydantic", "pydantic_core", "torch", "numba", "faiss", "scipy"})


def test_a_child_that_was_killed_is_replaced_and_nothing_is_lost(pool: MeasuringPool, sources: list[Source]) -> None:
    victim = pool.children[0]
    victim._child.kill()
    victim._child.wait()
    found = list(pool.measure(sources))
    assert [m.columns for m in found] == [measure_source(source, CONFIG).columns for source in sources]
    assert pool.children[0] is not victim


def test_a_picture_that_ends_two_children_is_marked_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch, sources: list[Source]
) -> None:
    deadly = sources[2]

    class Fragile(MeasuringChild):
        def measure(self, given):  # type: ignore[no-untyped-def]
            for source, measured in zip(given, super().measure(given), strict=False):
                if source == deadly:
                    self._child.kill()
                    self._child.wait()
                    raise ChildDied("signal 11")
                yield measured

    monkeypatch.setattr(measuring, "MeasuringChild", Fragile)
    with MeasuringPool(CONFIG, 1) as fragile:
        found = list(fragile.measure(sources))
        again = list(fragile.measure(sources[3:]))
    here = [measure_source(source, CONFIG).columns for source in sources]
    assert [m.columns for m in found[:2] + found[3:]] == here[:2] + here[3:]
    assert [m.columns for m in again] == here[3:]
    problem = str(found[2].columns["problem"])
    assert problem.startswith(UNREADABLE)  # so that the next scan tries it again
    assert "signal 11" in problem


def test_where_no_child_can_live_this_process_measures(monkeypatch: pytest.MonkeyPatch, sources: list[Source]) -> None:
    monkeypatch.setattr(sys, "executable", str(Path(sys.executable).with_name("no-such-python")))
    with pytest.raises(OSError, match="no-such-python"):
        MeasuringChild(CONFIG)
    monkeypatch.undo()
    with MeasuringPool(CONFIG, 1) as pool:
        monkeypatch.setattr(sys, "executable", str(Path(sys.executable).with_name("no-such-python")))
        pool.children[0]._child.kill()
        found = list(pool.measure(sources))
    assert [m.columns for m in found] == [measure_source(source, CONFIG).columns for source in sources]


def test_a_consumer_that_breaks_off_leaves_no_stale_answers(pool: MeasuringPool, sources: list[Source]) -> None:
    begun = iter(pool.measure(sources))
    next(begun)
    begun.close()  # type: ignore[attr-defined]
    found = list(pool.measure(sources[-1:]))
    assert [m.columns for m in found] == [measure_source(sources[-1], CONFIG).columns]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals of a terminal are POSIX's")
def test_ctrl_c_does_not_reach_a_child(pool: MeasuringPool, sources: list[Source]) -> None:
    list(pool.measure(sources[:1]))  # it has started
    os.kill(pool.children[0].pid, signal.SIGINT)
    before = pool.children[0]
    assert len(list(pool.measure(sources))) == len(sources)
    assert pool.children[0] is before
