"""What the LoRAs of the comparison learn from: long tails of toon characters, and what each strategy takes of them.

Not for training (`downstream.py`). The pictures are those of the richness ladder's pools (`benchmarks.richness.pool`),
the first admitted characters that neither base nor judges have seen.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.richness import pool as pools
from benchmarks.richness import sets
from benchmarks.richness.people import SEED, Toon
from benchmarks.richness.pool import FRAMES, TRAINED_MOMENTS, Item, Pool
from benchmarks.strategies.prepare import Prepared, prepare
from benchmarks.strategies.suites import LabelledSet
from benchmarks.strategies.table import ALL, CURATED, TABLE
from benchmarks.strategies.truth import Label
from benchmarks.toonworld.character import sample_character
from benchmarks.toonworld.render import SEED_STRIDE
from diversity import record
from diversity.select.weights import weights
from diversity.workspace import write_text

CHARACTERS = (0, 1, 3, 10, 12, 17, 19, 21, 22, 26, 27, 28)  # what `people.first_admitted` finds; a test looks again
POOL_SEED = 880
BURST, FACES = 12, 32  # frames of each monotonous moment, and different faces
TURNS = {"headshot": 6, "half_body": 6, "full_body": 6, "detail": 2}  # pictures around the whole circle
KEPT = 24
STRATEGIES = {"random": ALL, "stratified": ALL, "k_center": ALL, "semdedup": ALL, "ours": CURATED}  # from which pool
WEIGHTED = ("ours",)  # the others say nothing of weights


@dataclass(frozen=True)
class Subset:
    """What one strategy keeps of one character.

    Attributes:
        items: Pictures with weights.
        scores: Measure of `truth.MEASURES` → value, as in the first part of the benchmark.
    """

    items: list[Item]
    scores: dict[str, float | None]


def characters() -> list[Toon]:
    """Who they are."""
    return [Toon(sample_character(SEED * SEED_STRIDE + number)) for number in CHARACTERS]


def pool_of(who: Toon, folder: Path) -> Pool:
    """All pictures of a character, drawn where they are not in `folder`."""
    number = [toon.name for toon in characters()].index(who.name)
    return pools.load(who, POOL_SEED + number, folder, claims=False)


def candidates(pool: Pool) -> list[Item]:
    """What strategies choose from: bursts of near-copies, many faces, few bodies, two of the shoes."""
    mono = pool.part("mono")
    bursts = [mono[moment * FRAMES + frame] for moment in range(TRAINED_MOMENTS) for frame in range(BURST)]
    turns = [item for framing, count in TURNS.items() for item in pool.part(f"turn/{framing}")[:count]]
    return [*bursts, *pool.part("face")[:FACES], *turns]


def held_out(pool: Pool) -> list[Item]:
    """Drawn like the candidates, other moments: in no strategy's pool."""
    moments = pool.part("mono")[TRAINED_MOMENTS * FRAMES :]
    return [*moments[:2], *pool.part("face")[-2:], *(pool.part(f"turn/{framing}")[-1] for framing in TURNS)]


def prepared(name: str, items: Sequence[Item], folder: Path) -> Prepared:
    """The pools of `items`, written to `folder` where other pictures are there, by our own scan and de-duplication."""
    digest = record.digest([[pools.VERSION, item.group, item.caption, item.pixels.tobytes().hex()] for item in items])
    stamp, pictures = folder / "pictures.txt", folder / "pictures"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != digest:
        shutil.rmtree(folder, ignore_errors=True)
        pictures.mkdir(parents=True)
        for number, item in enumerate(items):
            Image.fromarray(item.pixels).save(pictures / f"{number:03d}.png")
            (pictures / f"{number:03d}.txt").write_text(sets.caption(item), encoding="utf-8")
        write_text(stamp, digest)
    labels = {
        f"{number:03d}.png": Label(item.view, f"{item.view}/{item.background}", item.group)
        for number, item in enumerate(items)
    }
    return prepare(LabelledSet(name, pictures, labels), "downstream")


def subset(ready: Prepared, items: Sequence[Item], strategy: str, seed: int, keep: int = KEPT) -> Subset:
    """What `strategy` keeps of `items`.

    Raises:
        SelectionError: what must stay is more than `keep`.
    """
    where = STRATEGIES[strategy]
    candidate = ready.pools[where]
    order = TABLE[strategy].pick(candidate, keep, seed=seed).order
    rows = ready.rows[where][order]
    shares = [1.0] * len(order)
    if strategy in WEIGHTED:
        shares = weights(candidate.vectors[order], tuple(candidate.cells[i] for i in order)).tolist()
    numbers = [int(Path(ready.paths[row]).stem) for row in rows.tolist()]
    kept = [replace(items[number], weight=share) for number, share in zip(numbers, shares, strict=True)]
    return Subset(kept, ready.judge.scores(rows))


def keep_only(kept: Subset, folder: Path) -> None:
    """Forget what an interrupted call left in `folder` where it was made of another subset."""
    stamp = folder / "subset.json"
    said: list[list[Any]] = [[item.group, item.caption, round(item.weight, 6)] for item in kept.items]
    text = json.dumps(said)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == text:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_text(stamp, text)
