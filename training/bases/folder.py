"""Base models in diffusers' folder layout: which family it is, and its parts loaded from disk.

Not for single files (`single_file.py`) and never for the network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.errors import BaseModelError

if TYPE_CHECKING:
    import torch

Family = Literal["sd1", "sd2", "sdxl"]

SD = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
SDXL = ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline")
# Pipeline class → what a person calls it; longest prefix wins, other classes are named as they are.
OTHERS = {
    "StableDiffusion3": "Stable Diffusion 3",
    "StableDiffusionInpaint": "a Stable Diffusion inpainting model",
    "StableDiffusionXLInpaint": "an SDXL inpainting model",
    "StableDiffusionInstructPix2Pix": "an InstructPix2Pix model",
    "StableDiffusionUpscale": "a Stable Diffusion upscaler",
    "StableCascade": "Stable Cascade",
    "Flux2": "FLUX.2",
    "Flux": "FLUX.1",
    "PixArt": "PixArt",
    "Kandinsky": "Kandinsky",
    "HunyuanDiT": "Hunyuan-DiT",
    "HunyuanVideo": "HunyuanVideo",
    "Lumina": "Lumina",
    "AuraFlow": "AuraFlow",
    "QwenImage": "Qwen-Image",
    "ZImage": "Z-Image",
    "Sana": "Sana",
    "Wan": "Wan",
    "Chroma": "Chroma",
}
ELSEWHERE = (
    "Train it with a trainer made for it: `diversity export` writes the selection for several, "
    "and its sample pictures can still be judged here."
)


def family_of(folder: Path) -> Family:
    """The family of the model in `folder`, from its small JSON files alone.

    Raises:
        BaseModelError: it is not a diffusers folder, or of a family that is not trained here, which is named.
    """
    index = _json(folder / "model_index.json")
    name = str(index.get("_class_name", ""))
    if name not in SD + SDXL:
        raise untrainable(str(folder), _called(name))
    unet, vae = _json(folder / "unet" / "config.json"), _json(folder / "vae" / "config.json")
    if unet.get("in_channels", 4) != vae.get("latent_channels", 4):
        raise untrainable(str(folder), f"an inpainting or editing model ({unet['in_channels']} input channels)")
    if vae.get("latents_mean") or vae.get("latents_std"):
        raise untrainable(str(folder), "a model with its own noise convention (latents_mean in its VAE)")
    if name in SDXL:
        if not (folder / "text_encoder").is_dir():
            raise untrainable(str(folder), "the SDXL refiner")
        return "sdxl"
    return "sd2" if unet.get("cross_attention_dim") == 1024 else "sd1"


def load_parts(folder: Path, family: Family, dtype: torch.dtype) -> dict[str, Any]:
    """The pipeline's parts by their diffusers names, on the CPU.

    Raises:
        BaseModelError: a part is missing or broken.
    """
    import diffusers

    kind: Any = diffusers.StableDiffusionXLPipeline if family == "sdxl" else diffusers.StableDiffusionPipeline
    unused: dict[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
    if family == "sdxl":
        unused = {"add_watermarker": False}
    try:
        pipeline = kind.from_pretrained(
            folder,
            dtype=dtype,
            variant=_variant(folder / "unet"),
            local_files_only=True,
            feature_extractor=None,
            image_encoder=None,
            **unused,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise unreadable(str(folder), error) from None
    parts: dict[str, Any] = dict(pipeline.components)
    return parts


def untrainable(where: str, what: str) -> BaseModelError:
    """The error that names a family that is not trained here."""
    return BaseModelError(
        f"{where} is {what}.", "LoRAs are trained here for Stable Diffusion 1.5, 2 and XL.", ELSEWHERE
    )


def unreadable(where: str, error: Exception) -> BaseModelError:
    """The error for a model that is there but broken."""
    text = str(error).strip()
    reason = text.splitlines()[0].rstrip(".") if text else type(error).__name__
    return BaseModelError(f"The base model {where} could not be loaded.", f"{reason}.", "Check the folder or file.")


def _called(name: str) -> str:
    found = max((prefix for prefix in OTHERS if name.startswith(prefix)), key=len, default=None)
    return OTHERS[found] if found else f"a model of the kind {name or 'unknown'}"


def _variant(folder: Path) -> str | None:
    """`fp16` where a download left only those weights."""
    plain = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
    sharded = "diffusion_pytorch_model.safetensors.index.json"
    if any((folder / name).is_file() for name in (*plain, sharded)):
        return None
    return "fp16" if any(folder.glob("diffusion_pytorch_model.fp16*")) else None


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise BaseModelError(
            f"{file.parent} holds no diffusers model.",
            f"There is no {file.name} in it.",
            "Give a folder saved by diffusers, a hub name, or a single .safetensors file.",
        ) from None
    except ValueError as error:
        raise unreadable(str(file), error) from None
    return found if isinstance(found, dict) else {}
