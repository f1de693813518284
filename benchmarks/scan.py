"""How near the scan's one pass comes to the machine's limit, and where its time goes.

    python -m benchmarks.scan [FOLDER] [--model toon]

The limit is what decoding and the forward pass alone would allow: cores ÷ (decode + forward core-seconds a picture). The
pass does more than that (quality, hash, thumbnail, resizing, tables), so 1 cannot be reached; every part is listed with its
core-milliseconds. All in one run, alternating, medians with the spread of the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT.parent / "shared" / "data" / "kaykit_views"
OUT = Path(__file__).parent / "out"


def core_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of `work`, all threads of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--model", default="toon")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    import torch

    from diversity.config import EncoderConfig, ScanConfig
    from diversity.decode import BadPicture, decode
    from diversity.encoders import load_encoder
    from diversity.ingest import list_sources
    from diversity.measure import measure
    from diversity.scan import BATCH, Scanner

    config, cores = ScanConfig(), os.cpu_count() or 1
    encoder = load_encoder(EncoderConfig(model=options.model))
    ready: Future = Future()
    ready.set_result(encoder)
    sources = list_sources(options.folder, config)
    data = [s.read() for s in sources]
    pictures = []
    for raw in data:
        try:
            pictures.append(decode(raw, max_pixels=config.max_pixels).picture)
        except BadPicture:
            continue
    prepared = np.stack([encoder.prepare(p) for p in pictures])

    def forward() -> None:
        for start in range(0, len(prepared), BATCH):
            encoder.encode_prepared(prepared[start : start + BATCH])

    def bare_decode() -> None:
        for raw in data:
            try:
                decode(raw, max_pixels=config.max_pixels)
            except BadPicture:
                continue

    threads = torch.get_num_threads()
    rows = []
    for repeat in range(options.repeats + 1):
        torch.set_num_threads(1)
        row = {
            "decode": core_seconds(bare_decode),
            "measure": core_seconds(lambda: [measure(raw, config) for raw in data]),
            "prepare": core_seconds(lambda: [encoder.prepare(p) for p in pictures]),
            "forward": core_seconds(forward),
        }
        torch.set_num_threads(threads)
        start, cpu = time.perf_counter(), time.process_time()
        Scanner(config, ready, frozenset()).run(sources, lambda _: None)
        row["pass_wall"], row["pass_cpu"] = time.perf_counter() - start, time.process_time() - cpu
        row["ratio"] = (row["decode"] + row["forward"]) / cores / row["pass_wall"]
        row["ratio_of_all_work"] = (row["measure"] + row["prepare"] + row["forward"]) / cores / row["pass_wall"]
        if repeat:  # the first warms caches
            rows.append(row)
    n = len(pictures)
    summary = {key: statistics.median(r[key] for r in rows) for key in rows[0]}
    spread = {key: max(r[key] for r in rows) - min(r[key] for r in rows) for key in rows[0]}
    print(f"{n} pictures, {cores} cores, {encoder.name}, {options.repeats} repeats")
    for part in ("decode", "measure", "prepare", "forward"):
        print(f"  {part:<8} {1000 * summary[part] / n:6.2f} core-ms a picture")
    print(
        f"  the pass {n / summary['pass_wall']:.0f} pictures/s, {summary['pass_wall']:.2f} s wall (spread {spread['pass_wall']:.2f})"
    )
    print(f"  over the limit of decode + forward: {summary['ratio']:.2f} (spread {spread['ratio']:.2f})")
    print(
        f"  over the limit of all its work:     {summary['ratio_of_all_work']:.2f} (spread {spread['ratio_of_all_work']:.2f})"
    )
    OUT.mkdir(exist_ok=True)
    result = {"pictures": n, "cores": cores, "encoder": encoder.id, "median": summary, "spread": spread}
    (OUT / "scan.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
