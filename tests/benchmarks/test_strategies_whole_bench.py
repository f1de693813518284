"""What `python -m benchmarks` runs: the short way writes no empty tables, and the full way leaves nothing out."""

from __future__ import annotations

import importlib.util

import pytest

from benchmarks import __main__ as bench

LONG = {"benchmarks.richness"}


@pytest.mark.parametrize("full", [False, True])
def test_without_shared_data_nothing_runs_that_needs_them(full):
    words = bench.chosen(full=full, shared=False)
    assert {name[0] for name in words} == {"benchmarks.strategies", "benchmarks.peers", "benchmarks.profile_stages"}


def test_the_full_way_runs_every_benchmark_that_the_short_way_runs_and_more():
    short, full = ([name[0] for name in bench.chosen(full=way, shared=True)] for way in (False, True))
    assert set(short) < set(full)
    assert len(full) == len(set(full)) == len(bench.STEPS)
    assert not LONG & set(full)
    assert all(importlib.util.find_spec(name) for name in full)


def test_one_benchmark_that_fails_stops_no_other_and_the_pages_are_written(monkeypatch, capsys):
    ran, codes = [], iter([0, 1, 0, 0])
    monkeypatch.setattr(bench.subprocess, "run", lambda command, **_: ran.append(command) or Done(next(codes)))
    monkeypatch.setattr(bench, "SHARED", bench.ROOT)
    monkeypatch.setattr(bench.figures, "main", lambda: ran.append("pages"))
    monkeypatch.setattr(bench.stale, "main", lambda: ran.append("stale"))
    assert bench.main([]) == 1
    assert len(ran) == 6
    assert ran[-2:] == ["pages", "stale"]
    assert "benchmarks.peers --quick, exit code 1" in capsys.readouterr().out


class Done:
    def __init__(self, returncode):
        self.returncode = returncode
