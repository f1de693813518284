"""Claims about adapters: they begin as nothing, are nothing at weight 0, train alone, stack, and fit or say why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training import lora
from training.base import Base, weights_hash
from training.errors import LoraError
from training.lora import LoraSettings

EVERYTHING: dict[str, Any] = {"rank": 4, "alpha": 2, "targets": "all-linear", "conv_rank": 2, "text_encoder": True}
KINDS = [("sd1", False), ("sd1", True), ("sdxl", False), ("sdxl", True)]


def answer(base: Base, seed: int = 0) -> torch.Tensor:
    """What the base makes of fixed noise and a fixed prompt, text encoders included."""
    with torch.no_grad():
        latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(seed)).to(base.dtype)
        return base.noise_prediction(latents, torch.tensor([400]), base.encode_prompts(["a girl, red hat"]))


def stir(adapter: lora.Adapter, seed: int = 1) -> lora.Adapter:
    """Stand in for training: move every parameter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return adapter


@pytest.mark.parametrize(("kind", "dora"), KINDS)
def test_an_untrained_adapter_changes_nothing_and_weight_0_is_the_base_bit_for_bit(
    kind: str, dora: bool, request: pytest.FixtureRequest
) -> None:
    base: Base = request.getfixturevalue(kind)
    before = answer(base)
    adapter = lora.attach(base, LoraSettings(**EVERYTHING, dora=dora))
    assert torch.equal(answer(base), before)
    stir(adapter)
    trained = answer(base)
    assert not torch.equal(trained, before)
    lora.set_scale(base, {"default": 0.0})
    assert torch.equal(answer(base), before)
    lora.set_scale(base, {"default": 1.0})
    assert torch.equal(answer(base), trained)
    with adapter.disabled():
        assert torch.equal(answer(base), before)
    assert torch.equal(answer(base), trained)
    assert all(p.requires_grad for p in adapter.parameters())


@pytest.mark.parametrize("dora", [False, True])
def test_a_half_precision_base_starts_unchanged_with_float32_parameters(sd1_folder: Path, dora: bool) -> None:
    from training import base as bases

    base = bases.load(sd1_folder, device="cpu", dtype="bfloat16")
    before = answer(base)
    adapter = lora.attach(base, LoraSettings(**EVERYTHING, dora=dora))
    assert {p.dtype for p in adapter.parameters()} == {torch.float32}
    assert torch.equal(answer(base), before)


def test_alpha_0_and_weight_0_are_values_not_absent(sd1: Base) -> None:
    before = answer(sd1)
    adapter = stir(lora.attach(sd1, LoraSettings(rank=4, alpha=0.0)))
    assert {layer.alpha for layer in adapter.weights().layers.values()} == {0.0}
    torch.testing.assert_close(answer(sd1), before)
    other = lora.attach(sd1, LoraSettings(rank=4), name="other")
    assert {layer.alpha for layer in other.weights().layers.values()} == {4.0}


@pytest.mark.parametrize("dora", [False, True])
@settings(max_examples=5, deadline=None)
@given(weight=st.floats(-1, 2))
def test_a_weight_moves_the_layer_in_a_straight_line(dora: bool, weight: float) -> None:
    base, layer = _one_layer(dora)
    x = torch.randn(3, layer.in_features, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        lora.set_scale(base, {"default": 1.0})
        full = layer(x)
        lora.set_scale(base, {"default": 0.0})
        none = layer(x)
        assert torch.equal(none, layer.base_layer(x))
        lora.set_scale(base, {"default": weight})
        torch.testing.assert_close(layer(x), none + weight * (full - none), rtol=1e-4, atol=1e-5)


_CACHED: dict[bool, tuple[Base, Any]] = {}


def _one_layer(dora: bool) -> tuple[Base, Any]:
    if dora not in _CACHED:
        import tempfile

        import tiny

        from training import base as bases

        with tempfile.TemporaryDirectory() as folder:
            base = bases.load(tiny.tiny_sd1(Path(folder)), device="cpu")
        adapter = stir(lora.attach(base, LoraSettings(rank=4, alpha=3, dora=dora)))
        _CACHED[dora] = base, next(iter(adapter.layers.values()))
    return _CACHED[dora]


@pytest.mark.parametrize("dora", [False, True])
def test_what_peft_computes_is_the_dense_change_that_files_hold(sdxl: Base, dora: bool) -> None:
    adapter = stir(lora.attach(sdxl, LoraSettings(**EVERYTHING, dora=dora)))
    for key, layer in adapter.weights().layers.items():
        own = adapter.layers[key]
        weight = own.get_base_layer().weight
        x = torch.randn(2, weight.shape[1], *([6, 6] if weight.dim() == 4 else []), generator=torch.Generator())
        dense = (weight.double() + layer.delta(weight)).float()
        inner = own.get_base_layer()
        with torch.no_grad():
            if weight.dim() == 4:
                expected = torch.nn.functional.conv2d(x, dense, inner.bias, inner.stride, inner.padding)
            else:
                expected = torch.nn.functional.linear(x, dense, inner.bias)
            torch.testing.assert_close(own(x), expected, rtol=1e-4, atol=1e-4)


def test_only_the_adapter_is_trained(sdxl: Base) -> None:
    before = weights_hash(sdxl)
    adapter = lora.attach(sdxl, LoraSettings(rank=2, text_encoder=True, dora=True))
    optimiser = torch.optim.AdamW(adapter.parameters(), lr=0.01)
    start = adapter.state()
    for _ in range(2):  # B is zero at first, so A moves from the second step on
        states = sdxl.encode_prompts(["girl"])
        out = sdxl.noise_prediction(torch.randn(1, 4, 16, 16), torch.tensor([500]), states)
        out.square().mean().backward()
        optimiser.step()
    mine = {id(p) for p in adapter.parameters()}
    everything = [p for m in (sdxl.unet, sdxl.vae, *sdxl.text_encoders) for p in m.parameters()]
    assert {id(p) for p in everything if p.requires_grad} == mine
    assert {id(p) for p in everything if p.grad is not None} <= mine
    assert weights_hash(sdxl) == before == sdxl.fingerprint
    moved = [name for name, value in adapter.state().items() if not torch.equal(value, start[name])]
    assert all(
        any(name.startswith(f"{part}.") for name in moved) for part in ("unet", "text_encoder", "text_encoder_2")
    )
    assert any("lora_magnitude_vector" in name for name in moved)


def test_without_text_encoder_no_text_layer_is_touched_or_written(sdxl: Base, tmp_path: Path) -> None:
    from safetensors import safe_open

    adapter = lora.attach(sdxl, LoraSettings(rank=2))
    assert adapter.weights().parts == ("unet",)
    for file in lora.save(adapter, tmp_path, "r"):
        with safe_open(file, "pt") as opened:
            assert not [key for key in opened.keys() if "text" in key or "_te" in key]  # noqa: SIM118


def test_targets_ranks_and_patterns_reach_the_layers_named(sd1: Base) -> None:
    shape = LoraSettings(
        rank=8,
        alpha=4,
        targets="attention+ff",
        conv_rank=3,
        conv_alpha=1,
        rank_pattern={r"mid_block\..*": 0, r"attn2\.to_k": 2},
        alpha_pattern={r"ff\.net\.2": 16},
    )
    layers = lora.attach(sd1, shape).weights().of("unet")
    shapes = {path: (layer.rank, layer.alpha) for path, layer in layers.items()}
    assert {shapes[p] for p in shapes if p.endswith("attn1.to_q")} == {(8, 4.0)}
    assert {shapes[p] for p in shapes if p.endswith("attn2.to_k")} == {(2, 4.0)}
    assert {shapes[p] for p in shapes if p.endswith("ff.net.2")} == {(8, 16.0)}
    assert {shapes[p] for p in shapes if p.endswith("conv1")} == {(3, 1.0)}
    assert not [p for p in shapes if p.startswith("mid_block") or p.endswith(("proj_in", "time_emb_proj", "conv_in"))]
    with pytest.raises(ValueError, match="not a regular expression"):
        LoraSettings(rank_pattern={"(": 4})
    with pytest.raises(LoraError, match="no layer"):
        lora.attach(sd1, LoraSettings(rank_pattern={".*": 0}), name="none")


def test_the_beginning_depends_on_the_seed_and_the_kind_alone(sd1_folder: Path) -> None:
    from training import base as bases

    def first(seed: int, init: str, disturb: int) -> torch.Tensor:
        torch.manual_seed(disturb)
        base = bases.load(sd1_folder, device="cpu")
        settled = torch.random.get_rng_state()
        adapter = lora.attach(base, LoraSettings(rank=4, seed=seed, init=init))  # type: ignore[arg-type]
        assert torch.equal(torch.random.get_rng_state(), settled)
        return torch.cat([value.flatten() for value in adapter.state().values()])

    assert torch.equal(first(1, "kaiming", 5), first(1, "kaiming", 6))
    assert not torch.equal(first(1, "kaiming", 5), first(2, "kaiming", 5))
    assert not torch.equal(first(1, "kaiming", 5), first(1, "gaussian", 5))


def test_stacked_adapters_add_up_and_each_has_its_own_weight(sd1: Base) -> None:
    one = stir(lora.attach(sd1, LoraSettings(rank=4), name="one"), 1)
    two = stir(lora.attach(sd1, LoraSettings(rank=2), name="two"), 2)
    key, layer = next(iter(one.layers.items()))
    x = torch.randn(3, layer.in_features, generator=torch.Generator().manual_seed(0))
    deltas = [adapter.weights().layers[key].delta().float() for adapter in (one, two)]
    lora.set_scale(sd1, {"one": 0.7, "two": 0.3})
    with torch.no_grad():
        expected = layer.base_layer(x) + x @ (0.7 * deltas[0] + 0.3 * deltas[1]).T
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    lora.set_scale(sd1, {"one": 0.0})
    assert two.scale == 0.3
    with two.disabled(), one.disabled(), torch.no_grad():
        assert torch.equal(layer(x), layer.base_layer(x))
    with pytest.raises(LoraError, match="already"):
        lora.attach(sd1, LoraSettings(), name="one")


def test_state_goes_back_exactly_and_only_where_it_fits(sd1: Base) -> None:
    adapter = stir(lora.attach(sd1, LoraSettings(rank=4, dora=True)))
    state, seen = adapter.state(), answer(sd1)
    stir(adapter, 5)
    assert not torch.equal(answer(sd1), seen)
    adapter.load_state(state)
    assert torch.equal(answer(sd1), seen)
    other = lora.attach(sd1, LoraSettings(rank=2, dora=True), name="other")
    with pytest.raises(LoraError, match="does not fit"):
        other.load_state(state)


@pytest.mark.parametrize(("kind", "dora"), KINDS)
def test_every_layout_loads_back_as_the_same_adapter(
    kind: str, dora: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base: Base = request.getfixturevalue(kind)
    shape = LoraSettings(**EVERYTHING, dora=dora, rank_pattern={r"to_v": 3}, alpha_pattern={r"to_q": 1.5})
    adapter = stir(lora.attach(base, shape))
    trained = answer(base)
    diffusers, kohya = lora.save(adapter, tmp_path, "run", {"ss_seed": 3})
    peft = lora.write(adapter.weights(), tmp_path / "peft", "peft")[0].parents[1]
    lora.set_scale(base, {"default": 0})
    for number, file in enumerate((diffusers, kohya, peft)):
        again = lora.load(base, file, name=f"again{number}")
        assert torch.equal(answer(base), trained)
        assert not any(p.requires_grad for p in again.parameters())
        lora.set_scale(base, {again.name: 0})
    assert all(p.requires_grad for p in adapter.parameters())


def test_a_lora_of_another_base_is_refused_by_name(sd1: Base, sdxl: Base, tmp_path: Path) -> None:
    _, kohya = lora.save(lora.attach(sdxl, LoraSettings(rank=2, text_encoder=True)), tmp_path, "xl")
    with pytest.raises(LoraError, match="made for SDXL"):
        lora.load(sd1, kohya, name="x")
    _, kohya = lora.save(lora.attach(sd1, LoraSettings(rank=2)), tmp_path, "one")
    with pytest.raises(LoraError, match=r"does not fit .* \(SDXL\)"):
        lora.load(sdxl, kohya, name="x")
    assert list(sd1.adapters) == ["default"]
