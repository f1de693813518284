"""Run the benchmarks and write their pages: ``python -m benchmarks [--full]``.

The default is cut to 20 minutes on 2 cores: suites that take long, pictures beside the sample set for peers and
further repeats of slow runs are left to `--full`. What needs ../shared/data is passed over where that is absent: it
would write empty tables over those that are there. Not for training (`benchmarks.richness`, `benchmarks.strategies
--downstream`): that takes hours.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import figures, stale

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
SEEDS = "10"


@dataclass(frozen=True)
class Step:
    """One benchmark.

    Attributes:
        words: Module and arguments.
        full: The same for `--full`; None: as `words`.
        shared: Whether it needs ../shared/data.
        only_full: Whether the default leaves it out.
    """

    words: tuple[str, ...]
    full: tuple[str, ...] | None = None
    shared: bool = False
    only_full: bool = False


STEPS = (
    Step(
        ("benchmarks.strategies", "--suite", "kaykit", "--suite", "toon", "--seeds", SEEDS),
        full=("benchmarks.strategies", "--seeds", SEEDS),
    ),
    Step(("benchmarks.peers", "--quick"), full=("benchmarks.peers",)),
    Step(("benchmarks.profile_stages", "--repeats", "3"), full=("benchmarks.profile_stages",)),
    Step(("benchmarks.duplicates",), shared=True),
    Step(("benchmarks.curate",), shared=True, only_full=True),
    Step(("benchmarks.scan",), shared=True, only_full=True),
    Step(("benchmarks.views",), shared=True, only_full=True),
    Step(("benchmarks.overlay",), shared=True, only_full=True),
    Step(("benchmarks.longtail",), shared=True, only_full=True),
)


def chosen(*, full: bool, shared: bool) -> list[tuple[str, ...]]:
    """Modules and arguments to run, in order."""
    return [
        step.full if full and step.full else step.words
        for step in STEPS
        if (full or not step.only_full) and (shared or not step.shared)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all, say what each took, write the pages; 1 where one failed or a promise is not kept."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="everything: an hour or more")
    full = parser.parse_args(arguments).full
    told: list[str] = []
    failed = False
    for words in chosen(full=full, shared=SHARED.is_dir()):
        print(f"\n{' '.join(words)}", flush=True)
        start = time.perf_counter()
        code = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=False).returncode
        failed = failed or code != 0
        said = f", exit code {code}" if code else ""
        told.append(f"{time.perf_counter() - start:7.0f} s  {' '.join(words)}{said}")
    print("", *told, sep="\n")
    if not SHARED.is_dir():
        print("Without ../shared/data: what needs it was passed over.")
    figures.main()
    stale.main()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
