"""The grid: enough to answer everything, drawable by ComfyUI and by us, and readable by pick afterwards."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import pytest

from training.commands import generate
from training.picking import grid, metadata, names

PLAN = grid.plan("mira", ["mira, smiling"], ["m-step00000500.safetensors", "m.safetensors"], "sd15.safetensors", 512)


def test_the_plan_has_views_novel_scenes_unrelated_prompts_and_the_base() -> None:
    assert PLAN.prompts[0] == "mira, smiling"
    assert 0.0 in PLAN.weights
    assert sum("mira" not in prompt for prompt in PLAN.prompts) >= 3
    assert any("from behind" in prompt for prompt in PLAN.prompts)
    assert PLAN.pictures == len(PLAN.prompts) * 4 * (1 + 2 * 4)


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_every_picture_of_a_workflow_can_be_read_back(weight: float) -> None:
    graph = grid.workflow(PLAN, PLAN.loras[0], weight)
    savers = {n: node["inputs"] for n, node in graph.items() if node["class_type"] == "SaveImage"}
    assert len(savers) == len(PLAN.prompts) * len(PLAN.seeds)
    told = set()
    for inputs in savers.values():
        found = metadata.comfy(graph, f"{inputs['filename_prefix'].rpartition('/')[2]}_00001_.png")
        (worn,) = found.worn
        assert worn.weight == weight
        assert worn.name is not None
        assert names.checkpoint(worn.name) == (500, None)
        told.add((found.prompt, found.seed))
    assert told == {(prompt, seed) for prompt in PLAN.prompts for seed in PLAN.seeds}


def test_links_of_a_workflow_lead_to_nodes_and_the_base_has_no_lora() -> None:
    graph = grid.workflow(PLAN, None, 0.0)
    assert "LoraLoader" not in {node["class_type"] for node in graph.values()}
    for node in graph.values():
        links = [v for v in node["inputs"].values() if isinstance(v, list)]
        assert all(link[0] in graph for link in links)
    assert metadata.comfy(graph, "base_prompt00_seed11_00001_.png").worn == ()


def test_commands_are_understood_by_generate() -> None:
    for number, line in enumerate(grid.commands(PLAN)):
        words = shlex.split(line)
        assert words[:2] == ["diversity", "generate"]
        parser = argparse.ArgumentParser()
        generate.arguments(parser, "generate")
        options = parser.parse_args(words[2:])
        assert tuple(options.prompt) == PLAN.prompts
        assert tuple(range(options.first_seed, options.first_seed + options.seeds)) == PLAN.seeds
        assert ("0" in options.weights.split(",")) is (number == 0)


def test_what_is_not_known_is_named_in_the_readme(tmp_path: Path) -> None:
    files = grid.write(grid.plan(None, [], [], None, 768), tmp_path)
    text = (tmp_path / "README.txt").read_text()
    for word in ("TRIGGER", "LORA.safetensors", "BASE.safetensors"):
        assert word in text
    assert all(json.loads(file.read_text()) for file in files if file.suffix == ".json")


def test_a_new_grid_replaces_the_workflows_of_the_last_one(tmp_path: Path) -> None:
    grid.write(grid.plan("mira", [], ["old.safetensors"], None, 512), tmp_path)
    grid.write(grid.plan("mira", [], ["new.safetensors"], None, 512), tmp_path)
    assert not any("old" in file.name for file in (tmp_path / "comfyui").iterdir())
