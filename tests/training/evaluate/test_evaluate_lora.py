"""One LoRA through the whole evaluator: nulls, purity, repeatability, memorisation found, absent parts said plainly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import toys

from training import base as bases
from training import lora, prompts
from training.base import Base
from training.evaluate import drawing, grid
from training.evaluate.lora import Evaluation, Tools, evaluate_lora, loss_gaps
from training.evaluate.measures import bare_words
from training.evaluate.rows import ROWS
from training.evaluate.sets import EvaluationSets, Prompt
from training.evaluate.weighted import alone
from training.lora import Adapter, LoraSettings

Trained = tuple[Base, Adapter, EvaluationSets]


def shaken(adapter: Adapter, size: float = 0.3) -> None:
    """An adapter that does something: B drawn at random."""
    torch.manual_seed(5)
    with torch.no_grad():
        for layer in adapter.layers.values():
            layer.lora_B[adapter.name].weight.normal_(0, size)


@pytest.fixture(scope="module")
def world(sd1_folder: Path) -> Trained:
    base = bases.load(sd1_folder, device="cpu")
    return base, lora.attach(base, LoraSettings(rank=2)), toys.sets(base)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def identity(world: Trained, cache: Path) -> Evaluation:
    return evaluate_lora(*world, toys.QUICK, Tools(features=toys.Toy(), cache=cache))


def values(evaluation: Evaluation, measure: str) -> list[float]:
    return evaluation.rows.filter(pl.col("measure") == measure)["value"].to_list()


def test_an_identity_lora_changes_nothing(identity: Evaluation) -> None:
    nulls = ("loss.train", "loss.held_out", "loss.gap", "loss.gap.low", "loss.gap.high", "loss.prior")
    nulls += ("control.difference", "leak.leak", "leak.effect", "fidelity.gain")
    nulls += (
        "colour.towards",
        "colour.specific",
        "colour.change",
        "colour.slope",
        "colour.relief",
        "drift.share",
        "drift.change",
    )
    for measure in nulls:
        assert values(identity, measure), measure
        assert values(identity, measure) == pytest.approx([0.0] * len(values(identity, measure)), abs=1e-9), measure
    assert values(identity, "variety.ratio") == pytest.approx([1.0])
    assert values(identity, "copies.share") == [0.0, 0.0]
    assert values(identity, "memory.copied") == [0.0, 0.0]
    assert not values(identity, "band.low")  # no view gains anything, so no weight is advised


def test_control_is_told_at_every_weight(world: Trained, identity: Evaluation) -> None:
    rows = identity.rows.filter(pl.col("measure") == "control.difference")["settings"].to_list()
    assert {json.loads(text)["weight"] for text in rows} == set(toys.QUICK.swept)


def test_rows_are_tidy(identity: Evaluation) -> None:
    assert dict(identity.rows.schema) == {name: kind for name, kind in ROWS.items()}
    assert identity.rows["value"].is_finite().all()
    known = identity.rows.filter(pl.col("low").is_not_null())
    assert ((known["low"] <= known["value"] + 1e-9) & (known["value"] <= known["high"] + 1e-9)).all()
    keys = identity.rows.select("measure", "settings")
    assert keys.is_duplicated().sum() == 0
    for text in identity.rows["settings"]:
        json.loads(text)


def test_nothing_of_model_or_chance_changes_and_twice_is_equal(world: Trained, cache: Path) -> None:
    base, adapter, sets = world
    shaken(adapter)
    try:
        base.unet.train()
        adapter.scale = 0.4
        lora.set_scale(base, {adapter.name: 0.4})
        before = {name: value.clone() for name, value in base.unet.state_dict().items()}
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        grads = [p.requires_grad for p in base.unet.parameters()]
        tools = Tools(features=toys.Toy(), cache=cache)
        first, second = (evaluate_lora(base, adapter, sets, toys.QUICK, tools) for _ in range(2))
        assert first.rows.equals(second.rows)
        assert first.notes == second.notes
        assert torch.equal(torch.get_rng_state(), state)
        assert (np.random.get_state()[1] == legacy).all()  # noqa: NPY002
        assert base.unet.training
        assert adapter.scale == 0.4
        assert [p.requires_grad for p in base.unet.parameters()] == grads
        assert all(torch.equal(before[name], value) for name, value in base.unet.state_dict().items())
        assert values(first, "colour.change")[0] > 0
    finally:
        base.unet.eval()
        lora.set_scale(base, {adapter.name: 1.0})
        with torch.no_grad():
            for layer in adapter.layers.values():
                layer.lora_B[adapter.name].weight.zero_()


def test_what_the_base_gives_is_shared_by_all_loras(
    world: Trained, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, adapter, sets = world
    drawn: list[float] = []
    real = drawing.generate
    monkeypatch.setattr(drawing, "generate", lambda b, a, p: (drawn.append(len(a)), real(b, a, p))[1])
    evaluate_lora(base, adapter, sets, toys.QUICK, Tools(cache=cache))
    assert drawn
    assert all(drawn), "the base was drawn again"


def test_a_lora_that_says_what_it_is_kept_as_is_drawn_once_and_gives_the_same_again(
    world: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, adapter, sets = world
    tools = Tools(features=toys.Toy(), cache=tmp_path)
    plain = evaluate_lora(base, adapter, sets, toys.QUICK, tools)
    monkeypatch.setattr(adapter, "kept_as", "one")
    first = evaluate_lora(base, adapter, sets, toys.QUICK, tools)
    monkeypatch.setattr(drawing, "generate", None)  # nothing is drawn any more
    monkeypatch.setattr(grid, "squared_errors", None)
    again = evaluate_lora(base, adapter, sets, toys.QUICK, tools)
    assert plain.rows.equals(first.rows)
    assert first.rows.equals(again.rows)
    monkeypatch.setattr(adapter, "kept_as", "another")
    with pytest.raises(TypeError):
        evaluate_lora(base, adapter, sets, toys.QUICK, tools)


def test_without_held_out_pictures_what_needs_them_is_left_out_and_said(world: Trained, cache: Path) -> None:
    base, adapter, sets = world
    bare = replace(sets, held_out={}, train=replace(sets.train, latents=(), masks=()))
    found = evaluate_lora(base, adapter, bare, toys.QUICK, Tools(features=toys.Toy(), cache=cache))
    measures = set(found.rows["measure"])
    assert not {"loss.gap", "loss.train", "leak.share", "leak.leak", "fidelity"} & measures
    assert {"loss.prior", "memory.nearer", "colour.towards", "variety.ratio"} <= measures
    assert any("held-out" in note for note in found.notes)


def test_losses_are_those_that_training_would_log(world: Trained) -> None:
    """The same picture, level and repeat have the same noise whatever stands beside them on the grid."""
    base, adapter, sets = world
    where = grid.grid(base, toys.QUICK, [sets.train])
    whole = grid.losses(base, adapter, sets.train, where)
    alone_ = grid.losses(base, adapter, sets.train.take([3]), where)
    assert whole[3] == pytest.approx(alone_[0], rel=1e-5)
    assert whole.shape == (10, 3, 1)
    assert (whole > 0).all()


def test_a_lora_fitted_to_its_pictures_shows_a_gap(sd1_folder: Path) -> None:
    """Positive control: a few large steps on the training pictures alone."""
    base = bases.load(sd1_folder, device="cpu")
    sets = toys.sets(base, 8)
    adapter = lora.attach(base, LoraSettings(rank=8))
    where = grid.grid(base, toys.QUICK, [sets.train])
    optimiser = torch.optim.Adam(adapter.parameters(), lr=3e-2)
    cells = [(row, t, 0) for row in range(8) for t in range(3)]
    states = grid._states(base, sets.train.captions, where.windows)
    for _ in range(20):
        batch, noise = grid._batch(base, sets.train, states, cells), grid._noise(base, sets.train, where, cells)
        loss = grid.squared_errors(base, batch, noise).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = loss_gaps(base, adapter, sets, toys.QUICK)["common"]
    assert found.train.below(0)
    assert found.gap.above(0)
    assert found.verdict in ("overfit", "gap")


def test_an_adapter_is_alone_for_a_while(world: Trained) -> None:
    base, adapter, _ = world
    other = lora.attach(base, LoraSettings(rank=1), name="other")
    with alone(base, adapter, 0.3):
        assert (adapter.scale, other.scale) == (0.3, 0.0)
        assert not torch.is_grad_enabled()
    assert (adapter.scale, other.scale) == (1.0, 1.0)
    with alone(base, None):
        assert (adapter.scale, other.scale) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "weight", "said"),
    [
        ("hero, red hat", 0.5, "(hero:0.5), red hat"),
        ("superhero, hero", 0.5, "superhero, (hero:0.5)"),
        ("hero", 1.0, "hero"),
        ("a boy", 0.5, "a boy"),
    ],
)
def test_only_the_trigger_gets_a_keyword_weight(text: str, weight: float, said: str) -> None:
    assert drawing.weighted(text, "hero", weight) == said


def test_a_trigger_of_several_tags_is_weighted_and_left_out_whole() -> None:
    trigger = r"mira \(game\), blue coat"
    softer = drawing.weighted(f"{trigger}, red hat", trigger, 0.5)
    assert prompts.parse(softer) == [("mira (game), blue coat", 0.5), (", red hat", 1.0)]
    assert bare_words(Prompt(f"{trigger}, red hat", "novel"), trigger) == "red hat"


def test_a_spread_takes_a_picture_of_every_group_first(world: Trained) -> None:
    material = world[2].train
    few = material.spread(5)
    assert sorted(few.groups) == sorted(set(material.groups))
    shuffled = material.take([7, 2, 9, 0, 4, 1, 8, 3, 6, 5]).spread(5)
    assert sorted(shuffled.contents) == sorted(few.contents)
