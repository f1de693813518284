"""What `pip install .` brings: every file of the three rooms, the commands, and nothing of tests and benchmarks."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("diversity", "training", "reports")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, so that nothing is left in the tree."""
    setuptools = pytest.importorskip("setuptools", minversion="77")
    assert setuptools
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("out")
    for room in (*ROOMS, "benchmarks", "tests"):
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__", "out", "results"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / file).is_file():
            shutil.copy(ROOT / file, copy / file)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(out)], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def test_every_file_of_the_rooms_is_in_it_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    wanted = {
        file.relative_to(ROOT).as_posix()
        for room in ROOMS
        for file in (ROOT / room).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == wanted
    assert "diversity/assets/taxonomy.toml" in found  # what is compared is not empty


def test_the_command_and_what_rooms_offer_are_declared(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    declared = wheel.read(name).decode()
    for line in ("[console_scripts]", "diversity = diversity.cli:main", "[diversity.stages]", "[diversity.commands]"):
        assert line in declared
