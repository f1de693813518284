"""The main job end to end on small generated sets: what is written, what is skipped, what is never touched."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw

from diversity import tables
from diversity.dataset import SCHEMAS, Dataset
from diversity.errors import InputError, WorkspaceError
from diversity.stages import STAGES
from diversity.stages import run as run_stages

TOON: dict[str, dict[str, object]] = {"encoder": {"model": "toon"}}


def picture(seed: int, size: int = 96) -> Image.Image:
    """A scene of a few shapes, different for every seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (size, size), tuple(rng.integers(60, 230, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, w, h = rng.integers(0, size - 12), rng.integers(0, size - 12), *rng.integers(8, size // 2, 2)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((int(x), int(y), int(x + w), int(y + h)), fill=tuple(rng.integers(0, 256, 3)))
    return image


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen different pictures, a byte copy, a smaller copy, captions for some, a broken file."""
    root = tmp_path_factory.mktemp("set") / "10_someone"
    root.mkdir()
    for i in range(14):
        picture(i).save(root / f"{i:02}.png")
    for i, caption in enumerate(["from behind, full body", "portrait, from front", "shoes, feet close-up"]):
        (root / f"{i:02}.txt").write_text(caption)
    shutil.copy(root / "03.png", root / "copy.png")
    picture(4).resize((64, 64)).save(root / "small.jpg", quality=90)
    (root / "broken.jpg").write_bytes((root / "small.jpg").read_bytes()[:400])
    return root.parent


def tree(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def open_at(pictures: Path, workspace: Path, **settings: dict[str, object]) -> Dataset:
    return Dataset.open(pictures, workspace_folder=workspace, overrides=TOON | settings)


@pytest.fixture(scope="module")
def curated(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_at(pictures, tmp_path_factory.mktemp("w") / "w").curate()


def test_every_table_is_written_with_its_schema(curated: Dataset) -> None:
    for name, schema in (SCHEMAS | {"selection/default": tables.SELECTION}).items():
        if name != "decisions":
            assert dict(curated.read(name).schema) == {
                k: pl.DataFrame(schema={k: v}).schema[k] for k, v in schema.items()
            }


def test_copies_and_broken_files_go_and_everything_else_stays(curated: Dataset) -> None:
    paths = dict(curated.images.select("key", "path").iter_rows())
    kept = {paths[k] for k in curated.read("selection/default")["key"]}
    dropped = {paths[r["key"]]: r for r in curated.read("dropped").to_dicts()}
    assert kept | set(dropped) == set(paths.values())
    assert not kept & set(dropped)
    assert {"10_someone/small.jpg", "10_someone/broken.jpg"} <= set(dropped)
    assert len({"10_someone/03.png", "10_someone/copy.png"} & kept) == 1
    assert paths[dropped["10_someone/small.jpg"]["keeper"]] == "10_someone/04.png"
    assert all(r["reason"] for r in dropped.values())
    assert len(kept) == 14


def test_the_users_files_are_never_touched(pictures: Path, tmp_path: Path) -> None:
    before = tree(pictures)
    open_at(pictures, tmp_path / "w").curate()
    assert tree(pictures) == before


def test_a_second_run_does_nothing_and_a_new_setting_only_what_depends_on_it(
    curated: Dataset, pictures: Path, tmp_path: Path
) -> None:
    assert run_stages(curated, STAGES) == []
    shutil.copytree(curated.folder, tmp_path / "w")
    other = open_at(pictures, tmp_path / "w", select={"alpha": 0.2})
    ran = run_stages(other, STAGES)
    assert "select" in ran
    assert not {"scan", "label", "dedup", "views", "map"} & set(ran)


def test_results_do_not_depend_on_threads_names_or_folder_order(curated: Dataset, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for file in sorted((curated.root / "10_someone").iterdir()):
        stem = hashlib.sha256(file.stem.encode()).hexdigest()[:8]
        shutil.copy(file, renamed / f"{stem}{file.suffix}")
    other = open_at(renamed, tmp_path / "w", scan={"workers": 1}).select()

    def chosen(dataset: Dataset) -> list[tuple[str, float]]:
        joined = dataset.read("selection/default").join(dataset.images, on="key").sort("content")
        return [(content, round(weight, 6)) for content, weight in joined.select("content", "weight").iter_rows()]

    assert chosen(other) == chosen(curated)


def test_only_new_pictures_are_looked_at_again(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"
    shutil.copytree(pictures, root)
    dataset = open_at(root, tmp_path / "w").scan()
    before = dataset.images
    picture(99).save(root / "10_someone" / "new.png")
    (root / "10_someone" / "05.png").rename(root / "10_someone" / "renamed.png")
    from diversity import measure

    seen = []
    original = measure.measure
    monkeypatch.setattr(measure, "measure", lambda data, config: seen.append(len(data)) or original(data, config))
    after = dataset.scan().images
    assert len(seen) == 2  # the new one, and the renamed one, whose embedding is found by its content
    assert len(after) == len(before) + 1


def test_a_problem_is_a_row_and_stops_nothing(curated: Dataset) -> None:
    bad = curated.images.filter(pl.col("problem").is_not_null())
    assert bad["path"].to_list() == ["10_someone/broken.jpg"]
    assert bad["content"].to_list() == [None]


def test_explain_tells_the_fate_of_every_picture(curated: Dataset) -> None:
    from diversity.explain import explain

    statuses = {path: explain(curated, path).status for path in curated.images["path"]}
    assert statuses["10_someone/broken.jpg"] == "problem"
    assert statuses["10_someone/small.jpg"] == "dropped"
    assert statuses["10_someone/07.png"] == "kept"
    assert "04.png" in explain(curated, "small.jpg").text()
    with pytest.raises(InputError, match=r"07\.png"):
        explain(curated, "07.pn")


def test_search_finds_a_picture_by_itself_and_ranks_by_words(curated: Dataset) -> None:
    from diversity.search import search

    found = search(curated, image=curated.root / "10_someone" / "06.png", number=3)
    assert found["path"][0] == "10_someone/06.png"
    assert found["similarity"][0] == pytest.approx(1, abs=2e-3)
    words = search(curated, text="a pair of boots", number=5)
    assert words["similarity"].to_list() == sorted(words["similarity"].to_list(), reverse=True)


def test_pins_and_drops_hold_in_later_runs_and_can_be_taken_back(pictures: Path, tmp_path: Path) -> None:
    from diversity import decisions

    dataset = open_at(pictures, tmp_path / "w").scan()
    decisions.add(dataset, "pin", ["small.jpg"])
    decisions.add(dataset, "drop", ["07.png"])
    paths = dict(dataset.images.select("key", "path").iter_rows())

    def kept() -> set[str]:
        return {paths[k].split("/")[1] for k in dataset.select().read("selection/default")["key"]}

    assert "small.jpg" in kept()
    assert "07.png" not in kept()
    assert "04.png" not in kept()  # the pinned one stands for its group
    decisions.add(dataset, "drop", ["07.png"], undo=True)
    decisions.add(dataset, "pin", ["small.jpg"], undo=True)
    assert {"07.png", "04.png"} <= kept()


def test_a_second_process_on_one_workspace_is_told(curated: Dataset) -> None:
    from diversity import workspace

    with workspace.locked(curated.folder):
        code = "import sys; from diversity.cli import main; sys.exit(main(sys.argv[1:]))"
        words = ["scan", str(curated.root), "--workspace", str(curated.folder), "--model", "toon"]
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "in use" in done.stderr


def test_a_workspace_of_another_version_and_a_foreign_folder_are_refused(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "diversity-workspace.json").write_text(json.dumps({"version": 99}))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.docx").write_bytes(b"x")
    for name, says in (("old", "version 99"), ("foreign", "not a workspace")):
        with pytest.raises(WorkspaceError, match=says):
            open_at(pictures, tmp_path / name)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_tiny_sets_go_all_the_way(count: int, tmp_path: Path) -> None:
    root = tmp_path / "few"
    root.mkdir()
    for i in range(count):
        picture(i).save(root / f"{i}.png")
    dataset = open_at(root, tmp_path / "w").curate()
    assert len(dataset.read("selection/default")) == count
    assert (dataset.folder / "reports" / "curation.html").is_file()
