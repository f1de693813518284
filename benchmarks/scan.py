"""How near the scan's one pass comes to the machine's limit, and where its time goes.

    python -m benchmarks.scan [FOLDER] [--model toon]

The limit is what decoding and the forward pass alone would allow: cores ÷ (decode + forward core-seconds a picture).
The pass does more than that (quality, hash, thumbnail, resizing, rows), so 1 cannot be reached; every part is listed
with its core-milliseconds. All in one run, alternating, medians with the spread of the repeats.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from diversity.scan import BATCH, Scanner

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT.parent / "shared" / "data" / "kaykit_views"
RESULTS = Path(__file__).parent / "results"
PARTS = ("decode", "measure", "prepare", "forward")


def core_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of `work`, all threads of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


class Parts:
    """The parts of the pass over one folder, each alone on one core, and the pass itself on all."""

    def __init__(self, folder: Path, model: str) -> None:
        from diversity.config import EncoderConfig, ScanConfig
        from diversity.encoders import load_encoder
        from diversity.ingest import list_sources

        self.config, self.encoder = ScanConfig(), load_encoder(EncoderConfig(model=model))
        self.sources = list_sources(folder, self.config)
        self.data = [source.read() for source in self.sources]
        self.pictures = self.decode()
        self.prepared = np.stack([self.encoder.prepare(picture) for picture in self.pictures])

    def decode(self) -> list:
        """Every picture that can be decoded."""
        from diversity.decode import BadPicture, decode

        pictures = []
        for raw in self.data:
            with contextlib.suppress(BadPicture):
                pictures.append(decode(raw, max_pixels=self.config.max_pixels).picture)
        return pictures

    def measure(self) -> None:
        """Decode, quality, hash, thumbnail."""
        from diversity.measure import measure

        for raw in self.data:
            measure(raw, self.config)

    def prepare(self) -> None:
        """The encoder's resizing."""
        for picture in self.pictures:
            self.encoder.prepare(picture)

    def forward(self) -> None:
        """The forward pass, in the batches of the scan."""
        for start in range(0, len(self.prepared), BATCH):
            self.encoder.encode_prepared(self.prepared[start : start + BATCH])

    def whole_pass(self) -> None:
        """What a scan does, with the encoder already loaded."""
        ready: Future = Future()
        ready.set_result(self.encoder)
        Scanner(self.config, ready, frozenset()).run(self.sources, lambda _: None)


def one_round(parts: Parts, cores: int) -> dict[str, float]:
    """Seconds of every part, and the two ratios."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    row = {name: core_seconds(getattr(parts, name)) for name in PARTS}
    torch.set_num_threads(threads)
    start = time.perf_counter()
    row["pass_cpu"] = core_seconds(parts.whole_pass)
    row["pass_wall"] = time.perf_counter() - start
    row["over_limit"] = (row["decode"] + row["forward"]) / cores / row["pass_wall"]
    row["over_all_work"] = (row["measure"] + row["prepare"] + row["forward"]) / cores / row["pass_wall"]
    return row


def main() -> None:
    """Measure, print, and keep the figures in benchmarks/results/scan.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--model", default="toon")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    parts, cores = Parts(options.folder, options.model), os.cpu_count() or 1
    rows = [one_round(parts, cores) for _ in range(options.repeats + 1)][1:]  # the first warms caches
    median = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    spread = {key: max(row[key] for row in rows) - min(row[key] for row in rows) for key in rows[0]}
    n = len(parts.pictures)
    print(f"{n} pictures, {cores} cores, {parts.encoder.name}, {options.repeats} repeats")
    for name in PARTS:
        print(f"  {name:<8} {1000 * median[name] / n:6.2f} core-ms a picture")
    print(
        f"  the pass: {n / median['pass_wall']:.0f} pictures/s, spread {spread['pass_wall'] / median['pass_wall']:.0%}"
    )
    print(f"  over the limit of decode + forward:  {median['over_limit']:.2f}, spread {spread['over_limit']:.2f}")
    print(f"  over the limit of all that it does:  {median['over_all_work']:.2f}, spread {spread['over_all_work']:.2f}")
    RESULTS.mkdir(exist_ok=True)
    result = {"pictures": n, "cores": cores, "encoder": parts.encoder.id, "median": median, "spread": spread}
    (RESULTS / "scan.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
