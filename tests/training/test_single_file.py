"""Claims about base models in one file: read whole without the network, their kind recognised or named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from original import write_original
from safetensors.torch import load_file, save_file

from training import base as bases
from training.base import Base
from training.bases import single_file
from training.errors import BaseModelError


@pytest.fixture
def small(sdxl: Base, monkeypatch: pytest.MonkeyPatch) -> Base:
    """The reader knows the tiny model's sizes in place of SDXL's; all else is as for real files."""
    modules = {"unet": sdxl.unet, "vae": sdxl.vae}
    modules |= dict(zip(("text_encoder", "text_encoder_2"), sdxl.text_encoders, strict=True))
    hidden = ("_class_name", "_diffusers_version", "_name_or_path", "architectures", "model_type")
    configs = {
        part: {k: v for k, v in _plain(module.config).items() if k not in hidden} for part, module in modules.items()
    }
    monkeypatch.setitem(single_file.CONFIGS, "sdxl", configs)
    given = dict(zip(("tokenizer", "tokenizer_2"), sdxl.tokenizers, strict=True))
    monkeypatch.setattr(single_file, "tokenizers", lambda family: given)
    return sdxl


def _plain(config: Any) -> dict[str, Any]:
    return dict(config.to_dict() if hasattr(config, "to_dict") else config)


def test_a_single_file_is_the_same_model_as_its_folder(small: Base, tmp_path: Path) -> None:
    file = write_original(small, tmp_path / "模型.safetensors")
    base = bases.load(file, device="cpu")
    assert base.family == "sdxl"
    assert base.fingerprint == small.fingerprint
    assert (base.prediction_type, base.zero_terminal_snr) == ("epsilon", False)
    with torch.no_grad():
        states = base.encode_prompts(["a girl"])
        assert torch.equal(states.states, small.encode_prompts(["a girl"]).states)
        assert torch.equal(states.pooled, small.encode_prompts(["a girl"]).pooled)


def test_v_prediction_derivatives_are_told_by_their_markers(small: Base, tmp_path: Path) -> None:
    marks = {"v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}
    base = bases.load(write_original(small, tmp_path / "v.safetensors", extra=marks), device="cpu")
    assert (base.prediction_type, base.zero_terminal_snr) == ("v_prediction", True)
    tensors = load_file(write_original(small, tmp_path / "plain.safetensors"))
    save_file(tensors, tmp_path / "told.safetensors", {"modelspec.prediction_type": "v"})
    told = bases.load(tmp_path / "told.safetensors", device="cpu")
    assert (told.prediction_type, told.zero_terminal_snr) == ("v_prediction", False)


FIRST = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(4, 4, 3, 3)}
SD1 = {**FIRST, "cond_stage_model.transformer.text_model.x": torch.zeros(1)}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"model.diffusion_model.joint_blocks.0.x": torch.zeros(1)}, "Stable Diffusion 3"),
        ({"double_blocks.0.x": torch.zeros(1)}, "FLUX"),
        ({**FIRST, "conditioner.embedders.0.model.x": torch.zeros(1)}, "refiner"),
        ({"lora_unet_x.lora_up.weight": torch.zeros(1)}, "a LoRA"),
        ({"something": torch.zeros(1)}, "not a whole"),
        ({**SD1, next(iter(FIRST)): torch.zeros(4, 9, 3, 3)}, "9 input channels"),
        (SD1, "no VAE"),
        (
            {**FIRST, "cond_stage_model.model.x": torch.zeros(1), "first_stage_model.x": torch.zeros(1)},
            "noise or velocity",
        ),
    ],
)
def test_files_that_cannot_be_trained_are_named(keys: dict[str, torch.Tensor], told: str, tmp_path: Path) -> None:
    save_file(keys, tmp_path / "x.safetensors")
    with pytest.raises(BaseModelError, match=told):
        bases.load(tmp_path / "x.safetensors", device="cpu")


def test_broken_files_and_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    (tmp_path / "x.ckpt").write_bytes(b"nothing")
    with pytest.raises(BaseModelError, match="could not be loaded"):
        bases.load(tmp_path / "x.safetensors", device="cpu")
    with pytest.raises(BaseModelError, match="run code"):
        bases.load(tmp_path / "x.ckpt", device="cpu")


@pytest.mark.parametrize(
    ("family", "part", "parameters"),
    [  # as published
        ("sd1", "unet", 859_520_964),
        ("sd1", "text_encoder", 123_060_480),
        ("sd1", "vae", 83_653_863),
        ("sd2", "unet", 865_910_724),
        ("sd2", "text_encoder", 340_387_840),
        ("sdxl", "unet", 2_567_463_684),
        ("sdxl", "text_encoder_2", 694_659_840),
    ],
)
def test_the_known_families_have_their_published_sizes(family: str, part: str, parameters: int) -> None:
    import diffusers
    import transformers

    config = single_file.CONFIGS[family][part]  # type: ignore[index]
    library, name = single_file.CLASSES[part]
    with torch.device("meta"):
        if library == "diffusers":
            model = getattr(diffusers, name).from_config(config)
        else:
            model = getattr(transformers, name)(transformers.CLIPTextConfig(**config))
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_text_vocabulary_is_clips() -> None:
    import open_clip

    first, second = single_file.tokenizers("sdxl").values()
    for text in ("a photo of a cat", "1girl, (hat), it's 红色 résumé", "", "long " * 90):
        expected = open_clip.get_tokenizer("ViT-L-14")(text)[0]
        ours = first(text, padding="max_length", truncation=True)["input_ids"]
        end = int(expected.argmax())
        assert ours[: end + 1] == expected[: end + 1].tolist()
        assert set(ours[end + 1 :]) <= {49407}
    assert first("a photo of a cat")["input_ids"] == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert second("a", padding="max_length")["input_ids"][3:] == [0] * 74
