"""Pick on folders of known making: copies beside their source, fresh pictures cleared, drift and sameness seen."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from picking_world import Make, World, scene, subject
from PIL import Image

from diversity.dataset import Dataset
from diversity.errors import InputError
from diversity.progress import Silent
from training.commands import pick as command
from training.picking.pick import Options, Picked, pick


def run(world: World, folder: Path, **more: object) -> Picked:
    return pick(world.open(), Options(folder, **more), Silent())


def cells(found: Picked) -> dict[str, dict[str, object]]:
    return {cell["checkpoint"]: cell for cell in found.cells}


@pytest.fixture(scope="module")
def folder(sample_folder: Make) -> Path:
    return sample_folder({0: ("base", 0), 500: ("fresh", 0), 1000: ("fresh", 0.35), 1500: ("copies", 0.8)})


@pytest.fixture(scope="module")
def found(world: World, folder: Path) -> Picked:
    before = {p: p.read_bytes() for root in (folder, world.pictures) for p in root.rglob("*") if p.is_file()}
    picked = run(world, folder)
    after = {p: p.read_bytes() for root in (folder, world.pictures) for p in root.rglob("*") if p.is_file()}
    assert before == after, "pictures and samples are never touched"
    return picked


@pytest.fixture(scope="module")
def stuck(world: World, sample_folder: Make) -> Picked:
    """No base, no unrelated prompts; every prompt asks for a back and gets one and the same face."""
    folder = sample_folder({500: ("fresh", 0), 1000: ("stuck", 0), 1500: ("stuck", 0)}, unrelated=0)
    lines = [f"mira, from behind, full body, scene {i} --d 7" for i in range(8)]
    (folder / "prompt.txt").write_text("\n".join(lines))
    (folder / "mira_000500_30_20230814000500_7.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    Image.new("RGB", (8, 8)).save(folder / "holiday.png")
    return run(world, folder)


def test_the_clean_checkpoint_is_picked_and_what_goes_wrong_later_is_named(found: Picked) -> None:
    assert found.headline == (
        "Use step 500; step 1,000 starts to change the colours of everything; step 1,500 starts copying."
    )
    assert (found.checkpoint, found.weight) == ("step 500", 1.0)
    by = cells(found)
    assert by["step 500"]["copied"] == by["step 1,000"]["copied"] == 0
    assert by["step 1,500"]["copied"] == 8
    assert by["step 1,500"]["near"] > by["step 500"]["near"]
    assert by["step 500"]["remarks"] == []


def test_every_copy_names_the_very_picture_it_was_made_of(world: World, found: Picked) -> None:
    dataset = world.open()
    paths = dict(dataset.images.select("path", "key").iter_rows())
    frame = dataset.read("duplicates")
    group = dict(frame.select("key", "group").iter_rows())
    variant = {k: v or k for k, v in frame.select("key", "variant_of").iter_rows()}
    assert len(found.copies) == 8
    for copy in found.copies:
        i = int(copy["path"].split("_")[2])
        true = f"10_mira/{world.trained[(5 * i) % len(world.trained)].name}"
        assert group[variant[paths[copy["source"]]]] == group[variant[paths[true]]]
    assert any("Copied: " in advice["text"] for advice in found.advice)


def test_colours_of_unrelated_prompts_are_seen_to_migrate(found: Picked) -> None:
    by = cells(found)
    assert by["step 500"]["colours"] == pytest.approx(0)
    assert 0.1 < by["step 1,000"]["colours"] < by["step 1,500"]["colours"]
    assert by["step 1,000"]["specific"] > 0


def test_one_answer_to_every_prompt_is_lost_variety(stuck: Picked) -> None:
    by = cells(stuck)
    assert by["step 1,000"]["variety"] < 0.7
    assert any("less varied" in remark for remark in by["step 1,000"]["remarks"])
    assert stuck.checkpoint == "step 500"


def test_a_view_that_is_asked_for_and_never_shown_is_named_with_what_to_add(stuck: Picked) -> None:
    assert ("framing", "full_body") in {(view["axis"], view["label"]) for view in stuck.failing}
    assert any("'full-body picture' was asked for" in advice["text"] for advice in stuck.advice)


def test_without_base_or_unrelated_prompts_it_says_what_cannot_be_told(stuck: Picked) -> None:
    told = " ".join(stuck.untold)
    assert "no sample at weight 0 or step 0" in told
    assert "Every prompt asks for the subject" in told
    assert "one weight" in told
    assert all(cell["colours"] is None for cell in stuck.cells)


def test_broken_and_foreign_files_are_listed_and_stop_nothing(stuck: Picked) -> None:
    assert set(stuck.unknown) == {"holiday.png", "mira_000500_30_20230814000500_7.png"}
    text = stuck.text()
    assert "Passed over: 2 files" in text
    assert "holiday.png: its name and text say nothing that is known" in text
    assert f"mira_000500_30_20230814000500_7.png: {stuck.problems['mira_000500_30_20230814000500_7.png']}" in text


def test_too_few_samples_give_no_verdict_but_a_grid(world: World, sample_folder: Make) -> None:
    found = run(
        world, sample_folder({500: ("fresh", 0)}, subjects=2, unrelated=0), loras=("m-step00000500.safetensors",)
    )
    assert found.headline.startswith("Too few samples for a verdict")
    assert found.checkpoint is None
    assert found.grid is not None
    grid = Path(found.grid)
    names = sorted(path.name for path in (grid / "comfyui").iterdir())
    assert names == [
        "base.json",
        *(f"m-step00000500_step500_w{w:.2f}.json" for w in (0.5, 0.7, 0.85, 1.0)),
    ]
    assert json.loads((grid / "grid.json").read_text())["seeds"] == [11, 12, 13, 14]


def test_the_weight_is_picked_too(world: World, tmp_path: Path) -> None:
    """Half weight shows too little, full weight copies; later even 0.8 copies. Names are our generic ones."""
    drawn = {
        "step0_w0": "base",
        **{"step1000_w0.5": "faint", "step1000_w0.8": "fresh", "step1000_w1.0": "copies"},
        **{"step1500_w0.5": "faint", "step1500_w0.8": "copies", "step1500_w1.0": "copies"},
    }
    chosen = world.fresh[:24:4]
    for name, kind in drawn.items():
        for i, (_, caption) in enumerate(chosen):
            file = tmp_path / f"{name}_seed7_{i}.png"
            picture = subject(world, "fresh" if kind == "faint" else kind, i, chosen)
            if kind == "faint":
                picture = Image.blend(picture.resize((256, 256)), scene(100 + i), 0.9)
            picture.save(file)
            file.with_suffix(".txt").write_text(caption)
    found = run(world, tmp_path)
    assert (found.checkpoint, found.weight) == ("step 1,000", 0.8)
    assert found.headline == "Use step 1,000 at 0.8; step 1,000 at 1 starts copying; step 1,500 starts copying."
    weak = next(cell for cell in found.cells if (cell["checkpoint"], cell["weight"]) == ("step 1,000", 0.5))
    assert any("likeness" in remark for remark in weak["remarks"])
    assert "one weight" not in " ".join(found.untold)


def test_the_same_folder_twice_gives_the_same_numbers(world: World, folder: Path, found: Picked) -> None:
    assert run(world, folder) == found


def test_the_training_folder_is_no_sample_folder(world: World) -> None:
    with pytest.raises(InputError, match="training pictures themselves"):
        run(world, world.pictures)


def test_samples_below_the_training_pictures_are_refused(tmp_path: Path) -> None:
    for name in ("10_mira/a.png", "model/sample/mira_000500_00_20230814000500_7.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        scene(1, 64).save(tmp_path / name)
    dataset = Dataset.open(tmp_path, workspace_folder=tmp_path.parent / "w")
    with pytest.raises(InputError, match="among the training pictures, in model"):
        pick(dataset, Options(tmp_path / "model" / "sample"), Silent())


def test_the_command_prints_json_and_the_text_says_the_same(
    world: World, folder: Path, found: Picked, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    command.arguments(parser, "pick")
    words = [str(world.pictures), "--samples", str(folder), "--workspace", str(world.workspace), "--model", "toon"]
    assert command.run("pick", parser.parse_args([*words, "--json", "--quiet"])) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["headline"] == found.headline
    assert len(printed["copies"]) == 8
    assert found.text().startswith(found.headline)
    assert "copy: mira_001500_00" in found.text()
