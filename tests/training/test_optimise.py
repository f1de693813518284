"""The optional optimiser that needs no GPU: it learns, goes on exactly, and leaves stdout to results."""

from __future__ import annotations

from pathlib import Path

import pytest
from sets import small_set
from test_train import Hook, same, settings, weights

from training.train import train


def test_prodigy_learns_and_goes_on_exactly_and_prints_no_result(
    tmp_path: Path, sd1_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("prodigyopt")
    config = settings(sd1_folder, steps=4, save_every=2, optimiser={"name": "prodigy", "warmup": 1})

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
