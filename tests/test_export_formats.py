"""Every trainer's format, read back by a reader that is as strict as the trainer itself.

The readers and their tables of keys are written from the trainers' own sources (config_utils.py of kohya and musubi,
ConceptConfig.py, DatasetConfig, DATALOADER.md, dataset.py of diffusion-pipe and EveryDream2), not from our writers.
A key that is not in a table is an error, also where the trainer would only ignore it.
"""

from __future__ import annotations

import io
import json
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from exports import (
    Pictures,
    by_key,
    check_keys,
    items,
    kohya_config,
    kohya_folder,
    manifest,
    picture,
    read_kohya,
    total_variation,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diversity.errors import ExportError
from diversity.export import EXPORTERS, ExportOptions, ExportReport, export, repeats
from diversity.export.names import quoted
from diversity.ingest.webdataset import members

LISTED = ("png", "jpg", "jpeg", "webp")  # what every trainer's list of extensions holds
Read = tuple[dict[str, str], dict[str, float]]  # by key: captions, exposures


# readers ------------------------------------------------------------------------------------------------------------


def folder_of(path: str, *, control: bool = False) -> dict[str, str]:
    """File → caption, as a trainer finds them: pictures of known extensions, `.txt` of the same stem."""
    assert "\\" not in path, "Windows' slashes end in escapes"
    assert "." not in Path(path).name, "some trainers split at dots"
    folder, found = Path(path), {}
    for file in folder.iterdir():
        if file.suffix == ".txt":
            continue
        assert file.suffix[1:] in LISTED, f"{file.name} would be skipped, or taken for a picture"
        with Image.open(file) as image:
            image.load()
        lines = [] if control else file.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
        assert control or (len(lines) == 1 and lines[0].strip()), "one caption, never empty"
        found[f"{folder.name}/{file.name}"] = "" if control else lines[0]
    return found


def paired(targets: str, controls: str, *, whole_names: bool = False) -> None:
    """Every target has its control and no control is alone."""
    names = [
        {Path(name).name if whole_names else Path(name).stem for name in folder_of(path, control=True)}
        for path in (targets, controls)
    ]
    assert names[0] == names[1]


def sdscripts(resolution: int) -> Callable[[ExportReport], Read]:
    def read(report: ExportReport) -> Read:
        config = kohya_config(report.folder)
        text = tomllib.loads((report.folder / "dataset_config.toml").read_text(encoding="utf-8"))
        assert text["datasets"][0]["resolution"] == [resolution, resolution]
        if "conditioning_data_dir" not in config["subsets"][0]:
            return read_kohya(report)
        texts, counts = {}, {}
        for subset in config["subsets"]:
            assert set(subset) == {"image_dir", "num_repeats", "conditioning_data_dir"}, "the ControlNet schema"
            paired(subset["image_dir"], subset["conditioning_data_dir"])
            _, shown = kohya_folder(Path(subset["image_dir"]))
            texts |= shown
            counts |= dict.fromkeys(shown, subset["num_repeats"])
        return by_key(report, texts), by_key(report, counts)

    return read


CONCEPT = {"__version": int, "name": str, "path": str, "seed": int, "enabled": bool, "type": str}
CONCEPT |= {"include_subdirectories": bool, "image_variations": int, "text_variations": int, "balancing": float}
CONCEPT |= {"balancing_strategy": str, "loss_weight": float, "image": dict, "text": dict}
CONCEPT_IMAGE = {"enable_crop_jitter": bool, "enable_random_flip": bool, "enable_fixed_flip": bool}
CONCEPT_TEXT = {"prompt_source": str, "prompt_path": str, "enable_tag_shuffling": bool, "tag_delimiter": str}
CONCEPT_TEXT |= {"keep_tags_count": int}


def read_onetrainer(report: ExportReport) -> Read:
    """mgds: with SAMPLES an epoch has int(balancing) of a concept, a window that moves on through its pictures."""
    concepts = json.loads((report.folder / "concepts.json").read_text(encoding="utf-8"))
    texts, shown = {}, {}
    for concept in concepts:
        check_keys(concept, CONCEPT)
        check_keys(concept["image"], CONCEPT_IMAGE)
        check_keys(concept["text"], CONCEPT_TEXT)
        assert (concept["type"], concept["balancing_strategy"]) == ("STANDARD", "SAMPLES")
        assert concept["enabled"]
        found = folder_of_onetrainer(concept["path"])
        samples = int(concept["balancing"])
        assert samples >= 1, "a concept of no samples is never shown"
        seen = dict.fromkeys(sorted(found), 0)
        for sample in range(samples * len(found)):  # as many epochs as there are pictures
            seen[sorted(found)[sample % len(found)]] += 1
        texts |= found
        shown |= {name: count / len(found) for name, count in seen.items()}
    assert len({concept["path"] for concept in concepts}) == len(concepts)
    assert len({concept["seed"] for concept in concepts}) == len(concepts)
    return by_key(report, texts), by_key(report, shown)


def folder_of_onetrainer(path: str) -> dict[str, str]:
    folder = Path(path)
    controls = {file.name.removesuffix("-condlabel.png") for file in folder.glob("*-condlabel.png")}
    texts = {}
    for file in folder.iterdir():
        if file.suffix == ".txt" or file.name.endswith("-condlabel.png"):
            continue
        assert file.suffix[1:] in LISTED
        (texts[f"{folder.name}/{file.name}"],) = file.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    assert controls in (set(), {Path(name).stem for name in texts})
    return texts


AITK = {"folder_path": str, "control_path": str, "caption_ext": str, "num_repeats": int, "resolution": list}
AITK |= {"keep_tokens": int, "is_reg": bool}


def read_ai_toolkit(report: ExportReport) -> Read:
    found = yaml.safe_load((report.folder / "datasets.yaml").read_text(encoding="utf-8"))
    assert list(found) == ["datasets"]
    texts, counts = {}, {}
    for dataset in found["datasets"]:
        check_keys(dataset, AITK)
        assert dataset["caption_ext"] == "txt"
        assert dataset["resolution"] == [1024], "several resolutions would multiply the repeats"
        shown = folder_of(dataset["folder_path"])
        if "control_path" in dataset:
            paired(dataset["folder_path"], dataset["control_path"])
        texts |= shown
        counts |= dict.fromkeys(shown, dataset["num_repeats"])
    return by_key(report, texts), by_key(report, counts)


BACKEND = {"id": str, "type": str, "dataset_type": str, "instance_data_dir": str, "caption_strategy": str}
BACKEND |= {"metadata_backend": str, "resolution": int, "resolution_type": str, "crop": bool, "repeats": int}
BACKEND |= {"cache_dir_vae": str, "conditioning_data": str, "conditioning_type": str, "source_dataset_id": str}
BACKEND |= {"default": bool, "cache_dir": str}


def read_simpletuner(report: ExportReport) -> Read:
    backends = json.loads((report.folder / "multidatabackend.json").read_text(encoding="utf-8"))
    for backend in backends:
        check_keys(backend, BACKEND)
    by_id = {backend["id"]: backend for backend in backends}
    assert len(by_id) == len(backends)
    (texts_backend,) = [b for b in backends if b["dataset_type"] == "text_embeds"]
    assert texts_backend["default"]
    caches = [b.get("cache_dir_vae") or b["cache_dir"] for b in backends]
    assert len(set(caches)) == len(caches)
    assert not any(Path(cache).is_relative_to(report.folder) for cache in caches)
    texts, counts = {}, {}
    for backend in (b for b in backends if b["dataset_type"] == "image"):
        shown = folder_of(backend["instance_data_dir"])
        if "conditioning_data" in backend:
            control = by_id[backend["conditioning_data"]]
            assert control["source_dataset_id"] == backend["id"]
            paired(backend["instance_data_dir"], control["instance_data_dir"], whole_names=True)
        texts |= shown
        counts |= dict.fromkeys(shown, 1 + backend["repeats"])  # repeats = passes after the first
    return by_key(report, texts), by_key(report, counts)


MUSUBI = {"caption_extension": str, "batch_size": int, "num_repeats": int, "resolution": list, "enable_bucket": bool}
MUSUBI |= {"bucket_no_upscale": bool, "skip_corrupted_cache": bool}
MUSUBI_SET = MUSUBI | {"image_directory": str, "cache_directory": str, "control_directory": str}


def read_musubi(report: ExportReport) -> Read:
    config = tomllib.loads((report.folder / "dataset.toml").read_text(encoding="utf-8"))
    assert set(config) == {"general", "datasets"}
    check_keys(config["general"], MUSUBI)
    assert config["general"]["caption_extension"] == ".txt", "there is no default"
    assert all(type(side) is int for side in config["general"]["resolution"])
    texts, counts = {}, {}
    for dataset in config["datasets"]:
        check_keys(dataset, MUSUBI_SET)
        shown = folder_of(dataset["image_directory"])
        if "control_directory" in dataset:
            paired(dataset["image_directory"], dataset["control_directory"])
        texts |= shown
        counts |= dict.fromkeys(shown, dataset["num_repeats"])
    caches = [dataset["cache_directory"] for dataset in config["datasets"]]
    assert len(set(caches)) == len(caches), "musubi refuses a cache that two datasets share"
    return by_key(report, texts), by_key(report, counts)


PIPE = {"resolutions": list, "enable_ar_bucket": bool, "min_ar": float, "max_ar": float, "num_ar_buckets": int}
PIPE_FOLDER = {"path": str, "control_path": str, "num_repeats": int}


def read_diffusion_pipe(report: ExportReport) -> Read:
    config = tomllib.loads((report.folder / "dataset.toml").read_text(encoding="utf-8"))
    folders = config.pop("directory")
    check_keys(config, PIPE)
    texts, counts = {}, {}
    for folder in folders:
        check_keys(folder, PIPE_FOLDER)
        shown = folder_of(folder["path"])
        if "control_path" in folder:
            paired(folder["path"], folder["control_path"])
        texts |= shown
        counts |= dict.fromkeys(shown, folder["num_repeats"])
    return by_key(report, texts), by_key(report, counts)


ED2_SPECIAL = ("multiply", "cond_dropout", "flip_p", "batch_id", "loss_scale", "shuffle_tags", "local", "global")


def read_everydream2(report: ExportReport) -> Read:
    folder = report.folder / "pictures"
    texts, shown = {}, {}
    for file in (file for file in folder.iterdir() if file.suffix not in (".txt", ".yaml")):
        assert file.suffix[1:] in LISTED
        assert file.stem.lower() not in ED2_SPECIAL, "its sidecars would speak for the whole folder"
        said = yaml.safe_load(file.with_suffix(".yaml").read_text(encoding="utf-8"))
        check_keys(said, {"multiply": float})
        assert said["multiply"] > 0, "0 counts as not set"
        (line,) = file.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
        texts[f"pictures/{file.name}"] = line
        shown[f"pictures/{file.name}"] = said["multiply"]
    return by_key(report, texts), by_key(report, shown)


def read_webdataset(report: ExportReport) -> Read:
    """A sample is all members of the same name up to the first dot, one after another."""
    texts, shown, targets = {}, {}, {}
    for shard in sorted(report.folder.glob("*.tar")):
        keys, samples = [], {}
        with tarfile.open(shard) as tar:
            for info in tar:
                key, _, extension = info.name.partition(".")
                keys.append(key)
                samples.setdefault(key, {})[extension] = tar.extractfile(info).read()
        assert len([k for k, before in zip(keys, ["", *keys], strict=False) if k != before]) == len(samples)
        for key, sample in samples.items():
            (extension,) = set(sample) & set(LISTED)
            assert set(sample) - set(LISTED) <= {"txt", "json", *(f"control.{e}" for e in LISTED)}
            Image.open(io.BytesIO(sample[extension])).load()
            said = json.loads(sample["json"])
            texts[said["key"]], shown[said["key"]] = sample["txt"].decode(), said["weight"]
            targets[f"{shard.name}/{key}.{extension}"] = said["key"]
        ours = {member.name: member.caption for member in members(shard, (".txt",)) if ".control" not in member.name}
        assert {Path(name).stem: text or "" for name, text in ours.items()} == {
            key: sample["txt"].decode() for key, sample in samples.items()
        }
    assert targets == {row["target"]: row["key"] for row in manifest(report)["pictures"]}
    return texts, shown


READERS: dict[str, Callable[[ExportReport], Read]] = {
    "kohya-sd15": sdscripts(512),
    "kohya-sdxl": sdscripts(1024),
    "onetrainer": read_onetrainer,
    "ai-toolkit": read_ai_toolkit,
    "simpletuner": read_simpletuner,
    "musubi": read_musubi,
    "diffusion-pipe": read_diffusion_pipe,
    "everydream2": read_everydream2,
    "webdataset": read_webdataset,
}
FORMATS = sorted(READERS)
EDITING = sorted({*READERS, "huggingface"} - {"everydream2"})
EXACT = ("everydream2", "webdataset")


@pytest.fixture
def several(pictures):
    rng = np.random.default_rng(0)
    for number, weight in enumerate(rng.dirichlet([2.0] * 12) * 12):
        pictures.add(f"{number}.png", f"caption {number}", weight=max(float(weight), 0.05))
    return pictures


# what is read back --------------------------------------------------------------------------------------------------


def test_every_format_of_a_trainer_has_a_reader_here_or_in_test_export() -> None:
    assert set(EXPORTERS) == {*READERS, "kohya", "huggingface", "table"}


@pytest.mark.parametrize("name", FORMATS)
def test_captions_pictures_and_weights_come_back_up_to_the_stated_error(name, several, tmp_path) -> None:
    report = several.write(name, tmp_path / "out")
    texts, shown = READERS[name](report)
    assert texts == {row["key"]: row["caption"] for row, _ in several.rows}
    weights = {row["key"]: weight for row, weight in several.rows}
    assert total_variation(weights, shown) == pytest.approx(report.error.total_variation, abs=1e-9)
    assert report.error.total_variation <= (0.0 if name in EXACT else repeats.NOTICEABLE)
    for row in manifest(report)["pictures"]:
        if name != "webdataset":
            assert (report.folder / row["target"]).read_bytes() == (several.root / row["source"]).read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_a_bare_caption_never_makes_a_trainer_skip_a_picture(name, pictures, tmp_path) -> None:
    key = pictures.add("a.png", None, concept="mia girl", repeats=3)
    texts, _ = READERS[name](pictures.write(name, tmp_path / "one"))
    assert texts == {key: "" if name == "webdataset" else "mia girl"}
    texts, _ = READERS[name](pictures.write(name, tmp_path / "two", trigger="mia"))
    assert texts == {key: "mia"}


@pytest.mark.parametrize("name", FORMATS)
def test_odd_names_and_captions_reach_the_trainer(name, pictures, tmp_path) -> None:
    odd = ["靴 子.png", "👢.png", "multiply.png", "global.png", "a.b.c.png", "LOCAL.png", "x" * 240 + ".png", "-c.png"]
    caption = '<b>"quoted"</b>, \\ back: {a|b} #1'
    keys = [pictures.add(f"sub/{file}", caption) for file in odd]
    texts, _ = READERS[name](pictures.write(name, tmp_path / "o'ut \"#1 靴"))
    assert texts == dict.fromkeys(keys, caption)


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_selection_gives_the_same_bytes(name, several, tmp_path) -> None:
    for place in ("one", "two"):
        several.write(name, tmp_path / place, trainer_root="/data")
    files = [
        {
            file.relative_to(tmp_path / place).as_posix(): file.read_bytes()
            for file in (tmp_path / place).rglob("*")
            if file.is_file()
        }
        for place in ("one", "two")
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize("name", sorted(set(FORMATS) - set(EXACT)))
def test_configurations_name_the_place_where_the_trainer_runs(name, several, tmp_path) -> None:
    report = several.write(name, tmp_path / "out", trainer_root="D:\\train\\set")
    (text,) = [
        (report.folder / file).read_text(encoding="utf-8")
        for file in report.files
        if "/" not in file and not file.startswith("diversity-manifest")
    ]
    assert "D:/train/set/" in text
    assert str(tmp_path) not in text
    assert "\\" not in text


@pytest.mark.parametrize("name", sorted({*FORMATS} - {"webdataset"}))
def test_every_trainer_gets_advice_on_epochs(name, several, tmp_path) -> None:
    report = several.write(name, tmp_path / "out", epochs=20)
    counted = "steps: keep their number" if name == "ai-toolkit" else "epochs"
    assert any(counted in sentence for sentence in report.advice)


def test_each_of_several_exports_is_named_for_where_the_trainer_finds_it(several, tmp_path) -> None:
    options = ExportOptions(root=several.root, trainer_root="/data/export/")
    export(several.selection, several.images, tmp_path / "export", options, ["musubi", "kohya-sdxl"])
    assert "/data/export/musubi/repeats-" in (tmp_path / "export/musubi/dataset.toml").read_text()
    assert "/data/export/kohya-sdxl/" in (tmp_path / "export/kohya-sdxl/dataset_config.toml").read_text()


# weights ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.05, 3.0), min_size=1, max_size=40), st.integers(1, 30))
def test_groups_hold_every_picture_once_and_state_their_error(weights, mean) -> None:
    found = items(weights)
    groups, error = repeats.grouped(found, mean)
    assert sorted(item.key for _, group in groups for item in group) == sorted(item.key for item in found)
    for times, group in groups:
        assert type(times) is int
        assert times >= 1
        heaviest, lightest = max(i.weight for i in group), min(i.weight for i in group)
        assert heaviest <= lightest * repeats.WIDTH * (1 + 1e-9)
    shown = {item.key: times / len(group) for times, group in groups for item in group}
    measured = total_variation({item.key: item.weight for item in found}, shown)
    assert error.total_variation == pytest.approx(measured, abs=1e-9)


def test_groups_are_fewer_than_pictures_and_closer_than_whole_repeats() -> None:
    weights = np.maximum(np.random.default_rng(1).dirichlet([2.0] * 80) * 80, 0.1).tolist()
    groups, error = repeats.grouped(items(weights), 10)
    assert len(groups) < 60
    assert error.total_variation < repeats.whole(items(weights), 10)[1].total_variation


# edit sets ----------------------------------------------------------------------------------------------------------


def with_controls(pictures: Pictures, folder: Path) -> Path:
    for number, (kind, weight) in enumerate((("png", 0.4), ("jpg", 1.0), ("png", 1.6))):
        pictures.add(f"sub/{number}.{kind}", weight=weight, data=picture(number, {"jpg": "JPEG"}.get(kind, "PNG")))
        (folder / "sub").mkdir(parents=True, exist_ok=True)
        (folder / f"sub/{number}.png").write_bytes(picture(50 + number))
    (folder / "unused.png").write_bytes(picture(99))
    return folder


@pytest.mark.parametrize("name", EDITING)
def test_a_target_and_its_control_are_never_separated(name, pictures, tmp_path) -> None:
    controls = with_controls(pictures, tmp_path / "before")
    report = pictures.write(name, tmp_path / "out", control=controls)
    if name in READERS:
        READERS[name](report)
    if name == "webdataset":
        with tarfile.open(report.folder / "train-000000.tar") as tar:
            names = tar.getnames()
            found = {n.partition(".")[0]: tar.extractfile(n).read() for n in names if ".control." in n}
    else:
        files = [report.folder / file for file in report.files]
        found = {}
        for row in manifest(report)["pictures"]:
            stem = Path(row["target"]).stem
            same = [f for f in files if f.suffix in (".png", ".jpg") and f.stem in (stem, f"{stem}-condlabel")]
            (control,) = [f for f in same if f != report.folder / row["target"]]
            found[row["key"]] = control.read_bytes()
    for row in manifest(report)["pictures"]:
        wanted = Image.open(controls / Path(row["source"]).with_suffix(".png"))
        got = Image.open(io.BytesIO(found[row["key"]]))
        far = np.abs(np.asarray(wanted.convert("RGB"), int) - np.asarray(got.convert("RGB"), int))
        assert far.max() <= (0 if got.format == "PNG" else 40), "the control of another picture"


@pytest.mark.parametrize("name", sorted({*EDITING, "table", "kohya"}))
def test_a_target_without_its_control_stops_the_export(name, pictures, tmp_path) -> None:
    controls = with_controls(pictures, tmp_path / "before")
    (controls / "sub/1.png").unlink()
    with pytest.raises(ExportError, match=r"^sub/1\.jpg has no control picture"):
        pictures.write(name, tmp_path / "out", control=controls)
    assert not (tmp_path / "out").exists()


def test_huggingface_names_the_control_as_a_second_picture(pictures, tmp_path) -> None:
    controls = with_controls(pictures, tmp_path / "before")
    report = pictures.write("huggingface", tmp_path / "out", control=controls)
    rows = [json.loads(line) for line in (report.folder / "train/metadata.jsonl").read_text().splitlines()]
    for row in rows:
        assert (report.folder / "train" / row["control_file_name"]).is_file()


def test_a_control_is_found_by_its_name_where_folders_differ_and_never_guessed(pictures, tmp_path) -> None:
    pictures.add("a/x.png")
    (tmp_path / "before/b").mkdir(parents=True)
    (tmp_path / "before/b/x.jpg").write_bytes(picture(3, "JPEG"))
    pictures.write("table", tmp_path / "out", control=tmp_path / "before")
    (tmp_path / "before/c").mkdir()
    (tmp_path / "before/c/x.png").write_bytes(picture(4))
    with pytest.raises(ExportError, match="2 pictures in"):
        pictures.write("table", tmp_path / "other", control=tmp_path / "before")


def test_everydream2_says_that_it_knows_no_edit_training(pictures, tmp_path) -> None:
    controls = with_controls(pictures, tmp_path / "before")
    with pytest.raises(ExportError, match="no edit training"):
        pictures.write("everydream2", tmp_path / "out", control=controls)


def test_masks_beside_a_picture_follow_it_to_onetrainer_and_are_no_pictures(pictures, tmp_path) -> None:
    from diversity.config import Config
    from diversity.ingest import list_sources

    pictures.add("a/1.jpg", data=picture(1, "JPEG"))
    (pictures.root / "a/1-masklabel.png").write_bytes(picture(2))
    (pictures.root / "a/lone-masklabel.png").write_bytes(picture(3))
    found = [source.path for source in list_sources(pictures.root, Config().scan)]
    assert found == ["a/1.jpg", "a/lone-masklabel.png"]
    report = pictures.write("onetrainer", tmp_path / "out")
    assert (report.folder / "weight-1/1-masklabel.png").read_bytes() == picture(2)


# quoting ------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text())
def test_a_quoted_text_is_the_same_in_toml_yaml_and_json(text) -> None:
    text = text.encode("utf-8", "ignore").decode()
    assert json.loads(quoted(text)) == text
    assert tomllib.loads(f"x = {quoted(text)}")["x"] == text
    assert yaml.safe_load(f"x: {quoted(text)}")["x"] == text
