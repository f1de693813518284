"""The optional optimisers: they learn, go on exactly, and leave stdout to results."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sets import small_set
from test_train import Hook, same, settings, weights

from training import optimise
from training.config import OptimiserConfig
from training.train import train


@pytest.mark.parametrize(("name", "module"), [("prodigy", "prodigyopt"), ("adamw8bit", "bitsandbytes")])
def test_an_extra_learns_and_goes_on_exactly_and_prints_no_result(
    tmp_path: Path, sd1_folder: Path, capsys: pytest.CaptureFixture[str], name: str, module: str
) -> None:
    pytest.importorskip(module)
    config = settings(sd1_folder, steps=4, save_every=2, optimiser={"name": name, "warmup": 1}, lora={"rank": 256})

    def stop(step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    whole = train(small_set(tmp_path / "whole", 4), config)
    dataset = small_set(tmp_path / "stopped", 4)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, config, progress=Hook(stop))
    run = train(dataset, config)
    assert same(weights(run), weights(whole))
    assert any(bool(value.any()) for name, value in weights(run).items() if "lora_B" in name)
    assert capsys.readouterr().out == ""


def test_the_moments_of_eight_bits_are_kept_in_eight_bits() -> None:
    pytest.importorskip("bitsandbytes")
    weight = torch.nn.Parameter(torch.randn(256, 36, generator=torch.Generator().manual_seed(0)))
    before, found = weight.detach().clone(), optimise.optimiser([weight], OptimiserConfig(name="adamw8bit", lr=0.01))
    weight.square().sum().backward()
    found.step()
    moments = [found.state[weight][name] for name in ("state1", "state2")]
    assert [moment.dtype for moment in moments] == [torch.uint8, torch.uint8]
    assert (weight.abs() < before.abs()).float().mean() > 0.95
