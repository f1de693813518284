"""Copies at captions of the training pictures: which captions, what a copier and an idle LoRA score, what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from toys import at

from training import base as bases
from training import lora, prompts
from training.base import Base
from training.evaluate import verdict
from training.evaluate.lora import Evaluation, Tools, evaluate_lora
from training.evaluate.prompts import of_captions
from training.evaluate.sets import EvaluationSets, Material
from training.evaluate.settings import EvaluateSettings
from training.evaluate.store import _nearest
from training.lora import Adapter, LoraSettings

QUICK = toys.QUICK.model_copy(update={"caption_pictures": 12, "pictures": 2, "seeds": 2, "weights": ()})
World = tuple[Base, Adapter, EvaluationSets]


def labelled(captions: list[str], groups: list[str]) -> Material:
    """Pictures that nobody looks at."""
    n, blank = len(captions), Image.new("RGB", (8, 8))
    names = tuple(f"{i:03}-{caption}" for i, caption in enumerate(captions))
    return Material((blank,) * n, (), tuple(captions), tuple(groups), names, ("",) * n, names, ())


def scene(seed: int) -> Image.Image:
    """Rectangles of many colours: as different from any other as two pictures are."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((64, 64, 3), np.uint8)
    pixels[:] = rng.integers(0, 256, 3)
    for _ in range(14):
        x, y, w, h = *rng.integers(0, 52, 2), *rng.integers(6, 30, 2)
        pixels[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels)


def near(picture: Image.Image, turn: int) -> Image.Image:
    """A near-copy: a little lighter."""
    return Image.fromarray((np.asarray(picture, np.float64) * (1 - 0.03 * turn)).astype(np.uint8))


@pytest.fixture(scope="module")
def tiny(sd1_folder: Path) -> tuple[Base, Adapter]:
    base = bases.load(sd1_folder, device="cpu")
    return base, lora.attach(base, LoraSettings(rank=1))


def world(tiny: tuple[Base, Adapter], copies: int, *, captions: int = 10) -> World:
    """Ten scenes with near-copies of each; every scene has a caption of its own, or they share some."""
    train = Material.of(
        tiny[0],
        [near(scene(i), turn) for i in range(10) for turn in range(copies)],
        [f"hero, (scene {i % captions}:2)" for i in range(10) for _ in range(copies)],
        [f"g{i}" for i in range(10) for _ in range(copies)],
    )
    return *tiny, EvaluationSets(train, {}, None, toys.prompts(), "hero")


def evaluated(world: World, draw: toys.Draw, monkeypatch: pytest.MonkeyPatch) -> Evaluation:
    toys.draws(monkeypatch, draw)
    return evaluate_lora(*world, QUICK, Tools(features=toys.Toy()))


def copier(train: Material) -> toys.Draw:
    """Copies at captions with the LoRA on, and nowhere else."""
    pictures = dict(zip(map(prompts.literal, train.captions), train.pictures, strict=True))

    def draw(number: int, weight: float, prompt: str) -> Image.Image:
        return pictures[prompt] if weight and prompt in pictures else scene(1000 + number)

    return draw


@pytest.mark.parametrize("copies", [1, 4])
def test_a_copier_at_captions_is_told_also_on_a_set_of_near_copies(
    tiny: tuple[Base, Adapter], monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    mine = world(tiny, copies)
    found = evaluated(mine, copier(mine[2].train), monkeypatch)
    assert at(found, "copies.captions", weight=1.0) == at(found, "memory.captions.copied", weight=1.0) == 1
    assert at(found, "copies.captions", weight=0.0) == at(found, "memory.captions.copied", weight=0.0) == 0
    assert at(found, "copies.captions.difference") == 1
    assert at(found, "copies.share", weight=1.0) == 0
    told = verdict.judge(found, mine[2])
    assert told.state == "copies"
    assert "with their own captions, it draws a copy in 12 of 12 tries; the base in none" in told.headline
    assert any("is copied" in line for line in told.data)
    near = _nearest(found, mine[2])
    shown = [near[row] for row, one in enumerate(found.gallery.pictures) if one.place.prompt.kind == "caption"
             and one.place.weight]  # fmt: skip
    assert all(one["copy"] and one["source"] in mine[2].train.contents for one in shown)
    assert len(shown) == 12


def test_a_single_caption_of_all_pictures_is_judged_by_its_seeds(
    tiny: tuple[Base, Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = world(tiny, 1, captions=1)
    found = evaluated(mine, copier(mine[2].train), monkeypatch)
    row = next(row for row in found.rows.to_dicts() if row["measure"] == "copies.captions.difference")
    assert (row["value"], row["n"], row["unit"]) == (1, 12, "samples")
    assert verdict.judge(found, mine[2]).state == "copies"


def test_what_the_base_copies_as_well_is_not_held_against_the_lora(
    tiny: tuple[Base, Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = world(tiny, 1)
    draw = copier(mine[2].train)
    found = evaluated(mine, lambda number, _, prompt: draw(number, 1.0, prompt), monkeypatch)
    assert at(found, "copies.captions", weight=0.0) == 1
    assert at(found, "copies.captions.difference") == 0
    told = verdict.judge(found, mine[2])
    assert told.state != "copies"
    assert any(one.state == "open" and "the base in 100 % of its own" in one.text for one in told.evidence)


def test_an_identity_lora_draws_what_the_base_draws(tiny: tuple[Base, Adapter]) -> None:
    found = evaluate_lora(*world(tiny, 2), QUICK, Tools(features=toys.Toy()))
    assert at(found, "copies.captions.difference") == 0
    for name in ("copied", "nearer", "alike"):
        assert at(found, f"memory.captions.{name}", weight=1.0) == at(found, f"memory.captions.{name}", weight=0.0)


def test_left_out_it_changes_no_other_row(tiny: tuple[Base, Adapter]) -> None:
    mine = world(tiny, 1)
    without = QUICK.model_copy(update={"caption_pictures": 0})
    found, bare = (evaluate_lora(*mine, how, Tools(features=toys.Toy())) for how in (QUICK, without))
    assert not any("captions" in name for name in bare.rows["measure"])
    assert found.rows.filter(~found.rows["measure"].str.contains("captions")).equals(bare.rows)
    assert EvaluateSettings.ladder().caption_pictures == 0
    assert EvaluateSettings.full().caption_pictures > 0


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=20),
    count=st.integers(0, 12),
    seed=st.integers(0, 99),
    shuffle=st.randoms(use_true_random=False),
)
def test_captions_are_distinct_one_of_a_group_and_as_many_pictures_as_asked(
    rows: list[tuple[int, int]], count: int, seed: int, shuffle: object
) -> None:
    train = labelled([f"caption {c}" if c else "" for c, _ in rows], [f"g{g}" for _, g in rows])
    found = of_captions(train, count, seed)
    texts = [prompt.text for prompt in found]
    assert len(set(texts)) == len(texts) <= len({g for c, g in rows if c})
    assert set(texts) <= {caption for caption in train.captions if caption}
    assert sum(found.values()) == (count if any(c for c, _ in rows) else 0)
    assert max(found.values(), default=0) - min(found.values(), default=0) <= 1
    order = list(range(len(rows)))
    shuffle.shuffle(order)  # type: ignore[attr-defined]
    assert [prompt.text for prompt in of_captions(train.take(order), count, seed)] == texts


def test_another_seed_takes_another_sample() -> None:
    train = labelled([f"caption {i}" for i in range(40)], [f"g{i}" for i in range(40)])
    samples = [{prompt.text for prompt in of_captions(train, 8, seed)} for seed in (1, 2)]
    assert samples[0] != samples[1]
    assert all(len(one) == 8 for one in samples)


def test_a_caption_is_asked_for_as_training_read_it() -> None:
    caption = r"mira \(game\), (smile:1.4), :)"
    (prompt,) = of_captions(labelled([caption], ["g"]), 1, 0)
    assert prompts.parse(prompt.text) == [(caption, 1.0)]
