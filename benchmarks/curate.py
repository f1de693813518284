"""How long the commands take that a newcomer waits for.

    python -m benchmarks.curate

`curate` on the 570 pictures of `kaykit_views` (else the embedded sample set): cold (no workspace), then with nothing
changed; `diversity --help`. Wall seconds of fresh processes; the median of the repeats, and their spread.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import machine

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data" / "kaykit_views"
SAMPLE = ROOT / "diversity" / "assets" / "sample_set"
RESULTS = Path(__file__).parent / "results"


def seconds(*words: str) -> float:
    """Wall seconds of one `diversity` process."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "diversity.cli", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - start


def summary(values: list[float]) -> dict[str, float]:
    """Median, least and largest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "n": len(values)}


def main() -> None:
    """Time, print, and keep benchmarks/results/curate.json."""
    source = SHARED if SHARED.is_dir() else SAMPLE
    result: dict[str, object] = {"set": source.name, "machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        pictures, workspace = Path(folder) / "pictures", Path(folder) / "workspace"
        shutil.copytree(source, pictures)
        words = ("curate", str(pictures), "--workspace", str(workspace), "--model", "toon", "--quiet")
        cold = []
        for _ in range(3):
            shutil.rmtree(workspace, ignore_errors=True)
            cold.append(seconds(*words))
        result["cold"] = summary(cold)
        result["unchanged"] = summary([seconds(*words) for _ in range(5)])
        stages = json.loads((workspace / "curation.json").read_text(encoding="utf-8"))["stages"]
        result["stages"] = {name: stage["seconds"] for name, stage in stages.items()}
    result["help"] = summary([seconds("--help") for _ in range(9)])
    for name in ("cold", "unchanged", "help"):
        timed = result[name]
        print(f"{name:<10} {timed['median']:.2f} s ({timed['low']:.2f}–{timed['high']:.2f}, n={timed['n']})")
    print("stages of the last cold run:", result["stages"])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "curate.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
