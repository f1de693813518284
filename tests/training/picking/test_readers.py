"""Sample readers: what every trainer's files say of step, weight, prompt and seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diversity.config import ScanConfig
from diversity.errors import InputError
from training import grids
from training.generate import GenerationPlan, Sample
from training.picking import metadata, names, prompts, samples
from training.picking.loras import Worn


@pytest.mark.parametrize(
    ("path", "reader", "expected"),
    [
        ("mira_e000003_01_20230814120301_42.png", "kohya", {"epoch": 3, "index": 1, "seed": 42}),
        ("mira_v2_000500_00_20230814120301.png", "kohya", {"step": 500, "index": 0, "seed": None}),
        ("001500_02_20230814120301_7.png", "kohya", {"step": 1500, "index": 2, "seed": 7}),
        ("1724500000123__000000250_4.jpg", "ai-toolkit", {"step": 250, "index": 4}),
        (
            "2 - mira from behind/x2025-01-02_03-04-05-training-sample-800-4-0.png",
            "OneTrainer",
            {"step": 800, "index": 2, "prompt": "mira from behind"},
        ),
        ("0 - mira - no-ema/2025-01-02_03-04-05-training-sample-800-4-0.png", "OneTrainer", {"prompt": "mira"}),
        (
            "step_700_mira_portrait_0_1024x1024.png",
            "SimpleTuner",
            {"step": 700, "prompt": None, "label": "mira_portrait"},
        ),
        ("step500_w0.8_seed1.png", "file names", {"step": 500, "weight": 0.8, "seed": 1}),
        ("step-500/weight 0.6/a.png", "file names", {"step": 500, "weight": 0.6}),
    ],
)
def test_names_of_trainers(path: str, reader: str, expected: dict[str, object]) -> None:
    found = names.parse(path)
    assert found is not None
    assert found.reader == reader
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize("path", ["ComfyUI_00012_.png", "holiday.jpg", "IMG_20230814.jpg", "new1.png"])
def test_names_that_say_nothing(path: str) -> None:
    assert names.parse(path) is None


@pytest.mark.parametrize(
    ("lora", "expected"),
    [
        ("mira-000010.safetensors", (None, 10)),
        ("mira-step00001500.safetensors", (1500, None)),
        ("chars\\mira_000001250.safetensors", (1250, None)),
        ("x2025-01-02_03-04-05-save-500-5-0.safetensors", (500, None)),
        ("mira.safetensors", (None, None)),
    ],
)
def test_checkpoint_of_a_lora_file(lora: str, expected: tuple[int | None, int | None]) -> None:
    assert names.checkpoint(lora) == expected


def graph(strength: float | None = 0.8) -> dict[str, object]:
    nodes: dict[str, dict[str, object]] = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "base.safetensors"}},
        "2": {
            "class_type": "LoraLoader",
            "inputs": {
                "lora_name": "mira-step00001000.safetensors",
                "strength_model": strength,
                "strength_clip": strength,
                "model": ["1", 0],
                "clip": ["1", 1],
            },
        },
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "mira, from behind", "clip": ["2", 1]}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["2", 1]}},
        "5": {
            "class_type": "KSampler",
            "inputs": {"seed": 77, "positive": ["3", 0], "negative": ["4", 0], "model": ["2", 0]},
        },
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"filename_prefix": "pick/first", "images": ["6", 0]}},
        "8": {"class_type": "CLIPTextEncode", "inputs": {"text": "a bowl of fruit", "clip": ["1", 1]}},
        "9": {
            "class_type": "KSampler",
            "inputs": {"seed": 5, "positive": ["8", 0], "negative": ["4", 0], "model": ["1", 0]},
        },
        "10": {"class_type": "VAEDecode", "inputs": {"samples": ["9", 0], "vae": ["1", 2]}},
        "11": {"class_type": "SaveImage", "inputs": {"filename_prefix": "pick/second", "images": ["10", 0]}},
    }
    return dict(nodes)


def test_a_graph_with_two_pictures_tells_them_apart() -> None:
    first = metadata.comfy(graph(), "first_00001_.png")  # type: ignore[arg-type]
    second = metadata.comfy(graph(), "second_00001_.png")  # type: ignore[arg-type]
    assert (first.prompt, first.seed) == ("mira, from behind", 77)
    assert first.worn == (Worn("mira-step00001000.safetensors", 0.8),)
    assert (second.prompt, second.seed, second.worn) == ("a bowl of fruit", 5, ())


def test_a_text_and_a_seed_from_other_nodes_are_followed() -> None:
    nodes = graph()
    nodes["3"]["inputs"]["text"] = ["12", 0]  # type: ignore[index]
    nodes["12"] = {"class_type": "PrimitiveString", "inputs": {"value": "mira, side view"}}
    nodes["5"]["inputs"]["seed"] = ["13", 0]  # type: ignore[index]
    nodes["13"] = {"class_type": "PrimitiveInt", "inputs": {"value": 123}}
    found = metadata.comfy(nodes, "first_00001_.png")  # type: ignore[arg-type]
    assert (found.prompt, found.seed) == ("mira, side view", 123)


def test_a_graph_that_runs_in_circles_ends() -> None:
    loop = {"1": {"class_type": "A", "inputs": {"x": ["2", 0]}}, "2": {"class_type": "B", "inputs": {"x": ["1", 0]}}}
    assert metadata.comfy(loop, "a.png").prompt is None  # type: ignore[arg-type]


def test_a1111_parameters() -> None:
    text = "mira, from behind, <lora:mira-000004:0.7>\nNegative prompt: blurry\nSteps: 20, Seed: 99, Size: 512x512"
    found = metadata.parameters(text)
    assert (found.prompt, found.seed, found.worn) == ("mira, from behind", 99, (Worn("mira-000004", 0.7),))
    bare = metadata.parameters("a bowl\nSteps: 20, Seed: 1")
    assert (bare.prompt, bare.worn) == ("a bowl", ())


def test_prompt_lines_and_their_options() -> None:
    found = prompts.line_of("mira, from behind --n low quality, bad --w 512 --d 7 --l 7.5 --m 0.6")
    assert found == prompts.Asked("mira, from behind", 7, 0.6)
    assert prompts.line_of("a well-lit room") == prompts.Asked("a well-lit room")


def test_ai_toolkit_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "job: extension\nconfig:\n  process:\n    - sample:\n        seed: 42\n        walk_seed: true\n"
        '        prompts: ["mira portrait --m 0.7", "mira boots --d 5"]\n'
    )
    assert prompts.read(file) == [prompts.Asked("mira portrait", 42, 0.7), prompts.Asked("mira boots", 5)]
    file.write_text("config: [unclosed")
    with pytest.raises(InputError, match="not valid YAML"):
        prompts.read(file)


def draw(path: Path, info: dict[str, str] | None = None, shade: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    chunk = PngInfo()
    for key, value in (info or {}).items():
        chunk.add_text(key, value)
    Image.new("RGB", (16, 16), (shade, 20, 30)).save(path, **({"pnginfo": chunk} if path.suffix == ".png" else {}))


def test_kohya_folder_with_its_prompt_file(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("# faces\nmira, portrait --d 3\nmira, from behind --d 4\n")
    for epoch in (1, 2):
        for index in (0, 1):
            draw(tmp_path / f"mira_e{epoch:06}_{index:02}_2023081412030{epoch}.png")
    found = samples.read(tmp_path, ScanConfig())
    assert [s.at[2] for s in found.samples] == ["epoch 1", "epoch 1", "epoch 2", "epoch 2"]
    assert {(s.prompt, s.seed) for s in found.samples} == {("mira, portrait", 3), ("mira, from behind", 4)}
    assert "taken as made at weight 1" in found.notes[0]
    assert found.readers == {"kohya": 4}


def test_a_repeated_sample_replaces_the_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("mira\n")
    draw(tmp_path / "000100_00_20230814120301_7.png")
    draw(tmp_path / "000100_00_20230815120301_7.png")
    found = samples.read(tmp_path, ScanConfig())
    assert [s.path for s in found.samples] == ["000100_00_20230815120301_7.png"]


def test_base_pictures_sort_first_whether_by_step_or_by_weight(tmp_path: Path) -> None:
    draw(tmp_path / "1724500000123__000000000_0.jpg")
    draw(tmp_path / "1724500000124__000000500_0.jpg")
    draw(tmp_path / "step500_w0_seed1.png")
    assert [s.at[2] for s in samples.read(tmp_path, ScanConfig()).samples] == ["base", "base", "step 500"]


def test_comfy_folder(tmp_path: Path) -> None:
    draw(tmp_path / "first_00001_.png", {"prompt": json.dumps(graph()), "workflow": "{}"})
    draw(tmp_path / "unrelated.png", {"prompt": "not json"})
    found = samples.read(tmp_path, ScanConfig())
    (sample,) = found.samples
    assert (sample.at[2], sample.weight, sample.seed) == ("step 1,000", 0.8, 77)
    assert found.unknown == ("unrelated.png",)


def test_a_run_of_ours_is_read_from_its_table_and_its_grids_are_no_samples(tmp_path: Path) -> None:
    plan = GenerationPlan(prompts=("mira, from behind",), seeds=(3,), weights=(0.0, 0.8), guidance=7)
    setting = grids.Setting(plan, "toon", "run-1", (16, 16), {})
    drawn = [Sample(Image.new("RGB", (16, 16)), plan.prompts[0], 0, 3, weight) for weight in plan.weights]
    grids.save(drawn, tmp_path / "samples" / "step-000500", setting)
    found = samples.read(tmp_path, ScanConfig())
    assert [(s.at[2], s.weight, s.prompt, s.seed) for s in found.samples] == [
        ("base", 0.0, "mira, from behind", 3),
        ("step 500", 0.8, "mira, from behind", 3),
    ]
    assert found.readers == {"our runs": 2}
    assert found.unknown == ()


def test_a_picture_of_ours_tells_its_making_without_the_table(tmp_path: Path) -> None:
    plan = GenerationPlan(prompts=("mira",), seeds=(4,), weights=(0.5,), guidance=7)
    setting = grids.Setting(plan, "toon", "mira-step00000300.safetensors", (16, 16), {})
    drawn = Sample(Image.new("RGB", (16, 16)), "mira", 0, 4, 0.5)
    draw(tmp_path / "a.png", grids.texts(drawn, setting))
    (sample,) = samples.read(tmp_path, ScanConfig()).samples
    assert (sample.reader, sample.step, sample.weight, sample.prompt, sample.seed) == ("our runs", 300, 0.5, "mira", 4)


def test_folders_that_tell_nothing_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture"):
        samples.read(tmp_path, ScanConfig())
    draw(tmp_path / "holiday.png")
    with pytest.raises(InputError, match="Name them like"):
        samples.read(tmp_path, ScanConfig())


def test_damaged_files_and_hostile_metadata_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert metadata.read(tmp_path / "broken.png") is None
    draw(tmp_path / "odd.png", {"prompt": '{"1": {"class_type": "X", "inputs": {"seed": [1, 2, 3], "lora": null}}}'})
    found = metadata.read(tmp_path / "odd.png")
    assert found is not None
    assert (found.seed, found.prompt, found.worn) == (None, None, ())
