"""Edit sets: a target and its control are one; de-duplication and the scan honour that as exporting does."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from scenes import images_of, scene
from test_pipeline import TOON, picture

from diversity.config import DuplicatesConfig
from diversity.dataset import Dataset
from diversity.duplicates import Evidence, find
from diversity.errors import ExportError

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
