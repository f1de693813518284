"""Measure an encoder on what it never saw: ``python -m benchmarks.toonworld.evaluate_encoder [--renders DIR]
[--shared ../shared/data]``.

Nothing here trains, calibrates or selects anything: prompts are fixed, every figure comes with its n.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.toonworld.camera import FRAMINGS, SIDES

Vectors = NDArray[np.float32]
DEFAULT_MODEL = Path(__file__).parents[2] / "diversity" / "assets" / "toon_encoder"
TEMPLATES = ("{}", "a picture of a character, {}", "{}, solo", "a picture, {}")
PROMPTS: dict[str, tuple[str, ...]] = {
    "headshot": ("portrait", "headshot", "face close-up", "head shot"),
    "half_body": ("upper body", "half body", "cowboy shot", "from the waist up"),
    "full_body": ("full body", "full shot", "whole body", "head to toe"),
    "detail": ("shoes", "feet close-up", "close-up of the shoes", "legs and feet", "lower body", "detail shot"),
    "front": ("from front", "front view", "facing viewer", "seen from the front"),
    "three_quarter": ("three-quarter view", "three quarter view", "from a three-quarter angle", "half turned"),
    "side": ("from side", "side view", "profile", "seen from the side"),
    "back_three_quarter": (
        "back three-quarter view",
        "from behind at an angle",
        "three-quarter back view",
        "half turned away",
    ),
    "back": ("from behind", "back view", "seen from the back", "seen from behind"),
}
KAYKIT_FRAMING = {"face": "headshot", "upper_body": "half_body", "full_body": "full_body", "shoes": "detail"}


class Encoder:
    """An open_clip model from a local folder, on the CPU."""

    def __init__(self, folder: Path) -> None:
        import open_clip

        self.model, _, self.preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.model.eval()

    def images(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Unit rows float32 [n, d]."""
        import torch

        rows = []
        with torch.no_grad():
            for start in range(0, len(pictures), 64):
                pixels = torch.stack([self.preprocess(p.convert("RGB")) for p in pictures[start : start + 64]])
                rows.append(self.model.encode_image(pixels, normalize=True))
        return torch.cat(rows).numpy()

    def classes(self, names: Sequence[str]) -> Vectors:
        """One unit row per class, the mean over its prompts and templates: float32 [len(names), d]."""
        import torch

        rows = []
        with torch.no_grad():
            for name in names:
                texts = [template.format(words) for words in PROMPTS[name] for template in TEMPLATES]
                rows.append(self.model.encode_text(self.tokenizer(texts), normalize=True).mean(0))
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1).numpy()


def zero_shot(encoder: Encoder, vectors: Vectors, names: Sequence[str]) -> NDArray[np.str_]:
    """The best of ``names`` for every row."""
    return np.array(names)[(vectors @ encoder.classes(names).T).argmax(1)]


def accuracies(guess: NDArray[np.str_], truth: NDArray[np.str_]) -> dict[str, Any]:
    """Plain and macro-averaged accuracy, per-class recall, n."""
    recall = {str(name): float((guess[truth == name] == name).mean()) for name in np.unique(truth)}
    return {
        "n": len(truth),
        "accuracy": float((guess == truth).mean()),
        "macro": float(np.mean(list(recall.values()))),
        "recall": recall,
    }


def four_sides(labels: NDArray[np.str_]) -> NDArray[np.str_]:
    """Back three-quarter counted as back."""
    return np.where(labels == "back_three_quarter", "back", labels)


def average_precision(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under precision-recall of scored pairs."""
    ranked = positive[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].mean())


def pair_figures(vectors: Vectors, groups: NDArray[np.str_]) -> dict[str, float]:
    """AP and best F1 over all pairs of one set; positives share a group."""
    first, second = np.triu_indices(len(vectors), 1)
    scores, positive = (vectors[first] * vectors[second]).sum(1).astype(float), groups[first] == groups[second]
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + positive.sum())
    best = int(f1.argmax())
    return {
        "pairs": int(positive.sum()),
        "ap": average_precision(scores, positive),
        "best_f1": float(f1[best]),
        "at_cosine": float(scores[order[best]]),
    }


def evaluate_renders(encoder: Encoder, folder: Path) -> dict[str, Any]:
    """Zero-shot framing and side, and near-duplicates, on the held-out characters of a rendered folder."""
    import polars as pl

    table = pl.read_parquet(folder / "labels.parquet").filter(pl.col("split") == "held_out")
    pixels = np.load(folder / "images.npy", mmap_mode="r")
    vectors = encoder.images([Image.fromarray(pixels[i]) for i in table["index"]])
    framing, side = table["framing"].to_numpy().astype(str), table["side"].to_numpy().astype(str)
    people, groups = table["character"].to_numpy(), table["dup_group"].to_numpy().astype(str)
    guess = zero_shot(encoder, vectors, SIDES)
    shoes_only = (framing != "detail") | (table["focus"].to_numpy() == "shoes")
    pairs = [pair_figures(vectors[people == p], groups[people == p]) for p in np.unique(people)]
    return {
        "characters": len(np.unique(people)),
        "framing": accuracies(zero_shot(encoder, vectors[shoes_only], FRAMINGS), framing[shoes_only]),
        "side_five": accuracies(guess, side),
        "side_four": accuracies(four_sides(guess), four_sides(side)),
        "side_five_without_details": accuracies(guess[framing != "detail"], side[framing != "detail"]),
        "near_duplicates_mean_ap": float(np.mean([p["ap"] for p in pairs if p["pairs"]])),
    }


def evaluate_kaykit(encoder: Encoder, folder: Path) -> dict[str, Any]:
    """Zero-shot framing and side on all original pictures; near-duplicate pairs within each character's long-tail
    set.
    """
    import polars as pl

    table = pl.read_csv(folder / "labels.csv")
    vectors = encoder.images([Image.open(folder / name) for name in table["file"]])

    def column(name: str) -> NDArray[np.str_]:
        return table[name].to_numpy().astype(str)

    framing, side = np.array([KAYKIT_FRAMING[f] for f in column("framing")]), column("view")
    framing_guess, side_guess = zero_shot(encoder, vectors, FRAMINGS), zero_shot(encoder, vectors, SIDES)
    result: dict[str, Any] = {}
    for name, rows in (("grid", column("split") == "grid"), ("all_originals", column("kind") == "original")):
        result[name] = {
            "framing": accuracies(framing_guess[rows], framing[rows]),
            "side_five": accuracies(side_guess[rows], side[rows]),
            "side_four": accuracies(four_sides(side_guess[rows]), four_sides(side[rows])),
        }
    people = np.unique(column("character"))
    result["near_duplicates"] = {}
    for person in people:
        rows = (column("character") == person) & (column("split") == "longtail") & (column("kind") != "flip")
        result["near_duplicates"][str(person)] = pair_figures(vectors[rows], column("dup_group")[rows])
    result["near_duplicates_mean_ap"] = float(np.mean([v["ap"] for v in result["near_duplicates"].values()]))
    return result


def evaluate_photos(encoder: Encoder, folder: Path) -> dict[str, Any]:
    """Share of DreamBooth photos whose nearest neighbour shows the same subject."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    vectors = encoder.images([Image.open(p) for p in files])
    subject = np.array([p.parent.name for p in files])
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -2)
    return {"n": len(files), "same_subject_nearest": float((subject[similar.argmax(1)] == subject).mean())}


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--renders", type=Path, help="folder written by benchmarks.toonworld.render")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    args = parser.parse_args(argv)
    encoder, result = Encoder(args.model), {}
    if args.renders:
        result["renders"] = evaluate_renders(encoder, args.renders)
    if (args.shared / "kaykit_views").is_dir():
        result["kaykit"] = evaluate_kaykit(encoder, args.shared / "kaykit_views")
    if (args.shared / "dreambooth_dev").is_dir():
        result["dreambooth"] = evaluate_photos(encoder, args.shared / "dreambooth_dev")
    print(json.dumps(result, indent=1, default=float))


if __name__ == "__main__":
    main()
