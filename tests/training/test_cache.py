"""The cache gives back what was put, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from training.base import Base
from training.cache import Shelf, TextCache

KEY = {"content": "abc", "base": "f00", "size": (64, 64), "flipped": False}


def test_what_was_put_comes_back_also_from_disk(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    value = torch.randn(4, 8, 8)
    shelf.put(KEY, {"latents": value})
    for again in (shelf, Shelf(tmp_path), Shelf(tmp_path, memory=0)):
        found = again.get(KEY)
        assert found is not None
        assert torch.equal(found["latents"], value)


@pytest.mark.parametrize(
    "change", [{"content": "abd"}, {"base": "f01"}, {"size": (64, 72)}, {"flipped": True}, {"dtype": "bfloat16"}]
)
def test_any_change_of_the_key_misses(tmp_path: Path, change: dict[str, object]) -> None:
    shelf = Shelf(tmp_path)
    shelf.put(KEY, {"latents": torch.zeros(1)})
    assert shelf.get(KEY | change) is None


def test_a_stale_or_broken_file_is_as_good_as_none(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.put(KEY, {"latents": torch.zeros(1)})
    save_file({"latents": torch.ones(1)}, shelf.path(KEY), {"key": "of another version"})
    assert Shelf(tmp_path).get(KEY) is None
    shelf.path(KEY).write_bytes(b"half a file")
    assert Shelf(tmp_path).get(KEY) is None
    shelf.path(KEY).unlink()
    assert Shelf(tmp_path).get(KEY) is None


def test_memory_keeps_to_its_limit(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, memory=3 * 400)
    for i in range(10):
        shelf.put(KEY | {"content": i}, {"latents": torch.full((100,), float(i))})
    for i in range(10):
        found = shelf.get(KEY | {"content": i})
        assert found is not None
        assert float(found["latents"][0]) == i
        assert shelf.held <= 3 * 400


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_cached_text_states_are_the_encoders_own(family: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    base: Base = request.getfixturevalue(family)
    texts = ["a red hat", "", "blue shoes, smile"]
    with torch.no_grad():
        wanted = base.encode_prompts(texts, windows=1)
    cache = TextCache(base, 1, Shelf(tmp_path))
    assert cache.prepare(texts) == 3
    assert TextCache(base, 1, Shelf(tmp_path)).prepare(texts) == 0
    assert TextCache(base, 2, Shelf(tmp_path)).prepare(texts) == 3  # another number of windows is another state
    found = TextCache(base, 1, Shelf(tmp_path)).states(texts)
    assert torch.allclose(found.states, wanted.states, atol=1e-6)
    assert (found.pooled is None) == (family == "sd1")
    if found.pooled is not None and wanted.pooled is not None:
        assert torch.allclose(found.pooled, wanted.pooled, atol=1e-6)
