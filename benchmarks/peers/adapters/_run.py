"""Runs one adapter: `python _run.py NAME JOB ANSWER`. Standard library only, because peers' environments have no more.

An adapter has `load()` (imports, and whatever compiles on the first call), `read(job)` (inputs into memory, not timed)
and `work(job, inputs)`, which returns JSON-able values, and `PACKAGE`, the distribution whose version is reported.
"""

import importlib
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path


def peak_mb() -> "float | None":
    """Largest resident memory of this process or of its largest child; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit


def main() -> None:
    """Time the imports and the work apart; write the answer."""
    name, asked, answered = sys.argv[1:]
    job = json.loads(Path(asked).read_text(encoding="utf-8"))
    os.environ["DIVERSITY_BENCHMARK_SCRATCH"] = job["scratch"]
    start = time.perf_counter()
    adapter = importlib.import_module(name)
    adapter.load()
    imports = time.perf_counter() - start
    inputs = adapter.read(job)
    before, start = sum(os.times()[:4]), time.perf_counter()
    found = adapter.work(job, inputs)
    seconds, cpu = time.perf_counter() - start, sum(os.times()[:4]) - before
    answer = {
        "found": found,
        "seconds": seconds,
        "cpu": cpu,
        "imports": imports,
        "peak_mb": peak_mb(),
        "version": version(adapter.PACKAGE),
    }
    Path(answered).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
