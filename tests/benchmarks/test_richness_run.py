"""The ladder goes on where it stopped, in its order, in parts too, and never mixes two base models."""

from __future__ import annotations

import pytest

pytest.importorskip("diffusers", reason="diffusers is not installed: the ladder cannot be trained")

import ladder_rows

from benchmarks.richness import run
from benchmarks.richness.arms import jobs
from diversity.errors import InputError
from training.errors import NotANumberError, TrainingError

PLAN = jobs(ladder_rows.TOONS, ladder_rows.MODELS)[1:]  # without the untrained one


class Bench:
    """Makes up rows; stops, or fails on some."""

    def __init__(
        self, *, stop_after: int | None = None, fails: tuple[str, ...] = (), base: str = "a base", judges: str = "j"
    ) -> None:
        self.made: list[str] = []
        self.experiment = {"judges": judges, "threads": 1}
        self._stop, self._fails, self._base = stop_after, fails, base
        self._breaks: Exception = TrainingError("The loss is not a number.")

    def row(self, job):
        if len(self.made) == self._stop:
            raise KeyboardInterrupt
        if job.id in self._fails:
            raise self._breaks
        self.made.append(job.id)
        return {**ladder_rows.row(job), "base": self._base, "experiment": self.experiment}

    def train(self, job):
        if job.id in self._fails:
            raise TrainingError("The loss is not a number.")
        self.made.append(job.id)


def test_a_stopped_run_goes_on_with_the_next_row(tmp_path):
    whole = Bench()
    run.run(whole, PLAN[:12], tmp_path / "whole")
    first, second = Bench(stop_after=5), Bench()
    with pytest.raises(KeyboardInterrupt):
        run.run(first, PLAN[:12], tmp_path / "parts")
    assert run.run(second, PLAN[:12], tmp_path / "parts") == 7
    assert [*first.made, *second.made] == whole.made == [job.id for job in PLAN[:12]]
    files = [(tmp_path / name / "core.jsonl").read_text() for name in ("whole", "parts")]
    assert files[0] == files[1]
    assert run.run(Bench(stop_after=0), PLAN[:12], tmp_path / "parts") == 0


def test_only_so_many_are_made_and_each_block_has_its_file(tmp_path):
    assert run.run(Bench(), PLAN[50:], tmp_path, limit=8) == 8
    assert {file.name for file in tmp_path.iterdir()} == {"core.jsonl", "claims.jsonl"}
    assert len(run.done(tmp_path)) == 8


@pytest.mark.parametrize("error", [TrainingError, NotANumberError])
def test_a_lora_that_breaks_has_a_row_that_says_so(tmp_path, error):
    broken = PLAN[1].id
    bench = Bench(fails=(broken,))
    bench._breaks = error("The loss is not a number.")
    run.run(bench, PLAN[:3], tmp_path)
    rows = run.done(tmp_path)
    assert list(rows) == [job.id for job in PLAN[:3]]
    assert rows[broken]["problem"] == "The loss is not a number."
    assert rows[broken]["scores"] == []


def test_loras_are_trained_ahead_and_only_those_without_a_row(tmp_path):
    run.run(Bench(), PLAN[:2], tmp_path)
    bench = Bench(fails=(PLAN[2].id,))
    assert run.ahead(bench, PLAN[:6], tmp_path, limit=3) == 3
    assert bench.made == [PLAN[3].id, PLAN[4].id]  # the one that fails stops nothing
    assert len(run.done(tmp_path)) == 2


def test_rows_of_another_base_are_refused(tmp_path):
    run.run(Bench(), PLAN[:2], tmp_path)
    with pytest.raises(InputError, match="another base"):
        run.run(Bench(base="another"), PLAN[:3], tmp_path)
    assert len(run.done(tmp_path)) == 2


def test_rows_of_other_judges_are_refused_before_anything_is_made(tmp_path):
    run.run(Bench(), PLAN[:2], tmp_path)
    other = Bench(judges="others")
    with pytest.raises(InputError, match="another judges"):
        run.run(other, PLAN[:3], tmp_path)
    assert not other.made


def test_a_half_written_line_is_made_again(tmp_path):
    run.run(Bench(), PLAN[:3], tmp_path)
    file = tmp_path / "core.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    again = Bench()
    assert run.run(again, PLAN[:3], tmp_path) == 1
    assert again.made == [PLAN[2].id]
    assert len(run.done(tmp_path)) == 3


def test_missing_judges_are_told_plainly(tmp_path, capsys):
    code = run.main(["--judges", str(tmp_path / "none"), "--work", str(tmp_path / "work"), "--results", str(tmp_path)])
    assert code == 2
    assert "judges could not be loaded" in capsys.readouterr().err


def test_the_plan_can_be_looked_at(tmp_path, capsys):
    assert run.main(["--plan", "--results", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.split()
    assert lines[0] == "identity-toon000"
    assert lines[1].startswith("mono16-")


def test_parts_share_the_plan_out_and_each_is_balanced():
    parts = [run.share(PLAN, f"{k}/3") for k in (1, 2, 3)]
    assert sorted(job.id for part in parts for job in part) == sorted(job.id for job in PLAN)
    core = [[job.arm for job in part if job.block == "core"] for part in parts]
    assert all(max(arms.count(arm) for arm in arms) - min(arms.count(arm) for arm in arms) <= 1 for arms in core)
    assert run.share(PLAN, "1/1") == PLAN


@pytest.mark.parametrize("part", ["", "2", "0/2", "3/2", "a/b", "1/2/3"])
def test_a_part_that_is_none_is_refused(part):
    with pytest.raises(InputError, match="no part"):
        run.share(PLAN, part)
