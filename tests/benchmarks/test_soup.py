"""Averaged encoders: picture towers are the mean, everything else is the last one's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.toonworld import soup


def state(value: float) -> dict[str, torch.Tensor]:
    return {
        "visual.conv": torch.full((2, 2), value, dtype=torch.float16),
        "visual.bn.num_batches_tracked": torch.tensor(int(value)),
        "text_projection": torch.full((3,), value, dtype=torch.float16),
    }


def test_towers_are_averaged_and_words_are_the_last_ones(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 2.0), ("c", 6.0)):
        (tmp_path / name).mkdir()
        save_file(state(value), tmp_path / name / soup.WEIGHTS)
        for kept in soup.KEPT:
            (tmp_path / name / kept).write_text(name, encoding="utf-8")
    soup.main([*(str(tmp_path / name) for name in "abc"), "--out", str(tmp_path / "out")])
    found = load_file(tmp_path / "out" / soup.WEIGHTS)
    assert found["visual.conv"].dtype == torch.float16
    assert torch.equal(found["visual.conv"], torch.full((2, 2), 3.0, dtype=torch.float16))
    assert int(found["visual.bn.num_batches_tracked"]) == 6
    assert torch.equal(found["text_projection"], torch.full((3,), 6.0, dtype=torch.float16))
    assert {(tmp_path / "out" / kept).read_text(encoding="utf-8") for kept in soup.KEPT} == {"c"}


def test_an_encoder_of_another_shape_is_refused() -> None:
    other = {name: value for name, value in state(1.0).items() if name != "visual.conv"}
    with pytest.raises(KeyError, match=r"visual\.conv"):
        soup.mean_tower([other, state(2.0)])
