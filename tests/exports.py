"""A set of pictures to export, and readers that see what a trainer would see in an export: schemas written from the
trainers' own rules (kohya config_util.py, HF datasets).
"""

from __future__ import annotations

import hashlib
import io
import json
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from diversity import tables
from diversity.export import EXPORTERS, MANIFEST, ExportOptions, ExportReport
from diversity.export.items import Item

WRITERS = ["huggingface", "kohya", "table"]  # the others: test_export_formats.py
FOLDERS = ["huggingface", "kohya"]  # formats that bring pictures


# a set of pictures -------------------------------------------------------------------------------------------------


def key_of(path: str) -> str:
    return hashlib.blake2b(path.encode(), digest_size=8).hexdigest()


def picture(seed: int, kind: str = "PNG", **settings) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **settings)
    return buffer.getvalue()


class Pictures:
    """A folder of pictures with the two tables that an export needs."""

    def __init__(self, root: Path) -> None:
        self.root, self.rows = root, []
        root.mkdir()

    def add(self, path: str, caption: str | None = "a boot, red", *, weight: float = 1.0, data=None, **more) -> str:
        if ".tar/" not in path:
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_bytes(picture(len(self.rows)) if data is None else data)
        row = {"key": key_of(path), "path": path, "caption": caption, "repeats": None, "concept": "pictures", **more}
        self.rows.append((row, weight))
        return row["key"]

    @property
    def images(self) -> pl.DataFrame:
        rows = [{name: row.get(name) for name in tables.IMAGES} for row, _ in self.rows]
        return pl.DataFrame(rows, schema=tables.IMAGES)

    @property
    def selection(self) -> pl.DataFrame:
        mean = sum(weight for _, weight in self.rows) / len(self.rows)
        rows = [
            {"key": row["key"], "rank": rank, "gain": 1.0, "weight": weight / mean, "reason": "rare view"}
            for rank, (row, weight) in enumerate(self.rows)
        ]
        return pl.DataFrame(rows, schema=tables.SELECTION)

    def write(self, name: str, folder: Path, **options) -> ExportReport:
        return EXPORTERS[name](self.selection, self.images, folder, ExportOptions(root=self.root, **options))

    def snapshot(self) -> dict[str, tuple[bytes, int]]:
        files = [file for file in self.root.rglob("*") if file.is_file()]
        return {str(file.relative_to(self.root)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


# readers: what a trainer would see ---------------------------------------------------------------------------------

KOHYA_SUFFIXES = {s for x in ("png", "jpg", "jpeg", "webp", "bmp") for s in (f".{x}", f".{x.upper()}")}
SUBSET_KEYS = {"color_aug": bool, "flip_aug": bool, "num_repeats": int, "random_crop": bool, "shuffle_caption": bool}
SUBSET_KEYS |= {"keep_tokens": int, "keep_tokens_separator": str, "secondary_separator": str, "enable_wildcard": bool}
SUBSET_KEYS |= {"caption_prefix": str, "caption_suffix": str, "caption_extension": str, "class_tokens": str}
DATASET_KEYS = {"batch_size": int, "bucket_no_upscale": bool, "bucket_reso_steps": int, "enable_bucket": bool}
DATASET_KEYS |= {"max_bucket_reso": int, "min_bucket_reso": int, "network_multiplier": float}


def check_keys(found: dict, known: dict) -> None:
    for key, value in found.items():
        assert key in known, f"kohya knows no key {key}"
        assert type(value) is known[key], f"{key} = {value!r}"


def kohya_config(folder: Path) -> dict:
    """`dataset_config.toml` after the checks of kohya's sanitizer and of its bucket code."""
    text = (folder / "dataset_config.toml").read_bytes()
    assert not text.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in text
    config = tomllib.loads(text.decode())
    assert set(config) == {"general", "datasets"}
    check_keys(config["general"], SUBSET_KEYS | DATASET_KEYS)
    assert config["general"]["caption_extension"] == ".txt"
    (dataset,) = config["datasets"]
    resolution, subsets = dataset.pop("resolution"), dataset.pop("subsets")
    assert resolution[0] < 1024 or dataset["bucket_reso_steps"] % 32 == 0, "SDXL's latents"
    check_keys(dataset, SUBSET_KEYS | DATASET_KEYS)
    assert len(resolution) == 2
    assert all(type(side) is int for side in resolution)
    assert dataset["min_bucket_reso"] <= min(resolution)
    assert max(resolution) <= dataset["max_bucket_reso"]
    for subset in subsets:
        check_keys(subset, SUBSET_KEYS | {"image_dir": str, "is_reg": bool, "conditioning_data_dir": str})
        assert subset["num_repeats"] >= 1
        assert "\\" not in subset["image_dir"]
    places = [subset["image_dir"] for subset in subsets]
    assert len(places) == len(set(places)), "kohya ignores a folder that is listed twice"
    return {**config, "subsets": subsets}


def kohya_folder(folder: Path) -> tuple[int, dict[str, str]]:
    """(repeats, file → caption) of one folder, by kohya's own rules."""
    count, *words = folder.name.split("_")
    assert words
    assert not any(path.is_dir() for path in folder.iterdir()), "kohya reads one level only"
    shown = {}
    for path in folder.iterdir():
        if path.suffix not in KOHYA_SUFFIXES:
            assert path.suffix == ".txt"
            continue
        lines = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
        assert lines, "kohya asserts that a caption file is not empty"
        assert len(lines) == 1
        assert lines[0].strip()
        shown[f"{folder.name}/{path.name}"] = lines[0].strip()
        with Image.open(path) as image:
            assert image.getexif().get(0x0112, 1) == 1, "kohya ignores EXIF orientation"
    return int(count), shown


def read_kohya(report: ExportReport) -> tuple[dict[str, str], dict[str, float]]:
    by_config = {Path(s["image_dir"]).name: s["num_repeats"] for s in kohya_config(report.folder)["subsets"]}
    texts, counts, found = {}, {}, {}
    for folder in filter(Path.is_dir, report.folder.iterdir()):
        count, shown = kohya_folder(folder)
        texts |= shown
        counts |= dict.fromkeys(shown, count)
        found[folder.name] = count
    assert found == by_config
    return by_key(report, texts), by_key(report, counts)


def read_huggingface(report: ExportReport) -> tuple[dict[str, str], dict[str, float]]:
    lines = (report.folder / "train/metadata.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    assert all(type(row["text"]) is str and type(row["weight"]) is float for row in rows)
    files = {path.name for path in (report.folder / "train").iterdir()}
    assert files == {row["file_name"] for row in rows} | {"metadata.jsonl"}
    return {row["key"]: row["text"] for row in rows}, {row["key"]: row["weight"] for row in rows}


def read_table(report: ExportReport) -> tuple[dict[str, str], dict[str, float]]:
    frame = pl.read_parquet(report.folder / "pictures.parquet")
    columns = ["path", "weight", "repeats", "caption", "reason", "key"]
    assert frame.columns == columns
    text = pl.read_csv(report.folder / "pictures.csv", schema_overrides=dict(frame.schema))
    assert text.equals(frame)
    return dict(frame.select("key", "caption").iter_rows()), dict(frame.select("key", "repeats").iter_rows())


READERS = {"kohya": read_kohya, "huggingface": read_huggingface, "table": read_table}


def manifest(report: ExportReport) -> dict:
    return json.loads((report.folder / MANIFEST).read_text(encoding="utf-8"))


def by_key(report: ExportReport, by_target: dict) -> dict:
    targets = {row["target"]: row["key"] for row in manifest(report)["pictures"]}
    assert set(targets) == set(by_target)
    return {targets[target]: value for target, value in by_target.items()}


def total_variation(weights: dict[str, float], shown: dict[str, float]) -> float:
    assert set(weights) == set(shown)
    all_weights, all_shown = sum(weights.values()), sum(shown.values())
    return sum(abs(shown[key] / all_shown - weights[key] / all_weights) for key in weights) / 2


def items(weights: list[float], earlier: int = 1) -> list[Item]:
    return [Item(f"{n:016x}", f"{n}.png", f"{n}", "", "", "c", w, earlier, n, "") for n, w in enumerate(weights)]
