"""Claims about drawing: a seed's noise is the same everywhere, weight 0 is the base, every picture tells its story."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from test_lora import stir

from diversity.errors import DiversityError, InputError
from training import grids, lora
from training.base import GUIDANCE, Base
from training.commands import generate as command
from training.drawing import Place, draw, plan
from training.errors import BaseModelError
from training.generate import GenerationPlan, Sample, generate, initial_noise
from training.lora import LoraSettings


def pixels(sample: Sample) -> NDArray[np.int16]:
    return np.asarray(sample.picture).astype(np.int16)


@pytest.mark.parametrize("kind", ["sd1", "v", "sdxl"])
def test_weight_0_is_the_base_and_other_weights_are_not(kind: str, request: pytest.FixtureRequest) -> None:
    base: Base = request.getfixturevalue(kind)
    wanted = plan(prompts=["a girl, (red hat:0.7)"], seeds=[3, 4], weights=[0, 1], steps=1)
    bare = [pixels(s) for s in generate(base, [], wanted.model_copy(update={"weights": (1.0,)}))]
    adapter = stir(lora.attach(base, LoraSettings(rank=4, text_encoder=True)))
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    base.unet.train()
    found = {(s.seed, s.weight): pixels(s) for s in generate(base, [adapter], wanted)}
    assert [np.array_equal(found[seed, 0.0], bare[n]) for n, seed in enumerate((3, 4))] == [True, True]
    assert not np.array_equal(found[3, 1.0], bare[0])
    assert not np.array_equal(bare[0], bare[1])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert base.unet.training
    assert adapter.scale == 1.0


def test_a_seed_gives_one_picture_in_any_batch_order_or_company(sd1: Base) -> None:
    one = plan(prompts=["girl", "boy"], seeds=[0, 1, 2, 3, 4], steps=1, batch=4)
    other = plan(prompts=["boy"], seeds=[4, 0], steps=1, batch=1)
    found = {(s.prompt, s.seed): pixels(s) for s in generate(sd1, [], one)}
    for sample in generate(sd1, [], other):
        assert np.abs(pixels(sample) - found[sample.prompt, sample.seed]).max() <= 1
    assert torch.equal(initial_noise(sd1, 4, (64, 96)), initial_noise(sd1, 4, (64, 96)))
    assert initial_noise(sd1, 4, (64, 96)).shape == (4, 24, 16)


def test_stopping_early_puts_the_adapters_back(sd1: Base) -> None:
    adapter = lora.attach(sd1, LoraSettings(rank=2))
    drawing = generate(sd1, [adapter], plan(prompts=["girl"], weights=[0, 0.5], steps=1))
    next(drawing)
    assert adapter.scale == 0.0
    drawing.close()
    assert adapter.scale == 1.0


def test_a_stacked_lora_has_its_own_weight_and_others_are_off(sd1: Base) -> None:
    tested = stir(lora.attach(sd1, LoraSettings(rank=2), name="tested"), 1)
    stir(lora.attach(sd1, LoraSettings(rank=2), name="style"), 2)
    bystander = stir(lora.attach(sd1, LoraSettings(rank=2), name="bystander"), 3)
    wanted = plan(prompts=["girl"], weights=[0, 1], steps=1)
    alone = [pixels(s) for s in generate(sd1, [tested], wanted)]
    stacked = [pixels(s) for s in generate(sd1, [tested], wanted.model_copy(update={"stack": {"style": 0.8}}))]
    nothing = [pixels(s) for s in generate(sd1, [tested], wanted.model_copy(update={"stack": {"style": 0.0}}))]
    assert not any(np.array_equal(a, b) for a, b in zip(alone, stacked, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(alone, nothing, strict=True))
    assert bystander.scale == 1.0
    with pytest.raises(InputError, match="stack"):
        next(generate(sd1, [tested], wanted.model_copy(update={"stack": {"nobody": 0.3}})))


def test_broken_weights_are_told_instead_of_drawn(sd1: Base) -> None:
    adapter = lora.attach(sd1, LoraSettings(rank=2))
    with torch.no_grad():
        adapter.parameters()[1].fill_(float("inf"))
    with pytest.raises(BaseModelError, match="not numbers"):
        list(generate(sd1, [adapter], plan(prompts=["girl"], steps=1)))
    assert len(list(generate(sd1, [adapter], plan(prompts=["girl"], steps=1, weights=[0])))) == 1


def test_guidance_and_the_negative_prompt_matter_and_1_means_none(sd1: Base) -> None:
    def picture(**more: object) -> NDArray[np.int16]:
        return pixels(next(generate(sd1, [], plan(prompts=["girl"], steps=1, **more))))

    assert not np.array_equal(picture(guidance=7), picture(guidance=3))
    assert not np.array_equal(picture(guidance=7), picture(guidance=7, negative="red hat"))
    assert np.array_equal(picture(guidance=1), picture(guidance=1, negative="red hat"))


def test_the_guidance_is_the_bases_own_where_none_is_asked_for(sd1: Base) -> None:
    def picture(**more: object) -> NDArray[np.int16]:
        return pixels(next(generate(sd1, [], plan(prompts=["girl"], steps=2, **more))))

    assert sd1.guidance == GUIDANCE == 7
    assert np.array_equal(picture(), picture(guidance=7))
    sd1.guidance = 3.5
    assert np.array_equal(picture(), picture(guidance=3.5))
    assert not np.array_equal(picture(), picture(guidance=7))
    assert not np.array_equal(picture(), picture(guidance=0))  # 0 is a value, not absent


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"size": (100, 64)}, "size"),
        ({"seeds": [-1]}, "seeds"),
        ({"seeds": []}, "seeds"),
        ({"weights": [0.5, 0.5]}, "twice"),
        ({"steps": 0}, "steps"),
    ],
)
def test_plans_that_cannot_be_drawn_are_told(given: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        plan(**({"prompts": ["girl"]} | given))


def fake(wanted: GenerationPlan, size: tuple[int, int] = (40, 30)) -> list[Sample]:
    return [
        Sample(Image.new("RGB", size, (index * 50, seed * 30, int(weight * 100))), prompt, index, seed, weight)
        for weight in wanted.weights
        for index, prompt in enumerate(wanted.prompts)
        for seed in wanted.seeds
    ]


def test_every_picture_carries_what_made_it(tmp_path: Path) -> None:
    wanted = plan(prompts=["girl, (hat:0.7)", "红色"], seeds=[0, 7], weights=[0, 0.55], negative="blue", guidance=5)
    setting = grids.Setting(wanted, "models/base.safetensors", "run-1", (40, 30), {"style.safetensors": 0.3})
    made = grids.save(fake(wanted), tmp_path / "图", setting)
    assert [path.name for path in made] == ["grid_p00.png", "grid_p01.png"]
    table = pl.read_parquet(tmp_path / "图" / "samples.parquet")
    assert table["file"].to_list()[-1] == "p01_s7_w0.55.png"
    assert (tmp_path / "图" / "samples.csv").read_text(encoding="utf-8").startswith("file,")
    assert len(table) == 8
    for row in table.to_dicts():
        with Image.open(tmp_path / "图" / row["file"]) as picture:
            assert picture.getpixel((0, 0)) == (row["prompt_index"] * 50, row["seed"] * 30, int(row["weight"] * 100))
            chunk = json.loads(picture.text["diversity"])  # type: ignore[attr-defined]
            parameters = picture.text["parameters"]  # type: ignore[attr-defined]
        assert {key: chunk[key] for key in row} == row
        assert f"<lora:run-1:{row['weight']:g}> <lora:style:0.3>\nNegative prompt: blue\n" in parameters
        assert f"CFG scale: 5, Seed: {row['seed']}, Size: 40x30, Model: base" in parameters


def test_grids_put_every_picture_under_its_labels() -> None:
    rows = [[Image.new("RGB", (64, 64), (r * 90, c * 60, 5)) for c in range(3)] for r in range(2)]
    sheet = grids.grid([*rows, [None, rows[0][0], None]], ["seed 0", "seed 1", "s"], ["base", "0.5", "1"], "girl " * 30)
    side, gap = 128, grids.GAP  # 64 pixels are enlarged twice
    top, left = sheet.height - 3 * (side + gap), sheet.width - 3 * (side + gap)
    for r in range(2):
        for c in range(3):
            x, y = left + c * (side + gap), top + r * (side + gap)
            cell = np.asarray(sheet.crop((x, y, x + side, y + side)))
            assert (cell == (r * 90, c * 60, 5)).all()
    assert sheet.getpixel((left + 5, top + 2 * (side + gap) + 5)) == grids.EMPTY
    labels = np.asarray(sheet)[:, :left]
    dark = (labels < 100).all(axis=2)
    assert all(dark[top + r * (side + gap) :][:side].any() for r in range(3))
    assert (np.asarray(sheet)[:top] < 100).all(axis=2).any(axis=1).sum() > 30  # a title of several lines


@pytest.fixture
def run_folder(sd1: Base, sd1_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "set" / "_diversity" / "x" / "runs" / "20260101-hero"
    lora.save(stir(lora.attach(sd1, LoraSettings(rank=2))), folder, "20260101-hero")
    record = {"id": folder.name, "base": {"name": str(sd1_folder)}, "settings": {"resolution": 48}}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.arguments(parser, "generate")
    return parser.parse_args([*words, "--quiet", "--device", "cpu"])


def test_the_command_draws_a_run_over_weights_and_stacks_a_style(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_folder.parents[3])
    style = next(run_folder.glob("*_kohya.safetensors"))
    words = ["--prompt", "girl, (hat:0.5)", "--weights", "0,0.5", "--seeds", "2", "--steps", "1", "--json"]
    assert command.run("generate", options("20260101", *words, "--stack", f"{style}:0.3")) == 0
    said = json.loads(capsys.readouterr().out)
    assert Path(said["folder"]) == run_folder / "generated" / "001"
    assert {(p["seed"], p["weight"]) for p in said["pictures"]} == {(0, 0.0), (1, 0.0), (0, 0.5), (1, 0.5)}
    assert {(p["width"], p["height"], p["lora"]) for p in said["pictures"]} == {(48, 48, "20260101-hero")}
    assert {p["guidance"] for p in said["pictures"]} == {7.0}
    assert json.loads(said["pictures"][0]["stack"]) == {str(style): 0.3}
    assert Path(said["grids"][0]).is_file()
    assert command.run("generate", options(str(run_folder), *words[:2], "--steps", "1", "--seeds", "1")) == 0
    assert (run_folder / "generated" / "002" / "p00_s0_w1.png").is_file()


def test_a_lora_file_is_drawn_too_once_its_base_is_named(run_folder: Path, sd1_folder: Path) -> None:
    file = next(run_folder.glob("*_kohya.safetensors"))
    wanted = plan(prompts=["girl"], steps=1, size=(48, 40))
    with pytest.raises(InputError, match="--base"):
        draw(file, wanted, Place(device="cpu"))
    drawn = draw(file, wanted, Place(base=str(sd1_folder), device="cpu"))
    assert drawn.folder == file.parent / f"{file.stem}_generated" / "001"
    assert (drawn.pictures[0]["width"], drawn.pictures[0]["height"]) == (48, 40)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--stack", "style.safetensors"], "has no weight"),
        (["--stack", "style.safetensors:high"], "not a number"),
        (["--weights", "0,,1"], "not a number"),
        (["--weights", "nan"], "not a number"),
        (["--size", "big"], "not a size"),
        (["--size", "50"], "size"),
        ([], "no run"),
    ],
)
def test_slips_on_the_command_line_are_told(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DiversityError, match=told):
        command.run("generate", options("nothing", "--prompt", "girl", *words))
