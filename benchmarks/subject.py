"""Off-subject pictures: 3 of another character among 60, three references, 200 draws: ``python -m benchmarks.subject``.

Half of the draws are from ``kaykit_views``, half from ``lpc_views`` (33 pictures of the subject there: it has 36 of
each character, and three are references). The rule and its constants are those of ``diversity.subject``. Colours are
told apart by renders alone; the line was set with a look at these two sets, so that only draws of other seeds are new
to it (``--seed``). ``--others 10`` mixes in ten. ``--renders DIR`` takes rendered characters instead
(``benchmarks.toonworld.render --per-character 46`` of other seeds than those of the fit).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import machine
from diversity.config import ScanConfig
from diversity.measure import measure
from diversity.subject import check, opened
from diversity.subject_palette import Look, Palette, look

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
OUT = ROOT / "benchmarks" / "results" / "subject.json"
DRAWS, OF_SUBJECT, OF_OTHERS, REFERENCES = 100, 60, 3, 3  # draws per set


def looks(folder: Path) -> tuple[NDArray[np.str_], list[Look]]:
    """Character and colours of every picture, through the same thumbnails as in a workspace."""
    labels = pl.read_csv(folder / "labels.csv", infer_schema=False)
    found = []
    for file in labels["file"]:
        thumbnail = measure((folder / file).read_bytes(), ScanConfig()).thumbnail
        assert thumbnail is not None, file
        found.append(look(opened(thumbnail)))
    return labels["character"].to_numpy().astype(np.str_), found


def looks_of_renders(folder: Path) -> tuple[NDArray[np.str_], list[Look]]:
    """The same of a folder of ``benchmarks.toonworld.render``."""
    characters = pl.read_parquet(folder / "labels.parquet")["character"].cast(pl.String).to_numpy().astype(np.str_)
    pictures = np.load(folder / "images.npy", mmap_mode="r")
    return characters, [look(Image.fromarray(np.asarray(picture))) for picture in pictures]


def draw(
    palette: Palette, characters: NDArray[np.str_], pictures: list[Look], rng: np.random.Generator, strangers: int
) -> dict[str, float]:
    """One mixed set: true and false alarms, and how many of those least like the subject are the others."""
    subject, other = rng.choice(np.unique(characters), 2, replace=False)
    own = rng.permutation(np.flatnonzero(characters == subject))
    wrong = rng.permutation(np.flatnonzero(characters == other))[:strangers]
    rows = np.concatenate([own[: REFERENCES + OF_SUBJECT], wrong])
    vectors = palette.vectors([pictures[row] for row in rows])
    is_wrong = np.arange(len(rows))[REFERENCES:] >= len(rows) - strangers
    found = check(vectors[REFERENCES:], vectors[:REFERENCES], palette.spreads, palette.slack)
    first = np.argsort(found.scores, kind="stable")[:strangers]
    return {
        "others": float(strangers),
        "hits": float((found.off & is_wrong).sum()),
        "false": float((found.off & ~is_wrong).sum()),
        "first": float(is_wrong[first].sum()),
    }


def figures(draws: list[dict[str, float]]) -> dict[str, float]:
    """Recall and precision over all draws, and the share of others among as many listed first as there are."""
    count, hits, false, first = (sum(one[name] for one in draws) for name in ("others", "hits", "false", "first"))
    return {
        "draws": len(draws),
        "recall": round(hits / count, 3),
        "precision": round(hits / max(hits + false, 1), 3),
        "others_listed_first": round(first / count, 3),
    }


def main(argv: list[str] | None = None) -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--renders", type=Path, help="a folder of rendered characters instead of the shared sets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--others", type=int, default=OF_OTHERS, help="pictures of another character in a draw")
    options = parser.parse_args(argv)
    rng, result, everything = np.random.default_rng(options.seed), {}, []
    palette = Palette()
    for name in ("renders",) if options.renders else ("kaykit_views", "lpc_views"):
        characters, pictures = looks_of_renders(options.renders) if options.renders else looks(options.data / name)
        draws = [draw(palette, characters, pictures, rng, options.others) for _ in range(DRAWS)]
        everything += draws
        result[name] = figures(draws)
    report: dict[str, Any] = {
        "machine": machine(),
        **result,
        "all": figures(everything),
        "floor": {"recall": 0.95, "precision": 0.8},
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
