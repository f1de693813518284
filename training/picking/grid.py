"""A grid of prompts × seeds × weights × checkpoints that would answer what the samples at hand cannot.

Not for drawing it: ComfyUI does, from one API-format workflow for each checkpoint and weight, or our `generate`, by the
commands of `generate.txt`. `pick` reads the results of either.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diversity import workspace
from training.picking.names import checkpoint

SEEDS = (11, 12, 13, 14)  # in a row: `generate` counts up
WEIGHTS = (0.0, 0.5, 0.7, 0.85, 1.0)
VIEWS = (
    "headshot, from the front",
    "half body, three-quarter view",
    "full body, from the front",
    "full body, from the side",
    "full body, from behind",
)
NOVEL = ("full body, riding a bicycle in the rain", "half body, wearing a yellow raincoat, in a library")
UNRELATED = ("a bowl of fruit on a wooden table", "a lighthouse on a cliff at noon", "a grey cat asleep on a sofa")


@dataclass(frozen=True)
class Grid:
    """What to draw.

    Attributes:
        prompts: With the subject's word, then without it.
        seeds: The same for every prompt, weight and checkpoint.
        weights: Of the LoRA; 0 is the base, drawn once.
        loras: File names of the checkpoints.
        base: File name of the base model.
        size: Pixels.
        steps: Of the sampler.
        guidance: Classifier-free guidance scale.
        negative: Negative prompt.
    """

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    weights: tuple[float, ...]
    loras: tuple[str, ...]
    base: str
    size: int = 512
    steps: int = 25
    guidance: float = 7.0
    negative: str = "lowres, blurry"

    @property
    def pictures(self) -> int:
        """How many will be drawn."""
        return len(self.prompts) * len(self.seeds) * (1 + len(self.loras) * sum(w != 0 for w in self.weights))


def plan(word: str | None, known: Sequence[str], loras: Sequence[str], base: str | None, size: int) -> Grid:
    """The least grid that answers everything: five views, two novel scenes, three unrelated, four seeds.

    Args:
        word: The subject's trigger; None: the prompts say TRIGGER, to be replaced.
        known: Prompts already in use; they are kept in front, so that old samples stay comparable.
        loras: File names of checkpoints; none: a placeholder to be replaced.
        base: File name of the base model; None: a placeholder.
        size: Pixels.
    """
    subject = word or "TRIGGER"
    asked = [f"{subject}, {view}" for view in (*VIEWS, *NOVEL)]
    prompts = tuple(dict.fromkeys((*known, *asked, *UNRELATED)))
    return Grid(prompts, SEEDS, WEIGHTS, tuple(loras) or ("LORA.safetensors",), base or "BASE.safetensors", size)


def write(grid: Grid, folder: Path) -> list[Path]:
    """Write one ComfyUI workflow per checkpoint and weight, commands, `grid.json`, and how to use them; the files.

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    files = {"grid.json": json.dumps(asdict(grid), indent=1, ensure_ascii=False), "README.txt": _readme(grid)}
    files["generate.txt"] = "\n".join(commands(grid)) + "\n"
    files["comfyui/base.json"] = _text(workflow(grid, None, 0.0))
    for lora in grid.loras:
        for weight in grid.weights:
            if weight:
                files[f"comfyui/{_slug(lora)}_w{weight:.2f}.json"] = _text(workflow(grid, lora, weight))
    for old in (folder / "comfyui").glob("*.json"):  # of an earlier grid, perhaps of other checkpoints
        old.unlink()
    for name, text in files.items():
        workspace.write_text(folder / name, text)
    return [folder / name for name in files]


def workflow(grid: Grid, lora: str | None, weight: float) -> dict[str, Any]:
    """ComfyUI's API format: every prompt × seed at one weight of one LoRA (None: the base), one saver each."""
    nodes: dict[str, Any] = {
        "base": _node("CheckpointLoaderSimple", ckpt_name=grid.base),
        "size": _node("EmptyLatentImage", width=grid.size, height=grid.size, batch_size=1),
    }
    model, clip = ["base", 0], ["base", 1]
    if lora is not None:
        nodes["lora"] = _node(
            "LoraLoader", lora_name=lora, strength_model=weight, strength_clip=weight, model=model, clip=clip
        )
        model, clip = ["lora", 0], ["lora", 1]
    nodes["negative"] = _node("CLIPTextEncode", text=grid.negative, clip=clip)
    stem = "base" if lora is None else f"{_slug(lora)}_w{weight:.2f}"
    for p, prompt in enumerate(grid.prompts):
        nodes[f"p{p}"] = _node("CLIPTextEncode", text=prompt, clip=clip)
        for seed in grid.seeds:
            name = f"p{p}s{seed}"
            nodes[f"{name}-sample"] = _node(
                "KSampler",
                seed=seed,
                steps=grid.steps,
                cfg=grid.guidance,
                sampler_name="euler",
                scheduler="normal",
                denoise=1.0,
                model=model,
                positive=[f"p{p}", 0],
                negative=["negative", 0],
                latent_image=["size", 0],
            )
            nodes[f"{name}-decode"] = _node("VAEDecode", samples=[f"{name}-sample", 0], vae=["base", 2])
            prefix = f"pick/{stem}_prompt{p:02d}_seed{seed}"
            nodes[f"{name}-save"] = _node("SaveImage", filename_prefix=prefix, images=[f"{name}-decode", 0])
    return nodes


def commands(grid: Grid) -> list[str]:
    """A `diversity generate` command for each checkpoint; the first draws the base too."""
    found = []
    for number, lora in enumerate(grid.loras):
        weights = [f"{weight:g}" for weight in grid.weights if weight or not number]
        words = ["diversity", "generate", lora, "--base", grid.base, "--weights", ",".join(weights)]
        words += ["--seeds", str(len(grid.seeds)), "--first-seed", str(grid.seeds[0]), "--size", str(grid.size)]
        words += ["--steps", str(grid.steps), "--guidance", f"{grid.guidance:g}", "--negative", grid.negative]
        words += ["--out", f"pick/{_slug(lora)}", *(part for prompt in grid.prompts for part in ("--prompt", prompt))]
        found.append(shlex.join(words))
    return found


def _node(kind: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _slug(name: str) -> str:
    """A LoRA's file name as part of another file name; its step or epoch stays readable."""
    stem = re.sub(r"[^\w.-]+", "-", Path(name.replace("\\", "/")).name.removesuffix(".safetensors"))
    step, epoch = checkpoint(name)
    spelt = f"step{step}" if step is not None else f"epoch{epoch}" if epoch is not None else ""
    return stem if not spelt or spelt in stem else f"{stem}_{spelt}"


def _readme(grid: Grid) -> str:
    todo = []
    if any("TRIGGER" in prompt for prompt in grid.prompts):
        todo.append("Replace TRIGGER in the files by your trigger word.")
    if "LORA.safetensors" in grid.loras:
        todo.append(
            "Replace LORA.safetensors by your checkpoints, one copy of the file each (or run pick with --lora)."
        )
    if grid.base == "BASE.safetensors":
        todo.append("Replace BASE.safetensors by your base model's file (or run pick with --base).")
    return "\n".join(
        [
            f"{grid.pictures} pictures: {len(grid.prompts)} prompts x {len(grid.seeds)} seeds, the base once and "
            f"{len(grid.loras)} checkpoint(s) at {sum(w != 0 for w in grid.weights)} weights.",
            *todo,
            "",
            "ComfyUI: load each file of comfyui/ (Workflow > Open, or drop it on the window) and queue it once,",
            'or post {"prompt": <the file>} to /prompt. The pictures land in output/pick/ and tell their settings.',
            "diversity: run the commands of generate.txt; the pictures land in pick/.",
            "",
            "Then run: diversity pick PICTURES --samples <folder of the new pictures>",
            "",
        ]
    )
