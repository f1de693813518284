"""Progress in plain lines: how fast, how long, and never "0/s"."""

from __future__ import annotations

import pytest

from diversity import progress


@pytest.mark.parametrize(
    ("done", "seconds", "says"),
    [(300, 10, "30/s"), (13, 10, "1.3/s"), (1, 40, "40 s each"), (2, 9, "4.5 s each")],
)
def test_a_rate_below_one_is_told_as_time(done: int, seconds: float, says: str) -> None:
    assert progress.rate(done, seconds) == says


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0.04, "0.0 s"), (4.24, "4.2 s"), (9.96, "10 s"), (95, "95 s"), (1431, "24 min"), (11_000, "3.1 h")],
)
def test_time_is_told_in_the_unit_that_fits(seconds: float, says: str) -> None:
    assert progress.duration(seconds) == says


def test_a_slow_task_tells_count_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter([0.0, 40.0, 80.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.Lines().task("pictures", 38) as advance:
        advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "pictures: 1 of 38, 40 s each, 25 min left",
        "pictures: 1 in 80 s",
    ]
