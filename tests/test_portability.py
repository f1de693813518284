"""Other systems: nothing POSIX-only, links refused, CRLF files, memory told, and none of the optional extras needed."""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_pipeline import TOON, picture

from diversity import taxonomy
from diversity.commands import common
from diversity.config import Config, ScanConfig
from diversity.dataset import Dataset
from diversity.ingest import list_sources

ROOT = Path(__file__).parents[1]
EXTRAS = ("accelerate", "compel", "diffusers", "peft", "tensorboard", "onnxruntime", "onnx", "hypothesis", "imagehash")
EXTRAS += ("playwright", "pyvista", "pytest", "bitsandbytes", "prodigyopt", "schedulefree")
POSIX_MODULES = {"fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "syslog", "posix", "crypt"}
POSIX_CALLS = {
    *("fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "setuid", "chown", "lchown", "mkfifo", "mknod"),
    *("killpg", "getpgid", "setsid", "getloadavg", "symlink", "symlink_to", "statvfs", "nice", "wait3", "wait4"),
    *("SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM", "alarm", "sysconf", "sched_getaffinity", "uname", "posix_fadvise"),
}
GUARDED = {("diversity/doctor.py", "sysconf"), ("diversity/layout.py", "nice")}  # asked for before they are used


def test_no_call_is_posix_only() -> None:
    found = set()
    for file in sorted((ROOT / "diversity").rglob("*.py")) + sorted((ROOT / "reports").rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in POSIX_CALLS:
                found.add((name, node.attr))
            elif isinstance(node, ast.Import):
                found |= {(name, alias.name) for alias in node.names if alias.name in POSIX_MODULES}
            elif isinstance(node, ast.ImportFrom) and node.module in POSIX_MODULES:
                found.add((name, node.module))
    assert found <= GUARDED


def test_every_file_is_opened_as_utf8() -> None:
    """Without an encoding, Windows reads and writes in that of its code page."""
    found = []
    for file in sorted((ROOT / "diversity").rglob("*.py")) + sorted((ROOT / "reports").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                text = node.func.attr in ("read_text", "write_text") and not (
                    isinstance(node.func.value, ast.Name) and node.func.value.id in ("workspace", "stage", "self")
                )
                named = {word.arg for word in node.keywords} | ({"encoding"} if len(node.args) > 1 else set())
                if text and "encoding" not in named and node.func.attr == "write_text":
                    found.append(f"{file.name}:{node.lineno}")
                if text and "encoding" not in named and node.func.attr == "read_text" and not node.args:
                    found.append(f"{file.name}:{node.lineno}")
    assert [place for place in found if not place.startswith("doctor.py")] == []  # reads a number of the kernel's


BLOCKER = f"""
import importlib.util, pkgutil, sys

class Without:
    # finds what the path finder finds, but not the extras: as if they were not installed

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {EXTRAS!r} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = [Without(f) if getattr(f, "__name__", "") == "PathFinder" else f for f in sys.meta_path]
assert importlib.util.find_spec("diffusers") is None
import diversity
for module in pkgutil.walk_packages(diversity.__path__, "diversity."):
    importlib.import_module(module.name)
import reports.dataset_report, reports.pick_report, reports.stage
from diversity.cli import main
main(["--help"])
"""


def test_importing_everything_of_the_base_needs_none_of_the_extras() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKER], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "curate" in done.stdout


def test_refused_links_make_copies_and_everything_else_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("links are refused here")

    for name in ("link", "symlink"):
        monkeypatch.setattr(os, name, refused)
    root = tmp_path / "set"
    root.mkdir()
    for i in range(3):
        picture(i).save(root / f"{i}.png")
    settings = TOON | {"export": {"formats": ("kohya", "musubi")}}
    dataset = Dataset.open(root, workspace_folder=tmp_path / "w", overrides=settings)
    dataset.run("scan", "label", "dedup", "views", "select", "export")
    exported = sorted((dataset.folder / "export").rglob("*.png"))
    assert len(exported) == 6
    assert {file.stat().st_nlink for file in exported} == {1}


def crlf(path: Path, text: str, mark: str = "") -> None:
    path.write_bytes((mark + text).replace("\n", "\r\n").encode("utf-8"))


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "marked"])
def test_files_with_windows_line_ends_say_the_same(mark: str, tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        (tmp_path / name).write_bytes(b"x")
    crlf(tmp_path / "1.txt", "from behind, full body\nsecond line\n", mark)
    crlf(tmp_path / "metadata.jsonl", '{"file_name": "2.png", "text": "a hat"}\n{"file_name": "x.png"}\n', mark)
    crlf(tmp_path / "3.json", '{\n"caption": "a coat"\n}\n', mark)
    captions = {source.path: source.caption for source in list_sources(tmp_path, ScanConfig())}
    assert captions["1.png"] == "from behind, full body\nsecond line"
    assert captions["2.png"] == "a hat"
    crlf(tmp_path / "diversity.toml", "[set]\npreset = 'style'\n[select]\nkeep = 4\n", mark)
    config = Config.load(tmp_path / "diversity.toml")
    assert (config.set.preset, config.select.keep) == ("style", 4)
    crlf(tmp_path / "taxonomy.toml", 'extends = "default"\n[targets]\nleast = 1\n', mark)
    assert taxonomy.load(tmp_path / "taxonomy.toml").targets.least == 1


def test_memory_is_dealt_to_index_and_threads_and_what_is_set_by_hand_wins(tmp_path: Path) -> None:
    small, large = common.within(0.5), common.within(1000)
    assert small == {"index": {"memory_gb": 0.25}, "scan": {"workers": 1}}
    assert large["scan"]["workers"] == (os.cpu_count() or 1)
    parser = argparse.ArgumentParser()
    common.add_common(parser)
    words = [str(tmp_path), "--workspace", str(tmp_path / "w"), "--memory", "2", "--set", "scan.workers=7"]
    config = common.open_dataset(parser.parse_args(words)).config
    assert (config.index.memory_gb, config.scan.workers) == (1.0, 7)
    for wrong in ("much", "0", "-1", "nan", "inf"):
        with pytest.raises(SystemExit):
            parser.parse_args([str(tmp_path), "--memory", wrong])
