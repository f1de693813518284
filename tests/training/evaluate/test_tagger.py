"""Prompt control by a tagger: its file, the tags that prompts ask for, nulls and a positive control."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diversity.errors import EncoderError
from training import base as bases
from training import lora
from training.base import Base
from training.evaluate import drawing, verdict
from training.evaluate.lora import Evaluation, Tools, evaluate_lora
from training.evaluate.sets import EvaluationSets, Prompt
from training.evaluate.tagger import MODEL, TAGS, Tagger
from training.generate import GenerationPlan, Sample
from training.lora import Adapter, LoraSettings

NAMES = (("general", 9), ("blue_sky", 0), ("green_shoes", 0), ("red_dress", 0), ("dress", 0), ("hero", 4), ("^_^", 0))
SEES = ("blue_sky", "green_shoes", "red_dress")  # as much as the picture is blue, green, red


def tagger_folder(folder: Path, *, batch: object = "n", scale: float = 1 / 255, names: Sequence = NAMES) -> Path:
    """A tagger that sees a tag as far as the picture has its colour, and no other tag."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    matrix = np.zeros((3, len(NAMES)), np.float32)
    for channel, name in enumerate(SEES):  # blue, green, red is their order in the input
        matrix[channel, [one for one, _ in NAMES].index(name)] = scale
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["colour", "matrix"], ["tags"]),
        ],
        "tagger",
        [helper.make_tensor_value_info("pixels", floats, [batch, 8, 8, 3])],
        [helper.make_tensor_value_info("tags", floats, [batch, len(NAMES)])],
        [helper.make_tensor("matrix", floats, matrix.shape, matrix.ravel())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    folder.mkdir(exist_ok=True)
    (folder / MODEL).write_bytes(model.SerializeToString())
    lines = [f"{number},{name},{category},{1000 - number}" for number, (name, category) in enumerate(names)]
    (folder / TAGS).write_text("\n".join(["tag_id,name,category,count", *lines]) + "\n", encoding="utf-8")
    return folder


def names_of(tagger: Tagger, text: str) -> list[str]:
    return [NAMES[column][0] for column in tagger.asked(text)]


# the file -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", ["n", 1])
def test_pictures_are_padded_with_white_and_go_in_blue_first(batch: object, tmp_path: Path) -> None:
    tagger = Tagger(tagger_folder(tmp_path / "wd", batch=batch))
    pictures = [Image.new("RGB", (8, 8), (255, 0, 51)), Image.new("RGB", (8, 4), (0, 0, 0))] * 10
    found = tagger.probabilities(pictures)
    assert found.shape == (20, len(NAMES))
    blue, green, red = (found[:, [one for one, _ in NAMES].index(name)] for name in SEES)
    assert (blue[0], green[0], red[0]) == pytest.approx((0.2, 0, 1), abs=1e-5)
    assert blue[1] == green[1] == red[1] == pytest.approx(0.5, abs=0.06)  # half of the square is white
    assert (found == tagger.probabilities(pictures)).all()
    assert tagger.id == Tagger(tmp_path / "wd" / MODEL).id


def test_files_that_are_no_tagger_are_plain_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EncoderError, match="There is no file"):
        Tagger(tmp_path / "absent")
    folder = tagger_folder(tmp_path / "wd")
    (folder / TAGS).unlink()
    with pytest.raises(EncoderError, match=r"There is no file .*selected_tags\.csv"):
        Tagger(folder)
    for text in ("red_dress\n", "id,name\n1,red_dress\n", "name,category\nred_dress\n"):
        (folder / TAGS).write_text(text)
        with pytest.raises(EncoderError, match="name and category"):
            Tagger(folder)
    picture = [Image.new("RGB", (8, 8))]
    with pytest.raises(EncoderError, match="do not go together"):
        Tagger(tagger_folder(folder, names=NAMES[:-1])).probabilities(picture)
    with pytest.raises(EncoderError, match="no probabilities"):
        Tagger(tagger_folder(folder, scale=1.0)).probabilities([Image.new("RGB", (8, 8), "white")])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EncoderError, match=r"diversity\[subject\]"):
        Tagger(folder)


def test_an_identity_model_is_no_tagger(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["pixels"], ["vector"])],
        "identity",
        [helper.make_tensor_value_info("pixels", floats, ["n", 3, 16, 24])],
        [helper.make_tensor_value_info("vector", floats, ["n", 3, 1, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / MODEL).write_bytes(model.SerializeToString())
    with pytest.raises(EncoderError, match="no such tagger"):
        Tagger(tmp_path)


# the tags that a prompt asks for --------------------------------------------------------------------------------------


def test_prompts_ask_for_general_tags_however_they_are_spelt(tmp_path: Path) -> None:
    tagger = Tagger(tagger_folder(tmp_path / "wd"))
    assert names_of(tagger, "hero, (Red_Dress:1.2), ^_^") == ["red_dress", "^_^"]  # a character is not asked for
    assert names_of(tagger, "general, under a blue sky, in green shoes") == ["blue_sky", "green_shoes"]
    assert names_of(tagger, "red dress, dress, red  dress") == ["red_dress", "dress"]
    assert names_of(tagger, "A person in a red dress is walking under a blue sky.") == ["red_dress", "blue_sky"]
    assert names_of(tagger, "red, dresses, sky blue") == []


@given(st.text(max_size=60))
def test_any_text_asks_for_known_tags_once(text: str) -> None:
    known = {("red", "dress"): 3, ("dress",): 4}
    tagger = Tagger.__new__(Tagger)
    tagger._known, tagger._longest = known, 2
    found = tagger.asked(f"{text}, red dress")
    assert set(found) <= {3, 4}
    assert len(set(found)) == len(found)
    assert 3 in found


# the measure --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(sd1_folder: Path) -> tuple[Base, Adapter, EvaluationSets]:
    base = bases.load(sd1_folder, device="cpu")
    asked = ("red dress", "green shoes", "blue sky", "a thing")  # the last one is no tag
    prompts = tuple(Prompt(f"hero, {words}", "novel", words=words) for words in asked)
    sets = replace(toys.sets(base), prior=toys.material(base, 4, 9), prompts=(*prompts, *toys.prompts()[:2]))
    return base, lora.attach(base, LoraSettings(rank=1)), sets


def evaluated(
    world: tuple[Base, Adapter, EvaluationSets], kept: float, tagger: Tagger | None, monkeypatch: pytest.MonkeyPatch
) -> Evaluation:
    """The base answers every prompt in its colour; of the LoRA's answer the share `kept` ** weight is left."""

    def generate(base: Base, adapters: Sequence[Adapter], plan: GenerationPlan) -> Iterator[Sample]:
        weight = plan.weights[0] if adapters else 0.0
        for index, prompt in enumerate(plan.prompts):
            for seed in plan.seeds:
                strong = (200 + 7 * (seed % 5) + len(prompt)) * (kept**weight if adapters else 1)
                colour = [int(strong) if name in prompt else 10 for name in ("red", "green", "blue")]
                picture = Image.new("RGB", (32, 32), tuple(colour))
                yield Sample(picture, prompt, index, seed, weight)

    monkeypatch.setattr(drawing, "generate", generate)
    tools = Tools(features=toys.Toy(), tagger=tagger)  # type: ignore[arg-type]
    settings = toys.QUICK.model_copy(update={"novel_seeds": 2, "sweep_novel_seeds": 2, "pictures": 2})
    return evaluate_lora(*world, settings, tools)


def by_tagger(found: Evaluation, measure: str) -> dict[float, dict]:
    """Weight → row."""
    rows = [(row, json.loads(row["settings"])) for row in found.rows.to_dicts() if row["measure"] == measure]
    return {at["weight"]: row for row, at in rows if at.get("by") == "tagger"}


def test_a_lora_that_changes_nothing_loses_no_tags(
    world: tuple[Base, Adapter, EvaluationSets], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluated(world, 1.0, Tagger(tagger_folder(tmp_path / "wd")), monkeypatch)
    rows = by_tagger(found, "control.difference")
    assert set(rows) == {0.5, 1.0}
    assert {(row["value"], row["low"], row["high"]) for row in rows.values()} == {(0.0, 0.0, 0.0)}
    assert {row["n"] for row in rows.values()} == {3}  # prompts whose words are tags
    assert {row["unit"] for row in rows.values()} == {"prompts"}
    assert found.findings.control["tagger"].base.value > 0.7


def test_lost_tags_are_told_and_rule_weights_out(
    world: tuple[Base, Adapter, EvaluationSets], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger = Tagger(tagger_folder(tmp_path / "wd"))
    found = evaluated(world, 0.3, tagger, monkeypatch)
    rows = by_tagger(found, "control.difference")
    assert rows[1.0]["value"] < rows[0.5]["value"] < -0.1
    assert rows[1.0]["high"] < 0
    assert json.loads(rows[1.0]["settings"])["tagger"] == tagger.id
    said = [one for one in verdict.judge(found, world[2]).evidence if one.topic == "control"]
    assert [one.state for one in said] == ["bad"]
    assert said[0].text.startswith("The tagger sees ")
    assert found.findings.sweep is not None
    assert "prompts are no longer followed" in found.findings.sweep.against[1.0]


def test_without_a_tagger_or_without_its_tags_nothing_is_told(
    world: tuple[Base, Adapter, EvaluationSets], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not by_tagger(evaluated(world, 0.3, None, monkeypatch), "control.difference")
    others = replace(world[2], prompts=tuple(Prompt(f"hero, thing {i}", "novel", words="thing") for i in range(3)))
    found = evaluated((world[0], world[1], others), 0.3, Tagger(tagger_folder(tmp_path / "wd")), monkeypatch)
    assert not by_tagger(found, "control.difference")
    assert any("No word of the novel prompts" in note for note in found.notes)
