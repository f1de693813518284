"""Exports are read back: pictures, captions, weights, names, links, for the formats of `exports.py`."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from exports import (
    FOLDERS,
    READERS,
    WRITERS,
    Pictures,
    items,
    kohya_config,
    manifest,
    picture,
    read_kohya,
    total_variation,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diversity.errors import ExportError
from diversity.export import EXPORTERS, MANIFEST, ExportOptions, captions, export, names, repeats
from diversity.export import folder as folder_module

# every format ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_read_back_has_the_captions_and_weights_of_the_selection(name, three, tmp_path):
    report = three.write(name, tmp_path / "out")
    texts, shown = READERS[name](report)
    assert texts == {row["key"]: row["caption"] for row, _ in three.rows}
    weights = {row["key"]: weight for row, weight in three.rows}
    assert total_variation(weights, shown) == pytest.approx(report.error.total_variation, abs=1e-9)
    on_disk = {p.relative_to(report.folder).as_posix() for p in report.folder.rglob("*") if p.is_file()}
    assert on_disk == set(report.files)


@pytest.mark.parametrize("name", FOLDERS)
def test_exported_pictures_have_the_bytes_of_the_originals(name, three, tmp_path):
    report = three.write(name, tmp_path / "out")
    for row in manifest(report)["pictures"]:
        target = report.folder / row["target"]
        assert target.read_bytes() == (three.root / row["source"]).read_bytes()
        assert row["hash"] == folder_module.digest(target)


@pytest.mark.parametrize("name", WRITERS)
def test_originals_are_untouched(name, three, tmp_path):
    before = three.snapshot()
    three.write(name, tmp_path / "out")
    three.write(name, tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert three.snapshot() == before


@pytest.mark.parametrize("name", WRITERS)
def test_the_order_of_the_tables_does_not_matter(name, three, tmp_path):
    three.write(name, tmp_path / "one")
    options = ExportOptions(root=three.root)
    EXPORTERS[name](three.selection.reverse(), three.images.reverse(), tmp_path / "two", options)
    one, two = ((tmp_path / place / MANIFEST).read_text() for place in ("one", "two"))
    hashes = [json.loads(text)["files"] for text in (one, two)]
    for found in hashes:
        found.pop("dataset_config.toml", None)  # holds the folder's own path
    assert hashes[0] == hashes[1]


def test_all_formats_are_written_at_once(three, tmp_path):
    reports = export(three.selection, three.images, tmp_path / "export", ExportOptions(root=three.root))
    assert [report.folder.name for report in reports] == list(EXPORTERS)
    assert all((report.folder / MANIFEST).is_file() for report in reports)


def test_an_unknown_format_is_named_with_the_known_ones(three, tmp_path):
    with pytest.raises(
        ExportError, match=r"no export format 'koya'.*kohya, kohya-sd15, .*huggingface, webdataset, table"
    ):
        export(three.selection, three.images, tmp_path, ExportOptions(root=three.root), ["koya"])


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_are_not_positive_numbers_are_refused(weight, three, tmp_path):
    selection = three.selection.with_columns(pl.lit(weight).alias("weight"))
    with pytest.raises(ExportError, match="Weights are positive numbers"):
        EXPORTERS["table"](selection, three.images, tmp_path / "out", ExportOptions(root=three.root))


def test_an_empty_or_outdated_selection_is_refused(three, tmp_path):
    options = ExportOptions(root=three.root)
    with pytest.raises(ExportError, match="selection is empty"):
        EXPORTERS["table"](three.selection.clear(), three.images, tmp_path / "out", options)
    with pytest.raises(ExportError, match="older than the last scan"):
        EXPORTERS["table"](three.selection, three.images.head(1), tmp_path / "out", options)


# weights become repeats --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.05, 3.0), min_size=1, max_size=40), st.integers(1, 30))
def test_the_stated_error_of_repeats_is_the_measured_one(weights, mean):
    found = items(weights)
    counts, error = repeats.whole(found, mean)
    assert all(type(count) is int and count >= 1 for count in counts.values())
    measured = total_variation({item.key: item.weight for item in found}, counts)
    assert error.total_variation == pytest.approx(measured, abs=1e-9)
    total = sum(counts.values()) / sum(weights)
    ratios = {i.path: max(counts[i.key] / (i.weight * total), i.weight * total / counts[i.key]) for i in found}
    assert ratios[error.path] == pytest.approx(max(ratios.values()))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_ten_repeats_on_average_keep_the_error_under_five_percent(seed):
    weights = np.random.default_rng(seed).dirichlet([2.0] * 40) * 40
    assert repeats.whole(items(np.maximum(weights, 0.05).tolist()), 10)[1].total_variation < repeats.NOTICEABLE


def test_the_error_is_said_as_wanted_and_shown():
    error = repeats.RepeatsError(0.013, "b.png", 17.6, 18)
    assert "b.png wanted 17.6×, shown 18×" in error.sentence


def test_coarse_repeats_are_warned_about(pictures, tmp_path):
    for number, weight in enumerate((0.2, 0.2, 0.2, 1.4)):
        pictures.add(f"{number}.png", weight=weight)
    report = pictures.write("kohya", tmp_path / "out", mean_repeats=1)
    assert report.error.total_variation > repeats.NOTICEABLE
    assert any("Set mean_repeats above 1" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("earlier", "epochs", "said"),
    [
        (1, 20, "Set epochs to 2 where you had 20"),
        (1, None, "Divide your epochs by 10.0 (20 become 2)"),
        (10, 20, "Keep your number of epochs"),
        (1, 5, "limit the steps to 50% of that epoch"),
    ],
)
def test_advice_on_epochs_keeps_exposures_what_they_were(earlier, epochs, said):
    advice = repeats.advise_epochs(items([1.0, 1.0], earlier), {"a": 10, "b": 10}, epochs)
    assert said in advice
    assert f"10.0 times per epoch on average, before {earlier:.1f}" in advice


@pytest.mark.parametrize("epochs", [None, 2])
def test_fewer_exposures_per_epoch_than_before_ask_for_more_epochs(epochs):
    advice = repeats.advise_epochs(items([1.0, 1.0], 10), {"a": 1.0, "b": 1.0}, epochs)
    wanted = "Multiply your epochs by 10.0 (2 become 20)" if epochs is None else "Set epochs to 20 where you had 2"
    assert wanted in advice
    assert "1.0 times per epoch on average, before 10.0" in advice


@pytest.mark.parametrize("name", ["everydream2", "huggingface", "webdataset"])
def test_from_folders_of_repeats_to_exact_weights_epochs_are_multiplied(pictures, tmp_path, name):
    for number in range(3):
        pictures.add(f"10_mia/{number}.png", repeats=10)
    report = pictures.write(name, tmp_path / "out")
    assert sum("Multiply your epochs by 10.0 (2 become 20)" in line for line in report.advice) == 1


def test_a_trainer_that_counts_steps_is_told_nothing_of_epochs(pictures, tmp_path):
    pictures.add("a.png")
    said = " ".join(pictures.write("ai-toolkit", tmp_path / "out").advice)
    assert "epoch" not in said
    assert "counts steps: keep their number" in said


# captions ----------------------------------------------------------------------------------------------------------


def test_the_trigger_comes_first_and_once():
    assert captions.with_trigger("smile, boots", "mia") == "mia, smile, boots"
    assert captions.with_trigger("mia, smile", "mia") == "mia, smile"
    assert captions.with_trigger("Mia, smiles", "mia") == "Mia, smiles"
    assert captions.with_trigger("miami beach", "mia") == "mia, miami beach"
    assert captions.with_trigger("1girl, mia, smile", "mia") == "mia, 1girl, smile"
    assert captions.with_trigger("mia, smile, mia", "mia") == "mia, smile"
    assert captions.with_trigger("  ", "mia") == "mia"
    assert captions.with_trigger(" smile ", None) == "smile"


def test_only_whole_tags_count_as_the_trigger():
    assert captions.with_trigger("red hair, smile", "red") == "red, red hair, smile"
    assert captions.with_trigger("mira (x), 1girl", "mira") == "mira, mira (x), 1girl"
    assert captions.with_trigger("hat, 1girl, Mira_(x)", r"mira \(x\), 1girl") == r"mira \(x\), 1girl, hat"
    assert captions.with_trigger("Mia smiles", "mia") == "mia, Mia smiles"


def test_a_trigger_of_several_tags_comes_first_and_each_of_them_once():
    for caption in ("mia, girl, smile", "girl, smile", "smile, MIA, girl", "mia, smile, girl", "smile"):
        assert captions.with_trigger(caption, " mia, girl,").casefold() == "mia, girl, smile"
    assert captions.with_trigger("smile, mia\nhat", "mia, girl") == "mia, girl, smile\nhat"
    assert captions.with_trigger("smile\ngirl", "mia, girl") == "mia, girl, smile"


@given(st.text(max_size=40), st.sampled_from(["mia", "mia girl", "mia, girl", "米娅"]))
def test_a_trigger_is_added_once_however_often_it_is_asked_for(caption, trigger):
    once = captions.with_trigger(caption, trigger)
    assert once.casefold().startswith(trigger)
    assert captions.with_trigger(once, trigger) == once


def test_groups_of_tags_that_are_not_wanted_stay_out_of_captions(pictures, tmp_path):
    key = pictures.add("a.png", "masterpiece, mia, rating:safe, boots (red:1.2)\nartist:kantoku, Smile")
    report = pictures.write("kohya", tmp_path / "out", leave_out=("rating", "quality"))
    assert read_kohya(report)[0][key] == "mia, boots (red:1.2), artist:kantoku, Smile"


@pytest.mark.parametrize(("trigger", "text"), [(None, "mia girl"), ("mia", "mia")])
def test_no_empty_caption_file_is_written_for_kohya(trigger, text, pictures, tmp_path):
    keys = [pictures.add(f"{n}.png", caption, concept="mia girl", repeats=3) for n, caption in enumerate((None, " \n"))]
    report = pictures.write("kohya", tmp_path / "out", trigger=trigger)
    assert read_kohya(report)[0] == dict.fromkeys(keys, text)
    assert any("2 of 2 pictures have no caption" in warning for warning in report.warnings)


def test_captions_of_several_lines_become_one_for_kohya(pictures, tmp_path):
    key = pictures.add("a.png", "smile, boots\nred hat,\r\n\nA girl.\nShe runs")
    report = pictures.write("kohya", tmp_path / "out")
    assert read_kohya(report)[0][key] == "smile, boots, red hat, A girl. She runs"
    assert any("several lines" in warning for warning in report.warnings)


@pytest.mark.parametrize("name", WRITERS)
def test_captions_keep_html_quotes_and_scripts(name, pictures, tmp_path):
    caption = '<b onload="x">"quoted", \\ back, 靴子, 👢, {a|b}'
    key = pictures.add("a.png", caption)
    report = pictures.write(name, tmp_path / "out")
    assert READERS[name](report)[0] == {key: caption}


def test_keep_tokens_covers_the_whole_trigger(three, tmp_path):
    three.write("kohya", tmp_path / "out", trigger="mia, girl")
    assert kohya_config(tmp_path / "out")["general"]["keep_tokens"] == 2


# names and places --------------------------------------------------------------------------------------------------

ODD = [
    "靴 子.png",
    "👢👩‍🚀.png",
    "a\nb.png",
    "\"q'.png",
    "<b>.png",
    "x" * 240 + ".png",
    ".hidden.png",
    "con.png",
    "a. .png",
]


@pytest.mark.parametrize("name", FOLDERS)
def test_odd_names_survive_or_are_made_safe(name, pictures, tmp_path):
    keys = [pictures.add(f"sub/{odd}", f"caption {number}") for number, odd in enumerate(ODD)]
    report = pictures.write(name, tmp_path / "out")
    texts, _ = READERS[name](report)
    assert texts == {key: f"caption {number}" for number, key in enumerate(keys)}
    by_source = {row["source"]: Path(row["target"]).name for row in manifest(report)["pictures"]}
    assert set(by_source) == {f"sub/{odd}" for odd in ODD}
    assert by_source["sub/靴 子.png"] == "靴 子.png"
    assert by_source["sub/👢👩‍🚀.png"] == "👢👩‍🚀.png"
    assert not any(set(target) & set('<>:"/\\|?*\n') for target in by_source.values())


@pytest.mark.parametrize("name", FOLDERS)
def test_equal_names_in_several_folders_and_cases_do_not_collide(name, pictures, tmp_path):
    paths = ["a/1.png", "b/1.png", "c/1.jpg", "Boot.png", "d/boot.png", "e/2.png"]
    keys = [pictures.add(path, f"caption {path}") for path in paths]
    report = pictures.write(name, tmp_path / "out")
    assert READERS[name](report)[0] == {key: f"caption {path}" for key, path in zip(keys, paths, strict=True)}
    stems = [Path(row["target"]).stem.lower() for row in manifest(report)["pictures"]]
    assert len(set(stems)) == len(paths)
    assert "2" in stems


@given(st.lists(st.text(max_size=8), max_size=12))
def test_names_are_safe_unique_without_case_and_independent_of_order(texts):
    wanted = [(f"{number:016x}", text) for number, text in enumerate(texts)]
    found = names.unique(wanted)
    assert found == names.unique(wanted[::-1])
    assert len({name.casefold() for name in found.values()}) == len(texts)
    for name in found.values():
        assert name == name.strip(" ").rstrip(".")
        assert not name.startswith(".")
        assert not set(name) & set('<>:"/\\|?*\n\r\t\0')


def test_concepts_that_differ_in_case_get_folders_of_their_own(pictures, tmp_path):
    for concept in ("Mia", "mia", "a:b", "a?b"):
        pictures.add(f"{concept.encode().hex()}.png", concept=concept, repeats=2)
    report = pictures.write("kohya", tmp_path / "out")
    read_kohya(report)
    folders = [path.name.lower() for path in report.folder.iterdir() if path.is_dir()]
    assert len(set(folders)) == 4
    tokens = {subset["class_tokens"] for subset in kohya_config(report.folder)["subsets"]}
    assert tokens == {"Mia", "mia", "a:b", "a?b"}


def test_folders_are_named_for_where_the_trainer_runs(three, tmp_path):
    here = three.write("kohya", tmp_path / "here")
    for subset in kohya_config(here.folder)["subsets"]:
        assert Path(subset["image_dir"]).is_dir()
    there = three.write("kohya", tmp_path / "there", trainer_root="D:\\train\\")
    for subset in kohya_config(there.folder)["subsets"]:
        assert subset["image_dir"].startswith("D:/train/")


@pytest.mark.parametrize("resolution", [64, 200, 512, 768, 1024, 1536])
def test_bucket_limits_fit_every_resolution(resolution, three, tmp_path):
    three.write("kohya", tmp_path / "out", resolution=resolution)
    kohya_config(tmp_path / "out")


# pictures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOLDERS)
def test_pictures_are_hard_links_and_captions_never(name, three, tmp_path):
    (three.root / "0.txt").write_text("caption 0")
    report = three.write(name, tmp_path / "out")
    for row in manifest(report)["pictures"]:
        assert row["how"] == "linked"
        assert (report.folder / row["target"]).samefile(three.root / row["source"])
    for path in report.folder.rglob("*"):
        assert not path.is_symlink()
        if path.is_file() and path.suffix in (".txt", ".jsonl", ".toml"):
            assert path.stat().st_nlink == 1


@pytest.mark.parametrize("refused", [True, False])
def test_pictures_are_copied_where_links_are_refused_or_not_wanted(refused, three, tmp_path, monkeypatch):
    def no_link(*_):
        raise PermissionError("no links here")

    if refused:
        monkeypatch.setattr(os, "link", no_link)
    report = three.write("kohya", tmp_path / "out", **({} if refused else {"link": "copy"}))
    for row in manifest(report)["pictures"]:
        assert row["how"] == "copied"
        assert not (report.folder / row["target"]).samefile(three.root / row["source"])
        assert (report.folder / row["target"]).read_bytes() == (three.root / row["source"]).read_bytes()


def test_a_linked_original_that_is_a_symbolic_link_becomes_a_file(three, tmp_path):
    (three.root / "0.png").rename(tmp_path / "elsewhere.png")
    (three.root / "0.png").symlink_to(tmp_path / "elsewhere.png")
    report = three.write("kohya", tmp_path / "out")
    assert not any(path.is_symlink() for path in report.folder.rglob("*"))


def add_tar(pictures: Pictures) -> None:
    with tarfile.open(pictures.root / "shard.tar", "w") as tar:
        for number in range(2):
            info, data = tarfile.TarInfo(f"./00{number}.png"), picture(100 + number)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("name", FOLDERS)
def test_tar_members_become_files(name, pictures, tmp_path):
    add_tar(pictures)
    keys = [pictures.add(f"shard.tar/00{number}.png", f"caption {number}") for number in range(2)]
    report = pictures.write(name, tmp_path / "out")
    assert READERS[name](report)[0] == {key: f"caption {number}" for number, key in enumerate(keys)}
    for number, row in enumerate(manifest(report)["pictures"]):
        assert row["how"] == "extracted"
        assert (report.folder / row["target"]).read_bytes() == picture(100 + number)


def test_a_reader_of_the_callers_brings_what_is_no_plain_file(pictures, tmp_path):
    pictures.add("s3.tar/0.png")
    report = pictures.write("kohya", tmp_path / "out", read=lambda path: picture(len(path)))
    assert (report.folder / manifest(report)["pictures"][0]["target"]).read_bytes() == picture(len("s3.tar/0.png"))


def sideways() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(1, "JPEG", exif=exif, quality=95)


def deep() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(0, 65535, 120).reshape(12, 10).astype(np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("path", "data", "suffix", "size"),
    [
        ("a.gif", picture(1, "GIF"), ".png", (10, 12)),
        ("a.tiff", picture(1, "TIFF"), ".png", (10, 12)),
        ("a.jpg", sideways(), ".jpg", (12, 10)),
        ("a.png", deep(), ".png", (10, 12)),
    ],
)
def test_pictures_that_a_trainer_would_skip_or_misread_are_written_anew(path, data, suffix, size, pictures, tmp_path):
    pictures.add(path, data=data)
    report = pictures.write("kohya", tmp_path / "out")
    (row,) = manifest(report)["pictures"]
    assert row["how"].startswith("converted")
    with Image.open(report.folder / row["target"]) as image:
        assert image.size == size
        assert np.asarray(image.convert("RGB")).std() > 40, "not clipped to white"
    assert Path(row["target"]).suffix == suffix
    assert (pictures.root / path).read_bytes() == data
    assert any("written anew" in warning for warning in report.warnings)


def test_extensions_are_those_that_kohya_looks_for(pictures, tmp_path):
    for path, kind in (("a.PnG", "PNG"), ("b.jfif", "JPEG"), ("c.png", "JPEG"), ("d.JPEG", "JPEG")):
        pictures.add(path, data=picture(1, kind))
    report = pictures.write("kohya", tmp_path / "out")
    targets = {row["source"]: Path(row["target"]).name for row in manifest(report)["pictures"]}
    assert targets == {"a.PnG": "a.png", "b.jfif": "b.jpg", "c.png": "c.jpg", "d.JPEG": "d.jpeg"}
    assert {row["how"] for row in manifest(report)["pictures"]} == {"linked"}


@pytest.mark.parametrize("harm", ["gone", "broken"])
def test_a_picture_that_is_gone_is_named_and_nothing_is_written(harm, three, tmp_path):
    file = three.root / "1.png"
    file.unlink() if harm == "gone" else file.write_bytes(b"no picture")
    with pytest.raises(ExportError, match=r"^1.png was selected but cannot be read"):
        three.write("kohya", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures"]
