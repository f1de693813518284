"""A forecast is on where it is better than the mean on subjects it has not seen, and off on noise, with its reason."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest

from training import forecast

ENCODER = "toon-1"


def rows(seed: int = 0, *, slope: float = -0.2, subjects: int = 8, each: int = 5, noise: float = 0.05) -> list[dict]:
    """LoRAs whose loss gap falls with the logarithm of richness."""
    rng = np.random.default_rng(seed)
    found = []
    for subject in range(subjects):
        shift = rng.normal(0, noise)
        for i in range(each):
            rich = math.exp(rng.uniform(0.5, 3.0))
            gap = 0.7 + slope * math.log(rich) + shift + rng.normal(0, noise)
            found.append(row(f"s{subject}", rich, gap, n=int(rng.choice([16, 64])), name=f"{subject}-{i}"))
    return found


def row(subject: str, rich: float, gap: float, *, n: int = 16, name: str = "x", encoder: str = ENCODER) -> dict:
    scores = [
        score("richness.vendi_1", rich, {"encoder": encoder}),
        score("loss.gap", gap, {"set": "common"}),
    ]
    return {"id": name, "character": subject, "n": n, "steps": 400, "batch": 4, "block": "core", "scores": scores}


def score(measure: str, value: float, settings: dict) -> dict:
    return {"measure": measure, "value": value, "low": None, "high": None, "n": 4, "settings": json.dumps(settings)}


def gap_model(some: list[dict], encoder: str | None = ENCODER) -> forecast.Model:
    return next(m for m in forecast.models(forecast.examples(some), encoder) if m.target.name == "gap")


def test_a_planted_effect_is_forecast():
    model = gap_model(rows())
    assert model.on
    assert model.skill.low > 0.5
    poor, rich = (model.at(forecast.Inputs(richness, 16)) for richness in (2.0, 18.0))
    assert poor.value == pytest.approx(0.7 - 0.2 * math.log(2), abs=0.06)
    assert rich.value == pytest.approx(0.7 - 0.2 * math.log(18), abs=0.06)
    assert poor.low < poor.value < poor.high
    assert not poor.outside
    assert model.slopes.keys() == {"richness", "pictures"}  # exposures did not vary


def test_noise_keeps_it_off_with_a_reason():
    on = 0
    for seed in range(40):
        model = gap_model(rows(seed, slope=0.0))
        on += model.on
        if not model.on:
            assert "not surely better than the mean" in model.reason
            with pytest.raises(ValueError, match="off"):
                model.at(forecast.Inputs(4.0, 16))
    assert on <= 4


def test_nine_in_ten_new_loras_lie_in_the_interval():
    inside, count = 0, 0
    for seed in range(30):
        model = gap_model(rows(seed))
        for one in rows(seed + 1000, subjects=3):
            expected = model.at(forecast.Inputs(one["scores"][0]["value"], one["n"]))
            inside += expected.low <= one["scores"][1]["value"] <= expected.high
            count += 1
    assert 0.84 <= inside / count <= 0.97


def test_differences_between_subjects_are_no_skill():
    """Each subject has one richness and one gap of its own: known subjects are told, unknown ones are not."""
    rng = np.random.default_rng(1)
    own = [(math.exp(rng.uniform(0.5, 3)), rng.normal(0, 1)) for _ in range(6)]
    some = [
        row(f"s{s}", rich * math.exp(rng.normal(0, 0.01)), gap) for s, (rich, gap) in enumerate(own) for _ in range(8)
    ]
    assert not gap_model(some).on


@pytest.mark.parametrize(("subjects", "each"), [(3, 10), (8, 2)])
def test_too_little_keeps_it_off(subjects, each):
    model = gap_model(rows(subjects=subjects, each=each))
    assert not model.on
    assert f"{subjects * each} of {subjects}" in model.reason


def test_another_encoder_is_another_scale():
    model = gap_model(rows(), "clip")
    assert not model.on
    assert "another encoder" in model.reason
    assert gap_model(rows(), None).on


def test_what_was_not_tried_is_said():
    expected = gap_model(rows()).at(forecast.Inputs(500.0, 16, exposures=100_000))
    assert expected.outside == ("richness", "exposures")


def test_controls_and_rows_with_a_problem_do_not_teach():
    some = rows()
    some[0]["arm"], some[1]["problem"], some[2]["block"], some[3]["scores"] = "shuffled16", "x", "style", []
    assert len(forecast.examples(some)) == len(some) - 4


def test_own_runs_can_teach(tmp_path):
    """run.json and scores.parquet as a run leaves them; the gap on held-out pictures is that of its own kind."""
    folders = []
    for i, one in enumerate(rows(each=4)):
        folder = tmp_path / f"run{i}"
        (folder / "evaluation").mkdir(parents=True)
        scores = [dict(s) for s in one["scores"]]
        scores[1]["settings"] = json.dumps({"set": "held_out"})
        pl.DataFrame(scores).write_parquet(folder / "evaluation" / "scores.parquet")
        told = {"pictures": one["character"], "step": 400, "data": {"train": one["n"]}, "settings": {"batch_size": 4}}
        (folder / "run.json").write_text(json.dumps(told), encoding="utf-8")
        folders.append(folder)
    (tmp_path / "unfinished").mkdir()
    found = forecast.examples(forecast.rows_of_runs([*folders, tmp_path / "unfinished"]))
    assert len(found) == 32
    model = next(m for m in forecast.models(found) if m.target.name == "own")
    assert model.on
