"""The encoder seam: open_clip models from a folder, honest failures, no network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scenes import scene

from diversity.config import EncoderConfig
from diversity.encoders import load_encoder, resolve
from diversity.encoders.base import TextEncoder
from diversity.encoders.open_clip_encoder import _fused
from diversity.encoders.spec import LOCAL, TOON_FOLDER
from diversity.errors import EncoderError

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def save_tiny(folder: Path, *, resize_mode: str = "squash", seed: int = 0) -> str:
    """A small random open_clip model in a folder, as open_clip itself would save it; its `local-dir:` name."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    model = open_clip.CLIP(**TINY)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": TINY, "preprocess_cfg": {"size": 32, "resize_mode": resize_mode}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(dict(model.state_dict()), folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    name = save_tiny(tmp_path_factory.mktemp("models") / "tiny")
    return load_encoder(EncoderConfig(model=name, device="cpu"))


def pictures(n: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(40 + 7 * i, 64 - 3 * i) for i in range(n)]
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def test_rows_are_unit_and_texts_share_the_space(tiny: TextEncoder) -> None:
    images, texts = tiny.encode_images(pictures(3)), tiny.encode_texts(["a back view", "shoes"])
    assert isinstance(tiny, TextEncoder)
    assert images.shape == (3, tiny.dim)
    assert texts.shape == (2, tiny.dim)
    assert np.allclose(np.linalg.norm(np.concatenate([images, texts]), axis=1), 1, atol=1e-5)
    assert tiny.logit_scale == pytest.approx(1 / 0.07, rel=1e-3)


def shapes(n: int) -> list[Image.Image]:
    """Pictures of shapes with edges; large, wide, tall, and smaller than the input on one side."""
    sizes = [(320, 320), (1500, 400), (61, 200), (33, 40)]
    return [scene(seed).resize(size, Image.Resampling.BICUBIC) for seed, size in enumerate(sizes[:n])]


@pytest.mark.parametrize("mode", ["squash", "longest", "shortest"])
def test_prepare_and_encode_equal_open_clips_own_preprocessing(mode: str, tmp_path: Path) -> None:
    import open_clip
    import torch

    name = save_tiny(tmp_path / mode, resize_mode=mode)
    encoder = load_encoder(EncoderConfig(model=name, device="cpu"))
    model, _, transform = open_clip.create_model_and_transforms(name)
    model.eval()
    many = shapes(4) + pictures(4)
    with torch.inference_mode():
        theirs = model.encode_image(torch.stack([transform(p) for p in many]), normalize=True).numpy()
    assert (encoder.encode_images(many) * theirs).sum(axis=1).min() > 1 - 1e-5
    for picture in many:
        fitted = picture
        for step in transform.transforms[:-2]:
            fitted = step(fitted)
        apart = np.abs(encoder.prepare(np.asarray(picture)).astype(int) - np.asarray(fitted))
        assert apart.max() <= 12
        assert (apart > 1).mean() < 0.02


def test_folding_batch_normalisation_changes_nothing() -> None:
    import open_clip
    import torch

    encoder = load_encoder(EncoderConfig(model="toon", device="cpu"))
    model, _, transform = open_clip.create_model_and_transforms(f"{LOCAL}{TOON_FOLDER}")
    model.eval()
    with torch.inference_mode():
        theirs = model.encode_image(torch.stack([transform(p) for p in shapes(4)]), normalize=True).numpy()
    assert np.abs(encoder.encode_images(shapes(4)) - theirs).max() < 2e-3
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in encoder._model.visual.modules())


def test_normalisation_that_does_not_follow_its_neighbour_is_left_alone() -> None:
    import torch

    class Misleading(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 3, 3), torch.nn.BatchNorm2d(3)
            self.norm.running_mean.fill_(0.7)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.conv(self.norm(pixels))

    visual = Misleading().eval()
    assert _fused(visual, torch.ones(1, 3, 8, 8)) is visual


def test_the_id_follows_the_weights_and_the_preprocessing_not_the_folder(tmp_path: Path) -> None:
    def identity(name: str) -> str:
        return load_encoder(EncoderConfig(model=name, device="cpu")).id.split("-", 1)[1]

    same = identity(save_tiny(tmp_path / "a")), identity(save_tiny(tmp_path / "b"))
    other_weights, other_resize = save_tiny(tmp_path / "c", seed=1), save_tiny(tmp_path / "d", resize_mode="longest")
    assert same[0] == same[1]
    assert len({same[0], identity(other_weights), identity(other_resize)}) == 3


def test_no_pictures_give_no_rows(tiny: TextEncoder) -> None:
    assert tiny.encode_images([]).shape == (0, tiny.dim)
    assert tiny.encode_texts([]).shape == (0, tiny.dim)


@pytest.mark.parametrize(
    "config",
    [
        EncoderConfig(model="ViT-B-32", pretrained="no-such-tag"),
        EncoderConfig(model="no-such-model", pretrained="openai"),
        EncoderConfig(model="ViT-B-32", pretrained="laion2b_s34b_b79k"),
        EncoderConfig(model="ViT-B-32", pretrained="missing/file.safetensors"),
        EncoderConfig(model="local-dir:no/such/folder"),
        EncoderConfig(model="toon", device="cuda:99"),
    ],
)
def test_a_named_encoder_that_cannot_be_loaded_is_an_error_never_a_fallback(
    config: EncoderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    if config.device == "cuda:99":
        config = config.model_copy(update={"model": save_tiny(tmp_path / "tiny")})
    with pytest.raises(EncoderError):
        load_encoder(config)


def test_auto_takes_cached_vendor_weights_else_the_embedded_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert resolve(EncoderConfig()).name == "embedded toon encoder"
    cached = tmp_path / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K" / "snapshots" / "abc"
    cached.mkdir(parents=True)
    (cached / "open_clip_model.safetensors").write_bytes(b"x")
    assert resolve(EncoderConfig()).model == "ViT-B-32"


def test_a_broken_checkpoint_is_a_plain_message(tmp_path: Path) -> None:
    name = save_tiny(tmp_path / "tiny")
    (tmp_path / "tiny" / "open_clip_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(EncoderError, match="could not be loaded"):
        load_encoder(EncoderConfig(model=name, device="cpu"))
