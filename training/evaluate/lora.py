"""One LoRA, measured: losses, memorisation, control, leak, variety, colours, weights, binding, as tidy rows.

Not for gathering what it is measured on (`sets.py`), or for files (`store.py`). Nothing of the model, the optimiser or
a random state changes, and the same call gives the same rows again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from PIL import Image

from diversity.progress import Progress, Silent
from training.evaluate.loss_gap import LossGap
from training.evaluate.settings import EvaluateSettings
from training.evaluate.sets import EvaluationSets, Prompt

if TYPE_CHECKING:
    from training.base import Base
    from training.evaluate.features import Features
    from training.judges import Judges
    from training.lora import Adapter

ROWS = {
    "measure": pl.String,  # "loss.gap", "memory.copied", ...: docs/evaluate.md names them all
    "value": pl.Float64,
    "low": pl.Float64,  # null: no interval
    "high": pl.Float64,
    "n": pl.Int64,  # independent units
    "unit": pl.String,
    "settings": pl.String,  # JSON: set, weight, keyword_weight, view, part, encoder, by, ...; "{}" for none
}


@dataclass(frozen=True)
class Tools:
    """What sees the pictures, and where work is kept.

    Attributes:
        features: The encoder in use; None: what needs one is left out.
        copies: A copy detector for memorisation; None: `features`.
        judges: Of the toon world; None: what needs them is left out.
        cache: Folder for what the base alone gives (losses, pictures), shared by all LoRAs; None: nothing is kept.
        progress: Told what is done.
    """

    features: Features | None = None
    copies: Features | None = None
    judges: Judges | None = None
    cache: Path | None = None
    progress: Progress = field(default_factory=Silent)


@dataclass(frozen=True)
class DrawnPicture:
    """One picture and what made it.

    Attributes:
        picture: RGB.
        prompt: Of the sets.
        text: As drawn: `prompt.text`, `prompt.bare`, or with a keyword weight.
        bare: Whether it was drawn without the trigger word.
        seed: Of its noise.
        weight: Of the LoRA; 0 is the base.
        keyword_weight: Of the trigger word.
    """

    picture: Image.Image = field(repr=False)
    prompt: Prompt
    text: str
    bare: bool
    seed: int
    weight: float
    keyword_weight: float


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        rows: Tidy, with the columns `ROWS`.
        gaps: Held-out set → its loss gap.
        drawn: Every picture, the base's too.
        pairs: For each drawn subject or novel picture at the main weight its nearest training picture: `drawn` (row of
            it), `train` (row of the training set), `similarity`, `ratio`.
        notes: What could not be measured, and why; one sentence each.
    """

    rows: pl.DataFrame
    gaps: Mapping[str, LossGap]
    drawn: tuple[DrawnPicture, ...] = field(repr=False)
    pairs: pl.DataFrame
    notes: tuple[str, ...]


def evaluate_lora(
    base: Base,
    adapter: Adapter,
    sets: EvaluationSets,
    settings: EvaluateSettings | None = None,
    tools: Tools | None = None,
) -> Evaluation:
    """Measure one LoRA.

    Args:
        base: With `adapter` on it; other adapters on it are switched off meanwhile.
        adapter: The LoRA; its weight is put back.
        sets: What it is measured on.
        settings: How much is measured; None: the `full` preset.
        tools: What sees the pictures; None: only what needs none.

    Raises:
        BaseModelError: the base cannot draw.
    """
    raise NotImplementedError


def loss_gaps(
    base: Base,
    adapter: Adapter,
    sets: EvaluationSets,
    settings: EvaluateSettings | None = None,
    tools: Tools | None = None,
) -> dict[str, LossGap]:
    """Held-out set → loss gap at the adapter's present parameters and the main weight; what a checkpoint is judged by.

    The base's losses come from the cache where they are there. `loss_gap.advise` takes several of these, by step.
    """
    raise NotImplementedError
