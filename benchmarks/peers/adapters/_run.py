"""Runs one adapter: `python _run.py NAME JOB ANSWER`. Standard library only, because peers' environments have no more.

An adapter has `load()` (imports, and whatever compiles or is downloaded on the first call), `read(job)` (inputs into
memory; timed apart) and `work(job, inputs)` (the work, models loaded in it), which returns JSON-able values, and
`PACKAGE`, the distribution whose version is reported. It may have `also(job, inputs)`: values that are compared, but
neither timed nor in the memory.
"""

import importlib
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path


def peak_mb() -> "float | None":
    """Largest resident memory of this process or of its largest child, in MB; None where the system does not tell.

    Linux hands `ru_maxrss` on through exec, so that a child of a large process reports its parent's peak; VmHWM starts
    anew. Children are told by `ru_maxrss` alone, where what they are handed is at most this process's own peak.
    """
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    own = high_water_kb()
    if own is None:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / unit


def high_water_kb() -> "int | None":
    """VmHWM of this process in KiB: its largest resident memory since exec; None where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def main() -> None:
    """Time imports, reading and work apart; write the answer."""
    name, asked, answered = sys.argv[1:]
    job = json.loads(Path(asked).read_text(encoding="utf-8"))
    os.environ["DIVERSITY_BENCHMARK_SCRATCH"] = job["scratch"]
    start = time.perf_counter()
    adapter = importlib.import_module(name)
    adapter.load()
    loaded = time.perf_counter()
    inputs = adapter.read(job)
    before, ready = sum(os.times()[:4]), time.perf_counter()
    found = adapter.work(job, inputs)
    seconds, cpu = time.perf_counter() - ready, sum(os.times()[:4]) - before
    answer = {
        "found": found,
        "seconds": seconds,
        "cpu": cpu,
        "imports": loaded - start,
        "reading": ready - loaded,
        "peak_mb": peak_mb(),
        "version": version(adapter.PACKAGE),
    }
    if hasattr(adapter, "also"):
        found["also"] = adapter.also(job, inputs)
    Path(answered).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
