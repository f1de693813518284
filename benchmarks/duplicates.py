"""How well copies are found with default settings: `python -m benchmarks.duplicates [--encoder auto|layout|...]`.

Prints one table and writes benchmarks/results/duplicates-<encoder>.json. Reads ../shared/data; what is absent is
skipped.
Labels are read for scoring only. `layout` is an encoder without weights, to see what the rest does with a poor one.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import machine
from diversity import tables
from diversity.config import DuplicatesConfig, EncoderConfig, ScanConfig
from diversity.duplicates import DuplicateGroups, Evidence, find
from diversity.ingest import list_sources
from diversity.scan import Scanner
from diversity.scan_stage import measurer

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
Pair = tuple[str, str]


class Layout:
    """A colour layout, randomly projected: an encoder without weights."""

    id, name, dim, side = "layout", "colour layout", 128, 12

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One picture, uint8 [h, w, 3] → uint8 [side, side, 3]."""
        picture = Image.fromarray(pixels).convert("YCbCr")
        return np.asarray(picture.resize((self.side, self.side), Image.Resampling.BOX))

    def encode_prepared(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Uint8 [n, side, side, 3] → float32 [n, dim], unit rows."""
        flat = batch.reshape(len(batch), -1).astype(np.float32) / 255 - 0.5
        projected = flat @ np.random.default_rng(0).normal(size=(flat.shape[1], self.dim)).astype(np.float32)
        return projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-6)

    def encode_images(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Pictures → float32 [n, dim], unit rows."""
        return self.encode_prepared(
            np.stack([self.prepare(np.asarray(picture.convert("RGB"))) for picture in pictures])
        )


def groups_of(folder: Path, encoder: Any) -> tuple[DuplicateGroups, pl.DataFrame, float]:  # noqa: ANN401
    """Scan `folder` and find its copies: the groups, `images`, and the seconds that finding took."""
    ready: Future[Any] = Future()
    ready.set_result(encoder)
    sources = list_sources(folder, ScanConfig())
    with measurer(ScanConfig(), len(sources)) as measure_sources:
        found = Scanner(ScanConfig(), ready, frozenset(), measure_sources).run(sources, lambda _: None)
    images = tables.conform(pl.DataFrame(found.rows, schema=tables.IMAGES), tables.IMAGES)
    images = images.filter(pl.col("problem").is_null())
    vectors = np.stack([found.vectors[content].astype(np.float16).astype(np.float32) for content in images["content"]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    start = time.perf_counter()
    groups = find(images, vectors, Evidence(found.thumbnails, encoder.encode_images), DuplicatesConfig())
    return groups, images, time.perf_counter() - start


def pairs_of(groups: DuplicateGroups, images: pl.DataFrame) -> set[Pair]:
    """Pairs of paths in one group."""
    joined = groups.frame.join(images.select("key", "path"), on="key").group_by("group").agg("path")
    return {pair for paths in joined["path"] for pair in combinations(sorted(paths), 2)}


def truth_of(labels: dict[str, str]) -> set[Pair]:
    """Pairs of paths with one label."""
    return {(a, b) for a, b in combinations(sorted(labels), 2) if labels[a] == labels[b]}


def orphans(groups: DuplicateGroups) -> int:
    """Copies whose keeper is not kept, or not linked at or above the line of its tier."""
    kept = set(groups.frame.filter(pl.col("key") == pl.col("keeper"))["key"])
    copies = groups.frame.filter(pl.col("kind") == "copy")
    bad = ~copies["keeper"].is_in(list(kept)) | (copies["similarity"] < copies["threshold"])
    return int(bad.sum())


def scored(groups: DuplicateGroups, images: pl.DataFrame, truth: set[Pair], ignored: set[str]) -> dict[str, Any]:
    """Precision, recall and F1 of pairs, those with a picture in `ignored` left out."""
    predicted = {pair for pair in pairs_of(groups, images) if not set(pair) & ignored}
    truth = {pair for pair in truth if not set(pair) & ignored}
    right = len(predicted & truth)
    return {
        "precision": right / len(predicted) if predicted else None,
        "recall": right / len(truth) if truth else None,
        "f1": 2 * right / (len(predicted) + len(truth)) if truth else None,
        "wrong": sorted(predicted - truth)[:10],
    }


def kaykit(folder: Path) -> tuple[set[Pair], set[str]]:
    """Truth and left-out pictures (flips) of one long-tail set."""
    with (SHARED / "kaykit_views" / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if f"/{folder.name}/" in row["file"]]
    by_name = {Path(row["file"]).name: row for row in rows}
    flips = {name for name, row in by_name.items() if row["kind"] == "flip"}
    return truth_of({name: row["dup_group"] for name, row in by_name.items()}), flips


def lpc(folder: Path) -> tuple[set[Pair], set[str]]:
    """Truth of one pixel-art character: frames of one walk."""
    return truth_of({path.name: path.stem.rsplit("_", 1)[0] for path in folder.glob("*.png")}), set()


def neardup(folder: Path) -> tuple[set[Pair], set[str]]:
    """Truth of the resized photos."""
    with (folder.parent / f"{folder.name}_groups.csv").open() as file:
        return truth_of({row["file"]: row["group"] for row in csv.DictReader(file)}), set()


def distinct(_: Path) -> tuple[set[Pair], set[str]]:
    """Truth where every picture is different."""
    return set(), set()


def scene(folder: Path) -> tuple[set[Pair], set[str]]:
    """Truth of imagededup's variants: one scene by its number, flips, rotations and unreadable files left out."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("ukbench*.*")]
    names = [name for name in names if "corrupt" not in name and not name.endswith(".svg")]
    labels = {name: Path(name).stem.split("_")[0] for name in names}
    return truth_of(labels), {name for name in names if "flip" in name or "rotation" in name}


SETS: tuple[tuple[str, str, Callable[[Path], tuple[set[Pair], set[str]]]], ...] = (
    ("KayKit", "kaykit_views/longtail/*", kaykit),
    ("resized photos", "fast_neardup/caltech_101_rand_resize", neardup),
    ("DreamBooth photos", "dreambooth_dev", distinct),
    ("imagededup", "imagededup_testdata/mixed_images", scene),
    ("imagededup", "imagededup_testdata/formats_images", scene),
    ("Caltech photos", "caltech101", distinct),
    ("pixel art", "lpc_views/*male0[0-3]", lpc),
)


def measure(encoder: Any, only: str) -> list[dict[str, Any]]:  # noqa: ANN401
    """One row for every set that is there and whose name contains `only`."""
    rows = []
    for name, pattern, truth in SETS:
        for folder in sorted(SHARED.glob(pattern)) if only in name else ():
            groups, images, seconds = groups_of(folder, encoder)
            row = {"set": f"{name}: {folder.name}", "n": len(images), **scored(groups, images, *truth(folder))}
            counts = groups.frame["kind"].value_counts()
            kinds = dict(counts.iter_rows())
            row |= {"pairs": len(pairs_of(groups, images)), "orphans": orphans(groups), "seconds": seconds}
            row |= {kind: kinds.get(kind, 0) for kind in ("copy", "variant")} | groups.note()
            rows.append(row)
            print(LINE.format(**{k: float("nan") if v is None else v for k, v in row.items()}), flush=True)
    return rows


HEAD = (
    f"{'set':<42}{'n':>5}{'F1':>7}{'prec':>7}{'rec':>7}{'pairs':>6}{'copy':>6}{'var':>5}{'orph':>5}"
    f"{'cosine':>8}{'shot':>7}{'spot':>6}{'s':>6}"
)
LINE = (
    "{set:<42}{n:>5}{f1:>7.3f}{precision:>7.3f}{recall:>7.3f}{pairs:>6}{copy:>6}{variant:>5}{orphans:>5}"
    "{threshold:>8.4f}{same_shot:>7.3f}{same_spot:>6.2f}{seconds:>6.1f}"
)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="auto", help="layout, or a model as in diversity.toml")
    parser.add_argument("--only", default="", help="part of the name of the sets to measure")
    name, only = parser.parse_args().encoder, parser.parse_args().only
    if name == "layout":
        encoder: Any = Layout()
    else:
        from diversity.encoders import load_encoder

        encoder = load_encoder(EncoderConfig(model=name))
    print(f"encoder: {encoder.name}\n{HEAD}")
    rows = measure(encoder, only)
    out = ROOT / "benchmarks" / "results" / f"duplicates-{name}{only and '-' + only}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"machine": machine(), "encoder": encoder.id, "sets": rows}, indent=1))


if __name__ == "__main__":
    main()
