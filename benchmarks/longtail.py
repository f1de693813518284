"""The main job's promises on the labelled long-tail sets, end to end and with default settings.

    python -m benchmarks.longtail [--encoder toon]

For every set: near-duplicate pairs (same `group`, flips left out) as precision, recall and F1; dropped copies without a
kept keeper at their tier's threshold; planted rare pictures (shoes, full-body back, half-body back) in cells marked
rare and kept at `--keep 40`; cells marked rare although their true distinct count reaches the target. With the captions
of the set, and once more without any.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import polars as pl

from benchmarks.machine import machine
from diversity.dataset import Dataset

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "kaykit_views"
RESULTS = Path(__file__).parent / "results"
FRAMING = {"face": "headshot", "upper_body": "half_body", "full_body": "full_body", "shoes": "detail"}
KEEP = 40


def truth(name: str) -> dict[str, dict[str, str]]:
    """File name → its labels, for the set `longtail/<name>`."""
    with (DATA / "labels.csv").open(encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return {Path(r["file"]).name: r for r in rows if r["file"].startswith(f"longtail/{name}/")}


def pairs(groups: dict[str, str], leave_out: set[str]) -> set[tuple[str, str]]:
    """Unordered pairs of files in one group."""
    members = defaultdict(list)
    for file, group in groups.items():
        if file not in leave_out:
            members[group].append(file)
    return {pair for files in members.values() for pair in combinations(sorted(files), 2)}


def duplicates(dataset: Dataset, files: dict[str, str], labels: dict[str, dict[str, str]]) -> dict[str, float]:
    """Scores of the duplicate groups, and orphans."""
    frame = dataset.read("duplicates")
    flips = {file for file, row in labels.items() if row["kind"] == "flip"}
    found = pairs({files[k]: g for k, g in frame.select("key", "group").iter_rows()}, flips)
    real = pairs({file: row["dup_group"] for file, row in labels.items()}, flips)
    hits = len(found & real)
    precision, recall = hits / max(len(found), 1), hits / max(len(real), 1)
    kinds = dict(frame.select("key", "kind").iter_rows())
    copies = frame.filter(pl.col("kind") == "copy").to_dicts()
    orphans = sum(kinds[r["keeper"]] == "copy" or r["similarity"] < r["threshold"] - 1e-9 for r in copies)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * hits / max(len(found) + len(real), 1),
        "orphans": orphans,
    }


def views(dataset: Dataset, files: dict[str, str], labels: dict[str, dict[str, str]]) -> dict[str, int]:
    """Planted rare pictures found and kept, and rare cells that are none."""
    table = {r["cell"]: r for r in dataset.read("targets").to_dicts()}
    label = {(k, a): v for k, a, v in dataset.read("views").select("key", "axis", "label").iter_rows()}
    kept = {files[key] for key in dataset.read("selection/default")["key"]}
    planted = {file for file, row in labels.items() if is_planted(row)}
    keys = {file: key for key, file in files.items()}
    cells = {f: f"{label[keys[f], 'framing']}/{label[keys[f], 'side']}" for f in planted}
    distinct: dict[str, set[str]] = defaultdict(set)
    for row in labels.values():
        distinct[f"{FRAMING[row['framing']]}/{row['view']}"].add(row["dup_group"])
    false = [c for c, r in table.items() if r["state"] == "rare" and len(distinct[c]) >= r["want"] > 0]
    rare = [f for f in planted if table.get(cells[f], {}).get("state") == "rare"]
    return {"planted": len(planted), "in_rare_cells": len(rare), "kept": len(planted & kept), "false_rare": len(false)}


def is_planted(row: dict[str, str]) -> bool:
    """Whether this is one of the eight rare pictures of a set."""
    back = row["view"] in ("back", "back_three_quarter") and row["framing"] in ("full_body", "upper_body")
    return row["kind"] == "original" and (row["framing"] == "shoes" or back)


def one(name: str, encoder: str, captions: bool) -> dict[str, object]:
    """Curate one set in a fresh workspace and score it."""
    labels = truth(name)
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / name
        shutil.copytree(DATA / "longtail" / name, pictures)
        settings: dict[str, dict[str, object]] = {"encoder": {"model": encoder}, "select": {"keep": KEEP}}
        if not captions:
            settings["views"] = {"captions": False}
        dataset = Dataset.open(pictures, overrides=settings).select()
        files = {key: Path(path).name for key, path in dataset.images.select("key", "path").iter_rows()}
        scores = duplicates(dataset, files, labels) | views(dataset, files, labels)
        return {"set": name, "captions": captions, **scores, "encoder": dataset.encoder_id}


def main() -> None:
    """Score every set, print a table, keep benchmarks/results/longtail.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="toon")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"absent: {DATA}")
        return
    names = sorted(p.name for p in (DATA / "longtail").iterdir())
    rows = [one(name, options.encoder, captions) for captions in (True, False) for name in names]
    for row in rows:
        planted = f"rare {row['in_rare_cells']}/{row['planted']}, kept {row['kept']}/{row['planted']}"
        print(
            f"{row['set']:<14} captions {'yes' if row['captions'] else 'no ':<3}  F1 {row['f1']:.3f} "
            f"(P {row['precision']:.3f}, R {row['recall']:.3f})  orphans {row['orphans']}  {planted}, "
            f"false rare cells {row['false_rare']}"
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "longtail.json").write_text(json.dumps({"machine": machine(), "sets": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
