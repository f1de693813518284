"""Base models in one .safetensors file, as model sites offer them: recognised by their keys, read without the network.

The file holds weights only; sizes and the noise schedule of the three families are here, their text vocabulary is
open_clip's. `.ckpt` files can run code when read and are refused.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.bases.folder import Family, unreadable, untrainable
from training.errors import BaseModelError

if TYPE_CHECKING:
    import torch

_UNET = "model.diffusion_model."
_FIRST = f"{_UNET}input_blocks.0.0.weight"
# Mark at the beginning of some key → what it is, in the order to look.
OTHERS = (
    ("conditioner.embedders.0.model.", "the SDXL refiner"),
    (f"{_UNET}joint_blocks.", "Stable Diffusion 3"),
    ("joint_blocks.", "Stable Diffusion 3"),
    (f"{_UNET}double_blocks.", "FLUX"),
    ("double_blocks.", "FLUX"),
    ("lora_", "a LoRA, not a base model"),
    ("unet.", "a LoRA or part of a model, not a whole base model"),
)
CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    "eos_token_id": 49407,
    "bos_token_id": 49406,
}
CLIP_H = {
    **CLIP_L,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "projection_dim": 512,
    "hidden_act": "gelu",
}
CLIP_G = {
    **CLIP_L,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
# Sizes of the published models, where they differ from diffusers' defaults.
CONFIGS: dict[Family, dict[str, dict[str, Any]]] = {
    "sd1": {
        "unet": {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
        "vae": {**VAE, "sample_size": 512, "scaling_factor": 0.18215},
        "text_encoder": CLIP_L,
    },
    "sd2": {
        "unet": {
            "sample_size": 96,
            "cross_attention_dim": 1024,
            "attention_head_dim": [5, 10, 20, 20],
            "use_linear_projection": True,
        },
        "vae": {**VAE, "sample_size": 768, "scaling_factor": 0.18215},
        "text_encoder": CLIP_H,
    },
    "sdxl": {
        "unet": {
            "sample_size": 128,
            "cross_attention_dim": 2048,
            "block_out_channels": [320, 640, 1280],
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            "attention_head_dim": [5, 10, 20],
            "transformer_layers_per_block": [1, 2, 10],
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        "vae": {**VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
        "text_encoder": CLIP_L,
        "text_encoder_2": CLIP_G,
    },
}
CLASSES = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
}
SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "steps_offset": 1,
}
WINDOW = 77  # tokens that CLIP's text encoders see


def load_file(file: Path, dtype: torch.dtype) -> tuple[Family, dict[str, Any]]:
    """Family and parts (by diffusers' names, on the CPU) of a single file.

    Raises:
        BaseModelError: it is broken, incomplete, or of a family that is not trained here, which is named.
    """
    import diffusers
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        raise BaseModelError(
            f"{file.name} is not a safetensors file.", "Other files can run code when read.", "Convert it first."
        )
    try:
        with safe_open(file, framework="pt") as opened:
            shapes = {key: opened.get_slice(key).get_shape() for key in opened.keys()}  # noqa: SIM118
            metadata = dict(opened.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise unreadable(str(file), error) from None
    family = recognise(file, shapes)
    schedule = schedule_of(file, family, shapes, metadata)
    kind: Any = diffusers.StableDiffusionXLPipeline if family == "sdxl" else diffusers.StableDiffusionPipeline
    unused = {"feature_extractor": None, "image_encoder": None}
    unused |= {} if family == "sdxl" else {"safety_checker": None}
    with tempfile.TemporaryDirectory() as folder:
        _write_configs(Path(folder), family, kind.__name__)
        try:
            pipeline = kind.from_single_file(
                str(file),
                config=folder,
                dtype=dtype,
                local_files_only=True,
                scheduler=schedule,
                **tokenizers(family),
                **unused,
            )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise unreadable(str(file), error) from None
    parts: dict[str, Any] = dict(pipeline.components)
    return family, parts


def recognise(file: Path, shapes: dict[str, Any]) -> Family:
    """The family of a file by its keys and shapes.

    Raises:
        BaseModelError: it is of a family that is not trained here, no base model at all, or lacks a part.
    """
    starts: dict[str, Family] = {
        "conditioner.embedders.1.model.": "sdxl",
        "cond_stage_model.model.": "sd2",
        "cond_stage_model.transformer.": "sd1",
    }
    found = next((family for mark, family in starts.items() if any(key.startswith(mark) for key in shapes)), None)
    if found is None or _FIRST not in shapes:
        named = next((what for mark, what in OTHERS if any(key.startswith(mark) for key in shapes)), None)
        raise untrainable(str(file), named or "not a whole Stable Diffusion model")
    if shapes[_FIRST][1] != 4:
        raise untrainable(str(file), f"an inpainting or editing model ({shapes[_FIRST][1]} input channels)")
    if not any(key.startswith("first_stage_model.") for key in shapes):
        raise BaseModelError(f"{file.name} is incomplete.", "It holds no VAE.", "Use a file or folder with all parts.")
    return found


def schedule_of(file: Path, family: Family, shapes: dict[str, Any], metadata: dict[str, str]) -> Any:  # noqa: ANN401
    """The noise schedule: v-prediction and zero terminal SNR where the file says so, by marker keys or its header.

    Raises:
        BaseModelError: a Stable Diffusion 2 file does not say; both kinds are about.
    """
    import diffusers

    said = metadata.get("modelspec.prediction_type", "").lower()
    architecture = metadata.get("modelspec.architecture", "")
    velocity = "v_pred" in shapes or said.startswith("v") or architecture.endswith("768-v")
    if family == "sd2" and not (velocity or said or architecture):
        raise BaseModelError(
            f"Whether {file.name} predicts noise or velocity is not known.",
            "Stable Diffusion 2 files do both, and this one does not say.",
            "Use the model's diffusers folder.",
        )
    zero = "ztsnr" in shapes or metadata.get("ss_zero_terminal_snr") == "True"
    scheduler: Any = diffusers.DDPMScheduler
    return scheduler(
        **SCHEDULE,
        prediction_type="v_prediction" if velocity else "epsilon",
        rescale_betas_zero_snr=zero,
        timestep_spacing="trailing" if zero else "leading",
    )


def tokenizers(family: Family) -> dict[str, Any]:
    """CLIP's tokenizers, from the vocabulary that comes with open_clip; the newer text encoders pad with "!"."""
    first = _clip_tokenizer("!" if family == "sd2" else "<|endoftext|>")
    return {"tokenizer": first} | ({"tokenizer_2": _clip_tokenizer("!")} if family == "sdxl" else {})


def _clip_tokenizer(pad: str) -> Any:  # noqa: ANN401
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    source: Any = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): number for token, number in source.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(source.bpe_ranks), pad_token=pad, model_max_length=WINDOW)


def _write_configs(folder: Path, family: Family, pipeline: str) -> None:
    """The small JSON files of a diffusers folder, which say how large everything is."""
    index: dict[str, Any] = {"_class_name": pipeline}
    index |= {name: ["transformers", "CLIPTokenizer"] for name in tokenizer_names(family)}
    index["scheduler"] = ["diffusers", "DDPMScheduler"]
    for part, config in CONFIGS[family].items():
        library, name = CLASSES[part]
        index[part] = [library, name]
        kind = (
            {"_class_name": name}
            if library == "diffusers"
            else {"architectures": [name], "model_type": "clip_text_model"}
        )
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps({**kind, **config}), encoding="utf-8")
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")


def tokenizer_names(family: Family) -> tuple[str, ...]:
    """Names of the tokenizers among the parts."""
    return ("tokenizer", "tokenizer_2") if family == "sdxl" else ("tokenizer",)
