"""The main job end to end on small generated sets: what is written, what is skipped, what is never touched."""

from __future__ import annotations

import errno
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
from diversity.cli import main
from diversity.dataset import SCHEMAS, Dataset
from diversity.errors import ConfigError, ExportError, InputError, SelectionError, WorkspaceError
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


@pytest.fixture
def scratch(pictures: Path, tmp_path: Path) -> Path:
    """A copy of the set that a test may change."""
    shutil.copytree(pictures, tmp_path / "set")
    return tmp_path / "set"


def fates(dataset: Dataset) -> dict[str, dict[str, object]]:
    paths = dict(dataset.images.select("key", "path").iter_rows())
    kept = {paths[k].split("/")[1]: {"kept": True} for k in dataset.read("selection/default")["key"]}
    dropped = {
        paths[r["key"]].split("/")[1]: {"kept": False, "keeper": paths.get(r["keeper"])}
        for r in dataset.read("dropped").to_dicts()
    }
    return kept | dropped


def test_a_keeper_dropped_by_hand_leaves_the_place_to_its_copy(scratch: Path, tmp_path: Path) -> None:
    from diversity import decisions

    dataset = open_at(scratch, tmp_path / "w").select()
    decisions.add(dataset, "drop", ["04.png"])
    found = fates(dataset.select())
    assert found["04.png"] == {"kept": False, "keeper": None}
    assert found["small.jpg"] == {"kept": True}


def test_undoing_a_pin_does_not_undo_a_drop(scratch: Path, tmp_path: Path) -> None:
    from diversity import decisions

    dataset = open_at(scratch, tmp_path / "w").scan()
    for what, undo in (("pin", False), ("drop", False), ("pin", True)):
        decisions.add(dataset, what, ["07.png"], undo=undo)
    assert list(decisions.standing(dataset, "pin", "drop").values()) == ["drop"]


def test_a_drop_follows_a_renamed_file_but_not_to_its_equal(scratch: Path, tmp_path: Path) -> None:
    from diversity import decisions

    dataset = open_at(scratch, tmp_path / "w").scan()
    decisions.add(dataset, "drop", ["copy.png", "07.png"])
    (scratch / "10_someone" / "copy.png").unlink()
    (scratch / "10_someone" / "07.png").rename(scratch / "10_someone" / "moved.png")
    dataset.scan()
    paths = dict(dataset.images.select("key", "path").iter_rows())
    assert [paths[key] for key in decisions.standing(dataset, "drop")] == ["10_someone/moved.png"]


def test_exporting_and_reporting_keep_the_selection_that_was_made(scratch: Path, tmp_path: Path) -> None:
    words = [str(scratch), "--workspace", str(tmp_path / "w"), "--model", "toon", "--quiet"]
    assert main(["select", *words, "--keep", "8"]) == 0
    assert main(["export", *words]) == 0
    dataset = open_at(scratch, tmp_path / "w")
    assert len(dataset.read("selection/default")) == 8
    assert pl.read_parquet(next((tmp_path / "w" / "export" / "table").glob("*.parquet"))).height == 8


def test_an_edited_taxonomy_reaches_the_targets(scratch: Path, tmp_path: Path) -> None:
    from diversity.taxonomy import load

    file = tmp_path / "mine.toml"
    file.write_text('extends = "default"\n')
    settings: dict[str, object] = {"taxonomy": str(file)}
    before = open_at(scratch, tmp_path / "w", views=settings).views().read("targets")["want"].to_list()
    rules = load(file).targets
    file.write_text(f'extends = "default"\n[targets]\ngrowth = {4 * rules.growth}\nmost = {4 * rules.most}\n')
    after = open_at(scratch, tmp_path / "w", views=settings).views().read("targets")["want"].to_list()
    assert sum(after) > sum(before)


def test_a_stage_that_failed_half_way_runs_again(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_at(scratch, tmp_path / "w").views()
    table = dataset.read("duplicates")
    original = Dataset.write

    def interrupted(self: Dataset, name: str, frame: pl.DataFrame) -> None:
        if name == "neighbours":
            raise KeyboardInterrupt
        original(self, name, frame)

    monkeypatch.setattr(Dataset, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_at(scratch, tmp_path / "w", duplicates={"threshold": 0.2, "hash_bits": 20}).dedup()
    monkeypatch.setattr(Dataset, "write", original)
    assert run_stages(dataset, ["scan", "label", "dedup"]) == ["dedup"]
    assert dataset.read("duplicates").equals(table)


def test_a_killed_scan_goes_on_where_it_was(scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diversity import measure, scan_stage

    monkeypatch.setattr(scan_stage, "CHUNK", 5)
    dataset = open_at(scratch, tmp_path / "w")
    seen: list[int] = []
    original = measure.measure

    def dying(data: bytes, config: object) -> object:
        seen.append(1)
        if len(seen) > 12:
            raise KeyboardInterrupt
        return original(data, config)

    monkeypatch.setattr(measure, "measure", dying)
    with pytest.raises(KeyboardInterrupt):
        dataset.scan()
    seen.clear()
    monkeypatch.setattr(measure, "measure", lambda data, config: seen.append(1) or original(data, config))
    assert len(dataset.scan().images) == 17
    assert len(seen) == 7


def test_a_table_that_was_deleted_is_made_again_whole(scratch: Path, tmp_path: Path) -> None:
    dataset = open_at(scratch, tmp_path / "w").scan()
    thumbnails = dataset.read("thumbnails")
    dataset.path("thumbnails").unlink()
    assert dataset.scan().read("thumbnails").equals(thumbnails)


def test_a_deleted_exported_picture_is_exported_again(scratch: Path, tmp_path: Path) -> None:
    dataset = open_at(scratch, tmp_path / "w").select().run("export")
    exported = next((dataset.folder / "export" / "huggingface").rglob("*.png"))
    exported.unlink()
    assert run_stages(dataset, ["export"]) == ["export"]
    assert exported.is_file()


def test_a_folder_without_one_usable_picture_is_a_plain_message(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"a\.jpg"):
        open_at(tmp_path / "set", tmp_path / "w").curate()


def test_opening_makes_no_workspace(scratch: Path, tmp_path: Path) -> None:
    open_at(scratch, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_map_without_its_child_process_is_the_same_map(monkeypatch: pytest.MonkeyPatch, curated: Dataset) -> None:
    from diversity import layout
    from diversity.services import Services

    def no_child(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(layout.subprocess, "Popen", no_child)
    monkeypatch.setattr(layout, "_umap", layout._principal)  # the point is the way round, not UMAP's seconds
    with Services(curated) as services:
        assert services.lay_out(curated.vectors(curated.usable)).shape == (16, 2)


# selections by name ----------------------------------------------------------------------------------------------


@pytest.fixture
def copied(curated: Dataset, tmp_path: Path) -> Dataset:
    """The curated set with a workspace that a test may change."""
    shutil.copytree(curated.folder, tmp_path / "copied")
    return open_at(curated.root, tmp_path / "copied")


def words(dataset: Dataset) -> list[str]:
    return [str(dataset.root), "--workspace", str(dataset.folder), "--model", "toon", "--quiet"]


def chosen(dataset: Dataset, name: str) -> list[str]:
    return dataset.read(f"selection/{name}").sort("rank")["key"].to_list()


def test_a_named_selection_has_its_own_tables_exports_and_report(copied: Dataset) -> None:
    default = chosen(copied, "default"), copied.read("dropped")
    assert main(["select", *words(copied), "--name", "few", "--keep", "8"]) == 0
    assert main(["export", *words(copied), "--name", "few", "--for", "table"]) == 0
    assert main(["report", *words(copied), "--name", "few"]) == 0
    assert chosen(copied, "default") == default[0]
    assert copied.read("dropped").equals(default[1])
    assert len(chosen(copied, "few")) == 8
    assert copied.selections() == ["default", "few"]
    assert pl.read_parquet(next((copied.folder / "export" / "few" / "table").glob("*.parquet"))).height == 8
    assert "8" in (copied.folder / "reports" / "curation-few.html").read_text(encoding="utf-8")
    assert run_stages(copied, ["scan", "label", "dedup", "views", "select", "export"]) == []  # the default is untouched
    few = open_at(copied.root, copied.folder, select={"name": "few", "keep": 8}, export={"formats": ("table",)})
    assert run_stages(few, ["select", "export"]) == []
    assert len(few.read("selection")) + len(few.read("dropped")) == len(few.images)


def test_any_selection_can_be_grown(copied: Dataset) -> None:
    assert main(["select", *words(copied), "--name", "few", "--keep", "8"]) == 0
    assert main(["select", *words(copied), "--name", "more", "--keep", "11", "--initial", "few"]) == 0
    assert set(chosen(copied, "few")) < set(chosen(copied, "more"))
    assert len(chosen(copied, "more")) == 11


def test_a_selection_that_is_not_there_is_named_before_anything_runs(copied: Dataset) -> None:
    for settings, says in (({"initial": "fwe"}, "default"), ({"strategy": "best"}, "facility_location")):
        with pytest.raises(SelectionError, match=says):
            open_at(copied.root, copied.folder, select=settings).select()
    for command in ("export", "report"):
        assert main([command, *words(copied), "--name", "fwe"]) == 2
    with pytest.raises(ConfigError, match=r"select\.name"):
        open_at(copied.root, copied.folder, select={"name": "../elsewhere"})
    with pytest.raises(ExportError, match="like an export format"):
        open_at(copied.root, copied.folder, select={"name": "kohya"}).run("export")


# what a person is told --------------------------------------------------------------------------------------------


def test_a_wrong_export_format_is_told_before_the_first_picture_is_read(scratch: Path, tmp_path: Path) -> None:
    for command in ("curate", "export"):
        assert main([command, str(scratch), "--workspace", str(tmp_path / "w"), "--for", "kohja", "--quiet"]) == 2
    assert not (tmp_path / "w").exists()


def test_the_summary_leaves_out_what_is_older_than_the_pictures(scratch: Path, tmp_path: Path) -> None:
    from diversity import summary

    dataset = open_at(scratch, tmp_path / "w").select()
    before = summary.of(dataset)
    assert before.outdated == ()
    assert before.kept == 14
    picture(99).save(scratch / "10_someone" / "new.png")
    after = summary.of(dataset.scan())
    assert after.outdated == ("label", "dedup", "views", "select")
    assert (after.pictures, after.copies, after.rare, after.kept) == (before.pictures + 1, None, None, None)
    assert "older than the pictures" in after.text()
    assert summary.of(dataset.select()).outdated == ()


def test_one_workspace_for_two_folders_is_refused_and_one_that_moved_is_not(scratch: Path, tmp_path: Path) -> None:
    open_at(scratch, tmp_path / "w").scan()
    shutil.copytree(scratch, tmp_path / "other")
    with pytest.raises(WorkspaceError, match="belongs to"):
        open_at(tmp_path / "other", tmp_path / "w")
    scratch.rename(tmp_path / "moved")
    moved = open_at(tmp_path / "moved", tmp_path / "w")
    assert run_stages(moved, ["scan"]) == []
    shutil.copytree(tmp_path / "moved", scratch)
    with pytest.raises(WorkspaceError, match="moved"):
        open_at(scratch, tmp_path / "w")


def test_pinning_a_file_that_cannot_be_used_is_warned_about(
    scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [str(scratch), "--workspace", str(tmp_path / "w"), "--model", "toon"]
    open_at(scratch, tmp_path / "w").scan()
    assert main(["pin", common[0], "broken.jpg", "03.png", *common[1:]]) == 0
    said = capsys.readouterr().err
    assert "broken.jpg cannot be used" in said
    assert "03.png" not in said
    assert main(["drop", common[0], "broken.jpg", *common[1:]]) == 0
    assert capsys.readouterr().err == ""


def test_a_full_disk_in_an_exporter_is_a_plain_message(copied: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from diversity import export

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(export.EXPORTERS, "table", full)
    with pytest.raises(WorkspaceError, match="disk is full"):
        copied.run("export", force=("export",))


# runs -------------------------------------------------------------------------------------------------------------


def test_only_the_stages_named_are_forced(copied: Dataset) -> None:
    assert run_stages(copied, STAGES, force={"views"}) == ["views"]


def test_a_long_scan_writes_its_tables_once(scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diversity import scan_stage

    monkeypatch.setattr(scan_stage, "CHUNK", 5)
    written: list[str] = []
    original = Dataset.write
    monkeypatch.setattr(Dataset, "write", lambda self, name, frame: written.append(name) or original(self, name, frame))
    dataset = open_at(scratch, tmp_path / "w").scan()
    assert written.count("images") == written.count("thumbnails") == 1
    assert len(dataset.images) == 17
    assert not (dataset.folder / "scanning").exists()
    whole = open_at(scratch, tmp_path / "whole")
    monkeypatch.setattr(scan_stage, "CHUNK", 4096)
    assert whole.scan().images.equals(dataset.images)


def test_coming_back_to_an_encoder_encodes_nothing(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_encoders import save_tiny

    from diversity import encoders, measure

    toon = open_at(scratch, tmp_path / "w").scan()
    vectors = toon.vectors(toon.usable)
    tiny = open_at(scratch, tmp_path / "w", encoder={"model": save_tiny(tmp_path / "tiny")}).scan()
    assert tiny.encoder_id != open_at(scratch, tmp_path / "w").encoder_id or tiny.vectors(tiny.usable).shape[1] == 24
    monkeypatch.setattr(measure, "measure", lambda *_: pytest.fail("a picture was measured again"))
    monkeypatch.setattr(encoders, "load_encoder", lambda *_: pytest.fail("an encoder was loaded"))
    back = open_at(scratch, tmp_path / "w").scan()
    assert np.array_equal(back.vectors(back.usable), vectors)


# pictures that an encoder does not know ---------------------------------------------------------------------------


def test_an_encoder_is_asked_for_views_only_of_pictures_that_it_knows(pictures: Path, tmp_path: Path) -> None:
    from test_encoders import save_tiny

    from diversity import summary
    from diversity.encoders.familiarity import ABILITIES, PROTOTYPES

    encoder = {"model": save_tiny(tmp_path / "tiny")}
    free = open_at(pictures, tmp_path / "w", encoder=encoder, views={"min_confidence": 0.0}).views()
    vectors = free.vectors(free.usable)
    assert set(free.read("views")["source"]) == {"caption", "prompt"}
    (tmp_path / "tiny" / ABILITIES).write_text(json.dumps({"familiar_above": 0.99}))
    for prototypes, sources in ((-vectors, {"caption", None}), (vectors, {"caption", "prompt"})):
        np.save(tmp_path / "tiny" / PROTOTYPES, prototypes)
        labelled = free.views().read("views")
        assert set(labelled["source"]) == sources
        unsure = labelled.filter(pl.col("source").is_null())
        assert set(unsure["label"]) <= {"unsure"}
        said = summary.of(free).text()
        assert ("unlike those that the encoder was trained on" in said) == (None in sources)
