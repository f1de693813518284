"""Where the time of each stage goes, against what the machine allows for it.

    python -m benchmarks.profile_stages [FOLDER] [--vectors 10000] [--repeats 5]

Two tables. *Limits*: each kind of work beside the least that it could take, both on all cores, alternating in one run:
reading beside copying the same bytes in memory, decoding beside the bare library, measuring (in child processes, as the
scan does) beside decoding alone, encoding beside the bare forward pass, neighbours and similarities beside one matrix
product, greedy selection beside touching each picked row once. The share is limit ÷ time; what is left on the table is
time − limit. *Stages*: seconds of every stage of a first run, and the functions of the main thread that took most of
them (of the scan that is mostly waiting: its threads and children are in the first table). Writes
benchmarks/results/stages.json.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import machine

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT.parent / "shared" / "data" / "kaykit_views"
SAMPLE = ROOT / "diversity" / "assets" / "sample_set"
RESULTS = Path(__file__).parent / "results" / "stages.json"
PROFILED = ("scan", "label", "dedup", "views", "select", "score", "map", "trainer", "export", "report")
SHOWN = 6  # functions per stage
THRESHOLD = 0.8  # cosine of the neighbours that are looked for
BLOCK = 1_024
Work = Callable[[], object]


@dataclass(frozen=True)
class Part:
    """One kind of work and its limit.

    Attributes:
        name: What it is.
        against: What the limit is.
        work: Ours.
        limit: The least that could do it.
    """

    name: str
    against: str
    work: Work
    limit: Work


def measured(part: Part, repeats: int) -> dict[str, Any]:
    """Medians of `repeats` alternating rounds after one that warms caches.

    Returns:
        name, against, seconds, limit_seconds, left (seconds above the limit), share (limit ÷ seconds), spread of the
        share over the rounds.
    """
    rounds = [(_seconds(part.work), _seconds(part.limit)) for _ in range(repeats + 1)][1:]
    seconds, limit = (statistics.median(column) for column in zip(*rounds, strict=True))
    shares = [least / max(took, 1e-9) for took, least in rounds]
    return {
        "name": part.name,
        "against": part.against,
        "seconds": seconds,
        "limit_seconds": limit,
        "left": seconds - limit,
        "share": limit / max(seconds, 1e-9),
        "spread": max(shares) - min(shares),
    }


def _seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# pictures -------------------------------------------------------------------------------------------------------------


class Pictures:
    """The parts of the scan over one folder."""

    def __init__(self, folder: Path, model: str, most: int | None = None) -> None:
        from diversity.config import EncoderConfig, ScanConfig
        from diversity.decode import BadPicture, decode
        from diversity.encoders import load_encoder
        from diversity.ingest import list_sources

        self.config, self.encoder = ScanConfig(), load_encoder(EncoderConfig(model=model))
        self.cores = os.cpu_count() or 1
        self.threads = ThreadPoolExecutor(self.cores)
        self.sources, self.data, self.pixels = [], [], []
        for source in list_sources(folder, self.config)[:most]:
            data = source.read()
            try:
                self.pixels.append(decode(data, max_pixels=self.config.max_pixels).pixels)
            except BadPicture:
                continue
            self.sources.append(source)
            self.data.append(data)
        self.prepared = np.stack([self.encoder.prepare(pixels) for pixels in self.pixels])

    def parts(self) -> Iterator[Part]:
        """Each kind of work of the scan."""
        from diversity.decode import decode
        from diversity.measuring import MeasuringPool

        def ours(data: bytes) -> object:
            return decode(data, max_pixels=self.config.max_pixels)

        side = self.prepared.shape[2], self.prepared.shape[1]
        everywhere = self._everywhere
        yield Part(
            "read the files",
            "copying the same bytes in memory",
            everywhere(lambda source: source.read(), self.sources),
            everywhere(bytearray, self.data),
        )
        yield Part("decode", "Pillow alone", everywhere(ours, self.data), everywhere(_loaded, self.data))
        yield Part(
            "decode at full size",
            "JPEG draft mode, 512 pixels or more",
            everywhere(_loaded, self.data),
            everywhere(_drafted, self.data),
        )
        with MeasuringPool(self.config, self.cores) as children:
            yield Part(
                "decode, quality, hash, thumbnail",
                "our decoding alone",
                everywhere(lambda sources: list(children.measure(sources)), self._pieces()),
                everywhere(ours, self.data),
            )
        yield Part(
            "resize for the encoder",
            "OpenCV's area resizing",
            everywhere(self.encoder.prepare, self.pixels),
            everywhere(lambda pixels: cv2.resize(pixels, side, interpolation=cv2.INTER_AREA), self.pixels),
        )
        yield Part("encode", "the bare forward pass", self._encode, self._forward())

    def _pieces(self) -> list[Sequence[Any]]:
        """Sources as the scan hands them to its children."""
        from diversity.scan import LOOK

        return [self.sources[at : at + LOOK] for at in range(0, len(self.sources), LOOK)]

    def _everywhere(self, work: Callable[[Any], object], things: Sequence[Any]) -> Work:
        """`work` on each of `things`, on all cores."""

        def run() -> None:
            for _ in self.threads.map(work, things):
                pass

        return run

    def _batches(self) -> range:
        from diversity.scan import BATCH

        return range(0, len(self.prepared), BATCH)

    def _encode(self) -> None:
        import torch

        size = self._batches().step

        def encode(start: int) -> None:
            torch.set_num_threads(1)
            self.encoder.encode_prepared(self.prepared[start : start + size])

        self._everywhere(encode, self._batches())()

    def _forward(self) -> Work:
        """The picture tower on tensors that are ready."""
        import torch

        encoder: Any = self.encoder
        size = self._batches().step
        ready = [encoder._normalised(self.prepared[start : start + size]) for start in self._batches()]

        def forward(batch: Any) -> None:  # noqa: ANN401
            torch.set_num_threads(1)
            with torch.inference_mode():
                encoder._model.visual(batch)

        return self._everywhere(forward, ready)


def _loaded(data: bytes) -> None:
    Image.open(BytesIO(data)).load()


def _drafted(data: bytes) -> None:
    image = Image.open(BytesIO(data))
    image.draft("RGB", (512, 512))
    image.load()


# vectors --------------------------------------------------------------------------------------------------------------


def vector_parts(vectors: NDArray[np.float32], keep: int) -> Iterator[Part]:
    """Neighbours and selection on float32 [n, d], unit rows."""
    from diversity.config import IndexConfig
    from diversity.index import Index, plan
    from diversity.select.facility import lazy_greedy
    from diversity.select.graph import dense

    n, dim = vectors.shape
    similar = dense(vectors)
    order = lazy_greedy(similar, keep, np.empty(0, np.int64)).order

    def neighbours() -> None:
        Index.build(vectors, plan(n, dim, IndexConfig())).above(THRESHOLD)

    def product() -> None:
        for at in range(0, n, BLOCK):
            vectors[at : at + BLOCK] @ vectors.T

    def touch() -> None:
        best = np.zeros(n, np.uint16)
        similar.totals()
        for i in order:
            np.maximum(best, similar.matrix[i], out=best)

    yield Part("neighbours above a threshold", "one matrix product", neighbours, product)
    yield Part("similarities for selection", "one matrix product", lambda: dense(vectors), product)
    yield Part(
        "greedy facility location",
        "summing all rows and touching each picked one once",
        lambda: lazy_greedy(similar, keep, np.empty(0, np.int64)),
        touch,
    )


# stages ---------------------------------------------------------------------------------------------------------------


def stages(folder: Path, model: str) -> list[dict[str, Any]]:
    """Seconds of every stage of a first run, and what took them."""
    from diversity.dataset import Dataset

    with tempfile.TemporaryDirectory() as place:
        dataset = Dataset.open(folder, workspace_folder=Path(place) / "ws", overrides={"encoder": {"model": model}})
        rows = []
        for name in PROFILED:
            profile = cProfile.Profile()
            start = time.perf_counter()
            profile.runcall(dataset.run, name)
            rows.append({"stage": name, "seconds": time.perf_counter() - start, "functions": hottest(profile)})
    return rows


def hottest(profile: cProfile.Profile, most: int = SHOWN) -> list[dict[str, Any]]:
    """The functions with most time of their own: name, own seconds, calls."""
    found = []
    for (file, _, name), (_, calls, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        where = name if file in ("~", "") else f"{Path(file).parent.name}/{Path(file).name}:{name}"
        found.append({"name": where, "seconds": own, "calls": calls})
    return sorted(found, key=lambda row: -row["seconds"])[:most]


def report(rows: Sequence[dict[str, Any]]) -> None:
    """Print the limits, those with most left first."""
    for row in sorted(rows, key=lambda row: -row["left"]):
        print(
            f"{row['name']:<34} {row['seconds']:8.3f} s, {row['share']:4.2f} of {row['against']} "
            f"(± {row['spread'] / 2:.2f}); {row['left']:.3f} s left"
        )


def main() -> None:
    """Measure, print, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT if DEFAULT.is_dir() else SAMPLE)
    parser.add_argument("--model", default="toon")
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--keep", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    from benchmarks.peers.inputs import cloud

    pictures = Pictures(options.folder, options.model)
    vectors = cloud(options.vectors, 0, max(options.vectors // 20, 2))
    limits = [measured(part, options.repeats) for part in pictures.parts()]
    limits += [measured(part, options.repeats) for part in vector_parts(vectors, options.keep)]
    report(limits)
    taken = stages(options.folder, options.model)
    for row in taken:
        print(f"{row['stage']:<8} {row['seconds']:.2f} s  " + ", ".join(f["name"] for f in row["functions"][:3]))
    result = {
        "set": options.folder.name,
        "pictures": len(pictures.data),
        "vectors": list(vectors.shape),
        "kept": options.keep,
        "repeats": options.repeats,
        "machine": machine(),
        "limits": limits,
        "stages": taken,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
