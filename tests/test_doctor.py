"""`diversity doctor` names what is missing and what that costs, and says plainly whether the main job runs."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from exports import Pictures

from diversity import doctor, layout
from diversity.cli import main
from diversity.errors import ExportError


def by_name(found: list[doctor.Finding]) -> dict[str, doctor.Finding]:
    return {one.name: one for one in found}


def test_here_the_main_job_runs_and_every_line_has_its_price(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    found = doctor.examine(tmp_path / "pictures", "cpu")
    assert not [one for one in found if one.state == "broken"]
    assert all(one.costs for one in found if one.state == "missing")
    assert by_name(found)["hard links"].state == "ok"
    assert list(tmp_path.iterdir()) == [tmp_path / "pictures"], "looking leaves nothing behind"
    assert doctor.text(found).splitlines()[-1].startswith(("The main job runs here", "Everything is here"))


@pytest.mark.parametrize(
    ("module", "state"), [("faiss", "broken"), ("onnxruntime", "missing"), ("diffusers", "missing")]
)
def test_a_missing_package_is_told_with_what_it_costs(module: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == module else find_spec(name))
    packages = {**doctor.NEEDED, **doctor.OPTIONAL}
    name = next(name for name, (its, _) in packages.items() if its == module)
    one = by_name(doctor.examine(device="cpu"))[name]
    assert (one.state, one.costs) == (state, packages[name][1])


@pytest.mark.parametrize("device", ["cuda:99", "mps:0", "tpu"])
def test_a_device_that_is_not_here_is_broken(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    if device == "mps:0" and sys.platform == "darwin":
        pytest.skip("it is here")
    assert main(["doctor", "--device", device]) == 1
    assert f"BROKEN   device        {device} is not here" in capsys.readouterr().out


def test_a_broken_torch_is_a_line_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert by_name(doctor.examine())["torch build"].state == "broken"


def test_refused_links_and_a_small_memory_have_their_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(doctor, "_total_memory", lambda: 2 << 30)
    (tmp_path / "pictures").mkdir()
    found = by_name(doctor.examine(tmp_path / "pictures", "cpu"))
    assert "copy every picture" in found["hard links"].costs
    assert "scan.workers" in found["memory"].costs


def test_machines_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "cpu", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"name", "state", "found", "costs"} == set(rows[0])


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path / "nosuch"), "--device", "cpu"]) == 1
    said = capsys.readouterr().out
    assert "nosuch is not there" in said
    assert "workspace" not in said


def test_without_umap_the_map_is_a_plain_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    rows = np.random.default_rng(0).normal(size=(layout.MIN_FOR_UMAP + 3, 8)).astype(np.float32)
    points = layout.lay_out(rows)
    assert points.shape == (len(rows), 2)
    assert np.isfinite(points).all()


def test_without_pillow_heif_all_but_heic_is_exported(
    three: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)
    assert three.write("huggingface", tmp_path / "out").files
    three.add("phone.heic", data=b"\0\0\0\x18ftypheic" + bytes(12))
    with pytest.raises(ExportError, match=r"phone\.heic was selected but cannot be read"):
        three.write("huggingface", tmp_path / "out")
