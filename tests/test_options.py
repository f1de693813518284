"""Options that hold nothing or zero are honoured or refused, never swallowed; odd names and files are told plainly."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest

from diversity.cli import main
from diversity.commands import stage
from diversity.commands.common import open_dataset
from diversity.dataset import Dataset
from diversity.errors import ConfigError, EncoderError, InputError
from diversity.sizes import Faces
from diversity.subject import Onnx
from diversity.trainer_summary import Batches, Seen


def opened(root: Path, *words: str) -> Dataset:
    parser = argparse.ArgumentParser()
    stage.arguments(parser, "export")
    options = parser.parse_args([str(root), *words])
    return open_dataset(options, **stage.sections(options))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--resolution", "0"), "export.resolution"),
        (("--epochs", "0"), "export.epochs"),
        (("--name", ""), "select.name"),
    ],
)
def test_a_zero_or_an_empty_name_is_refused(words: tuple[str, ...], named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=named):
        opened(tmp_path, *words)


@pytest.mark.parametrize("formats", ["", " , "])
def test_no_format_is_no_answer(formats: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--for names no format"):
        opened(tmp_path, "--for", formats)


def test_an_empty_option_takes_back_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "diversity.toml").write_text('[export]\ntrigger = "mia"\nleave_out = ["artist"]\ncontrol = "c"\n')
    kept = opened(tmp_path).config.export
    assert (kept.trigger, kept.leave_out, kept.control) == ("mia", ("artist",), tmp_path / "c")
    cleared = opened(tmp_path, "--trigger", "", "--leave-out", "", "--control", "").config.export
    assert (cleared.trigger, cleared.leave_out, cleared.control) == (None, (), None)


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="names are Unicode there")
def test_a_folder_whose_name_is_no_unicode_is_refused_plainly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/p\xff")
    Path(folder).mkdir()
    assert main(["scan", folder, "--model", "toon"]) == 2
    assert "is not valid Unicode" in capsys.readouterr().err


@pytest.mark.parametrize("reader", [Onnx, Faces])
def test_a_model_that_is_not_there_is_told_as_such(reader: type, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"There is no file .*model\.onnx"):
        reader(tmp_path / "model.onnx")


def test_one_bucket_is_one_bucket() -> None:
    seen = Seen(512, 1, 1, 0, 0, 1.0, 0.0, (), (Batches(2, ((512, 512, 1),), 1),), ())
    assert seen.lines()[0].startswith("At 512: 1 picture in 1 bucket;")
    assert "1 bucket holds fewer pictures than that (1 picture)" in seen.lines()[1]
