"""Sanity: the trainer does learn what it is shown, and the held-out losses see it (T18)."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sets import curated, picture, select, small_set

from diversity import Dataset
from diversity.config import EncoderConfig
from diversity.encoders import load_encoder
from training import base as bases
from training import lora
from training.config import TrainConfig
from training.evaluate.memorisation import Memorisation, memorisation
from training.generate import GenerationPlan, generate
from training.runs import Run
from training.train import train

SAMPLE = Path(__file__).resolve().parents[2] / "diversity" / "assets" / "sample_set" / "10_mira"
LEARNT = ("010", "024", "110", "040")  # a full body, a face, a profile, a half body


def last(run: Run, measure: str) -> float:
    rows = run.read("metrics").filter(pl.col("measure") == measure).sort("step")
    return float(rows["value"][-1])


def learn(dataset: Dataset, base: Path) -> Run:
    """Hard enough to learn pictures by heart: many steps for few weights, everywhere in the UNet."""
    return train(
        dataset,
        TrainConfig.of(
            {
                "base": str(base),
                "device": "cpu",
                "steps": 150,
                "batch_size": 4,
                "lora": {"rank": 16, "targets": "all-linear", "conv_rank": 16},
                "optimiser": {"lr": 0.01},
                "loss": {"min_snr_gamma": None},
                "captions": {"dropout": 0, "shuffle": False},
                "data": {"held_out": 0.5},
                "validation": {"timesteps": 5, "noises": 2},
                "validate_every": 150,
                "save_every": 150,
            }
        ),
        fresh=True,
    )


def test_one_picture_is_learnt_and_another_one_is_not(tmp_path: Path, sd1_folder: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    for i in (1, 7):
        picture(i, (64, 64), root)
    dataset = curated(root, tmp_path / "workspace")
    select(dataset, [1.0, 1.0])
    run = learn(dataset, sd1_folder)
    assert last(run, "twins.delta") < -0.1  # at least 10 % better than the base on what it saw
    assert last(run, "gap") > 0.02


@pytest.mark.slow
def test_the_gap_of_a_varied_set_is_smaller(tmp_path: Path, sd1_folder: Path) -> None:
    varied = learn(small_set(tmp_path / "varied", 16, sizes=[(64, 64)]), sd1_folder)
    narrow = learn(small_set(tmp_path / "narrow", 2, sizes=[(64, 64)]), sd1_folder)
    assert last(varied, "gap") < last(narrow, "gap")


def learnt_by_heart(folder: Path, shift: int) -> Memorisation:
    """What a LoRA draws that saw four pictures until it knew them, each with the caption of the one `shift` further on;
    asked for by the captions themselves, in the order of the pictures, without guidance.
    """
    root = folder / "pictures"
    root.mkdir(parents=True)
    captions = [(SAMPLE / f"{name}.txt").read_text().strip() for name in LEARNT]
    for number, name in enumerate(LEARNT):
        shutil.copy(SAMPLE / f"{name}.jpg", root)
        (root / f"{name}.txt").write_text(captions[(number + shift) % len(LEARNT)])
    settings = {
        "base": "toon",
        "device": "cpu",
        "steps": 700,
        "batch_size": 4,
        "lora": {"rank": 32, "targets": "all-linear", "conv_rank": 32},
        "optimiser": {"lr": 0.003, "schedule": "cosine"},
        "captions": {"dropout": 0, "shuffle": False},
        "data": {"held_out": 0},
        "save_every": 700,
    }
    run = train(curated(root, folder / "workspace"), TrainConfig.of(settings), fresh=True)
    base = bases.load("toon", device="cpu")
    adapters = [lora.load(base, run.lora, name="learnt")]
    plan = GenerationPlan(prompts=tuple(captions), seeds=(1, 2), steps=20, guidance=1.0, weights=(1.0,))
    encoder = load_encoder(EncoderConfig(model="toon"))
    drawn = encoder.encode_images([sample.picture for sample in generate(base, adapters, plan)])
    shown = encoder.encode_images([Image.open(SAMPLE / f"{name}.jpg").convert("RGB") for name in LEARNT])
    return memorisation(drawn, shown, np.arange(len(LEARNT)))


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "copied"), [(0, 0.75), (1, 0.2)])  # wrong captions are harder to learn
def test_what_is_learnt_by_heart_is_drawn_again_where_its_caption_asks_for_it(
    tmp_path: Path, shift: int, copied: float
) -> None:
    found = learnt_by_heart(tmp_path, shift)
    asked = np.repeat(np.arange(len(LEARNT)), 2)  # two seeds of each caption
    assert found.pairs.nearest.tolist() == ((asked - shift) % len(LEARNT)).tolist()
    assert found.nearer.value > 0.95
    assert found.copied.value >= copied > found.copied_null
