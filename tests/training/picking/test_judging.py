"""Judging without a model: partners, files that are there twice, what no headline may claim."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from picking_world import scene

from diversity import taxonomy
from diversity.ingest.source import Source
from training.evaluate import colour
from training.picking import copies
from training.picking.judge import Judged, judge
from training.picking.material import Look, Material, TrainingSet
from training.picking.samples import Sample, Samples
from training.picking.verdict import Verdict, decide

D = 16
VIEW = {"cell": pl.String, "have": pl.Int64, "want": pl.Int64, "state": pl.String, "advice": pl.String}


def unit(seed: int) -> np.ndarray:
    row = np.random.default_rng(seed).normal(size=D)
    return (row / np.linalg.norm(row)).astype(np.float32)


def training(n: int = 6) -> TrainingSet:
    frame = pl.DataFrame(
        {"key": [f"k{i}" for i in range(n)], "family": [f"k{i}" for i in range(n)],
         "path": [f"{i}.png" for i in range(n)], "cell": ["headshot/front"] * n, "flags": [[]] * n},
        schema_overrides={"flags": pl.List(pl.String)},
    )  # fmt: skip
    vectors = np.stack([unit(900 + i) for i in range(n)])
    pictures = [scene(900 + i, 64) for i in range(n)]
    return TrainingSet(frame, vectors, pictures, pl.DataFrame(schema=VIEW), None, {}, ("mira",))


def look(step: int, drawn: int, **more: object) -> Look:
    """A sample that shows scene `drawn`; `more` are fields of the sample, and `asked` and `seen` of the look."""
    views = {name: more.pop(name, {}) for name in ("asked", "seen")}
    source = Source(f"{step}-{drawn}-{more.get('index')}.png", Path("x"), 0, 0, None, None, None, None, None, False)
    sample = Sample(source, "file names", step=step, weight=float(step > 0), **more)
    return Look(sample, f"c{drawn}", scene(drawn, 64), b"", True if sample.prompt else None, **views)


def material(looks: list[Look]) -> Material:
    vectors = np.stack([unit(int(one.content[1:])) for one in looks])
    palettes = [colour.palette(colour.content(np.asarray(one.picture))) for one in looks]
    return Material(training(), looks, vectors, palettes, "toy", {})


def decided(looks: list[Look]) -> tuple[Judged, Verdict]:
    seen = material(looks)
    judged = judge(seen)
    samples = Samples(Path("x"), tuple(one.sample for one in looks), (), {}, ())
    return judged, decide(seen, judged, samples, taxonomy.load())


def test_samples_without_prompt_and_seed_have_no_partner_and_it_says_so() -> None:
    judged, verdict = decided([look(step, 10 * step + i, made=str(i)) for step in (0, 5) for i in range(6)])
    (cell,) = judged.cells
    assert cell.likeness is None
    assert cell.variety is None
    assert any("prompt is not known" in line for line in verdict.untold)
    assert verdict.headline.startswith("No fault is seen at step 5, but how like the subject it is cannot be told")


def test_samples_without_seeds_are_compared_one_to_one_by_prompt_and_not_as_at_equal_seeds() -> None:
    looks = [
        look(step, 10 * step + 2 * i + k, prompt=f"mira {i}", made=str(k))
        for step in (0, 5)
        for i in range(4)
        for k in (0, 1)
    ]
    judged, verdict = decided(looks)
    seen = material(looks)
    like = seen.vectors @ np.mean(seen.training.vectors, axis=0)
    assert judged.cells[0].likeness is not None
    assert judged.cells[0].likeness.value == pytest.approx(float(like[8:].mean() - like[:8].mean()))
    assert not judged.seeds
    assert any("not at equal seeds" in line for line in verdict.untold)


def test_seeds_and_prompts_that_are_told_need_no_such_note() -> None:
    looks = [look(step, 10 * step + i, prompt=f"mira {i}", seed=3) for step in (0, 5) for i in range(4)]
    judged, verdict = decided(looks)
    assert judged.seeds
    assert not any("seeds are not told" in line.lower() for line in verdict.untold)


def test_six_files_of_one_picture_count_once_and_are_never_clean() -> None:
    looks = [look(0, i) for i in range(6)] + [look(5, 77, made=str(i)) for i in range(6)]
    judged, verdict = decided(looks)
    (cell,) = judged.cells
    assert len(cell.rows) == 1
    assert cell.variety is None
    assert verdict.best is None
    assert verdict.remarks == (("too few samples to judge (1 of 4 at least)",),)
    assert "6 files of step 5 are one picture and count once." in verdict.untold


def test_one_picture_for_prompts_that_differ_is_a_fault() -> None:
    looks = [
        look(step, i if step == 0 else 77, prompt=f"mira {i}", seed=3, index=i) for step in (0, 5) for i in range(6)
    ]
    _, verdict = decided(looks)
    assert verdict.headline == (
        "No checkpoint is clean. The least bad is step 5: 6 of 6 samples are one and the same picture."
    )


def test_a_single_copy_is_told_in_the_singular() -> None:
    one = look(5, 900, prompt="mira", seed=1)
    _, verdict = decided([replace(one, content="c900")])
    assert "its one sample is a copy" in verdict.remarks[0]


def test_if_no_prompt_asks_for_the_subject_it_warns() -> None:
    looks = [look(step, 10 * step + i, prompt=f"scene {i}", seed=3) for step in (0, 5) for i in range(4)]
    _, verdict = decided([replace(one, subject=False) for one in looks])
    assert any("No prompt asks for the subject by “mira”" in line for line in verdict.untold)


def test_unknown_weights_are_a_cell_of_their_own() -> None:
    looks = [look(step, 10 * step + i, prompt=f"mira {i}", seed=3) for step in (0, 5) for i in range(4)]
    unread = [replace(one, content=f"c{70 + i}") for i, one in enumerate(looks[4:])]
    unread = [replace(one, sample=replace(one.sample, weight=None, unread=True)) for one in unread]
    judged, _ = decided([*looks, *unread])
    assert [cell.weight for cell in judged.cells] == [None, 1.0]
    assert judged.reference_at == (0, 0, "base")


def test_every_lacking_cell_of_a_view_is_named_missing_ones_first() -> None:
    looks = [
        look(step, 10 * step + i, prompt=f"mira {i}", seed=3, asked={"side": "back"}, seen={"side": "front"})
        for step in (0, 5)
        for i in range(4)
    ]
    rows = [("full_body/back", 1, 5, "rare", "1 full."), ("half_body/back", 0, 5, "missing", "No half.")]
    seen = material(looks)
    targets = pl.DataFrame(rows, schema=VIEW, orient="row")
    seen = replace(seen, training=replace(seen.training, targets=targets))
    found = decide(seen, judge(seen), Samples(Path("x"), (), (), {}, ()), taxonomy.load())
    assert any(advice.text.endswith("No half. 1 full.") for advice in found.advice)


def test_one_missed_pair_of_near_copies_does_not_lift_the_copy_line(monkeypatch: pytest.MonkeyPatch) -> None:
    true = copies.agreement

    def agreement(one: object, other: object) -> object:
        return replace(true(one, other), score=0.9 if {id(one), id(other)} <= pair else 0.5)

    overlay = copies.Overlay(training(8))
    pair = {id(overlay._shot(0)), id(overlay._shot(1))}
    monkeypatch.setattr(copies, "agreement", agreement)
    assert overlay.line().background == 0.5
