"""One LoRA of the comparison of strategies, from the choice of its pictures to its row, on a tiny base."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("diffusers", reason="diffusers is not installed: no LoRA can be trained")
pytest.importorskip("pyvista", reason="pyvista is not installed: the toon world cannot be drawn")

from benchmarks.richness import arms, bench, pool, sets
from benchmarks.richness import run as ladder
from benchmarks.richness.pool import Item, Pool
from benchmarks.richness.table import score
from benchmarks.strategies import downstream, downstream_sets
from training.evaluate.settings import EvaluateSettings

TINY = Path(__file__).resolve().parents[1] / "training" / "tiny.py"
TINY_STEPS = 8


def tiny_base(folder: Path) -> Path:
    spec = importlib.util.spec_from_file_location("tiny", TINY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.tiny_sd1(folder)


def painted_pool() -> Pool:
    """The same with a picture for each group, which its frames share but for noise."""
    parts: dict[str, list[Item]] = {}
    for number, one in enumerate(pool.plan(5, claims=False)):
        rng = np.random.default_rng([*one.group.encode()])
        coarse = rng.integers(0, 255, (4, 4, 3)).repeat(16, axis=0).repeat(16, axis=1)
        pixels = np.clip(coarse + np.random.default_rng(number).integers(-3, 4, (64, 64, 3)), 0, 255).astype(np.uint8)
        view = f"{one.shot.framing}/{one.shot.side}"
        item = Item(pixels, "from behind, full body", one.group, view, "flat", one.shot.azimuth)
        parts.setdefault(one.part, []).append(item)
    parts["prior"] = parts["turn/headshot"][-8:-2]
    return Pool(parts)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A real bench on a tiny base, with painted pictures and without judges."""
    whole = painted_pool()
    monkeypatch.setattr(downstream_sets, "pool_of", lambda *_: whole)
    monkeypatch.setattr("benchmarks.strategies.prepare.CACHE", tmp_path / "cache")
    monkeypatch.setattr(pool, "others", lambda _: whole)
    monkeypatch.setattr(sets, "looks_of", lambda *_: sets.Looks({}, {}, {}, {}))
    monkeypatch.setattr(arms, "EVERY", TINY_STEPS // 4)
    monkeypatch.setattr(arms, "STEPS", TINY_STEPS)
    monkeypatch.setattr(downstream, "Arm", partial(arms.Arm, readings=(TINY_STEPS,)))
    few = EvaluateSettings.ladder().model_copy(
        update={"timesteps": 4, "pictures": 12, "steps": 2, "seeds": 4, "sweep_seeds": 1, "unrelated_seeds": 1}
    )
    return bench.Bench(str(tiny_base(tmp_path / "base")), None, tmp_path / "work", few)


@pytest.mark.slow
def test_one_lora_from_choice_to_row_which_is_not_made_again(tiny, tmp_path):
    maker, results = downstream.Downstream(tiny), tmp_path / "results"
    plan = downstream.planned()[4:5]
    assert ladder.run(maker, plan, results) == 1
    assert ladder.run(maker, plan, results) == 0
    (row,) = ladder.done(results).values()
    assert (row["arm"], row["n"], row["steps"], row["judged"]) == ("ours", 24, TINY_STEPS, False)
    for measure in ("loss.held_out", "loss.gap", "memory.nearer", "colour.towards", "variety.ratio", "truth.copied"):
        assert np.isfinite(score(row, measure)), measure
    assert not [one for one in row["scores"] if one["measure"] in ("truth.lost", "truth.identity")]
    assert not tiny.set_folder(plan[0]).exists()
    assert (tiny.folder / "loras" / row["id"]).is_dir()
