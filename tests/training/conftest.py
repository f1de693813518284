"""Tiny base models for the training room's tests: saved once per session, loaded afresh for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from training import base as bases
from training.base import Base


@pytest.fixture(scope="session")
def sd1_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_sd1(tmp_path_factory.mktemp("bases") / "sd1")


@pytest.fixture(scope="session")
def v_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_v(tmp_path_factory.mktemp("bases") / "v")


@pytest.fixture(scope="session")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_sdxl(tmp_path_factory.mktemp("bases") / "sdxl")


@pytest.fixture
def sd1(sd1_folder: Path) -> Base:
    return bases.load(sd1_folder, device="cpu")


@pytest.fixture
def v(v_folder: Path) -> Base:
    return bases.load(v_folder, device="cpu")


@pytest.fixture
def sdxl(sdxl_folder: Path) -> Base:
    return bases.load(sdxl_folder, device="cpu")
