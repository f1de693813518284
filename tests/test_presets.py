"""Presets: other defaults for other kinds of sets, kept in one place, remembered by the workspace, and followed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diversity import record, tables, targets, taxonomy, workspace
from diversity.commands import common
from diversity.config import PRESETS, Config, TargetsConfig
from diversity.dataset import Dataset
from diversity.errors import ConfigError

TAXONOMY = taxonomy.load()
FRAMINGS = [*TAXONOMY.axes["framing"].names, "unsure"]
SIDES = [*TAXONOMY.axes["side"].names, "unsure"]
LABELS = st.lists(st.tuples(st.sampled_from(FRAMINGS), st.sampled_from(SIDES)), max_size=60)


def found(labels: list[tuple[str, str]], config: TargetsConfig) -> targets.Targets:
    rows = [
        (f"{i:04}", axis, label, 0.9, "user")
        for i, pair in enumerate(labels)
        for axis, label in zip(("framing", "side"), pair, strict=True)
    ]
    views = pl.DataFrame(rows, schema=tables.VIEWS, orient="row")
    return targets.find(views, {}, TAXONOMY, config=config)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_configuration_and_character_is_the_defaults(name: str) -> None:
    config = Config.load(None, preset=name)
    assert config.set.preset == name
    assert (config.model_dump(exclude={"set"}) == Config().model_dump(exclude={"set"})) == (name == "character")


def test_what_is_given_wins_over_the_preset_and_the_rest_is_the_presets(tmp_path: Path) -> None:
    file = tmp_path / "diversity.toml"
    file.write_text("[set]\npreset = 'style'\n[select]\nalpha = 0.6\n")
    config = Config.load(file, preset="outfit")
    assert (config.set.preset, config.select.alpha, config.duplicates.variants) == ("style", 0.6, "drop")
    assert Config.load(file, {"set": {"preset": "character"}}).duplicates.variants == "keep"
    with pytest.raises(ConfigError, match=r"set\.preset"):
        Config.load(None, {"set": {"preset": "landscape"}})


@settings(deadline=None, max_examples=50)
@given(LABELS)
def test_a_style_set_is_not_nagged_about_views(labels: list[tuple[str, str]]) -> None:
    result = found(labels, Config.load(None, preset="style").targets)
    assert result.table.is_empty()
    assert not result.protected
    assert set(result.cells.values()) <= {"unsure"}


@settings(deadline=None, max_examples=50)
@given(LABELS)
def test_a_concept_is_wanted_from_every_side_near_or_far(labels: list[tuple[str, str]]) -> None:
    axes = ("side",)
    result = found(labels, TargetsConfig(axes=axes))
    have = {side: sum(s == side for _, s in labels) for side in SIDES[:-1]}
    by_side = result.table.with_columns(side=pl.col("cell").str.split("/").list.last())
    assert dict(by_side.group_by("side").agg(pl.col("have").sum()).iter_rows()) == {
        side: have[side] for side in by_side["side"].unique()
    }
    states = dict(by_side.select("side", "state").iter_rows())
    for side, state in states.items():
        assert (state == "missing") == (have[side] == 0)
    assert all(side in states for side in have) == any(have.values())
    assert not by_side.filter(pl.col("advice").str.contains("headshot|body"))["advice"].to_list()
    wants = result.wants(axes)
    for kind in result.kinds(axes).values():
        assert kind == "unsure" or wants[kind] >= 2


@settings(deadline=None, max_examples=50)
@given(LABELS)
def test_one_framing_is_asked_for_once_whatever_the_side(labels: list[tuple[str, str]]) -> None:
    result = found(labels, TargetsConfig(axes=("framing",)))
    for _, rows in result.table.group_by(pl.col("cell").str.split("/").list.first()):
        assert rows["state"].n_unique() == rows["advice"].n_unique() == 1


def test_an_outfit_wants_more_details_and_fewer_heads() -> None:
    labels = [("full_body", "front")] * 40
    wants = {name: found(labels, Config.load(None, preset=name).targets).wants(()) for name in ("character", "outfit")}
    details = {name: sum(n for cell, n in found.items() if "detail" in cell) for name, found in wants.items()}
    heads = {name: sum(n for cell, n in found.items() if "headshot" in cell) for name, found in wants.items()}
    assert details["outfit"] > details["character"]
    assert heads["outfit"] < heads["character"]


@pytest.mark.parametrize("emphasis", [{"hands": 2.0}, {"front": -1.0}, dict.fromkeys(FRAMINGS[:-1], 0.0)])
def test_emphasis_that_makes_no_sense_is_named(emphasis: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"targets\.emphasis"):
        found([("headshot", "front")], TargetsConfig(emphasis=emphasis))


def test_the_workspace_remembers_the_preset_until_another_is_named(tmp_path: Path) -> None:
    root, folder = tmp_path / "set", tmp_path / "w"
    root.mkdir()
    Image.new("RGB", (64, 64)).save(root / "1.png")
    workspace.prepare(folder, root)
    record.remember_preset(folder, "style")

    def preset(**given: str) -> str:
        return Dataset.open(root, workspace_folder=folder, **given).config.set.preset  # type: ignore[arg-type]

    assert preset() == "style"
    assert preset(preset="outfit") == "outfit"
    (root / "diversity.toml").write_text("[set]\npreset = 'concept'\n")
    assert preset() == "concept"
    (root / "diversity.toml").unlink()
    (folder / record.FILE).write_text("{")
    assert preset() == "character"  # a broken record is told by what runs next


def test_the_command_line_takes_a_preset() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    common.add_common(parser)
    assert parser.parse_args([".", "--preset", "style"]).preset == "style"
    with pytest.raises(SystemExit):
        parser.parse_args([".", "--preset", "landscape"])


def test_a_style_set_goes_all_the_way_and_coming_back_to_a_character_asks_for_views(tmp_path: Path) -> None:
    from test_pipeline import TOON, picture

    root = tmp_path / "set"
    root.mkdir()
    for i in range(6):
        picture(i).save(root / f"{i}.png")
        (root / f"{i}.txt").write_text("portrait, from front")

    def opened(preset: str | None = None) -> Dataset:
        return Dataset.open(root, workspace_folder=tmp_path / "w", overrides=TOON, preset=preset)

    dataset = opened("style").select()
    assert dataset.read("targets").is_empty()
    assert opened().config.select.alpha == PRESETS["style"]["select"]["alpha"]
    assert "missing" in opened("character").select().read("targets")["state"].to_list()
