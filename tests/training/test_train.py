"""The loop: only the adapter moves, it goes on exactly where it was, and it says plainly what stops it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sets import select, small_set

from diversity import Dataset
from diversity.errors import DiversityError
from training import checkpoint, losses, runs, session
from training import train as loop
from training.base import weights_hash
from training.config import TrainConfig
from training.errors import TrainingError
from training.runs import Run
from training.train import train


class Hook:
    """A progress that calls `act(step)` after every step of training, and keeps what is said."""

    def __init__(self, act: Callable[[int], None] = lambda _: None) -> None:
        self.act, self.step, self.said = act, 0, list[str]()

    def note(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        def advance(n: int) -> None:
            if name == "training" and n == 1:
                self.step += 1
                self.act(self.step)

        yield advance


def settings(folder: Path, **changes: Any) -> TrainConfig:
    changes["lora"] = {"rank": 4, **changes.get("lora", {})}
    common = {"base": str(folder), "device": "cpu", "steps": 6, "batch_size": 2, "save_every": 100}
    return TrainConfig.of({**common, "validation": {"timesteps": 3, "pictures": 2}, **changes})


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.lora)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return small_set(tmp_path)


def test_a_run_leaves_its_whole_record(dataset: Dataset, sd1_folder: Path) -> None:
    hook = Hook()
    run = train(dataset, settings(sd1_folder), progress=hook)
    record = json.loads((run.folder / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["step"] == 6
    assert record["base"]["family"] == "sd1"
    assert record["settings"]["seed"] == 0
    assert set(record["timings"]) >= {"load", "encode", "data", "forward", "backward", "optimise", "measure", "save"}
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    assert "better than the base" in record["result"]["sentence"] or "the base" in record["result"]["sentence"]
    pictures = run.read("pictures")
    assert sorted(pictures["role"].unique()) == ["held_out", "train"]
    assert len(pictures) == 10
    assert run.lora.is_file()
    assert (run.folder / f"{run.id}_kohya.safetensors").is_file()
    assert list((run.folder / "tensorboard").glob("events.*"))
    measures = set(run.read("metrics")["measure"])
    assert {"loss", "lr", "steps_per_s", "held_out.loss", "twins.loss", "gap"} <= measures
    shown = run.read("exposures")
    assert shown["shown"].sum() == 12
    assert ((shown["shown"] - shown["wanted"]).abs() < 3).all()
    assert any("steps, as asked. Advice:" in text for text in hook.said)
    assert any("Step 6 of 6: loss" in text for text in hook.said)


def test_weights_decide_how_often_each_picture_is_seen(tmp_path: Path, sd1_folder: Path) -> None:
    dataset = small_set(tmp_path, 6, weights=[3, 1, 1, 0.5, 0.25, 0.25], sizes=[(64, 64)])
    config = settings(sd1_folder, steps=12, data={"held_out": 0}, validation={"timesteps": 3})
    shown = dict(train(dataset, config).read("exposures").select("path", "shown").iter_rows())
    assert [shown[f"{i:03d}.png"] for i in range(6)] == [12, 4, 4, 2, 1, 1]
    select(dataset, [1, 1, 1, 1, 1, 1])
    again = train(dataset, config).read("exposures")
    assert again["shown"].to_list() == [4] * 6


def test_only_the_adapter_moves(dataset: Dataset, sd1_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Watched(loop.Trainer):
        def finish(self) -> None:
            super().finish()
            seen.append(self)

    monkeypatch.setattr(loop, "Trainer", Watched)
    run = train(dataset, settings(sd1_folder))
    trainer = seen[0]
    assert weights_hash(trainer.base) == run.record["base"]["fingerprint"]
    modules = (trainer.base.unet, trainer.base.vae, *trainer.base.text_encoders)
    moving = {name for m in modules for name, p in m.named_parameters() if p.requires_grad}
    assert moving
    assert all(".lora_" in name for name in moving)
    assert len(trainer.parameters) == len(moving)
    assert not [name for name in weights(run) if name.startswith("text_encoder")]


def test_with_text_encoder_training_its_weights_are_in_the_file(dataset: Dataset, sd1_folder: Path) -> None:
    run = train(dataset, settings(sd1_folder, steps=2, lora={"text_encoder": True}, optimiser={"lr": 0.01}))
    up = {name: value for name, value in weights(run).items() if name.startswith("text_encoder") and "lora_B" in name}
    assert up
    assert any(value.abs().max() > 0 for value in up.values())


HARD = {  # everything that has a state of its own
    "steps": 7,
    "accumulate": 2,
    "save_every": 3,
    "log_every": 1,
    "data": {"flip": True, "held_out": 0.2},
    "captions": {"variants": 0, "tag_dropout": 0.2},
    "optimiser": {"ema": 0.9, "schedule": "cosine", "warmup": 2},
    "loss": {"noise_offset": 0.05},
}


def finished_state(run: Run) -> dict[str, Any]:
    state = checkpoint.load(run.checkpoints)
    assert state is not None
    return state


def assert_equal_states(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal_states(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal_states(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def steady(run: Run) -> pl.DataFrame:
    return run.read("metrics").filter(pl.col("measure") != "steps_per_s")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, sd1_folder: Path) -> Run:
    """A run that nothing stopped."""
    return train(small_set(tmp_path_factory.mktemp("whole")), settings(sd1_folder, **HARD))


@pytest.mark.parametrize(("how", "when"), [("kill", 2), ("kill", 5), ("ctrl-c", 4)])
def test_a_run_that_was_stopped_goes_on_exactly(
    tmp_path: Path, sd1_folder: Path, whole: Run, how: str, when: int
) -> None:
    config = settings(sd1_folder, **HARD)
    dataset = small_set(tmp_path)

    def stop(step: int) -> None:
        if step == when:
            if how == "kill":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(dataset, config, progress=Hook(stop))
    stopped = runs.every(dataset.folder)[0]
    assert stopped.record["state"] == "interrupted"
    state = checkpoint.load(stopped.checkpoints)
    assert (state["step"] if state else 0) == (3 * (when // 3) if how == "kill" else when)
    hook = Hook()
    run = train(dataset, config, progress=hook)
    assert run.folder == stopped.folder
    assert hook.step == 7 - (state["step"] if state else 0)
    assert same(weights(run), weights(whole))
    assert_equal_states(finished_state(run), finished_state(whole))
    assert run.read("exposures").equals(whole.read("exposures"))
    assert steady(run).equals(steady(whole))
    assert run.read("losses").equals(whole.read("losses"))


def test_a_finished_run_can_be_trained_on_and_equals_one_long_run(tmp_path: Path, sd1_folder: Path) -> None:
    long = train(small_set(tmp_path / "long"), settings(sd1_folder, steps=6))
    dataset = small_set(tmp_path / "short")
    short = train(dataset, settings(sd1_folder, steps=4))
    more = train(dataset, TrainConfig(steps=6), resume=short)
    assert more.folder == short.folder
    assert same(weights(more), weights(long))


def test_a_run_does_not_go_on_with_other_pictures(dataset: Dataset, sd1_folder: Path) -> None:
    run = train(dataset, settings(sd1_folder, steps=2))
    select(dataset, [2.0] + [1.0] * 9)
    with pytest.raises(TrainingError, match="weights changed"):
        train(dataset, TrainConfig(steps=4), resume=run)


def test_the_same_settings_give_the_same_weights_and_another_seed_does_not(tmp_path: Path, sd1_folder: Path) -> None:
    found = [
        train(small_set(tmp_path / str(i)), settings(sd1_folder, steps=3, seed=seed))
        for i, seed in enumerate((0, 0, 1))
    ]
    assert same(weights(found[0]), weights(found[1]))
    assert not same(weights(found[0]), weights(found[2]))


@pytest.mark.parametrize("n", [8, 5])
def test_accumulation_equals_one_large_batch_also_with_an_uneven_last_one(
    tmp_path: Path, sd1_folder: Path, n: int
) -> None:
    """With 5 pictures and batches of 2 the last of three is half empty, and must count half."""
    shapes = [(64, 64)]
    batch, accumulate = (2, 4) if n == 8 else (2, 3)
    common = {"steps": 3, "data": {"held_out": 0, "partial": "keep"}, "optimiser": {"lr": 1e-3}}
    parts = settings(sd1_folder, **common, batch_size=batch, accumulate=accumulate)
    whole = settings(sd1_folder, **common, batch_size=n, accumulate=1)
    one = train(small_set(tmp_path / "one", n, sizes=shapes), parts)
    other = train(small_set(tmp_path / "other", n, sizes=shapes), whole)
    a, b = weights(one), weights(other)
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-5
    assert one.read("exposures").equals(other.read("exposures"))
    first, second = (run.read("metrics").filter(pl.col("measure") == "loss")["value"].to_list() for run in (one, other))
    assert first == pytest.approx(second, rel=1e-5)


def test_a_loss_that_is_not_a_number_names_picture_and_step(
    dataset: Dataset, sd1_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, true = [], losses.squared_errors

    def broken(base: Any, batch: losses.Batch, noise: losses.Noise) -> torch.Tensor:
        errors = true(base, batch, noise)
        if torch.is_grad_enabled():
            calls.append(errors)
            if len(calls) == 3:
                errors = errors * torch.tensor([1.0, float("nan")])
        return errors

    monkeypatch.setattr(losses, "squared_errors", broken)
    with pytest.raises(TrainingError, match=r"The loss of 00\d.png is not a number at step 3"):
        train(dataset, settings(sd1_folder, save_every=1))
    run = runs.every(dataset.folder)[0]
    assert run.record["state"] == "failed"
    assert "not a number" in run.record["problem"]
    assert finished_state(run)["step"] == 2


def test_a_full_disk_ends_the_run_plainly_and_keeps_the_last_checkpoint(
    dataset: Dataset, sd1_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = torch.save

    def full(state: dict[str, Any], path: Path) -> None:
        if state["step"] == 2:
            raise OSError(28, "No space left on device")
        true(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DiversityError, match="disk is full"):
        train(dataset, settings(sd1_folder, save_every=1))
    monkeypatch.undo()
    run = train(dataset, settings(sd1_folder, save_every=1))
    assert run.record["state"] == "finished"
    assert len(runs.every(dataset.folder)) == 1


def test_measuring_touches_neither_weights_nor_randomness(
    dataset: Dataset, sd1_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []

    class Watched(loop.Trainer):
        def measure(self) -> str:
            before = self._state()
            modes = [m.training for m in self.base.unet.modules()]
            grads = [p.grad for p in self.parameters]
            first = self.held_out.measure()
            again = self.held_out.measure()
            assert (first == again).all()
            assert_equal_states(self._state(), before)
            assert [m.training for m in self.base.unet.modules()] == modes
            assert all(a is b for a, b in zip(grads, (p.grad for p in self.parameters), strict=True))
            checked.append(self.step)
            return super().measure()

    monkeypatch.setattr(loop, "Trainer", Watched)
    often = train(dataset, settings(sd1_folder, validate_every=2, optimiser={"ema": 0.9}))
    assert checked == [2, 4, 6]
    monkeypatch.undo()
    never = train(dataset, settings(sd1_folder, validate_every=100, optimiser={"ema": 0.9}), fresh=True)
    assert same(weights(often), weights(never))


@pytest.mark.parametrize("name", ["写真 と 文字", "aux", "Ünïcode (1)"])
def test_folders_with_any_name_work(tmp_path: Path, sd1_folder: Path, name: str) -> None:
    dataset = small_set(tmp_path / name, 4)
    run = train(dataset, settings(sd1_folder, steps=2, selection="default"))
    assert run.lora.is_file()
    assert runs.find(run.id, dataset).folder == run.folder


@pytest.mark.parametrize("family", ["v_folder", "sdxl_folder"])
def test_every_family_trains(dataset: Dataset, family: str, request: pytest.FixtureRequest) -> None:
    run = train(dataset, settings(request.getfixturevalue(family), steps=2))
    assert run.record["base"]["family"] == ("sdxl" if family == "sdxl_folder" else "sd1")
    assert run.record["result"]["loss"] > 0


def test_samples_are_drawn_on_the_way_and_change_nothing(dataset: Dataset, sd1_folder: Path) -> None:
    wanted = {"prompts": ["a red hat"], "seeds": [3], "weights": [0, 1], "steps": 2}
    run = train(dataset, settings(sd1_folder, steps=4, sample_every=2, samples=wanted))
    folders = sorted(path.name for path in (run.folder / "samples").iterdir())
    assert folders == ["step-000002", "step-000004"]
    drawn = {file.name for file in (run.folder / "samples" / "step-000004").glob("*.png")}
    assert drawn == {"p00_s3_w0.png", "p00_s3_w1.png", "grid_p00.png"}
    assert run.record["settings"]["samples"]["guidance"] == 7  # left open, so the base's own
    base = [(run.folder / "samples" / name / "p00_s3_w0.png").read_bytes() for name in folders]
    assert Image.open(BytesIO(base[0])).tobytes() == Image.open(BytesIO(base[1])).tobytes()
    plain = train(dataset, settings(sd1_folder, steps=4))
    assert same(weights(run), weights(plain))


def test_gradient_checkpointing_changes_nothing_but_memory(tmp_path: Path, sd1_folder: Path) -> None:
    one = train(small_set(tmp_path / "one"), settings(sd1_folder, steps=2))
    other = train(small_set(tmp_path / "other"), settings(sd1_folder, steps=2, checkpointing=True))
    a, b = weights(one), weights(other)
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-6


def test_a_run_in_use_is_not_written_to_twice(dataset: Dataset, sd1_folder: Path) -> None:
    config = settings(sd1_folder, steps=2)

    def again(step: int) -> None:
        with pytest.raises(DiversityError, match="in use"):
            train(dataset, config)

    train(dataset, config, progress=Hook(again))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"memory_gb": 4}, "only be capped on a CUDA"),
        ({"precision": "float16"}, "float16 cannot be trained on the CPU"),
        ({"data": {"bucket_step": 256}}, "Buckets with sides"),
        ({"selection": "none"}, "no selection 'none'"),
        ({"optimiser": {"name": "prodigy"}}, "not installed"),
        ({"base": "no/such"}, "not in the local cache"),
    ],
)
def test_a_users_error_is_one_plain_message(
    dataset: Dataset, sd1_folder: Path, changes: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prodigyopt", None)  # as where it is not installed
    with pytest.raises(DiversityError, match=says):
        train(dataset, settings(sd1_folder, **changes))


def test_half_precision_trains_with_adapter_weights_in_full(dataset: Dataset, sd1_folder: Path) -> None:
    run = train(dataset, settings(sd1_folder, steps=2, precision="bfloat16"))
    assert {value.dtype for value in finished_state(run)["adapter"].values()} == {torch.float32}
    assert run.record["result"]["loss"] > 0


def test_the_clock_counts_parts_and_speed() -> None:
    clock = session.Clock()
    with clock.part("a"), clock.part("b"):
        pass
    assert clock.seconds["a"] >= clock.seconds["b"] >= 0
    assert clock.rate(5) > 0
