"""The main job as a person types it: every stage by its own command, from every layout, with JSON that machines read.

The pictures are tiny; what the stages find is tested elsewhere.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pillow_heif
import polars as pl
import pytest
from test_pipeline import picture

from diversity import layout
from diversity.cli import main
from diversity.scoring import text

PLAIN = ("--model", "toon", "--quiet")
CAPTIONS = {
    "phone.heic": "from behind, full body",
    "new.avif": "portrait, from front",
    "10_mia/kohya.png": "shoes, feet close-up",
    "train/listed.webp": "upper body, from side",
    "shard.tar/member.png": "full body, from front",
}


def save(image_number: int, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = picture(image_number)
    if file.suffix == ".heic":
        pillow_heif.from_pillow(image).save(file)
    else:
        image.save(file)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with every layout: plain (HEIF, AVIF), kohya with `.caption`, imagefolder, WebDataset; one copy."""
    root = tmp_path_factory.mktemp("mixed") / "set"
    for number, path in enumerate(CAPTIONS):
        if ".tar" not in path:
            save(number, root / path)
    for path in ("phone.heic", "new.avif"):
        (root / path).with_suffix(".txt").write_text(CAPTIONS[path])
    (root / "10_mia" / "kohya.caption").write_text(CAPTIONS["10_mia/kohya.png"])
    row = {"file_name": "listed.webp", "text": CAPTIONS["train/listed.webp"]}
    (root / "train" / "metadata.jsonl").write_text(json.dumps(row))
    buffer = io.BytesIO()
    picture(4).save(buffer, "PNG")
    with tarfile.open(root / "shard.tar", "w") as tar:
        for name, data in (("member.png", buffer.getvalue()), ("member.txt", b"full body, from front")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    for number in range(6, 10):
        save(number, root / f"more{number}.jpg")
    shutil.copy(root / "10_mia" / "kohya.png", root / "10_mia" / "again.png")
    return root


def answer(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> Any:
    """What the command says as JSON; nothing else may stand on stdout."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_every_stage_runs_by_its_own_command_on_every_layout(
    mixed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MIN_FOR_UMAP", 10_000)
    done = {stage: answer(capsys, stage, mixed, *PLAIN) for stage in ("scan", "dedup", "views", "select", "export")}
    assert done["scan"]["copies"] is None  # not asked yet
    assert done["dedup"]["copies"] == 1
    assert done["views"]["kept"] is None
    assert done["select"]["kept"] == done["scan"]["pictures"] - 1
    workspace = Path(done["export"]["workspace"])
    images = pl.read_parquet(workspace / "images.parquet")
    assert images["problem"].null_count() == len(images) == 10
    said = dict(images.filter(pl.col("caption").is_not_null()).select("path", "caption").iter_rows())
    assert said == CAPTIONS
    written = [file.read_text(encoding="utf-8") for file in (workspace / "export" / "kohya").rglob("*.txt")]
    assert all(any(caption in one for one in written) for caption in CAPTIONS.values())
    page = Path(answer(capsys, "report", mixed, *PLAIN)["report"])
    assert page.is_file()

    assert answer(capsys, "search", mixed, "boots", *PLAIN, "-n", 3)[0].keys() == {"path", "similarity"}
    found = answer(capsys, "search", mixed, "--image", mixed / "more7.jpg", *PLAIN)
    assert found[0]["path"] == "more7.jpg"
    told = answer(capsys, "explain", mixed, "kohya.png", *PLAIN)
    assert (told["status"], told["copies"]) == ("kept", ["10_mia/again.png"])
    assert main(["explain", str(mixed), "kohya.png", *PLAIN]) == 0
    story = capsys.readouterr().out
    assert "shoes, feet close-up (10_mia/kohya.caption)" in story
    assert "stands for 1 copy: 10_mia/again.png" in story
    assert "read from the caption" in story


def test_score_speaks_plainly_and_fails_scripts_with_exit_1(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["measure"]: row for row in answer(capsys, "score", mixed, *PLAIN)}
    rank = rows["set.effective_rank"]
    assert rank["settings"]["encoder"].startswith("toon")  # an object, not JSON inside JSON
    assert main(["score", str(mixed), *PLAIN, "--fail-under", str(rank["value"] - 0.1)]) == 0
    assert f"10 pictures act like about {rank['value']:.0f} different ones" in capsys.readouterr().out
    assert main(["score", str(mixed), *PLAIN, "--fail-under", str(rank["value"] + 0.1)]) == 1
    assert "set.effective_rank is" in capsys.readouterr().err
    assert main(["score", str(mixed), *PLAIN, "--fail-under", "1", "--measure", "set.pictures"]) == 0
    assert main(["score", str(mixed), *PLAIN, "--fail-under", "1", "--measure", "nonsense"]) == 2
    assert "There is no measure 'nonsense'" in capsys.readouterr().err


def test_score_against_a_pool_is_its_share_within_reach(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = answer(capsys, "score", mixed, "--against", mixed, *PLAIN)
    assert (row["measure"], row["value"], row["n"], row["settings"]["distinct"]) == ("coverage", 1.0, 10, 9)
    part = tmp_path / "part"
    part.mkdir()
    shutil.copy(mixed / "more6.jpg", part)
    (less,) = answer(capsys, "score", part, "--against", mixed, *PLAIN)
    assert 1 / 9 <= less["value"] < 1
    assert less["low"] <= less["value"] <= less["high"]
    assert main(["score", str(part), "--against", str(mixed), *PLAIN, "--fail-under", "0.999"]) == 1
    assert f"Covered: {100 * less['value']:.0f} % (" in capsys.readouterr().out
    assert main(["score", str(part), "--against", str(tmp_path / "nowhere"), *PLAIN]) == 2


def test_rejects_are_part_of_the_answer(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own"
    shutil.copytree(mixed, own)
    said = answer(capsys, "export", own, *PLAIN, "--for", "table", "--move-rejects")
    assert said["rejects"]["paths"] == ["10_mia/again.png"]
    assert (tmp_path / "_rejects" / "own" / "10_mia" / "again.png").is_file()


def test_a_setting_in_the_folder_holds_until_the_command_line_says_otherwise(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    shutil.copytree(mixed, own)
    (own / "diversity.toml").write_text('[select]\nkeep = 9\n[encoder]\nmodel = "toon"\n[targets]\naxes = []\n')
    assert answer(capsys, "select", own, "--quiet")["kept"] == 9
    assert answer(capsys, "select", own, "--quiet", "--set", "select.keep=4")["kept"] == 4
    assert answer(capsys, "select", own, "--quiet", "--keep", "3", "--set", "select.keep=4")["kept"] == 3


def test_a_score_without_an_interval_or_a_value_is_still_a_sentence_or_none() -> None:
    row = {"measure": "set.effective_rank", "value": 1.0, "low": None, "high": None, "n": 1, "settings": {}}
    counted = {**row, "measure": "set.pictures"}
    assert text([row, counted]).startswith("1 picture acts like about 1 different one.")
    assert text([{**row, "value": None}, counted]).splitlines()[0].startswith("set.effective_rank")
