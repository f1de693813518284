"""Claims checked by other people's loaders: our files mean to diffusers and PEFT what they mean to us."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_lora import answer, stir

from training import base as bases
from training import lora
from training.base import Base
from training.drawing import plan
from training.generate import generate, initial_noise
from training.lora import LoraSettings
from training.lora_files import LoraWeights, read, write

# Other ranks and alphas for some layers. Not for attention's alpha, and not for text: there diffusers' reader of kohya
# files (0.42) takes the commonest alpha for all layers.
SHAPE = LoraSettings(
    rank=4,
    alpha=2,
    targets="all-linear",
    conv_rank=3,
    conv_alpha=1,
    text_encoder=True,
    rank_pattern={r"attn2\.to_v": 2},
    alpha_pattern={r"ff\.net\.2": 3},
)
PROMPT = "a girl, red hat"


def drawn(pipeline: Any, base: Base) -> NDArray[np.int16]:
    """diffusers' own pipeline on our noise and settings."""
    pipeline.set_progress_bar_config(disable=True)
    noise = initial_noise(base, 5, (64, 64))[None]
    out = pipeline(PROMPT, latents=noise, num_inference_steps=2, guidance_scale=7.0, width=64, height=64)
    return np.asarray(out.images[0]).astype(np.int16)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_files_loaded_by_diffusers_draw_the_pictures_of_our_own_adapter(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base: Base = request.getfixturevalue(kind)
    fresh = bases.load(base.name, device="cpu")
    adapter = stir(lora.attach(base, SHAPE))
    files = lora.save(adapter, tmp_path, "run")
    wanted = plan(prompts=[PROMPT], seeds=[5], weights=[0, 1], steps=2, guidance=7)
    before, ours = (np.asarray(s.picture).astype(np.int16) for s in generate(base, [adapter], wanted))
    pipeline = fresh.pipeline()
    assert np.abs(drawn(pipeline, fresh) - before).max() <= 1
    for file in files:
        pipeline.load_lora_weights(str(tmp_path), weight_name=file.name, adapter_name=file.stem.replace(".", "_"))
        theirs = drawn(pipeline, fresh)
        assert np.abs(theirs - ours).max() <= 1, file.name
        pipeline.unload_lora_weights()
    assert np.abs(ours - before).max() > 3


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_a_dora_in_diffusers_layout_draws_the_same_through_diffusers(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base: Base = request.getfixturevalue(kind)
    fresh = bases.load(base.name, device="cpu")
    adapter = stir(lora.attach(base, LoraSettings(rank=4, alpha=2, conv_rank=2, text_encoder=True, dora=True)))
    lora.save(adapter, tmp_path, "run")
    pipeline = fresh.pipeline()
    pipeline.load_lora_weights(str(tmp_path), weight_name="pytorch_lora_weights.safetensors")
    torch.testing.assert_close(answer(fresh), answer(base), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dora", [False, True])
def test_peft_folders_load_with_peft(sdxl: Base, tmp_path: Path, dora: bool) -> None:
    from peft import PeftModel

    fresh = bases.load(sdxl.name, device="cpu")
    adapter = stir(lora.attach(sdxl, SHAPE.model_copy(update={"dora": dora})))
    write(adapter.weights(), tmp_path, "peft")
    models = {"unet": fresh.unet, "text_encoder": fresh.text_encoders[0], "text_encoder_2": fresh.text_encoders[1]}
    for part, model in models.items():
        wrapped = PeftModel.from_pretrained(model, str(tmp_path / part))
        loaded = [key for key in wrapped.state_dict() if "lora_A" in key]
        assert len(loaded) == len(adapter.weights().of(part))
    torch.testing.assert_close(answer(fresh), answer(sdxl), rtol=1e-4, atol=1e-4)


def test_what_peft_itself_saves_is_read_back(sd1: Base, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    shape = LoraConfig(
        r=4, lora_alpha=6, target_modules=["to_q", "conv1"], rank_pattern={"to_q": 2}, use_dora=True, use_rslora=True
    )
    model = get_peft_model(copy.deepcopy(sd1.unet), shape)
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(str(tmp_path / "unet"))
    theirs = Base(**{**_fields(sd1), "unet": model.base_model.model, "adapters": {}})
    lora.load(sd1, tmp_path, name="read")
    torch.testing.assert_close(answer(sd1), answer(theirs), rtol=1e-4, atol=1e-4)


def test_what_diffusers_itself_saves_is_read_back(sd1: Base, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from diffusers.training_utils import _collate_lora_metadata
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    theirs = bases.load(sd1.name, device="cpu")
    theirs.unet.add_adapter(LoraConfig(r=4, lora_alpha=9, target_modules=["to_q", "to_v"], alpha_pattern={"to_v": 2}))
    torch.manual_seed(0)
    for name, parameter in theirs.unet.named_parameters():
        if "lora_" in name:
            parameter.data += torch.randn_like(parameter) * 0.1
    StableDiffusionPipeline.save_lora_weights(
        tmp_path, get_peft_model_state_dict(theirs.unet), **_collate_lora_metadata({"unet": theirs.unet})
    )
    lora.load(sd1, tmp_path, name="read")
    torch.testing.assert_close(answer(sd1), answer(theirs), rtol=1e-5, atol=1e-5)
    assert {layer.alpha for layer in read(tmp_path).layers.values()} == {9.0, 2.0}


def test_keys_of_ours_are_ignored_by_diffusers(sd1: Base, tmp_path: Path) -> None:
    adapter = stir(lora.attach(sd1, LoraSettings(rank=2)))
    weights = LoraWeights(adapter.weights().layers, {"diversity_anything": "x" * 10_000})
    write(weights, tmp_path / "x.safetensors", "kohya", family="sd1")
    fresh = bases.load(sd1.name, device="cpu")
    fresh.pipeline().load_lora_weights(str(tmp_path), weight_name="x.safetensors")
    torch.testing.assert_close(answer(fresh), answer(sd1), rtol=1e-5, atol=1e-5)


def _fields(base: Base) -> dict[str, Any]:
    names = ("name", "family", "vae", "text_encoders", "tokenizers", "scheduler", "device", "dtype")
    return {name: getattr(base, name) for name in names}
