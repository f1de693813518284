"""The forecast in the dataset report: on with its skill, off with its reason, absent where nothing was learnt from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from diversity.dataset import Dataset
from diversity.progress import Silent
from diversity.services import Services
from diversity.stages import Context
from reports import dataset_report, forecast_section, stage
from training import forecast
from training.evaluate import ladder

ENCODER = "toon-1"
Make = Callable[..., Dataset]


def score(measure: str, value: float, **settings: object) -> dict[str, Any]:
    return {"measure": measure, "value": value, "low": None, "high": None, "n": 4, "settings": json.dumps(settings)}


def rungs(slope: float = -0.2, name: str = "common") -> list[dict[str, Any]]:
    """Forty LoRAs of eight subjects, whose loss gap falls with the logarithm of richness where `slope` is below 0."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(40):
        rich = math.exp(rng.uniform(0.5, 3.0))
        gap = 0.7 + slope * math.log(rich) + rng.normal(0, 0.05)
        scores = [score("richness.vendi_1", rich, encoder=ENCODER), score("loss.gap", gap, set=name)]
        about = {"id": f"r{i}", "character": f"s{i % 8}", "n": 16 + i % 2 * 48, "steps": 400, "batch": 4}
        found.append({**about, "block": "core", "scores": scores})
    return found


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, Any]]], None]:
    """Put rows in the place of the ladder of the package; none to begin with."""
    file = tmp_path / "ladder.jsonl"
    monkeypatch.setattr(ladder, "FILE", file)
    return lambda rows: file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8") and None


def scored(dataset: Dataset, encoder: str = ENCODER) -> Dataset:
    """With what a forecast is asked with."""
    told = json.dumps({"encoder": encoder})
    more = [(f"set.{name}", value, None, None, 40, told) for name, value in (("vendi_1", 6.0), ("pictures", 40.0))]
    scores = dataset.read("scores")
    dataset.write("scores", scores.vstack(pl.DataFrame(more, schema=scores.schema, orient="row")))
    return dataset


def run(folder: Path, row: dict[str, Any]) -> None:
    """A run and its evaluation, as they lie on disk."""
    (folder / "evaluation").mkdir(parents=True)
    pl.DataFrame(row["scores"]).write_parquet(folder / "evaluation" / "scores.parquet")
    told = {"pictures": row["character"], "step": 400, "data": {"train": row["n"]}, "settings": {"batch_size": 4}}
    (folder / "run.json").write_text(json.dumps(told), encoding="utf-8")


def page(dataset: Dataset) -> str:
    return " ".join(dataset_report.write(dataset).read_text(encoding="utf-8").split())


def test_it_is_shown_with_its_skill(make_workspace: Make, shipped: Callable[..., None]) -> None:
    shipped(rungs())
    text = page(scored(make_workspace(24)))
    assert '<section id="forecast"' in text
    assert "Loss gap on pictures from all sides: +0.3" in text
    assert "on subjects it has not seen (8 subjects)" in text
    assert "on the richness ladder" in text
    assert "after 1,600 pictures shown" in text


def test_without_sure_skill_it_is_off_and_its_skill_is_told(make_workspace: Make, shipped: Callable[..., None]) -> None:
    shipped(rungs(slope=0.0))
    text = page(scored(make_workspace(24)))
    assert "There is no forecast: on subjects it has not seen it is not surely better than the mean: skill" in text
    assert "Loss gap on pictures from all sides" not in text


def test_without_rows_there_is_no_section(make_workspace: Make, shipped: Callable[..., None]) -> None:
    text = page(scored(make_workspace(24)))
    assert "forecast" not in text.lower().split("<script", 1)[0]


def test_a_set_that_was_not_scored_is_told_so(make_workspace: Make, shipped: Callable[..., None]) -> None:
    shipped(rungs())
    dataset = make_workspace(24)
    dataset.path("scores").unlink()
    assert "There is no forecast: the set was not scored yet." in page(dataset)


def test_numbers_of_another_encoder_are_not_compared(make_workspace: Make, shipped: Callable[..., None]) -> None:
    shipped(rungs())
    assert "There is no forecast: richness was measured there with another encoder" in page(
        scored(make_workspace(24), "clip")
    )


def test_ones_own_runs_go_before_the_ladder_once_they_are_enough(
    make_workspace: Make, shipped: Callable[..., None]
) -> None:
    """A steeper effect than the ladder's: whose it is shows in the numbers."""
    shipped(rungs())
    dataset = scored(make_workspace(24))
    own = rungs(slope=-0.4, name="held_out")
    for i, row in enumerate(own[:19]):
        run(dataset.folder.parent / "others" / "runs" / f"a{i}", row)
    before = forecast_section.section(dataset.read("scores"), dataset.folder)
    assert before is not None
    assert not before.own
    for i, row in enumerate(own[19:]):
        run(dataset.folder / "runs" / f"b{i}", row)
    found = forecast_section.section(dataset.read("scores"), dataset.folder)
    assert found is not None
    assert found.own
    assert [line.text[:37] for line in found.lines] == ["Loss gap on pictures like its own: −0"]
    assert "What your own LoRAs of sets like this one gave" in page(dataset)


def test_few_runs_and_no_ladder_say_what_it_takes(make_workspace: Make, shipped: Callable[..., None]) -> None:
    dataset = scored(make_workspace(24))
    run(dataset.folder / "runs" / "one", rungs(name="held_out")[0])
    broken = dataset.folder / "runs" / "two" / "evaluation"
    broken.mkdir(parents=True)
    (broken / "scores.parquet").write_bytes(b"no")
    (broken.parent / "run.json").write_text("{}", encoding="utf-8")
    assert "There is no forecast: it takes 20 LoRAs of 4 subjects; there are 1 of 1." in page(dataset)


def test_a_new_evaluation_makes_the_report_anew(make_workspace: Make, shipped: Callable[..., None]) -> None:
    dataset = make_workspace(24)
    (dataset.folder / "curation.json").unlink()
    context = Context(dataset, Services(dataset), Silent())
    seen = [stage._inputs(context)]
    shipped(rungs())
    seen.append(stage._inputs(context))
    run(dataset.folder / "runs" / "one", rungs()[0])
    seen.append(stage._inputs(context))
    assert stage._inputs(context) == seen[2]
    assert len({json.dumps(one, sort_keys=True) for one in seen}) == 3


def test_the_ladder_is_read_where_it_lies_now(shipped: Callable[..., None]) -> None:
    assert ladder.read() == []
    shipped(rungs())
    assert len(ladder.read()) == 40
    assert forecast.evidence(Path("nowhere"))
