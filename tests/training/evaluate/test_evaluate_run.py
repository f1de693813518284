"""From a run, or a LoRA file and a folder, to tables and a verdict: roles from the record, plain errors, no leaks."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import toys
from sets import small_set

from diversity.dataset import Dataset
from diversity.errors import ConfigError, DiversityError, EncoderError, InputError
from diversity.progress import Silent
from training import runs
from training.commands import evaluate as command
from training.config import TrainConfig
from training.evaluate import features, prompts, stored
from training.evaluate.run import Evaluated, Options, evaluate_file, evaluate_run, name_of
from training.evaluate.settings import EvaluateSettings
from training.runs import Run
from training.train import train

World = tuple[Dataset, Run, Evaluated]
OPTIONS = Options(settings=toys.QUICK.model_copy(update={"weights": (), "keyword_weights": ()}), trigger="girl")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sd1_folder: Path) -> World:
    dataset = small_set(tmp_path_factory.mktemp("set"))
    settings = {
        "base": str(sd1_folder),
        "steps": 2,
        "batch_size": 2,
        "device": "cpu",
        "save_every": 1,
        "lora.rank": 2,
        "data.held_out": 0.4,
        "validation.timesteps": 3,
        "data.bucket_step": 16,
        "captions.variants": 1,
    }
    run = train(dataset, TrainConfig.load(None, settings))
    patch = pytest.MonkeyPatch()
    patch.setattr(features, "in_use", lambda config: toys.Toy())
    try:
        return dataset, run, evaluate_run(run, OPTIONS, Silent())
    finally:
        patch.undo()


def test_a_run_is_measured_on_the_pictures_that_its_record_held_out(world: World) -> None:
    _, run, found = world
    table = run.read("pictures")
    real = pl.read_parquet(Path(found.folder) / "real.parquet")
    for role in ("train", "held_out"):
        assert set(real.filter(pl.col("role") == role)["content"]) == set(
            table.filter(pl.col("role") == role)["content"]
        )
    assert Path(found.folder) == run.folder / "evaluation"


def test_its_losses_are_those_that_the_run_logged(world: World) -> None:
    """Same noise, captions and latents: the run's own curve and the evaluation are one number."""
    _, run, found = world
    logged = run.read("losses").filter((pl.col("role") == "held_out") & (pl.col("step") == 2))
    by_picture = logged.group_by("key").agg(pl.col("loss", "base").mean())
    scores = pl.DataFrame(found.scores)
    told = scores.filter((pl.col("measure") == "loss.held_out") & pl.col("settings").str.contains('"step": 2'))
    by_level = logged.with_columns((pl.col("loss") / pl.col("base")).log().alias("delta"))
    assert len(by_picture) == 4
    assert told["value"][0] == pytest.approx(by_level["delta"].mean(), abs=1e-5)


def test_every_checkpoint_is_compared(world: World) -> None:
    _, run, found = world
    assert sorted(found.checkpoints) == ["1", "2"]
    steps = {json.loads(row["settings"]).get("step") for row in found.scores if row["measure"] == "loss.gap"}
    assert steps == {None, 1, 2}
    assert stored.read(run.folder).said["advice"]["groups"] == 4


def test_what_is_written_is_what_is_answered(world: World) -> None:
    _, run, found = world
    kept = stored.read(run.folder)
    assert kept.scores.to_dicts() == found.scores
    assert kept.said["headline"] == found.headline
    assert kept.name == run.id
    assert kept.samples["jpeg"].null_count() == 0
    assert found.headline in found.text()
    assert stored.find(run.folder / "evaluation") == stored.find(run.folder)


def test_a_file_of_another_trainer_is_evaluated_without_held_out_pictures(
    world: World, sd1_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, run, _ = world
    monkeypatch.setattr(features, "in_use", lambda config: toys.Toy())
    monkeypatch.setattr(Dataset, "run", lambda self, *stages, **more: self)
    asked = Options(settings=OPTIONS.settings, base=str(sd1_folder), trigger="girl")
    file = next(run.folder.glob("*_kohya.safetensors"))
    found = evaluate_file(file, dataset, asked, Silent())
    assert Path(found.folder).parent == dataset.folder / "evaluations"
    assert not any(row["measure"] in ("loss.gap", "leak.share") for row in found.scores)
    assert any("held-out" in note for note in found.notes)
    assert found.state in ("open", "drifts", "copies")


def test_errors_are_plain(world: World, tmp_path: Path) -> None:
    other = Run(world[1].folder)
    other.record["base"]["fingerprint"] = "of another one"
    with pytest.raises(InputError, match="is not the base"):
        evaluate_run(other, OPTIONS, Silent())
    other.record["pictures"] = str(tmp_path / "gone")
    with pytest.raises(InputError, match="are gone"):
        evaluate_run(other, OPTIONS, Silent())
    with pytest.raises(DiversityError, match="is for is not known"):
        evaluate_file(tmp_path / "x.safetensors", world[0], OPTIONS, Silent())


def options(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.arguments(parser, "evaluate")
    return parser.parse_args(given)


def test_options_become_settings() -> None:
    found = command.settings(options("run", "--quick", "--set", "seeds=9", "--set", "weights=[0.7, 0.3]"))
    assert (found.seeds, found.weights, found.steps) == (9, (0.3, 0.7), 12)
    with pytest.raises(ConfigError, match="weights"):
        command.settings(options("run", "--set", "weights=[0.0]"))
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        command.settings(options("run", "--set", "seeds"))
    with pytest.raises(InputError, match="Name either"):
        command.run("evaluate", options())
    with pytest.raises(InputError, match="--pictures"):
        command.run("evaluate", options("--lora", "x.safetensors"))


def test_every_setting_is_documented_with_both_presets() -> None:
    text = (Path(__file__).parents[3] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    for name, field in EvaluateSettings.model_fields.items():
        values = [shown(getattr(preset(), name)) for preset in (EvaluateSettings.full, EvaluateSettings.ladder)]
        assert f"| `{name}` | {values[0]} | {values[1]} | {field.description} |" in text


def shown(value: object) -> str:
    if value in (None, (), ""):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_names_of_files_are_stable_and_apart(tmp_path: Path) -> None:
    one, two = (tmp_path / folder / "my lora.safetensors" for folder in ("a", "b"))
    assert name_of(one) == name_of(one) != name_of(two)
    assert name_of(one).startswith("my-lora-")


def test_prompts_leave_out_what_captions_hold_and_name_looks_where_they_show() -> None:
    bank = prompts.read(toon=True)
    looks = {"hair_colour": "red", "shoes_kind": "boots"}
    found = prompts.prompts(bank, "mira", ("mira, outdoors", "mira, indoors"), class_word="girl", looks=looks)
    texts = [one.text for one in found]
    assert not any("outdoors" in text for text in texts if text.startswith("mira"))
    assert all(one.text.startswith("mira, ") for one in found if one.kind != "unrelated")
    assert all(one.bare.startswith("girl, ") for one in found if one.kind == "subject")
    by_view = {one.view: one for one in found if one.kind == "subject"}
    assert "hair_colour" in by_view["headshot/front"].shows
    assert "hair_colour" not in by_view["detail"].shows
    assert by_view["detail"].shows["shoes_kind"] == "boots"
    assert "shoes_kind" not in by_view["detail"].asks
    crowded = [f"mira, {line.new}" for line in bank.novel]
    assert sum(one.kind == "novel" for one in prompts.prompts(bank, "mira", crowded)) == prompts.LEAST


@pytest.mark.parametrize("text", ["subject = 3", "[[[", '[general]\nsubject = [{ view = "x" }]'])
def test_a_broken_file_of_prompts_is_told_plainly(tmp_path: Path, text: str) -> None:
    file = tmp_path / "p.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        prompts.read(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        prompts.read(tmp_path / "none.toml")


def test_features_of_a_torchscript_file_are_unit_rows_and_named_by_content(tmp_path: Path) -> None:
    import torch

    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=(2, 3))

    file = tmp_path / "copies.torchscript.pt"
    torch.jit.script(Mean()).save(str(file))
    found = features.from_file(file)
    rows = found.encode_images(toys.pictures(3, 0))
    assert rows.shape == (3, 3)
    assert (rows**2).sum(axis=1) == pytest.approx(1)
    assert found.id.startswith("copies.torchscript-")
    with pytest.raises(DiversityError, match="nothing at"):
        features.from_file(tmp_path / "none")
    (tmp_path / "bad.pt").write_bytes(b"no")
    with pytest.raises(DiversityError, match="could not be loaded"):
        features.from_file(tmp_path / "bad.pt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DiversityError, match="could not be loaded"):
        features.from_file(tmp_path / "empty")


def test_the_record_of_a_run_is_found_by_its_id(world: World) -> None:
    dataset, run, _ = world
    assert runs.find(run.id, dataset).folder == run.folder


def test_a_tagger_that_is_not_there_is_a_plain_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, run, _ = world
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(features, "in_use", lambda config: toys.Toy())
    parser = argparse.ArgumentParser()
    command.arguments(parser, "evaluate")
    asked = parser.parse_args([run.id, "--tagger", "nowhere/model.onnx"])
    with pytest.raises(EncoderError, match=r"There is no file .*model\.onnx"):
        evaluate_run(run, replace(OPTIONS, tagger=asked.tagger), Silent())
