"""The end of a command: what was exported and how it fits, and a report that a blocked export does not hold up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_pipeline import picture

from diversity import layout, record
from diversity.cli import main
from diversity.dataset import Dataset
from diversity.errors import NotExportedError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layout, "MIN_FOR_UMAP", 10_000)
    folder = tmp_path / "set"
    folder.mkdir()
    for i in range(5):
        picture(i).save(folder / f"{i}.png")
    (folder / "diversity.toml").write_text('[encoder]\nmodel = "toon"\n')
    return folder


def test_an_export_says_what_rounding_did_what_to_set_and_what_to_know(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(root), "--quiet", "--for", "kohya", "--epochs", "20"]) == 0
    said = capsys.readouterr().out
    (written,) = record.load(Dataset.open(root).folder)["export"]
    assert f"Exported for kohya: {written['folder']}" in said
    for sentence in (written["error"], *written["advice"], *written["warnings"]):
        assert said.count(sentence) == 1
    assert "Set epochs to 2 where you had 20" in said
    assert "No copies." in said


def test_a_blocked_export_is_told_after_the_report_is_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["curate", str(root), "--quiet", "--for", "kohya"]
    assert main(words) == 0
    dataset = Dataset.open(root)
    page = dataset.folder / "reports" / "curation.html"
    page.unlink()
    cache = next((dataset.folder / "export" / "kohya").rglob("0.png")).with_suffix(".npz")
    cache.write_bytes(b"a trainer's")
    (root / "0.txt").write_text("red hair")
    capsys.readouterr()
    assert main([*words, "--json"]) == 2
    said = capsys.readouterr()
    assert "0.npz" in said.err
    assert json.loads(said.out)["report"] == str(page)
    assert json.loads(said.out)["exports"] == []
    assert page.is_file()
    assert "Written for trainers" not in page.read_text(encoding="utf-8")
    assert main(["export", str(root), "--quiet", "--for", "kohya"]) == 2
    with pytest.raises(NotExportedError, match=r"0\.npz"):
        Dataset.open(root, overrides={"export": {"formats": ("kohya",)}}).curate()
    cache.unlink()
    assert main(words) == 0
