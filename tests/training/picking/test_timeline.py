"""Runs of one folder are not mixed, checkpoints come in the order that is known, epoch 0 is the base."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diversity.config import ScanConfig
from diversity.errors import InputError
from training.picking import names, samples


def draw(path: Path, parameters: str | None = None) -> None:
    chunk = PngInfo()
    if parameters:
        chunk.add_text("parameters", parameters)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (len(path.name), 2, 3)).save(path, pnginfo=chunk)


def test_kohyas_samples_before_the_first_step_are_the_base(tmp_path: Path) -> None:
    for epoch in (0, 5):
        draw(tmp_path / f"mira_e{epoch:06}_00_20240101000000_42.png")
    assert [(s.at[2], s.weight) for s in samples.read(tmp_path, ScanConfig()).samples] == [
        ("base", 0.0),
        ("epoch 5", 1.0),
    ]


@pytest.fixture
def two_runs(tmp_path: Path) -> Path:
    for day, run in enumerate(("mira_v1", "mira_v2"), 1):
        for index in (0, 1):
            draw(tmp_path / f"{run}_000500_{index:02}_202401{day:02}120000_42.png")
    return tmp_path


def test_two_output_names_are_two_runs_and_the_later_one_is_judged(two_runs: Path) -> None:
    found = samples.read(two_runs, ScanConfig())
    assert {s.run for s in found.samples} == {"mira_v2"}
    assert any("mira_v1 (2 pictures), mira_v2 (2 pictures)" in note and "--run" in note for note in found.notes)


def test_the_other_run_is_judged_where_it_is_named(two_runs: Path) -> None:
    assert {s.run for s in samples.read(two_runs, ScanConfig(), run="mira_v1").samples} == {"mira_v1"}
    with pytest.raises(InputError, match="no run mira_v3"):
        samples.read(two_runs, ScanConfig(), run="mira_v3")


def test_runs_that_nothing_dates_have_to_be_named(tmp_path: Path) -> None:
    for number, lora in enumerate(("a-000010", "b-000010")):
        draw(tmp_path / f"x_{number:05}_.png", f"mira, <lora:{lora}:1>\nSteps: 2, Seed: 1")
    with pytest.raises(InputError, match="--run"):
        samples.read(tmp_path, ScanConfig())


@pytest.mark.parametrize(
    ("lora", "run"),
    [
        ("mira-000010.safetensors", "mira"),
        ("mira-step00000500.safetensors", "mira"),
        ("mira_000000500.safetensors", "mira"),
        ("mira.safetensors", ""),
        ("2024-01-01_12-00-00-save-500-5-0.safetensors", ""),
    ],
)
def test_the_run_of_a_lora(lora: str, run: str) -> None:
    assert names.run_of(lora) == run


def mixed(folder: Path, *loras: str) -> samples.Samples:
    for number, lora in enumerate(loras):
        draw(folder / f"x_{number:05}_.png", f"mira, <lora:{lora}:1>\nSteps: 2, Seed: {number}")
    return samples.read(folder, ScanConfig())


def test_epochs_and_steps_that_nothing_relates_are_said_to_have_no_order(tmp_path: Path) -> None:
    found = mixed(tmp_path, "mira-step00000100", "mira-000010")
    assert any("cannot be ordered together" in note for note in found.notes)


def test_epochs_are_counted_in_steps_where_a_name_tells_both(tmp_path: Path) -> None:
    found = mixed(tmp_path, "mira-000010", "mira-step00000100", "mira-epoch4-step400", "mira-step00001500")
    assert [s.at[2] for s in found.samples] == ["step 100", "step 400", "epoch 10", "step 1,500"]
    assert not any("ordered" in note for note in found.notes)


def test_steps_of_an_epoch_by_name() -> None:
    assert names.steps_per_epoch("0 - a/2024-01-01_12-00-00-training-sample-520-5-20.png") == 100
    assert names.steps_per_epoch("mira-epoch10-step500.safetensors") == 50
    assert names.steps_per_epoch("mira-000010.safetensors") is None
