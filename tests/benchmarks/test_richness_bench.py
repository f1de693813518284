"""One LoRA of the ladder from pictures to its row, on a tiny base with judges that know nothing."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="diffusers is not installed: the ladder cannot be trained")
pytest.importorskip("pyvista", reason="pyvista is not installed: the toon world cannot be drawn")

import numpy as np
import torch

from benchmarks.richness import again, arms, people, pool
from benchmarks.richness.bench import Bench
from benchmarks.richness.table import loss, score
from diversity.errors import InputError
from training import judges
from training.evaluate import drawing
from training.evaluate.settings import EvaluateSettings

TINY = Path(__file__).resolve().parents[1] / "training" / "tiny.py"
CLASSES = {
    "framing": pool.FRAMINGS,
    "side": ("front", "side", "back"),
    "hair_colour": ("red", "blonde"),
    "outfit_colour": ("green", "red"),
    "shoes_colour": ("teal", "red"),
    "background": ("flat", "horizon"),
}


def tiny_base(folder: Path) -> Path:
    spec = importlib.util.spec_from_file_location("tiny", TINY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.tiny_sd1(folder)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = judges.Network({name: len(labels) for name, labels in CLASSES.items()})
    everywhere = {name: judges.Attribute(tuple(labels), pool.FRAMINGS) for name, labels in CLASSES.items()}
    monkeypatch.setattr(arms, "EVERY", 1)
    monkeypatch.setattr(arms, "STEPS", 4)
    monkeypatch.setitem(arms.ARMS, "mono16", replace(arms.ARMS["mono16"], readings=(1, 4)))
    monkeypatch.setattr(pool, "SIZE", 64)
    pool.renderer.cache_clear()
    few = EvaluateSettings.ladder().model_copy(
        update={"timesteps": 3, "pictures": 4, "steps": 2, "seeds": 4, "sweep_seeds": 1, "unrelated_seeds": 1}
    )
    yield Bench(str(tiny_base(tmp_path / "base")), judges.Judges(network, everywhere), tmp_path / "work", few)
    pool.renderer.cache_clear()


def test_judges_that_tell_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="framing, side"):
        Bench("toon", judges.Judges(judges.Network({}), {}), tmp_path)


@pytest.mark.slow
def test_one_lora_from_pictures_to_its_row(bench, monkeypatch):
    who = people.toons()[0].name
    job = arms.Job(f"mono16-{who}", "core", "mono16", who)
    bench.train(job)
    trained = list(bench.set_folder(job).rglob("run.json"))
    assert len(trained) == 1
    monkeypatch.setattr("benchmarks.richness.bench.train", None)  # `row` finds the LoRA there
    row = bench.row(job)
    assert (row["n"], row["distinct"], row["steps"], row["exposures"]) == (16, 4, 4, 4.0)
    assert math.isfinite(row["training_loss"])
    assert row["losses"].keys() == {"1", "2", "4"} or row["losses"].keys() == {"1", "4"}
    for held_out in ("common", "own"):
        assert math.isfinite(loss(row, 4, held_out, "gap"))
    assert math.isfinite(loss(row, 4, "common", "others"))
    for measure, settings in (
        ("richness.vendi_1", {}),
        ("loss.gap", {"set": "common"}),
        ("loss.gap", {"set": "own"}),
        ("memory.nearer", {"weight": 1.0}),
        ("memory.own", {"weight": 1.0}),
        ("colour.towards", {"part": "colour", "prompts": "unrelated", "weight": 0.7}),
        ("variety.ratio", {"weight": 1.0}),
        ("truth.lost", {"weight": 1.0}),
        ("truth.lost", {"weight": 0.7}),
        ("truth.shoes", {"weight": 1.0}),
        ("truth.broken", {"weight": 1.0}),
        ("truth.copied", {"weight": 1.0}),
        ("pick.copies", {}),
        ("pick.variety", {}),
    ):
        assert math.isfinite(score(row, measure, **settings)), measure
    assert math.isfinite(score(row, "truth.lost", 1, weight=1.0))  # the earlier reading
    assert row["experiment"]["judges"] == bench.judges.fingerprint()
    kept = np.load(bench.folder / "pictures" / row["id"] / "step-000004.npz")
    assert len(kept["pixels"]) == len(kept["text"]) == len(kept["seed"])
    assert set(kept["weight"]) == {0.0, 0.7, 1.0}
    assert len(list((bench.folder / "loras" / row["id"]).glob("step-*.safetensors"))) == len(row["losses"])
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "generate", None)
        same = bench.row(job)  # nothing is trained or drawn again
    assert {**same, "cpu_s": None} == {**row, "cpu_s": None}

    told = again.draw(bench, row)
    assert all(math.isfinite(value) for values in told["scores"].values() for value in values)
    assert [len(values) for values in told["scores"].values()] == [2, 2, 2]
    assert again.missing([row], (), bench.folder) == [row]
    assert again.missing([row], {row["id"]}, bench.folder) == []
    assert again.missing([{**row, "arm": "two32"}], (), bench.folder) == []
    assert again.missing([row], (), bench.folder / "elsewhere") == []
    seeds = np.load(max((bench.folder / "pictures" / row["id"]).glob("*.npz")))["seed"]
    assert not set(seeds) & {seed for first in told["first_seeds"] for seed in range(first, first + 8)}

    untrained = bench.row(arms.Job(f"identity-{who}", "identity", "identity", who))
    for measure in ("loss.gap", "truth.lost", "colour.change"):
        assert score(untrained, measure) == 0
