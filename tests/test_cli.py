"""The command line: instant help, plain errors, JSON for machines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from diversity.cli import BUILT_IN, main

HEAVY = ("torch", "open_clip", "polars", "numpy", "faiss", "umap", "sklearn", "cv2", "pydantic", "bokeh")


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = "import sys; from diversity.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"  {name} " in done.stdout for name in BUILT_IN)
    assert not [m for m in HEAVY if m in done.stderr.split()]


@pytest.mark.parametrize("name", [n for n in BUILT_IN if n not in ("demo", "doctor")])
def test_every_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert "PICTURES" in capsys.readouterr().out


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_command_offers_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["curat"], "Did you mean 'curate'?"),
        (["scan", "no/such/folder"], "is not a folder"),
        (["scan", ".", "--set", "views.nonsense=1", "--workspace", "{tmp}/w"], "views.nonsense"),
        (["scan", ".", "--set", "nonsense"], "SECTION.KEY=VALUE"),
        (["explain", "{tmp}", "x.png", "--workspace", "{tmp}/w"], "diversity curate"),
        (["scan", "{tmp}", "--workspace", "{tmp}/w"], "holds no pictures"),
        (["search", "{tmp}", "--workspace", "{tmp}/w"], "one query"),
        (["score", "{tmp}", "--measure", "vendi_1", "--workspace", "{tmp}/w"], "Add --fail-under"),
    ],
)
def test_a_users_error_is_one_plain_message_and_exit_code_2(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(tmp=tmp_path) for word in words]) == 2
    message = capsys.readouterr().err
    assert says in message
    assert "Traceback" not in message


@pytest.mark.parametrize("keep", ["0", "-3", "some"])
def test_an_impossible_keep_is_refused_by_the_parser(keep: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["curate", ".", "--keep", keep])
    assert "--keep" in capsys.readouterr().err


def test_version_is_the_packages_own(capsys: pytest.CaptureFixture[str]) -> None:
    from diversity import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"diversity {__version__}"


def test_plain_turns_what_json_lacks_into_null() -> None:
    from diversity.commands.common import plain

    value = {"a": float("nan"), "b": (1, Path("x")), "c": float("inf")}
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == {"a": None, "b": [1, "x"], "c": None}
