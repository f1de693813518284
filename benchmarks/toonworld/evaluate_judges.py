"""Measure the shipped judges: ``python -m benchmarks.toonworld.evaluate_judges --data DIR --vae FOLDER``.

DIR holds renders of characters that nobody has seen, not even those who chose the recipe (`render` with a seed of its
own, then `visible`). Writes benchmarks/results/judges.json. Nothing here trains or selects.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.toonworld.judged import Examples, asked, decode, read
from training import judges
from training.evaluate import estimate
from training.judges import agrees

OUT = Path(__file__).resolve().parents[1] / "results" / "judges.json"


def correct(examples: Examples, labels: tuple[str, ...], name: str) -> NDArray[np.bool_]:
    """Whether each picture's label is right, [n]; False where it does not show the attribute."""
    classes, targets = examples.classes[name], examples.targets[name]
    return np.array([place >= 0 and agrees(said, classes[place]) for said, place in zip(labels, targets, strict=True)])


def figures(
    examples: Examples, found: dict[str, judges.Judgement], name: str, seen: NDArray[np.bool_]
) -> dict[str, float]:
    """Accuracy of one attribute, its interval over characters, and the mean confidence, of the pictures `seen` [n]."""
    right = correct(examples, found[name].labels, name)[seen]
    share = estimate.share(right, examples.characters[seen], "characters")
    return {
        "accuracy": float(right.mean()),
        "low": share.low,
        "high": share.high,
        "confidence": float(found[name].confidence[seen].mean()),
        "said_shown": float(found[name].shown[seen].mean()),
    }


def recall(examples: Examples, labels: tuple[str, ...], name: str, seen: NDArray[np.bool_]) -> dict[str, float]:
    """Share of right answers of each class."""
    right = correct(examples, labels, name)
    rows: dict[str, NDArray[np.bool_]] = {
        label: seen & (examples.targets[name] == place) for place, label in enumerate(examples.classes[name])
    }
    return {label: round(float(right[row].mean()), 3) for label, row in rows.items() if row.any()}


def evaluate(data: Path, vae: Path, folder: Path) -> dict[str, Any]:
    """Figures of every shipped attribute, on renders and on decoded renders."""
    court, decoded = judges.load(folder), data / "decoded.npy"
    decode(data, vae, decoded, training=False)
    examples = read(data, "all", decoded)
    plain, through = (court.predict(np.asarray(source)) for source in (examples.pixels, examples.decoded))
    result = {}
    for name, attribute in court.attributes.items():
        seen = asked(examples, name, attribute.labels)
        result[name] = {
            "labels": list(attribute.labels),
            "n": int(seen.sum()),
            "characters": len(np.unique(examples.characters[seen])),
            "rendered": figures(examples, plain, name, seen),
            "decoded": figures(examples, through, name, seen),
            "recall_decoded": recall(examples, through[name].labels, name, seen),
        }
    return result


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of `render`, with `visible` run on it")
    parser.add_argument("--vae", type=Path, required=True, help="the toon base's autoencoder")
    parser.add_argument("--judges", type=Path, default=judges.FOLDER)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args(argv)
    found = evaluate(args.data, args.vae, args.judges)
    args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("| attribute | n | rendered | decoded |\n|---|---|---|---|")
    for name, each in found.items():
        cells = [
            f"{each[kind]['accuracy']:.3f} ({each[kind]['low']:.3f}–{each[kind]['high']:.3f})"
            for kind in ("rendered", "decoded")
        ]
        print(f"| {name} | {each['n']} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
