"""Which results are older than the code they measured: ``python -m benchmarks.stale``; `python -m benchmarks` ends
with it.

A time that nobody takes again cannot grow where anyone sees it. By the dates of git's last commits; not for judging
whether a change matters.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEASURED: dict[str, tuple[str, ...]] = {
    "curate": ("diversity", "reports"),
    "duplicates-auto": ("diversity/duplicates.py", "diversity/judge.py", "diversity/mosaic.py", "diversity/search.py"),
    "judges": ("training/assets/judges",),
    "longtail": ("diversity",),
    "overlay": ("diversity/overlay.py",),
    "peers": ("diversity", "benchmarks/peers", "benchmarks/duplicates.py", "benchmarks/strategies/rivals.py"),
    "scan": ("diversity/scan.py", "diversity/measure.py", "diversity/decode.py", "diversity/encoders"),
    "stages": ("diversity", "reports", "benchmarks/profile_stages.py"),
    "strategies": (
        "diversity/select",
        "diversity/richness.py",
        "diversity/coverage.py",
        "diversity/rarefaction.py",
        "benchmarks/strategies",
    ),
    "subject": ("diversity/subject.py", "diversity/subject_check.py", "diversity/subject_palette.py"),
    "toon_base": ("training/assets/toon_base", "training/assets/judges"),
    "trainer_speed": ("training/train.py", "training/session.py", "training/losses.py", "training/lora.py"),
    "views": ("diversity/views.py", "diversity/assets"),
}


@dataclass(frozen=True)
class Stale:
    """One result and how many commits later than it what it measured was changed."""

    result: str
    commits: int

    def __str__(self) -> str:
        later = "1 commit" if self.commits == 1 else f"{self.commits} commits"
        return f"{self.result}.json is {later} older than what it measured"


def stale(root: Path = ROOT) -> list[Stale]:
    """Results of a git checkout, the stalest first; none outside of one, and none that was never committed."""
    found = []
    for name, paths in MEASURED.items():
        last = _git(root, "log", "-1", "--format=%H", "--", f"benchmarks/results/{name}.json")
        if not last:
            continue
        later = _git(root, "rev-list", "--count", f"{last[0]}..HEAD", "--", *paths)
        if later and later[0] != "0":
            found.append(Stale(name, int(later[0])))
    return sorted(found, key=lambda each: (-each.commits, each.result))


def main() -> None:
    """Print one line for each."""
    for each in stale():
        print(each)


def _git(root: Path, *words: str) -> list[str]:
    """Lines that git says; none where it fails or is not there."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.splitlines()


if __name__ == "__main__":
    main()
