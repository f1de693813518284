"""Claims about LoRA files: conversions keep weight changes, names are right, metadata survive, odd ones are told."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from training import lora
from training.base import Base
from training.commands import lora as command
from training.errors import LoraError
from training.lora_files import LAYOUTS, Layer, LoraWeights, convert, read, write
from training.lora_files.metadata import as_strings, tag_frequency
from training.lora_files.names import from_kohya, to_kohya
from training.lora_files.weights import Key

# Path → shape of the layer's weight: attention, feed-forward, linear and convolving ends, ResNets and samplers, text.
BLOCK = "transformer_blocks.0"
SHAPES: dict[Key, tuple[int, ...]] = {
    ("unet", f"down_blocks.1.attentions.0.{BLOCK}.attn1.to_q"): (12, 12),
    ("unet", f"down_blocks.1.attentions.1.{BLOCK}.attn2.to_k"): (12, 768),
    ("unet", f"up_blocks.1.attentions.2.{BLOCK}.attn2.to_out.0"): (12, 12),
    ("unet", f"mid_block.attentions.0.{BLOCK}.ff.net.0.proj"): (24, 12),
    ("unet", f"mid_block.attentions.0.{BLOCK}.ff.net.2"): (12, 24),
    ("unet", "down_blocks.1.attentions.0.proj_in"): (12, 12, 1, 1),
    ("unet", "down_blocks.0.resnets.1.conv1"): (8, 8, 3, 3),
    ("unet", "up_blocks.0.resnets.2.conv_shortcut"): (8, 16, 1, 1),
    ("unet", "mid_block.resnets.1.time_emb_proj"): (8, 16),
    ("unet", "down_blocks.0.downsamplers.0.conv"): (8, 8, 3, 3),
    ("unet", "up_blocks.1.upsamplers.0.conv"): (8, 8, 3, 3),
    ("unet", "conv_in"): (8, 4, 3, 3),
    ("unet", "time_embedding.linear_2"): (16, 16),
    ("text_encoder", "text_model.encoder.layers.0.self_attn.q_proj"): (12, 12),
    ("text_encoder", "text_model.encoder.layers.11.mlp.fc1"): (24, 12),
    ("text_encoder_2", "text_model.encoder.layers.30.self_attn.out_proj"): (16, 16),
    ("text_encoder_2", "text_projection"): (16, 16),
}


def layer(shape: tuple[int, ...], rank: int, alpha: float, dora: bool, seed: int) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, *shape[1:], generator=generator)
    up = torch.randn(shape[0], rank, *[1] * (len(shape) - 2), generator=generator)
    return Layer(down, up, alpha, torch.rand(shape[0], generator=generator) + 0.5 if dora else None)


@st.composite
def loras(draw: st.DrawFn) -> tuple[LoraWeights, str]:
    family = draw(st.sampled_from(["sd1", "sd2", "sdxl"]))
    keys = [key for key in SHAPES if key[0] != "text_encoder_2" or family == "sdxl"]
    chosen = draw(st.lists(st.sampled_from(keys), min_size=1, unique=True))
    dora = draw(st.booleans())
    shape = st.tuples(st.integers(1, 9), st.sampled_from([0.0, 0.5, 1.0, 3.0, 8.0, 16.0, 0.1]), st.integers(0, 99))
    layers = {}
    for key in sorted(chosen, key=keys.index):
        rank, alpha, seed = draw(shape)
        layers[key] = layer(SHAPES[key], rank, alpha, dora, seed)
    return LoraWeights(layers, {"title": draw(st.text(max_size=5))}), family


def same(one: LoraWeights, other: LoraWeights) -> None:
    """Equal layers; ΔW equal to 1e-6, computed densely, with a made-up base weight for DoRA."""
    assert one.layers.keys() == other.layers.keys()
    for key, mine in one.layers.items():
        theirs = other.layers[key]
        base = layer((len(mine.up), *mine.down.shape[1:]), 4, 4, False, 123).delta()
        torch.testing.assert_close(mine.delta(base), theirs.delta(base), rtol=1e-6, atol=1e-6)
        assert mine.rank == theirs.rank


@settings(max_examples=40, deadline=None)
@given(loras(), st.permutations(LAYOUTS))
def test_any_chain_of_layouts_keeps_every_weight_change_and_the_metadata(
    made: tuple[LoraWeights, str], chain: list[str]
) -> None:
    weights, family = made
    with tempfile.TemporaryDirectory() as folder:
        now = weights
        for number, layout in enumerate(chain):
            place = Path(folder) / (f"{number}" if layout == "peft" else f"{number}.safetensors")
            write(now, place, layout, family=family)
            now = read(place)
            assert now.layout == layout
            assert now.metadata["title"] == weights.metadata["title"]
            same(weights, now)


@pytest.mark.parametrize(("kind", "family"), [("sd1", "sd1"), ("sdxl", "sdxl")])
def test_every_layer_of_the_models_has_a_kohya_name_that_leads_back(
    kind: str, family: str, request: pytest.FixtureRequest
) -> None:
    base: Base = request.getfixturevalue(kind)
    keys = lora.adaptable(base)
    names = {to_kohya(key, family): key for key in keys}
    assert len(names) == len(keys)
    assert all(from_kohya(name) == key for name, key in names.items())
    if family == "sdxl":  # OneTrainer and others write diffusers' names for SDXL too
        flat = {f"lora_unet_{path.replace('.', '_')}": (part, path) for part, path in keys if part == "unet"}
        assert all(from_kohya(name) == key for name, key in flat.items())


TRAINER = """
    sd1  unet down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q
         lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q
    sdxl unet down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q
         lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q
    sdxl unet down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_out.0
         lora_unet_input_blocks_8_1_transformer_blocks_9_attn2_to_out_0
    sdxl unet mid_block.attentions.0.proj_in        lora_unet_middle_block_1_proj_in
    sdxl unet up_blocks.0.attentions.2.proj_out     lora_unet_output_blocks_2_1_proj_out
    sdxl unet up_blocks.2.resnets.2.conv2           lora_unet_output_blocks_8_0_out_layers_3
    sdxl unet down_blocks.0.downsamplers.0.conv     lora_unet_input_blocks_3_0_op
    sdxl unet up_blocks.1.upsamplers.0.conv         lora_unet_output_blocks_5_2_conv
    sd1  text_encoder text_model.encoder.layers.3.mlp.fc2
         lora_te_text_model_encoder_layers_3_mlp_fc2
    sdxl text_encoder text_model.encoder.layers.3.mlp.fc2
         lora_te1_text_model_encoder_layers_3_mlp_fc2
    sdxl text_encoder_2 text_model.encoder.layers.3.self_attn.k_proj
         lora_te2_text_model_encoder_layers_3_self_attn_k_proj
"""
ROWS = re.findall(r"(\S+) +(\S+) +(\S+)\s+(lora_\S+)", TRAINER)


@pytest.mark.parametrize(("family", "part", "path", "name"), ROWS, ids=[row[3] for row in ROWS])
def test_kohya_names_are_those_of_its_trainer(family: str, part: str, path: str, name: str) -> None:
    assert to_kohya((part, path), family) == name
    assert from_kohya(name) == (part, path)


def some(dora: bool = False, family: str = "sd1") -> LoraWeights:
    chosen = [key for key in SHAPES if key[0] == "unet" or family == "sdxl"][:9]
    return LoraWeights({key: layer(SHAPES[key], 4, 2.0, dora, n) for n, key in enumerate(chosen)})


def test_kohya_files_carry_alpha_and_what_its_readers_look_for(tmp_path: Path) -> None:
    told = {"ss_seed": "7", "mine": "hello", "ss_base_model_version": "sd_v1"}
    weights = LoraWeights(some().layers, told)
    file = tmp_path / "x.safetensors"
    write(weights, file, "kohya")
    tensors = load_file(file)
    alphas = {key: value for key, value in tensors.items() if key.endswith(".alpha")}
    assert len(alphas) == len(weights.layers)
    assert {value.item() for value in alphas.values()} == {2.0}
    assert {value.dim() for value in alphas.values()} == {0}
    metadata = read(file).metadata
    assert metadata["mine"] == "hello"
    assert (metadata["ss_network_dim"], metadata["ss_network_alpha"], metadata["ss_seed"]) == ("4", "2", "7")
    assert (metadata["ss_network_module"], metadata["ss_v2"]) == ("networks.lora", "False")
    assert json.loads(metadata["ss_network_args"]) == {"conv_dim": "4", "conv_alpha": "2"}
    assert all(isinstance(value, str) for value in metadata.values())


def test_dora_scales_have_one_value_per_output_in_the_shape_of_the_layer(tmp_path: Path) -> None:
    write(some(dora=True), tmp_path / "x.safetensors", "kohya")
    tensors = load_file(tmp_path / "x.safetensors")
    assert tensors["lora_unet_down_blocks_0_resnets_1_conv1.dora_scale"].shape == (8, 1, 1, 1)
    assert tensors["lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_2.dora_scale"].shape == (12, 1)
    assert read(tmp_path / "x.safetensors").metadata["ss_network_module"] == "lycoris.kohya"


def test_hashes_are_of_the_tensors_and_reproducible(tmp_path: Path) -> None:
    for name, title in (("a", "one"), ("b", "another title, longer")):
        write(LoraWeights(some().layers, {"modelspec.title": title}), tmp_path / name, "kohya")
    data = (tmp_path / "a").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    said = [read(tmp_path / name).metadata for name in ("a", "b")]
    assert said[0]["sshs_model_hash"] == hashlib.sha256(data[start:]).hexdigest() == said[1]["sshs_model_hash"]
    assert said[0]["sshs_legacy_hash"] == hashlib.sha256(b"").hexdigest()[:8]  # the file is under 1 MiB
    changed = some().layers | {next(iter(SHAPES)): layer((12, 12), 4, 2.0, False, 77)}
    write(LoraWeights(changed), tmp_path / "c", "kohya")
    assert read(tmp_path / "c").metadata["sshs_model_hash"] != said[0]["sshs_model_hash"]


def test_saved_runs_describe_themselves(sdxl: Base, tmp_path: Path) -> None:
    adapter = lora.attach(sdxl, lora.LoraSettings(rank=2))
    frequency = tag_frequency({"10_hero": ["girl, hat", "girl, girl , "], "5_style": []})
    assert frequency == {"10_hero": {"girl": 2, "hat": 1}, "5_style": {}}
    files = lora.save(
        adapter, tmp_path, "run-7", {"ss_tag_frequency": frequency, "ss_seed": 3, "ss_noise_offset": None}
    )
    assert [file.name for file in files] == ["pytorch_lora_weights.safetensors", "run-7_kohya.safetensors"]
    for file in files:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata()
        assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
        assert metadata["modelspec.title"] == metadata["ss_output_name"] == "run-7"
        assert (metadata["modelspec.resolution"], metadata["modelspec.prediction_type"]) == ("64x64", "epsilon")
        assert json.loads(metadata["ss_tag_frequency"]) == frequency
        assert (metadata["ss_seed"], metadata["ss_noise_offset"]) == ("3", "None")
    assert as_strings({"a": True, "b": [1], "c": "x"}) == {"a": "True", "b": "[1]", "c": "x"}
    converted = convert(files[0], "kohya", tmp_path / "again.safetensors")
    assert converted.family == "sdxl"
    assert load_file(files[1]).keys() == load_file(converted.files[0]).keys()


def test_older_diffusers_names_are_read_as_the_same_layers(tmp_path: Path) -> None:
    names = {
        "unet.{}.{}.lora.{}.weight": lambda module: module,
        "unet.{}.processor.{}_lora.{}.weight": lambda module: module.removesuffix(".0"),
        "{}.processor.{}_lora.{}.weight": lambda module: module.removesuffix(".0"),
    }
    block = f"down_blocks.1.attentions.0.{BLOCK}.attn1"
    expected = {("unet", f"{block}.{m}"): layer((12, 12), 4, 4.0, False, n) for n, m in enumerate(("to_q", "to_out.0"))}
    for pattern, short in names.items():
        tensors = {}
        for (_, path), of in expected.items():
            module = short(path.removeprefix(f"{block}."))
            tensors[pattern.format(block, module, "down")] = of.down
            tensors[pattern.format(block, module, "up")] = of.up
        save_file(tensors, tmp_path / "x.safetensors")
        same(LoraWeights(expected), read(tmp_path / "x.safetensors"))
    text = "text_model.encoder.layers.0"
    tensors = {
        f"text_encoder.{text}.self_attn.to_q_lora.down.weight": torch.ones(2, 12),
        f"text_encoder.{text}.self_attn.to_q_lora.up.weight": torch.ones(12, 2),
        f"text_encoder.{text}.mlp.fc1.lora_linear_layer.down.weight": torch.ones(2, 12),
        f"text_encoder.{text}.mlp.fc1.lora_linear_layer.up.weight": torch.ones(24, 2),
        "text_encoder_2.encoder.layers.0.mlp.fc2.lora_A.default.weight": torch.ones(2, 24),
        "text_encoder_2.encoder.layers.0.mlp.fc2.lora_B.default.weight": torch.ones(12, 2),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    assert set(read(tmp_path / "x.safetensors").layers) == {
        ("text_encoder", f"{text}.self_attn.q_proj"),
        ("text_encoder", f"{text}.mlp.fc1"),
        ("text_encoder_2", f"{text}.mlp.fc2"),
    }


def test_rank_stabilised_scaling_becomes_an_equal_alpha(tmp_path: Path) -> None:
    folder = write(some(), tmp_path / "p", "peft")[0].parent
    config = json.loads((folder / "adapter_config.json").read_text()) | {"use_rslora": True}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    for found in read(tmp_path / "p").layers.values():
        assert found.alpha / found.rank == pytest.approx(2.0 / 4**0.5)


def test_a_layer_without_alpha_has_the_scale_1(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    write(some(), file, "kohya")
    save_file({key: value for key, value in load_file(file).items() if not key.endswith(".alpha")}, file)
    assert {of.alpha / of.rank for of in read(file).layers.values()} == {1.0}


KERNEL = ("unet", "down_blocks.0.resnets.1.conv1")
PAIR = {
    "lora_unet_conv_in.lora_down.weight": torch.ones(2, 4, 3, 3),
    "lora_unet_conv_in.lora_up.weight": torch.ones(8, 2, 1, 1),
}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"lora_unet_x.hada_w1_a": torch.ones(1)}, "LoHa"),
        ({"lora_unet_x.lokr_w1": torch.ones(1)}, "LoKr"),
        ({**PAIR, "lora_unet_conv_in.lora_mid.weight": torch.ones(1)}, "Tucker"),
        ({"lora_unet_double_blocks_0_x.lora_up.weight": torch.ones(1)}, "FLUX"),
        ({"transformer.x.lora_A.weight": torch.ones(1, 1)}, "FLUX or SD3"),
        ({"model.diffusion_model.x": torch.ones(1)}, "whole base model"),
        ({"unet.x.lora_B.bias": torch.ones(1)}, "biases"),
        ({"emb_params": torch.ones(1)}, "textual inversion"),
        ({"something": torch.ones(1)}, "not a LoRA"),
        ({"lora_unet_no%such.lora_up.weight": torch.ones(1, 1)}, "not known"),
        (dict([next(iter(PAIR.items()))]), "incomplete"),
        ({**PAIR, "lora_unet_conv_in.lora_up.weight": torch.ones(8, 3, 1, 1)}, "do not fit together"),
        ({**PAIR, "lora_unet_conv_in.dora_scale": torch.ones(1, 4, 1, 1)}, "older kind"),
        ({"base_model.model.conv_in.lora_A.weight": torch.ones(1, 1)}, "adapter_config.json"),
        ({"unet:0:up": torch.ones(1, 1), "unet:0:down": torch.ones(1, 1)}, "numbers 1 layers"),
    ],
)
def test_what_cannot_be_read_without_loss_is_refused_by_name(
    keys: dict[str, torch.Tensor], told: str, tmp_path: Path
) -> None:
    save_file(keys, tmp_path / "x.safetensors")
    with pytest.raises(LoraError, match=told):
        read(tmp_path / "x.safetensors")


def test_broken_and_missing_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(LoraError, match="could not be read"):
        read(tmp_path / "x.safetensors")
    with pytest.raises(LoraError, match="no LoRA at"):
        read(tmp_path / "y.safetensors")
    with pytest.raises(LoraError, match="holds no LoRA"):
        read(tmp_path)
    with pytest.raises(LoraError, match="family"):
        write(LoraWeights({KERNEL: layer(SHAPES[KERNEL], 2, 2, False, 0)}), tmp_path / "z", "kohya")
    with pytest.raises(LoraError, match="no LoRA layout"):
        write(some(), tmp_path / "z", "webui")


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.arguments(parser, "lora")
    return parser.parse_args(["convert", *words])


def test_the_command_converts_and_never_overwrites_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "名 é.safetensors"
    write(some(), source, "kohya")
    assert command.run("lora", options(str(source), "--to", "diffusers")) == 0
    assert "9 layers for Stable Diffusion 1 in the layout of kohya" in capsys.readouterr().out
    made = tmp_path / "名 é_diffusers.safetensors"
    same(read(source), read(made))
    before = made.read_bytes()
    for words in (["--to", "diffusers"], ["--to", "kohya", "-o", str(source)], ["--to", "peft", "-o", str(made)]):
        with pytest.raises(LoraError, match=r"--force|source itself|is a file"):
            command.run("lora", options(str(source), *words))
    assert made.read_bytes() == before
    assert command.run("lora", options(str(source), "--to", "diffusers", "--force")) == 0
    capsys.readouterr()
    assert command.run("lora", options(str(made), "--to", "peft", "--json")) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["source"], said["layout"], said["family"]) == ("diffusers", "peft", "sd1")
    with pytest.raises(LoraError, match="--force"):
        command.run("lora", options(str(made), "--to", "peft"))
    same(read(source), read(tmp_path / "名 é_diffusers_peft"))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "layers", "layout"),
    [
        ("diffusers_attnproc_r4_axe.safetensors", 128, "diffusers"),
        ("cloneofsimo/analog_svd_rank4.safetensors", 192, "cloneofsimo"),
        ("cloneofsimo/lora_disney.safetensors", 192, "cloneofsimo"),
    ],
)
def test_real_files_fit_stable_diffusion_1_and_convert_exactly(
    name: str, layers: int, layout: str, shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "lora_files" / name
    weights = read(source)
    assert (len(weights.layers), weights.layout, weights.family) == (layers, layout, "sd1")
    assert bool(weights.notes) == ("disney" in name)
    lora.check_fit(weights, _sd1_outline(), source.name)
    for target in LAYOUTS:
        done = convert(source, target, tmp_path / (target if target == "peft" else f"{target}.safetensors"))
        assert done.layers == layers
        again = read(tmp_path / "peft" if target == "peft" else done.files[0])
        assert again.layers.keys() == weights.layers.keys()
        for key, mine in weights.layers.items():
            found = again.layers[key]
            assert torch.equal(found.down, mine.down)
            assert torch.equal(found.up, mine.up)
            assert found.alpha == mine.alpha


def _sd1_outline() -> Base:
    """Stable Diffusion 1.5 without its weights: names and shapes only."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from training.bases.single_file import CONFIGS

    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(CONFIGS["sd1"]["unet"])  # type: ignore[no-untyped-call]
        text = CLIPTextModel(CLIPTextConfig(**CONFIGS["sd1"]["text_encoder"]))
    return Base("stable-diffusion-v1-5", "sd1", unet, None, (text,), (), None, "meta", torch.float32)
