"""Edit sets: a target and its control are one; de-duplication and the scan honour that as exporting does."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from scenes import images_of, scene
from test_pipeline import TOON, picture

from diversity import record
from diversity.cli import main
from diversity.config import Config, DuplicatesConfig
from diversity.dataset import Dataset
from diversity.duplicates import Evidence, find
from diversity.errors import ExportError, InputError

LINES = DuplicatesConfig(threshold=0.5)


@pytest.mark.parametrize("variants", ["keep", "drop"])
@pytest.mark.parametrize(
    ("controls", "kept"), [({"a": "1", "b": "1"}, 1), ({"a": "1", "b": "2"}, 2), ({"a": "1"}, 2), ({}, 1)]
)
@pytest.mark.parametrize("resized", [False, True])
def test_targets_are_copies_only_where_their_controls_are(
    controls: dict[str, str], kept: int, resized: bool, variants: str
) -> None:
    other = scene(0).resize((120, 120)) if resized else scene(0)
    images, vectors, evidence = images_of({"a": scene(0), "b": other})
    paired = Evidence(evidence.thumbnails, evidence.encode, evidence.index, controls)
    config = LINES.model_copy(update={"variants": variants})
    frame = find(images, vectors, paired, config).frame
    assert int((frame["kind"] != "copy").sum()) == kept
    assert set(frame["key"]) == {"a", "b"}


def test_a_pair_stays_or_goes_as_one_all_the_way(tmp_path: Path) -> None:
    root = tmp_path / "set"
    control = root / "control"
    control.mkdir(parents=True)
    for i in range(4):
        picture(i).save(root / f"{i}.png")
        picture(i + 50).save(control / f"{i}.png")
    shutil.copy(root / "0.png", root / "other-task.png")  # the same result of another sketch
    picture(99).save(control / "other-task.png")
    shutil.copy(root / "1.png", root / "same-task.png")
    shutil.copy(control / "1.png", control / "same-task.png")
    settings: dict[str, dict[str, object]] = {"export": {"control": control, "formats": ("musubi",)}}
    dataset = Dataset.open(root, workspace_folder=tmp_path / "w", overrides=TOON | settings)
    dataset.run("scan", "label", "dedup", "views", "select", "export")
    paths = dict(dataset.images.select("key", "path").iter_rows())
    assert not [path for path in paths.values() if path.startswith("control/")]
    kept = {paths[key] for key in dataset.read("selection")["key"]}
    assert {"0.png", "other-task.png"} <= kept
    assert len(kept & {"1.png", "same-task.png"}) == 1
    copies = dataset.read("duplicates").filter(pl.col("kind") == "copy")
    assert len(copies) == 1
    assert dataset.run("dedup").read("duplicates").equals(dataset.read("duplicates"))
    picture(98).save(control / "same-task.png")  # another control: no copy any more
    dataset.run("scan", "label", "dedup")
    assert dataset.read("duplicates").filter(pl.col("kind") == "copy").is_empty()


def test_a_control_folder_that_is_gone_is_told_before_copies_are_looked_for(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    picture(0).save(root / "0.png")
    settings: dict[str, dict[str, object]] = {"export": {"control": tmp_path / "nowhere"}}
    dataset = Dataset.open(root, workspace_folder=tmp_path / "w", overrides=TOON | settings)
    with pytest.raises(ExportError, match="control"):
        dataset.dedup()


def pairs(root: Path, control: Path, count: int = 2) -> Path:
    """A set of targets with a control of each."""
    for folder, first in ((root, 0), (control, 50)):
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            picture(first + i).save(folder / f"{i}.png")
    (root / "diversity.toml").write_text('[encoder]\nmodel = "toon"\n')
    return root


def scanned(root: Path) -> list[str]:
    return Dataset.open(root).images["path"].to_list()


@pytest.mark.parametrize("way", ["link", "dots", "linked control"])
def test_controls_are_told_from_targets_whatever_leads_to_them(way: str, tmp_path: Path) -> None:
    inside = way != "linked control"
    root = pairs(tmp_path / "set", tmp_path / "set" / "control" if inside else tmp_path / "elsewhere")
    if way == "link":
        (tmp_path / "link").symlink_to(root)
    if not inside:
        (root / "control").symlink_to(tmp_path / "elsewhere")
    named = {"link": tmp_path / "link" / "control", "dots": root / "control" / ".." / "control"}
    control = str(named.get(way, root / "control"))
    assert main(["scan", str(root), "--quiet", "--set", f"export.control={control}"]) == 0
    assert scanned(root) == ["0.png", "1.png"]


def test_a_control_in_a_file_elsewhere_is_relative_to_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = pairs(tmp_path / "set", tmp_path / "set" / "control")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.toml").write_text('[encoder]\nmodel = "toon"\n[export]\ncontrol = "../set/control"\n')
    monkeypatch.chdir(tmp_path / "configs")
    assert main(["scan", str(root), "--quiet", "--config", "mine.toml"]) == 0
    assert scanned(root) == ["0.png", "1.png"]
    assert Config.load(Path("mine.toml")).export.control == root / "control"


def test_a_target_is_never_its_own_control(tmp_path: Path) -> None:
    root = pairs(tmp_path / "set", tmp_path / "set" / "control")
    (root / "linked.png").symlink_to(root / "control" / "1.png")
    (root / "control" / "linked.png").symlink_to(root / "control" / "1.png")
    settings: dict[str, dict[str, object]] = {"export": {"control": root / "control", "formats": ("table",)}}
    dataset = Dataset.open(root, overrides=TOON | settings)
    with pytest.raises(ExportError, match="its own control"):
        dataset.run("scan", "label", "dedup", "views", "select", "export")
    for folder in (root, tmp_path):
        with pytest.raises(InputError, match="its own control"):
            Dataset.open(root, overrides=TOON | {"export": {"control": folder}}).scan()


def test_the_control_folder_is_remembered_until_another_or_none_is_named(tmp_path: Path) -> None:
    root = pairs(tmp_path / "set", tmp_path / "set" / "control")
    words = [str(root), "--quiet", "--for", "table"]
    assert main(["export", *words, "--control", str(root / "control")]) == 0
    assert main(["report", str(root), "--quiet"]) == 0
    assert scanned(root) == ["0.png", "1.png"]
    moved = root.rename(tmp_path / "moved")
    assert record.control(Dataset.open(moved, workspace_folder=tmp_path / "_diversity" / "set").folder, moved) == (
        moved / "control"
    )
    moved.rename(root)
    assert main(["export", *words, "--control", str(tmp_path / "nowhere")]) == 2  # a slip is not remembered
    assert Dataset.open(root).config.export.control == root / "control"
    assert main(["export", *words, "--control", ""]) == 0
    assert Dataset.open(root).config.export.control is None
    assert len(scanned(root)) == 4
