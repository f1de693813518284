"""Fixtures that every room's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from exports import Pictures

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """`../shared/data`, the real pictures; tests that need them are skipped where they are absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not here: this test needs its real pictures")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    """An empty set of pictures to export."""
    return Pictures(tmp_path / "pictures")


@pytest.fixture
def three(pictures: Pictures) -> Pictures:
    """A set of three."""
    for number, weight in enumerate((0.5, 1.0, 1.76)):
        pictures.add(f"{number}.png", f"caption {number}", weight=weight)
    return pictures
