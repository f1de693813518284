"""Results that are older than what they measured are told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks import stale

ROOT = Path(__file__).parents[2]


def commit(root: Path, path: str, text: str) -> None:
    """One commit that changes one file."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    about = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    for words in (("add", "."), (*about, "commit", "-q", "-m", path)):
        subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)


def test_what_changed_after_its_figures_is_named_and_measuring_again_settles_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    commit(tmp_path, "benchmarks/results/overlay.json", "{}")
    commit(tmp_path, "benchmarks/results/curate.json", "{}")
    assert stale.stale(tmp_path) == []
    commit(tmp_path, "diversity/overlay.py", "1")
    commit(tmp_path, "diversity/sizes.py", "1")
    assert stale.stale(tmp_path) == [stale.Stale("curate", 2), stale.Stale("overlay", 1)]
    assert str(stale.Stale("overlay", 1)) == "overlay.json is 1 commit older than what it measured"
    commit(tmp_path, "benchmarks/results/curate.json", "{ }")
    assert stale.stale(tmp_path) == [stale.Stale("overlay", 1)]


def test_outside_of_git_nothing_is_known_to_be_stale(tmp_path: Path) -> None:
    assert stale.stale(tmp_path) == []


def test_peers_stages_and_strategies_are_older_than_what_they_time_or_judge_by() -> None:
    for path in ("benchmarks/peers", "benchmarks/duplicates.py", "benchmarks/strategies/rivals.py"):
        assert path in stale.MEASURED["peers"]
    assert {"diversity", "reports", "benchmarks/profile_stages.py"} <= set(stale.MEASURED["stages"])
    for name in ("richness", "coverage", "rarefaction"):
        assert f"diversity/{name}.py" in stale.MEASURED["strategies"]


@pytest.mark.parametrize("name", stale.MEASURED)
def test_what_results_measure_is_there(name: str) -> None:
    assert all((ROOT / path).exists() for path in stale.MEASURED[name])
