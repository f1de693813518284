"""How near the scan's one pass comes to the machine's limit, and where its time goes.

    python -m benchmarks.scan [FOLDER] [--model toon] [--clip 200]

The limit is what decoding and the forward pass alone would allow: cores ÷ (decode + forward core-seconds a picture).
The pass does more than that (quality, hash, thumbnail, resizing, rows), so 1 cannot be reached; every part is listed
with its core-milliseconds. Parts are measured with all cores at work on the same part, because cores share caches and
clock; all in one run, alternating, medians with the spread of the repeats. Where Linux tells how long the workers were
ready and had no core, that time does not count against the pass; but who held the core is not told, and the pass's own
threads and children may have been it, so never more is taken off than down to cpu ÷ cores, and the ratios by the clock
stand beside. `--clip N` measures the first N pictures once more with a CLIP of real size (ViT-B-32 with random
weights: they take as long as trained ones).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.machine import machine
from diversity.measuring import MeasuringPool
from diversity.scan import BATCH, Scanner

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT.parent / "shared" / "data" / "kaykit_views"
RESULTS = Path(__file__).parent / "results"
PARTS = ("decode", "measure", "prepare", "forward")
REAL_SIZE = "ViT-B-32"


def core_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of `work`, all threads of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def random_clip(folder: Path, config: dict[str, Any]) -> str:
    """Save an open_clip model of `config` (its `model_cfg`) with random weights; its `local-dir:` name."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.CLIP(**config)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(dict(model.state_dict()), folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


class Parts:
    """The parts of the pass over one folder, each on all cores at once, and the pass itself."""

    def __init__(self, folder: Path, model: str, most: int | None = None) -> None:
        from diversity.config import EncoderConfig, ScanConfig
        from diversity.encoders import load_encoder
        from diversity.ingest import list_sources

        self.config, self.encoder = ScanConfig(), load_encoder(EncoderConfig(model=model))
        self.sources = list_sources(folder, self.config)[:most]
        self.data = [source.read() for source in self.sources]
        self.pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self.pictures = [pixels for data in self.data for pixels in self._decoded(data)]
        self.prepared = np.stack([self.encoder.prepare(pixels) for pixels in self.pictures])

    def _on_all_cores(self, work: Callable[[Any], object], things: Sequence[Any]) -> None:
        for _ in self.pool.map(work, things):
            pass

    def _decoded(self, data: bytes) -> list[np.ndarray]:
        """The pixels, where `data` can be decoded."""
        from diversity.decode import BadPicture, decode

        with contextlib.suppress(BadPicture):
            return [decode(data, max_pixels=self.config.max_pixels).pixels]
        return []

    def decode(self) -> None:
        """Pixels and their hash."""
        self._on_all_cores(self._decoded, self.data)

    def measure(self) -> None:
        """Decode, quality, hash, thumbnail."""
        from diversity.measure import measure

        self._on_all_cores(lambda data: measure(data, self.config), self.data)

    def prepare(self) -> None:
        """The encoder's resizing."""
        self._on_all_cores(self.encoder.prepare, self.pictures)

    def forward(self) -> None:
        """The forward pass, in the batches of the scan, one core each."""
        import torch

        def encode(start: int) -> None:
            torch.set_num_threads(1)
            self.encoder.encode_prepared(self.prepared[start : start + BATCH])

        self._on_all_cores(encode, range(0, len(self.prepared), BATCH))

    def whole_pass(self) -> Pass:
        """What a scan does, with the encoder already loaded and the children started."""
        ready: Future = Future()
        ready.set_result(self.encoder)
        with MeasuringPool(self.config, self.config.threads) as pool:
            for child in pool.children:
                child.alive()  # has started
            before = [times_of(f"/proc/{child.pid}") for child in pool.children]
            scanner = Watched(self.config, ready, frozenset(), pool.measure)
            start, used = time.perf_counter(), time.process_time()
            scanner.run(self.sources, lambda _: None)
            wall, used = time.perf_counter() - start, time.process_time() - used
            after = [times_of(f"/proc/{child.pid}") for child in pool.children]
        spent = [(a[0] - b[0], a[1] - b[1]) for b, a in zip(before, after, strict=True)]
        waits = [last - first for first, last in scanner.waits.values()] + [held for _, held in spent]
        return Pass(wall, sum(waits), used + sum(worked for worked, _ in spent))


class Pass(NamedTuple):
    """Seconds of a pass: by the clock, those that workers were ready and had no core, and those of all cores."""

    wall: float
    held: float
    used: float


class Watched(Scanner):
    """A scanner that notes how long each of its workers was ready to run and had no core."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments)
        self.waits: dict[int, tuple[float, float]] = {}

    def _noted(self, work: Callable[[Any], Any], piece: Any) -> Any:  # noqa: ANN401
        thread = threading.get_native_id()
        place = f"/proc/self/task/{thread}"
        first = self.waits.get(thread, (times_of(place)[1],))[0]
        result = work(piece)
        self.waits[thread] = first, times_of(place)[1]
        return result

    def _look(self, sources: Any) -> Any:  # noqa: ANN401
        return self._noted(super()._look, sources)

    def _encode(self, batch: Any) -> Any:  # noqa: ANN401
        return self._noted(super()._encode, batch)


def times_of(place: str) -> tuple[float, float]:
    """Seconds that a thread or process had a core, and was ready without one; 0 where the system does not tell."""
    try:
        worked, held = Path(f"{place}/schedstat").read_text().split()[:2]
        return int(worked) / 1e9, int(held) / 1e9
    except OSError:
        return 0.0, 0.0


def one_round(parts: Parts, cores: int) -> dict[str, float]:
    """Seconds of every part; the two ratios, without what workers waited for others, and by the clock.

    A worker that waits for a core may wait for another worker of the same pass. That is the pass's own time: at the
    least it takes its processor seconds ÷ cores.
    """
    row = {name: core_seconds(getattr(parts, name)) for name in PARTS}
    done = parts.whole_pass()
    row["pass_cpu"], row["pass_wall"] = done.used, done.wall
    row["pass_seconds"] = min(max(done.wall - done.held / cores, done.used / cores), done.wall)
    limit = (row["decode"] + row["forward"]) / cores
    all_work = (row["measure"] + row["prepare"] + row["forward"]) / cores
    for name, seconds in (("", row["pass_seconds"]), ("_by_clock", row["pass_wall"])):
        row[f"over_limit{name}"], row[f"over_all_work{name}"] = limit / seconds, all_work / seconds
    return row


def measured(parts: Parts, name: str, repeats: int) -> dict[str, Any]:
    """Print and return the medians and spreads of `repeats` rounds after one that warms caches."""
    cores = os.cpu_count() or 1
    rows = [one_round(parts, cores) for _ in range(repeats + 1)][1:]
    median = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    spread = {key: max(row[key] for row in rows) - min(row[key] for row in rows) for key in rows[0]}
    n = len(parts.pictures)
    print(f"{n} pictures, {cores} cores, {name}, {repeats} repeats")
    for part in PARTS:
        print(f"  {part:<8} {1000 * median[part] / n:6.2f} core-ms a picture")
    print(
        f"  the pass: {n / median['pass_seconds']:.0f} pictures/s, spread "
        f"{spread['pass_seconds'] / median['pass_seconds']:.0%} (by the clock {n / median['pass_wall']:.0f})"
    )
    for key, words in (("over_limit", "decode + forward:"), ("over_all_work", "all that it does:")):
        by_clock = median[f"{key}_by_clock"]
        print(f"  over the limit of {words} {median[key]:.2f}, spread {spread[key]:.2f} (by the clock {by_clock:.2f})")
    return {"pictures": n, "cores": cores, "encoder": name, "median": median, "spread": spread}


def main() -> None:
    """Measure, print, and keep the figures in benchmarks/results/scan.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--model", default="toon")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clip", type=int, default=200, metavar="N", help="pictures for a CLIP of real size; 0: none")
    options = parser.parse_args()
    parts = Parts(options.folder, options.model)
    runs = [measured(parts, parts.encoder.id, options.repeats)]
    if options.clip:
        import open_clip

        with tempfile.TemporaryDirectory() as folder:
            parts = Parts(
                options.folder, random_clip(Path(folder), open_clip.get_model_config(REAL_SIZE)), options.clip
            )
            runs.append(measured(parts, f"{REAL_SIZE}, random weights", min(options.repeats, 3)))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "scan.json").write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
