"""Fidelity of faces in full-body pictures: nulls, positive controls, what is cut out, what is said without."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from training import base as bases
from training import lora
from training.base import Base
from training.evaluate import drawing, faces, verdict
from training.evaluate.lora import Evaluation, Tools, evaluate_lora
from training.evaluate.sets import EvaluationSets, Material, Prompt
from training.evaluate.views import spelt
from training.generate import GenerationPlan, Sample
from training.judges import Judgement
from training.lora import Adapter, LoraSettings

LABEL = "full_body/front/face"
SIDE = 96


def figure(head: float = 0.25, *, face: bool = True, at: int = 48, seed: int = 0) -> Image.Image:
    """A full body from row 8 to row 88 on a plain ground; `head` is the head's share of the height."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (SIDE, SIDE), tuple(int(c) for c in rng.integers(200, 230, 3)))
    draw = ImageDraw.Draw(picture)
    high = 80 * head
    draw.rectangle((at - 12, 8 + high, at + 12, 88), fill=(40, 70, int(rng.integers(140, 180))))
    _head(draw, (at - high / 2, 8, at + high / 2, 8 + high), face=face)
    return picture


def headshot(seed: int = 0) -> Image.Image:
    """The head alone, large, with a little of the body."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (SIDE, SIDE), tuple(int(c) for c in rng.integers(200, 230, 3)))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((8, 84, 88, SIDE), fill=(40, 70, 160))
    _head(draw, (10, 4, 86, 84), face=True)
    return picture


def _head(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], *, face: bool) -> None:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    draw.ellipse(box, fill=(240, 190, 150))
    draw.rectangle((left, top, right, top + 0.3 * height), fill=(170, 40, 30))  # hair
    if face:
        for x in (0.2, 0.6):
            draw.rectangle(
                (left + x * width, top + 0.4 * height, left + (x + 0.2) * width, top + 0.6 * height), fill=(10, 10, 40)
            )


class Court:
    """Judges that know nothing but that this is the toon world."""

    def predict(self, pictures: Sequence[Image.Image]) -> dict[str, Judgement]:
        sure, shown = np.ones(len(pictures), np.float32), np.ones(len(pictures), bool)
        return {"mood": Judgement(("calm",) * len(pictures), sure, shown)}


class Detector:
    """Finds a face where there is one: by the dark of its eyes."""

    def box(self, picture: Image.Image) -> tuple[float, float, float, float] | None:
        dark = np.asarray(picture.convert("L")) < 30
        rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
        if not len(rows):
            return None
        left, top = float(columns[0]), float(rows[0])
        return left, top, columns[-1] + 1 - left, rows[-1] + 1 - top


@pytest.fixture(scope="module")
def world(sd1_folder: Path) -> tuple[Base, Adapter, EvaluationSets]:
    base = bases.load(sd1_folder, device="cpu")
    views = ["headshot/front", "full_body/front", "full_body/back"] * 4

    def material(seed: int) -> Material:
        some = [
            headshot(seed + i) if view == "headshot/front" else figure(face="front" in view, seed=seed + i, at=40 + i)
            for i, view in enumerate(views)
        ]
        texts, groups = ["hero"] * len(views), [f"{seed}-{i}" for i in range(len(views))]
        return Material.of(base, [one.resize((64, 64)) for one in some], texts, groups, views=views)

    prompts = (
        Prompt("hero, full body", "subject", view="full_body/front", bare="full body"),
        Prompt("hero, from behind", "subject", view="full_body/back", bare="from behind"),
        Prompt("a boy", "unrelated"),
    )
    sets = EvaluationSets(material(100), {"common": material(200)}, material(300), prompts, "hero")
    return base, lora.attach(base, LoraSettings(rank=1)), sets


def evaluated(
    world: tuple[Base, Adapter, EvaluationSets],
    shows: dict[float, bool],
    tools: Tools,
    monkeypatch: pytest.MonkeyPatch,
) -> Evaluation:
    """The evaluation of a LoRA whose full bodies have a face at the weights that `shows` says; 0 is the base."""

    def generate(base: Base, adapters: Sequence[Adapter], plan: GenerationPlan) -> Iterator[Sample]:
        weight = plan.weights[0] if adapters else 0.0
        for index, prompt in enumerate(plan.prompts):
            for seed in plan.seeds:
                yield Sample(figure(face=shows[weight], seed=seed, at=44 + seed % 9), prompt, index, seed, weight)

    monkeypatch.setattr(drawing, "generate", generate)
    return evaluate_lora(*world, toys.QUICK.model_copy(update={"pictures": 2}), tools)


def rows_of(found: Evaluation, measure: str, **at: object) -> dict[float, dict]:
    """Weight → row."""
    rows = [(row, json.loads(row["settings"])) for row in found.rows.to_dicts() if row["measure"] == measure]
    return {told.get("weight", -1): row for row, told in rows if at.items() <= told.items()}


def toon() -> Tools:
    return Tools(features=toys.Toy(), judges=Court())  # type: ignore[arg-type]


def test_a_lora_that_changes_nothing_gains_no_faces(
    world: tuple[Base, Adapter, EvaluationSets], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluated(world, dict.fromkeys((0.0, 0.5, 1.0), True), toon(), monkeypatch)
    rows = rows_of(found, "fidelity", view=LABEL)
    assert set(rows) == {0.0, 0.5, 1.0}
    assert len({row["value"] for row in rows.values()}) == 1
    assert rows_of(found, "fidelity.gain", view=LABEL)[-1]["value"] == 0
    assert not rows_of(found, "fidelity", view="full_body/back/face")


def test_faces_that_break_at_full_weight_are_told_and_rule_it_out(
    world: tuple[Base, Adapter, EvaluationSets], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluated(world, {0.0: False, 0.5: True, 1.0: False}, toon(), monkeypatch)
    rows = rows_of(found, "fidelity", view=LABEL)
    whole = rows_of(found, "fidelity", view="full_body/front")
    assert rows[0.5]["value"] > rows[1.0]["value"] + 0.02
    assert rows[0.5]["value"] - rows[1.0]["value"] > 1.5 * (whole[0.5]["value"] - whole[1.0]["value"])
    assert json.loads(rows[0.5]["settings"])["to"] == "held_out"
    assert found.findings.sweep is not None
    assert f"{LABEL} breaks" in found.findings.sweep.against[1.0]
    assert found.findings.sweep.views[LABEL].holds == (0.5,)
    told = verdict.judge(found, world[2])
    assert not any("/" in one.text for one in told.evidence if one.topic == "weights")


def test_a_detector_says_where_faces_are_and_how_often(
    world: tuple[Base, Adapter, EvaluationSets], monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = Tools(features=toys.Toy(), faces=Detector())  # type: ignore[arg-type]
    found = evaluated(world, {0.0: True, 0.5: True, 1.0: False}, tools, monkeypatch)
    shares = {weight: row["value"] for weight, row in rows_of(found, "faces.found", by="detector").items()}
    assert shares == {0.0: 1.0, 0.5: 1.0, 1.0: 0.0}
    assert not rows_of(found, "fidelity", view=LABEL)  # never found at every weight
    assert any("is not found in any drawn picture" in note for note in found.notes)
    found = evaluated(world, dict.fromkeys((0.0, 0.5, 1.0), True), tools, monkeypatch)
    assert rows_of(found, "fidelity", view=LABEL, by="detector")


def test_outside_the_toon_world_a_detector_is_asked_for(
    world: tuple[Base, Adapter, EvaluationSets], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluated(world, dict.fromkeys((0.0, 0.5, 1.0), True), Tools(features=toys.Toy()), monkeypatch)  # type: ignore[arg-type]
    assert not rows_of(found, "fidelity", view=LABEL)
    assert any("No face detector is set" in note for note in found.notes)


def test_a_set_without_headshots_knows_no_head(
    world: tuple[Base, Adapter, EvaluationSets], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = [replace(m, views=tuple(v.replace("headshot", "half_body") for v in m.views)) for m in _materials(world)]
    sets = replace(world[2], train=plain[0], held_out={"common": plain[1]})
    found = evaluated((*world[:2], sets), dict.fromkeys((0.0, 0.5, 1.0), True), toon(), monkeypatch)
    assert not rows_of(found, "fidelity", view=LABEL)
    assert any("There are no headshots" in note for note in found.notes)


def _materials(world: tuple[Base, Adapter, EvaluationSets]) -> tuple[Material, Material]:
    return world[2].train, world[2].held_out["common"]


@pytest.mark.parametrize("head", [0.2, 0.35, 0.5])
def test_the_head_is_what_looks_like_the_headshots(head: float) -> None:
    """Whatever the figure's proportions, and wherever it stands."""
    bodies = tuple(figure(head, seed=i, at=36 + 4 * i) for i in range(4))
    material = SimpleNamespace(
        pictures=(*(headshot(i) for i in range(4)), *bodies), views=("headshot/front",) * 4 + ("full_body/front",) * 4
    )
    top = faces.like_headshots(Fine(), [material])  # type: ignore[arg-type, list-item]
    assert top is not None
    assert head * 0.9 < top.share < head * 1.8
    for i, picture in enumerate(bodies):
        left, upper, side = top.square(picture)  # type: ignore[misc]
        assert abs(upper - 8) < 2
        assert abs(left + side / 2 - (36 + 4 * i)) < 4


class Fine(toys.Toy):
    """Sees a picture as its pixels, 12 × 12."""

    def encode_images(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        rows = np.stack([np.asarray(p.convert("RGB").resize((12, 12)), np.float32).ravel() - 128 for p in pictures])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(-50, 50), st.floats(-50, 50), st.floats(0, 90))
def test_what_is_cut_out_lies_inside_the_picture(w: int, h: int, left: float, top: float, side: float) -> None:
    found = faces.cut(Image.new("RGB", (w, h), "white"), (left, top, side))
    assert 1 <= found.width <= w
    assert 1 <= found.height <= h
    assert abs(found.width - found.height) <= 1
    assert np.asarray(found).min() == 255  # no black from outside


def test_faces_are_named_in_words() -> None:
    assert spelt(LABEL) == "the face in full-body pictures from the front"
