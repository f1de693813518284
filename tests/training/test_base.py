"""Claims about base models: families are recognised and named, states and latents are right, no network is used."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny import WINDOW, tiny_tokenizer

from training import base as bases
from training.base import Base, TextStates
from training.errors import BaseModelError


def test_families_and_schedules_are_recognised(sd1: Base, v: Base, sdxl: Base) -> None:
    assert [b.family for b in (sd1, v, sdxl)] == ["sd1", "sd1", "sdxl"]
    assert [b.prediction_type for b in (sd1, v, sdxl)] == ["epsilon", "v_prediction", "epsilon"]
    assert [b.zero_terminal_snr for b in (sd1, v, sdxl)] == [False, True, False]
    assert v.scheduler.alphas_cumprod[-1] == 0
    assert (sd1.resolution, sd1.latent_scale) == (64, 4)
    assert len(sdxl.text_encoders) == 2
    assert not any(
        p.requires_grad for b in (sd1, sdxl) for m in (b.unet, b.vae, *b.text_encoders) for p in m.parameters()
    )


@pytest.mark.parametrize(
    ("pipeline", "called"),
    [
        ("StableDiffusion3Pipeline", "Stable Diffusion 3"),
        ("FluxPipeline", "FLUX.1"),
        ("StableDiffusionInpaintPipeline", "inpainting"),
        ("SomethingNewPipeline", "SomethingNewPipeline"),
    ],
)
def test_untrainable_families_are_named(tmp_path: Path, pipeline: str, called: str) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    with pytest.raises(BaseModelError, match=called):
        bases.load(tmp_path, device="cpu")


def test_editing_models_and_the_refiner_are_refused_by_their_shape(
    sd1_folder: Path, sdxl_folder: Path, tmp_path: Path
) -> None:
    wide = shutil.copytree(sd1_folder, tmp_path / "wide")
    config = json.loads((wide / "unet" / "config.json").read_text()) | {"in_channels": 9}
    (wide / "unet" / "config.json").write_text(json.dumps(config))
    with pytest.raises(BaseModelError, match="9 input channels"):
        bases.load(wide, device="cpu")
    refiner = shutil.copytree(sdxl_folder, tmp_path / "refiner")
    shutil.rmtree(refiner / "text_encoder")
    with pytest.raises(BaseModelError, match="refiner"):
        bases.load(refiner, device="cpu")


def test_missing_and_broken_bases_are_said_plainly(sd1_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="local cache"):
        bases.load("nobody/has-this-model", device="cpu")
    with pytest.raises(BaseModelError, match="no base model at"):
        bases.load(tmp_path / "nowhere", device="cpu")
    with pytest.raises(BaseModelError, match="no diffusers model"):
        bases.load(tmp_path, device="cpu")
    with pytest.raises(BaseModelError, match="dtype"):
        bases.load(sd1_folder, device="cpu", dtype="float8")
    broken = shutil.copytree(sd1_folder, tmp_path / "broken")
    (broken / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"no")
    with pytest.raises(BaseModelError, match="could not be loaded"):
        bases.load(broken, device="cpu")


def test_a_unicode_path_and_another_place_give_the_same_fingerprint(sd1_folder: Path, tmp_path: Path, v: Base) -> None:
    moved = shutil.copytree(sd1_folder, tmp_path / "基础 模型 é")
    one, other = bases.load(sd1_folder, device="cpu"), bases.load(moved, device="cpu")
    assert one.fingerprint == other.fingerprint
    with torch.no_grad():
        other.vae.post_quant_conv.bias[0] += 1e-6
    assert bases.weights_hash(other) != one.fingerprint


@pytest.mark.parametrize(
    "change",
    [{"prediction_type": "v_prediction"}, {"timestep_spacing": "trailing"}, {"beta_end": 0.02}],
    ids=lambda change: next(iter(change)),
)
def test_equal_weights_under_another_schedule_are_told_apart(sd1: Base, change: dict[str, object]) -> None:
    config = {**sd1.scheduler.config, **change}
    other = dataclasses.replace(sd1, scheduler=type(sd1.scheduler).from_config(config))
    assert other.fingerprint == sd1.fingerprint
    assert other.schedule != sd1.schedule
    assert dataclasses.replace(sd1, name="again").schedule == sd1.schedule


def test_a_fp16_variant_alone_loads(sd1: Base, tmp_path: Path) -> None:
    sd1.pipeline().save_pretrained(tmp_path, variant="fp16")
    assert bases.load(tmp_path, device="cpu").fingerprint == sd1.fingerprint


def test_latents_are_scaled_modes_and_decode_back_to_the_picture_size(sd1: Base) -> None:
    pixels = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = sd1.encode_pictures(pixels)
    expected = sd1.vae.encode(pixels).latent_dist.mode() * sd1.vae.config.scaling_factor
    assert latents.shape == (2, 4, 16, 32)
    torch.testing.assert_close(latents, expected, rtol=0, atol=0)
    drawn = [sd1.encode_pictures(pixels, sample=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    decoded = sd1.decode_latents(latents)
    assert decoded.shape == pixels.shape
    assert decoded.abs().max() <= 1


def test_sdxl_vae_runs_in_float32_when_half_would_overflow(sdxl_folder: Path) -> None:
    half = bases.load(sdxl_folder, device="cpu", dtype="float16")
    seen: list[torch.dtype] = []
    half.vae.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
    assert half.encode_pictures(torch.zeros(1, 3, 64, 64)).dtype == torch.float16
    assert seen == [torch.float32]
    assert half.vae.dtype == torch.float16


def test_short_prompts_are_encoded_as_diffusers_does(sd1: Base, sdxl: Base) -> None:
    texts = ["a girl, red hat", "", "looking at viewer"]
    with torch.no_grad():
        ours = sd1.encode_prompts(texts)
        theirs, _ = sd1.pipeline().encode_prompt(texts, "cpu", 1, False)
        torch.testing.assert_close(ours.states, theirs, rtol=0, atol=0)
        assert ours.pooled is None
        ours = sdxl.encode_prompts(texts)
        theirs, _, pooled, _ = sdxl.pipeline().encode_prompt(
            texts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        torch.testing.assert_close(ours.states, theirs, rtol=0, atol=0)
        torch.testing.assert_close(ours.pooled, pooled, rtol=0, atol=0)


def test_long_prompts_keep_every_word(sdxl: Base) -> None:
    long = " ".join(["red hat"] * 30)  # 60 tokens: two windows of 30
    with torch.no_grad():
        states = sdxl.encode_prompts(["girl", long])
        again = sdxl.encode_prompts([long])
        halves = sdxl.encode_prompts([" ".join(["red hat"] * 15)] * 2)
        changed = sdxl.encode_prompts([long.removesuffix("hat") + "dress"])
    assert states.states.shape[:2] == (2, 2 * WINDOW)
    torch.testing.assert_close(states.states[1:], again.states)
    torch.testing.assert_close(again.states[:, :WINDOW], halves.states[:1])
    torch.testing.assert_close(again.pooled, halves.pooled[:1])
    assert not torch.equal(changed.states[0, WINDOW:], again.states[0, WINDOW:])
    assert sdxl.windows([long]) == 2
    assert sdxl.encode_prompts([long], windows=1).states.shape[1] == WINDOW


def test_padding_windows_are_those_of_the_empty_text(sd1: Base) -> None:
    with torch.no_grad():
        padded = sd1.encode_prompts(["girl"], windows=2).states
        empty = sd1.encode_prompts([""]).states
    torch.testing.assert_close(padded[:, WINDOW:], empty)


def test_the_unet_answers_for_every_family(sd1: Base, v: Base, sdxl: Base) -> None:
    for base in (sd1, v, sdxl):
        latents = torch.randn(2, 4, 16, 24, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            states = base.encode_prompts(["girl", "boy"])
            out = base.noise_prediction(latents, torch.tensor([1, 999]), states)
            alone = base.noise_prediction(
                latents[:1],
                torch.tensor([1]),
                TextStates(states.states[:1], None if states.pooled is None else states.pooled[:1]),
            )
        assert out.shape == latents.shape
        torch.testing.assert_close(out[:1], alone)
        assert torch.isfinite(out).all()


def test_sdxl_time_ids_default_to_the_whole_uncropped_picture_and_matter(sdxl: Base) -> None:
    latents = torch.randn(1, 4, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states, t = sdxl.encode_prompts(["girl"]), torch.tensor([500])
        default = sdxl.noise_prediction(latents, t, states)
        same = sdxl.noise_prediction(latents, t, states, torch.tensor([[64.0, 96, 0, 0, 64, 96]]))
        other = sdxl.noise_prediction(latents, t, states, torch.tensor([[64.0, 96, 32, 0, 64, 96]]))
    assert torch.equal(default, same)
    assert not torch.equal(default, other)


def test_the_pipeline_shares_the_modules_and_zero_snr_pictures_are_finite(v: Base) -> None:
    pipeline = v.pipeline()
    assert pipeline.unet is v.unet
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("girl", num_inference_steps=4, height=64, width=64, output_type="pt").images
    assert torch.isfinite(picture).all()


def test_the_toon_base_is_missed_with_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bases, "TOON_FOLDER", tmp_path)
    with pytest.raises(BaseModelError, match="toon base is not installed"):
        bases.load("toon", device="cpu")


def test_the_toon_base_has_a_guidance_of_its_own_by_name_and_by_folder(sd1: Base) -> None:
    assert bases.load("toon", device="cpu").guidance == bases.load(bases.TOON_FOLDER, device="cpu").guidance == 3.5
    assert sd1.guidance == 7


def test_tiny_tokenizers_know_their_words() -> None:
    assert len(tiny_tokenizer()("looking at viewer")["input_ids"]) == 5
