"""Made-up rows of the ladder, with planted effects or none."""

from __future__ import annotations

import json

import numpy as np

from benchmarks.richness.arms import ARMS, jobs

TOONS = tuple(f"toon{i:03d}" for i in range(8))
MODELS = ("barbarian", "knight", "rogue")
RICHNESS = {"mono16": 2.0, "mono64": 2.1, "portrait16": 7.0, "rich16": 11.0, "rich64": 20.0}
MEASURES = (  # measure, settings, value at no richness, slope over log richness
    ("truth.lost", {"weight": 1.0}, 0.35, -0.11),
    ("truth.lost", {"weight": 0.7}, 0.25, -0.08),
    ("loss.gap", {"set": "common"}, 0.6, -0.2),
    ("loss.gap", {"set": "own"}, 0.3, -0.02),
    ("loss.held_out", {"set": "common"}, 0.2, -0.1),
    ("loss.held_out", {"set": "own"}, -0.1, -0.02),
    ("memory.own", {"weight": 1.0}, 0.9, -0.1),
    ("colour.towards", {"part": "colour", "prompts": "unrelated", "weight": 0.7}, 0.4, -0.1),
    ("colour.change", {"prompts": "unrelated", "weight": 0.7}, 10.0, -1.0),
    ("colour.chance", {"prompts": "unrelated", "weight": 0.7}, 20.0, 0.0),
    ("variety.ratio", {"weight": 1.0}, 0.5, 0.12),
    ("truth.identity_gain", {"weight": 1.0}, 0.1, 0.12),
    ("truth.identity_gain", {"weight": 0.7}, 0.09, 0.11),
    ("truth.shoes", {"weight": 1.0}, 0.0, 0.25),
    ("truth.shoes", {"weight": 0.7}, 0.0, 0.2),
    ("truth.copied", {"weight": 1.0}, 0.9, -0.1),
    ("pick.copies", {"weight": 1.0}, 0.3, -0.1),
    ("pick.variety", {"weight": 1.0}, 0.5, 0.1),
)


def score(measure: str, value: float, settings: dict[str, object]) -> dict[str, object]:
    return {
        "measure": measure,
        "value": float(value),
        "low": None,
        "high": None,
        "n": 6,
        "unit": "prompts",
        "settings": json.dumps(settings, sort_keys=True),
    }


def row(job, *, strength: float = 1.0, noise: float = 0.03, seed: int = 0, **changed: float) -> dict[str, object]:
    """One row; `strength` 0 plants no effect; `changed` adds to measures, dots as underscores."""
    rng = np.random.default_rng([seed, *job.id.encode()])
    of_character = np.random.default_rng([seed, *job.character.encode()]).normal(0, noise)
    arm = ARMS[job.arm]
    rich = RICHNESS.get(job.arm, 8.0) * float(np.exp(rng.normal(0, 0.05)))
    scores = [score("richness.vendi_1", rich, {"encoder": "toon"}), score("richness.pictures", 16, {})]
    for measure, settings, start, slope in MEASURES:
        size = abs(slope) / 0.1 if measure.startswith("colour.ch") else 1.0
        value = start + strength * slope * np.log(rich) + size * (of_character + rng.normal(0, noise))
        value += changed.get(measure.replace(".", "_"), 0.0)
        scores.append(score(measure, value, settings))
    losses = {
        str(step): {
            name: {
                "train": -0.3,
                "held_out": 0.1 + float(rng.normal(0, noise)),
                "gap": 0.4,
                "groups": {"common-headshot-0": -1.0, "common-detail-1": 0.1},
            }
            for name in ("common", "own")
        }
        for step in arm.checkpoints(4)
    }
    return {
        "id": job.id,
        "block": job.block,
        "character": job.character,
        "composition": arm.composition,
        "arm": job.arm,
        "n": 64 if job.arm.endswith("64") else 16,
        "distinct": 4,
        "seed": 0,
        "steps": arm.steps,
        "batch": 4,
        "exposures": 400.0,
        "training_loss": 0.05 + float(rng.normal(0, 0.01)),
        "base": "a base",
        "scores": scores,
        "losses": losses,
        "readings": {},
    }


def core(*, strength: float = 1.0, noise: float = 0.03, seed: int = 0) -> list[dict[str, object]]:
    """Rows of the whole core."""
    planned = [job for job in jobs(TOONS, MODELS) if job.block == "core"]
    return [row(job, strength=strength, noise=noise, seed=seed) for job in planned]
