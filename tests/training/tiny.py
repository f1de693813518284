"""Tiny Stable Diffusion 1.5-, v-prediction- and SDXL-shaped models, built from configuration with a fixed seed.

They have the real structure (names, blocks, two text encoders) at a fraction of the size, and random weights: good for
testing what code does with a model, not for pictures. 16 × 16 latents from 64 pixels; a text window holds 30 tokens.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

WINDOW = 32  # tokens, markers included
WORDS = (
    "a the of girl boy hero red blue green hat shoes dress smile looking at viewer full body from behind white black"
)
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def tiny_sd1(folder: Path) -> Path:
    """Save a Stable Diffusion 1.5-shaped pipeline; the folder."""
    return _save_sd1(folder, DDPMScheduler(**SCHEDULE, clip_sample=False, steps_offset=1))


def tiny_v(folder: Path) -> Path:
    """Save the same with v-prediction and zero terminal signal-to-noise ratio; the folder."""
    schedule = DDPMScheduler(
        **SCHEDULE,
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    return _save_sd1(folder, schedule)


def tiny_sdxl(folder: Path) -> Path:
    """Save an SDXL-shaped pipeline: two text encoders, time ids, blocks of several depths; the folder."""
    torch.manual_seed(2)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16, 24),
        layers_per_block=2,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(1, 2, 3),
        transformer_layers_per_block=(1, 1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * 6 + 20,
        cross_attention_dim=16 + 20,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(force_upcast=True),
        text_encoder=CLIPTextModel(_text_config(16, 2, "quick_gelu")).eval(),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(20, 3, "gelu")).eval(),
        tokenizer=tiny_tokenizer(),
        tokenizer_2=tiny_tokenizer(pad="!"),
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(**SCHEDULE, steps_offset=1, timestep_spacing="leading"),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def tiny_tokenizer(pad: str = END) -> CLIPTokenizer:
    """A CLIP tokenizer over bytes that knows `WORDS` as one token each; other text is spelt byte by byte."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = ["!", *(c for c in letters if c != "!"), *(f"{c}</w>" for c in letters)]
    merges: list[tuple[str, str]] = []
    for word in WORDS.split():
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            pair = (pieces[0], pieces[1])
            pieces[:2] = ["".join(pair)]
            if pair not in merges:
                merges.append(pair)
                vocabulary.append(pieces[0])
    vocabulary += [BEGIN, END]
    ids = {token: number for number, token in enumerate(vocabulary)}
    return CLIPTokenizer(
        vocab=ids,
        merges=merges,
        unk_token=END,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=pad,
        model_max_length=WINDOW,
    )


def _save_sd1(folder: Path, schedule: DDPMScheduler) -> Path:
    torch.manual_seed(1)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4,
        cross_attention_dim=24,
    )
    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(24, 2, "quick_gelu")).eval(),
        tokenizer=tiny_tokenizer(),
        unet=unet.eval(),
        scheduler=schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def _vae(*, force_upcast: bool = False) -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=64,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        force_upcast=force_upcast,
    ).eval()


def _text_config(width: int, layers: int, activation: str) -> CLIPTextConfig:
    ids = tiny_tokenizer().get_vocab()
    return CLIPTextConfig(
        vocab_size=len(ids),
        hidden_size=width,
        projection_dim=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=WINDOW,
        hidden_act=activation,
        bos_token_id=ids[BEGIN],
        eos_token_id=ids[END],
    )
