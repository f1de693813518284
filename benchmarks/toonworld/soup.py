"""Average the picture towers of encoders that were trained one from another: ``python -m benchmarks.toonworld.soup A B
C --out FOLDER``.

A tower that was trained further on renders knows them better and everything else worse. The plain mean of the weights
keeps most of both: a uniform soup (Wortsman et al. 2022, "Model soups"; with the weights before further training in
it, "Robust fine-tuning of zero-shot models", 2022). It needs towers on one path of training; of towers begun apart it
makes noise. The text tower, vocabulary and configuration are those of the last folder: let it learn anew where the
pictures lie (`train_encoder --words`).
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

WEIGHTS = "open_clip_model.safetensors"
KEPT = ("open_clip_config.json", "tokenizer.json", "tokenizer_config.json", "training_log.csv")


def mean_tower(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The last state with every floating-point weight under ``visual.`` replaced by the mean over all states.

    Raises:
        KeyError: a state lacks a weight of the last one.
    """
    return {
        name: sum(state[name].float() for state in states).div(len(states)).to(value.dtype)
        if name.startswith("visual.") and value.is_floating_point()
        else value
        for name, value in states[-1].items()
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", type=Path, nargs="+", help="folders, the latest last")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    states = [load_file(folder / WEIGHTS) for folder in options.encoders]
    options.out.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(options.encoders[-1] / name, options.out / name)
    save_file(mean_tower(states), str(options.out / WEIGHTS))
    print(f"Mean of {len(states)} picture towers: {options.out / WEIGHTS}")


if __name__ == "__main__":
    main()
