"""From tables to batches: who is trained on, what a batch holds, what comes from other folders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sets import curated, picture, select, small_set

from diversity import Dataset, tables
from diversity.errors import InputError, SelectionError
from diversity.progress import Silent
from training.base import Base
from training.config import TrainConfig
from training.data import Loader, TrainingData, gather
from training.plan import decide
from training.train import train


def settings(**changes: Any) -> TrainConfig:
    return TrainConfig.of({"device": "cpu", "steps": 10, "batch_size": 2, **changes})


def gathered(dataset: Dataset, base: Base, **changes: Any) -> tuple[TrainingData, TrainConfig]:
    config = settings(**changes)
    return gather(dataset, base, config), config


def test_held_out_pictures_are_no_near_copies_of_trained_ones(tmp_path: Path, sd1: Base) -> None:
    dataset = small_set(tmp_path, 10, groups=[0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    data, _ = gathered(dataset, sd1, data={"held_out": 0.4})
    assert len(data.held_out) == 4
    assert not {p.groups for p in data.train} & {p.groups for p in data.held_out}
    assert {p.key for p in data.twins} <= {p.key for p in data.train}


def test_the_order_and_names_of_files_change_nothing_but_names(tmp_path: Path, sd1: Base) -> None:
    dataset = small_set(tmp_path)
    for i, file in enumerate(sorted((tmp_path / "pictures").glob("*.png"))):
        target = tmp_path / "renamed" / f"{9 - i} b.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, target)
        shutil.copyfile(file.with_suffix(".txt"), target.with_suffix(".txt"))
    renamed = curated(tmp_path / "renamed", tmp_path / "other")
    one, other = gathered(dataset, sd1)[0], gathered(renamed, sd1)[0]
    for part in ("train", "held_out", "twins"):
        assert [p.content for p in getattr(one, part)] == [p.content for p in getattr(other, part)]


def test_pictures_of_rare_views_are_never_held_out(tmp_path: Path, sd1: Base) -> None:
    dataset = small_set(tmp_path, 10)
    keys = dataset.images.sort("path")["key"].to_list()
    views = [(key, axis, label) for key in keys for axis, label in (("framing", "headshot"), ("side", "front"))]
    views = [(k, a, "full_body" if a == "framing" and k in keys[:6] else label) for k, a, label in views]
    frame = pl.DataFrame(views, schema=["key", "axis", "label"], orient="row")
    dataset.write("views", frame.with_columns(confidence=pl.lit(1.0), source=pl.lit("user")))
    dataset.write("targets", rare_row("full_body/front"))
    data, _ = gathered(dataset, sd1, data={"held_out": 0.5})
    assert data.held_out
    assert {p.key for p in data.held_out} <= set(keys[6:])


def rare_row(cell: str) -> pl.DataFrame:
    return pl.DataFrame([(cell, 6, 9, "rare", "")], schema=tables.TARGETS, orient="row")


def test_mean_exposures_are_one_whatever_the_weights(tmp_path: Path, sd1: Base) -> None:
    dataset = small_set(tmp_path, 5, weights=[10, 20, 30, 40, 50])
    data, _ = gathered(dataset, sd1, data={"held_out": 0})
    assert sum(p.exposures for p in data.train) == pytest.approx(5)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_cached_latents_are_the_encoders_own_and_masks_and_time_ids_go_with_them(
    family: str, workers: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base: Base = request.getfixturevalue(family)
    dataset = small_set(tmp_path, 4, sizes=[(150, 100)])
    cut_out(tmp_path / "pictures" / "001.png")
    dataset = curated(tmp_path / "pictures", tmp_path / "again")
    data, config = gathered(dataset, base, data={"held_out": 0, "flip": True, "workers": workers})
    loader = Loader(data, base, config, tmp_path / "cache")
    loader.prepare(Silent())
    fresh = Loader(data, base, config, tmp_path / "cache")
    for one in data.train:
        for placement in (one.placement, one.placement.mirrored()):
            rendered = fresh._render((one, placement))
            stored = fresh.latents(one, placement)
            wanted = base.encode_pictures(rendered.pixels[None])[0]
            assert torch.allclose(stored["latents"], wanted, atol=1e-5)
            assert ("mask" in stored) == (one.path == "001.png")
            if rendered.mask is not None:
                assert torch.equal(stored["mask"], rendered.mask)
    batch = loader.batch([0, 1], 0, 0)
    assert (batch.time_ids is None) == (family == "sd1")
    if batch.time_ids is not None:
        assert batch.time_ids[0].tolist()[:2] == [100, 150]
        assert batch.time_ids[0].tolist()[4:] == [batch.latents.shape[2] * 4, batch.latents.shape[3] * 4]


def cut_out(path: Path) -> None:
    image = Image.open(path).convert("RGBA")
    alpha = Image.new("L", image.size, 0)
    alpha.paste(255, (10, 10, 60, 90))
    image.putalpha(alpha)
    image.save(path)


def test_another_crop_flip_base_or_background_is_encoded_anew(tmp_path: Path, sd1: Base, v: Base) -> None:
    dataset = small_set(tmp_path, 3)
    keys = []
    for base, changes in (
        (sd1, {}),
        (v, {}),
        (sd1, {"resolution": 128}),
        (sd1, {"data": {"background": "black"}}),
        (sd1, {"data": {"mask": "none"}}),
    ):
        data, config = gathered(dataset, base, **changes)
        loader = Loader(data, base, config, tmp_path / "cache")
        keys.append(str(loader._key(data.train[0], data.train[0].placement)))
        keys.append(str(loader._key(data.train[0], data.train[0].placement.mirrored())))
    assert len(set(keys[:2] + keys[4:])) == 8
    assert sd1.fingerprint == v.fingerprint or set(keys[:2]).isdisjoint(keys[2:4])
    sd1.vae.register_to_config(scaling_factor=2 * sd1.vae.config.scaling_factor)  # in no weight, but in the latents
    data, config = gathered(dataset, sd1)
    rescaled = Loader(data, sd1, config, tmp_path / "cache")
    assert str(rescaled._key(data.train[0], data.train[0].placement)) not in keys


def test_a_folder_of_masks_is_used_by_name_and_an_empty_mask_counts_as_none(tmp_path: Path, sd1: Base) -> None:
    dataset = small_set(tmp_path, 3, sizes=[(64, 64)])
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.new("L", (64, 64), 0).save(masks / "000.png")
    half = Image.new("L", (64, 64), 0)
    half.paste(255, (0, 0, 32, 64))
    half.save(masks / "001.png")
    data, config = gathered(dataset, sd1, data={"held_out": 0, "mask": str(masks)})
    loader = Loader(data, sd1, config, tmp_path / "cache")
    found = {p.path: loader.latents(p, p.placement).get("mask") for p in data.train}
    assert found["000.png"] is None
    assert found["002.png"] is None
    half_mask = found["001.png"]
    assert half_mask is not None
    assert half_mask[0, 0, :8].eq(1).all()
    assert half_mask[0, 0, 8:].eq(0).all()
    rows = [row for row, p in enumerate(data.train) if p.path != "002.png"]
    mask = loader.batch(rows, 0, 0).mask
    assert mask is not None
    assert sorted(mask.mean(dim=(1, 2, 3)).tolist()) == [0.5, 1.0]


@pytest.mark.parametrize("how", ["gone", "changed size", "changed pixels"])
def test_a_picture_that_is_not_what_was_curated_is_named(tmp_path: Path, sd1: Base, how: str) -> None:
    dataset = small_set(tmp_path, 3)
    path = tmp_path / "pictures" / "001.png"
    if how == "gone":
        path.unlink()
    elif how == "changed size":
        Image.new("RGB", (64, 64)).save(path)
    else:
        data = dataset.images.with_columns(content=pl.lit("0" * 32))
        dataset.write("images", data)

    def encode() -> None:
        found, config = gathered(dataset, sd1)
        Loader(found, sd1, config, tmp_path / "cache").prepare(Silent())

    with pytest.raises(InputError, match=r"00\d.png (is gone|has changed)"):
        encode()


def test_captions_edited_after_curating_are_the_ones_trained_on(tmp_path: Path, sd1: Base) -> None:
    dataset = small_set(tmp_path, 2)
    (tmp_path / "pictures" / "001.txt").write_text("a new caption, hat")
    data, _ = gathered(dataset, sd1, data={"held_out": 0})
    assert "a new caption, hat" in {p.plain for p in data.train}


def test_an_empty_or_stale_selection_is_said(tmp_path: Path, sd1: Base) -> None:
    dataset = small_set(tmp_path, 3)
    select(dataset, [], "none")
    with pytest.raises(SelectionError, match="is empty"):
        gathered(dataset, sd1, selection="none")
    stale = dataset.read("selection/default").with_columns(key=pl.lit("f" * 16))
    dataset.write("selection/default", stale)
    with pytest.raises(SelectionError, match="older than the last scan"):
        gathered(dataset, sd1)


# other folders -------------------------------------------------------------------------------------------------------


@pytest.fixture
def priors(tmp_path: Path) -> Path:
    folder = tmp_path / "girls"
    folder.mkdir()
    for i in range(40, 46):
        picture(i, (64, 64), folder)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    return folder


def source(folder: Path, **changes: Any) -> dict[str, Any]:
    return {"folder": str(folder), "kind": "prior", "share": 1.0, "caption": "girl", **changes}


def test_a_folder_gets_its_share_of_exposures_and_its_own_captions(tmp_path: Path, sd1: Base, priors: Path) -> None:
    dataset = small_set(tmp_path, 4)
    data, config = gathered(
        dataset,
        sd1,
        captions={"trigger": "mira"},
        data={"held_out": 0, "sources": [source(priors, share=0.5, loss_weight=0.7)]},
    )
    own = [p for p in data.train if p.source == "selection"]
    other = [p for p in data.train if p.source != "selection"]
    assert sum(p.exposures for p in other) == pytest.approx(0.5 * sum(p.exposures for p in own))
    assert {p.plain for p in other} == {"girl"}
    assert all(p.plain.startswith("mira, ") for p in own)
    assert any("broken.png is left out" in note for note in data.notes)
    reasons = " ".join(decide(data, config).reasons)
    assert "0.50 per exposure of the selection" in reasons
    square = next(row for row, p in enumerate(data.train) if p.placement.size == other[0].placement.size)
    batch = Loader(data, sd1, config, tmp_path / "cache").batch([square, len(data.train) - 1], 0, 0)
    assert batch.factors is not None
    assert batch.factors.tolist() == pytest.approx([1.0, 0.7])


def test_pictures_that_will_never_be_seen_are_counted(tmp_path: Path, sd1: Base, priors: Path) -> None:
    dataset = small_set(tmp_path, 4)
    data, config = gathered(dataset, sd1, steps=2, data={"held_out": 0, "sources": [source(priors, share=0.5)]})
    reasons = " ".join(decide(data, config).reasons)
    assert "of the 6 pictures of 'prior 1' will never be seen" in reasons


def test_held_out_pictures_in_another_folder_are_not_trained_on(tmp_path: Path, sd1: Base) -> None:
    dataset = small_set(tmp_path, 8)
    data, _ = gathered(dataset, sd1, data={"held_out": 0.25, "sources": [source(tmp_path / "pictures")]})
    assert len(data.held_out) == 2
    assert not {p.content for p in data.train} & {p.content for p in data.held_out}
    assert any("2 pictures of other folders are held-out pictures" in note for note in data.notes)


@pytest.mark.parametrize("change", [{"loss_weight": 0.0}, {"share": 0.0}])
def test_prior_pictures_that_count_nothing_change_nothing(
    tmp_path: Path, sd1_folder: Path, priors: Path, change: dict[str, float]
) -> None:
    def weights(name: str, sources: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        config = settings(base=str(sd1_folder), steps=2, lora={"rank": 2}, data={"held_out": 0, "sources": sources})
        return load_file(train(small_set(tmp_path / name, 4), config).lora)

    without, beside = weights("without", []), weights("beside", [source(priors, **change)])
    assert all(torch.equal(without[name], beside[name]) for name in without)


def test_prior_pictures_that_count_do_change_something(tmp_path: Path, sd1_folder: Path, priors: Path) -> None:
    config = {"base": str(sd1_folder), "steps": 2, "lora": {"rank": 2}}
    one = train(small_set(tmp_path / "one", 4), settings(**config, data={"held_out": 0}))
    two = train(small_set(tmp_path / "two", 4), settings(**config, data={"held_out": 0, "sources": [source(priors)]}))
    assert set(two.read("exposures")["source"]) == {"selection", "prior 1"}
    a, b = load_file(one.lora), load_file(two.lora)
    assert any(not torch.equal(a[name], b[name]) for name in a)
