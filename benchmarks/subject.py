"""Off-subject pictures: 3 of another character among 60, three references, 200 draws: ``python -m benchmarks.subject``.

Half of the draws are from ``kaykit_views``, half from ``lpc_views`` (33 pictures of the subject there: it has 36 of
each character, and three are references). The rule and its constant are those of ``diversity.subject``; nothing is
fitted to these sets.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity.config import ScanConfig
from diversity.measure import measure
from diversity.subject import Palette, check, opened

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
OUT = ROOT / "benchmarks" / "results" / "subject.json"
DRAWS, OF_SUBJECT, OF_OTHERS, REFERENCES = 100, 60, 3, 3  # draws per set


def palettes(folder: Path) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """Character and palette of every picture, through the same thumbnails as in a workspace."""
    labels = pl.read_csv(folder / "labels.csv", infer_schema=False)
    pictures = []
    for file in labels["file"]:
        thumbnail = measure((folder / file).read_bytes(), ScanConfig()).thumbnail
        assert thumbnail is not None, file
        pictures.append(opened(thumbnail))
    return labels["character"].to_numpy().astype(np.str_), Palette().encode(pictures)


def draw(characters: NDArray[np.str_], vectors: NDArray[np.float32], rng: np.random.Generator) -> dict[str, float]:
    """One mixed set: true and false alarms, and how many of the three least like the subject are the others."""
    subject, other = rng.choice(np.unique(characters), 2, replace=False)
    own = rng.permutation(np.flatnonzero(characters == subject))
    wrong = rng.permutation(np.flatnonzero(characters == other))[:OF_OTHERS]
    references, right = own[:REFERENCES], own[REFERENCES : REFERENCES + OF_SUBJECT]
    rows = np.concatenate([right, wrong])
    is_wrong = np.arange(len(rows)) >= len(right)
    found = check(vectors[rows], vectors[references])
    first = np.argsort(found.scores, kind="stable")[:OF_OTHERS]
    return {
        "hits": float((found.off & is_wrong).sum()),
        "false": float((found.off & ~is_wrong).sum()),
        "first": float(is_wrong[first].sum()),
    }


def figures(draws: list[dict[str, float]]) -> dict[str, float]:
    """Recall and precision over all draws, and the share of others among the three listed first."""
    hits, false, first = (sum(one[name] for one in draws) for name in ("hits", "false", "first"))
    count = OF_OTHERS * len(draws)
    return {
        "draws": len(draws),
        "recall": round(hits / count, 3),
        "precision": round(hits / max(hits + false, 1), 3),
        "others_among_the_first_three": round(first / count, 3),
    }


def main(argv: list[str] | None = None) -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(argv)
    rng, result, everything = np.random.default_rng(0), {}, []
    for name in ("kaykit_views", "lpc_views"):
        characters, vectors = palettes(options.data / name)
        draws = [draw(characters, vectors, rng) for _ in range(DRAWS)]
        everything += draws
        result[name] = figures(draws)
    report: dict[str, Any] = {**result, "all": figures(everything), "floor": {"recall": 0.95, "precision": 0.8}}
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
