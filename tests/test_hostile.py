"""Hostile folders, disks and moments: a clear row or message, the documented exit code, nothing of the user changed."""

from __future__ import annotations

import errno
import hashlib
import io
import multiprocessing
import os
import re
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from test_pipeline import open_at, picture, tree

from diversity import layout, record, services, workspace
from diversity.cli import main
from diversity.config import EncoderConfig
from diversity.dataset import Dataset
from diversity.encoders import load_encoder
from diversity.errors import WorkspaceError
from diversity.stages import STAGES

LONG = "x" * 246 + ".png"
NAMES = (
    *("图片.png", "🎒 emoji.png", "two\nlines.png", "<b>bold</b>.png", 'it\'s "quoted".png', "Case.png", "case.png"),
    *(LONG, "tab\there.png", "%s {0} $HOME `ls`.png", "-rf.png", "a'; DROP TABLE.png", "con.png", "trailing .png"),
)


@pytest.fixture(autouse=True)
def _one_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the embedded encoder once for all tests."""
    monkeypatch.setattr(services.Services, "_load", lambda self: _encoder())


@cache
def _encoder() -> object:
    return load_encoder(EncoderConfig(model="toon"))


def _png_of(width: int, height: int) -> bytes:
    """A PNG whose header says so, with hardly any pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def _bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def bad_files() -> dict[str, bytes]:
    """Files that must become rows with a problem."""
    whole = _bytes(picture(1), "JPEG", quality=90)
    return {
        "truncated.jpg": whole[: len(whole) // 3],
        "zero.png": b"",
        "bomb.png": _png_of(60_000, 60_000),
        "text.png": b"not a picture at all",
        "html.jpg": b"<html><script>alert(1)</script></html>",
        "zip.webp": b"PK\x03\x04" + b"\0" * 60,
    }


def odd_files() -> dict[str, bytes]:
    """Files that are pictures, though not plain ones."""
    deep = Image.fromarray(np.asarray(picture(2).convert("L"), np.uint16) * 257)
    frames = [Image.new("P", (8, 8), i % 250) for i in range(300)]
    return {
        "png-named.jpg": _bytes(picture(3), "PNG"),
        "polyglot.jpg": _bytes(picture(4), "JPEG", quality=90) + b"PK\x03\x04<?php evil(); ?>",
        "sixteen.png": _bytes(deep, "PNG"),
        "cmyk.jpg": _bytes(picture(5).convert("CMYK"), "JPEG", quality=90),
        "lab.tif": _bytes(Image.new("LAB", (64, 64), (120, 130, 140)), "TIFF"),
        "thin.png": _bytes(Image.new("RGB", (1, 9000), "red"), "PNG"),
        "moving.gif": _bytes(frames[0], "GIF", save_all=True, append_images=frames[1:]),
    }


def hostile(root: Path) -> list[str]:
    """Everything at once; the names of files that this file system took."""
    root.mkdir()
    taken = []
    for i, name in enumerate(NAMES):
        try:
            picture(20 + i).save(root / name)
            taken.append(name)
        except OSError:
            continue
    for name, data in {**bad_files(), **odd_files()}.items():
        (root / name).write_bytes(data)
    with tarfile.open(root / "shard.tar", "w") as tar:
        for name in ("../../outside.png", "/etc/absolute.png", "inside.png"):
            info = tarfile.TarInfo(name)
            data = _bytes(picture(50), "PNG")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    if sys.platform != "win32":
        (root / "loop").symlink_to(root, target_is_directory=True)
        (root / "dangling.png").symlink_to(root / "nowhere.png")
        os.mkfifo(root / "pipe.png")
    return taken


def _tree(root: Path) -> dict[str, str]:
    """Hashes of plain files: links lead back here, and reading a pipe waits for ever."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                found[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_a_hostile_folder_goes_all_the_way_and_is_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MIN_FOR_UMAP", 10_000)  # compiling it takes longer than all the rest
    root = tmp_path / "set"
    taken = hostile(root)
    before = _tree(root)
    words = ["curate", str(root), "--workspace", str(tmp_path / "w"), "--model", "toon", "--quiet"]
    assert main(words) == 0
    assert _tree(root) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set", "w"]  # nothing escaped from the tar
    images = open_at(root, tmp_path / "w").images
    problems = dict(images.select("path", "problem").iter_rows())
    assert {name for name, problem in problems.items() if problem} >= set(bad_files())
    assert not [name for name in (*odd_files(), *taken) if problems.get(name, "not listed")]
    assert all(problem is None or problem.endswith(".") for problem in problems.values())
    assert not [path for path in problems if ".." in path.split("/") or path.startswith("/")]
    if sys.platform != "win32":
        assert problems["pipe.png"]
        assert problems["dangling.png"]
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    report = (tmp_path / "w" / "reports" / "curation.html").read_text(encoding="utf-8")
    assert "<b>bold</b>.png" not in report


def some(root: Path, count: int = 5) -> Path:
    root.mkdir(parents=True)
    for i in range(count):
        picture(i).save(root / f"{i}.png")
    shutil.copy(root / "0.png", root / "copy.png")
    (root / "1.txt").write_text("portrait, from front")
    return root


def test_a_folder_that_changes_during_the_scan_costs_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diversity import measure

    root = some(tmp_path / "set")
    original, done = measure.measure, []

    def meddling(data: bytes, config: object) -> object:
        if not done:
            done.append(1)
            (root / "3.png").unlink()
            picture(77).save(root / "new.png")
        return original(data, config)

    monkeypatch.setattr(measure, "measure", meddling)
    images = open_at(root, tmp_path / "w", scan={"workers": 1}).scan().images
    gone = dict(images.select("path", "problem").iter_rows())
    assert set(gone) == {"0.png", "1.png", "2.png", "3.png", "4.png", "copy.png"}
    assert [path for path, problem in gone.items() if problem] in (["3.png"], [])  # read ahead of the meddling, or not
    monkeypatch.undo()
    after = open_at(root, tmp_path / "w").scan().images
    assert set(after["path"]) == {"0.png", "1.png", "2.png", "4.png", "copy.png", "new.png"}
    assert after["problem"].null_count() == len(after)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Dataset]]:
    """A small set and what an undisturbed run makes of it."""
    patch = pytest.MonkeyPatch()
    patch.setattr(services.Services, "_load", lambda self: _encoder())
    base = tmp_path_factory.mktemp("undisturbed")
    root = some(base / "set")
    yield root, open_at(root, base / "w").curate()
    patch.undo()


def state(dataset: Dataset) -> dict[str, object]:
    """All tables and exports; not seconds, nor pages that show them."""
    found: dict[str, object] = {}
    for file in sorted(dataset.folder.rglob("*.parquet")):
        name = file.relative_to(dataset.folder).as_posix()
        if not name.startswith("export/"):
            found[name] = repr(pl.read_parquet(file).rows())
    for file in sorted((dataset.folder / "export").rglob("*")):
        if file.is_file() and file.suffix in (".txt", ".toml", ".jsonl", ".csv", ".json"):
            text = re.sub(r'[^"]*/export/', "PLACE/export/", file.read_text(encoding="utf-8"))
            found[file.relative_to(dataset.folder).as_posix()] = text if file.suffix != ".json" else "there"
        elif file.is_file():
            found[file.relative_to(dataset.folder).as_posix()] = "there"
    assert not list(dataset.folder.glob("*.tmp"))
    return found


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def _count_writes(monkeypatch: pytest.MonkeyPatch, die_at: int, *, written: bool) -> list[str]:
    """Die at the write number `die_at`, before or after its rename; half a temporary file stays behind."""
    original, seen = workspace.write_bytes, []

    def dying(path: Path, data: bytes) -> None:
        seen.append(path.name)
        if len(seen) == die_at:
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / f".{path.name}.dead.tmp").write_bytes(data[: len(data) // 2])
            if written:
                original(path, data)
            raise Killed
        original(path, data)

    monkeypatch.setattr(workspace, "write_bytes", dying)
    return seen


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
def test_a_run_that_dies_at_any_write_ends_equal_when_run_again(
    written: bool, undisturbed: tuple[Path, Dataset], tmp_path: Path
) -> None:
    root, reference = undisturbed
    expected, at, finished = state(reference), 0, False
    while not finished:
        at += 5 if written else 3  # some moments are enough here; the slow test takes random ones
        folder = tmp_path / f"w{at}"
        with pytest.MonkeyPatch.context() as patch:
            _count_writes(patch, at, written=written)
            try:
                open_at(root, folder).curate()
                finished = True
            except Killed:
                pass
        if not finished:
            assert state(open_at(root, folder).curate()) == expected, f"killed at write {at}"
            assert not list(folder.rglob(".*.tmp"))
    assert at > 12


def test_a_full_disk_at_any_write_is_a_plain_message_and_nothing_is_lost(
    undisturbed: tuple[Path, Dataset], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, reference = undisturbed
    words = ["curate", str(root), "--workspace", str(tmp_path / "w"), "--model", "toon", "--quiet"]
    for at in (1, 4, 7, 10, 13):
        with pytest.MonkeyPatch.context() as patch:
            original, seen = Path.replace, []

            def full(
                self: Path, target: Path, at: int = at, seen: list[int] = seen, original: Callable[..., Path] = original
            ) -> Path:
                seen.append(1)
                if len(seen) == at:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return original(self, target)

            patch.setattr(Path, "replace", full)
            code = main(words)
        said = capsys.readouterr().err
        assert code in (0, 2)
        assert "Traceback" not in said
        assert code == 0 or "The disk is full. Free some space" in said
    assert main(words) == 0
    assert state(open_at(root, tmp_path / "w")) == state(reference)


TABLES = (
    "images",
    "thumbnails",
    "embeddings",
    "views",
    "duplicates",
    "targets",
    "selection",
    "scores",
    "map",
    "trainer",
)


@pytest.mark.parametrize("table", TABLES)
def test_a_corrupt_table_is_named_with_what_to_do_and_that_works(
    table: str, undisturbed: tuple[Path, Dataset], tmp_path: Path
) -> None:
    root, reference = undisturbed
    shutil.copytree(reference.folder, tmp_path / "w")
    dataset = open_at(root, tmp_path / "w")
    file = dataset.path(table)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(WorkspaceError, match="cannot be read") as told:
        dataset.read(table)
    assert str(file) in str(told.value)
    file.unlink()
    assert state(dataset.curate()) == state(reference)


def test_a_corrupt_record_is_named_with_what_to_do_and_that_works(
    undisturbed: tuple[Path, Dataset], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, reference = undisturbed
    shutil.copytree(reference.folder, tmp_path / "w")
    (tmp_path / "w" / "curation.json").write_bytes(b'{"stages": {\xff')
    words = ["curate", str(root), "--workspace", str(tmp_path / "w"), "--model", "toon", "--quiet"]
    assert main(words) == 2
    assert "curation.json" in capsys.readouterr().err
    (tmp_path / "w" / "curation.json").unlink()
    assert main(words) == 0
    assert state(open_at(root, tmp_path / "w")) == state(reference)


NOBODY = 65534


@pytest.fixture
def nobodys(tmp_path: Path) -> Iterator[Path]:
    """A folder of the user that the rest of the test runs as: for root nobody, since root reads everything."""
    if not hasattr(os, "geteuid") or os.geteuid():
        yield tmp_path
        return
    open_at(some(tmp_path / "warm"), tmp_path / "warm_workspace").scan()  # what is imported late may be root's alone
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="rights are not modes there")
def test_read_only_pictures_and_folders_are_no_obstacle(nobodys: Path) -> None:
    root = some(nobodys / "set")
    (root / "2.png").chmod(0)
    for path in (root / "0.png", root):
        path.chmod(path.stat().st_mode & ~0o222)
    problems = dict(open_at(root, nobodys / "w").scan().images.select("path", "problem").iter_rows())
    root.chmod(0o755)
    assert [path for path, problem in problems.items() if problem] == ["2.png"]


KILLS = 20
IMPORTED = (  # by the server that runs are forked from: a run without its imports costs a quarter of the time
    *("open_clip", "torchvision.transforms.v2.functional", "faiss", "bokeh.plotting", "pillow_heif", "scipy.optimize"),
    *("diversity.steps", "diversity.encoders.open_clip_encoder", "diversity.commands.curate", "training.forecast"),
    "reports.dataset_report",
)
SECONDS = re.compile(r'<td class="right">[0-9.]+</td>')


def everything(folder: Path) -> dict[str, object]:
    """Every file of a workspace byte by byte, temporary ones included; of the record and the page all but seconds."""
    found: dict[str, object] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"):
        name = file.relative_to(folder).as_posix()
        if name == record.FILE:
            found[name] = told = record.load(folder)
            for stage in told["stages"].values():
                del stage["seconds"]
        elif file.suffix == ".html":
            found[name] = SECONDS.sub("", file.read_text(encoding="utf-8"))
        else:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


@dataclass(frozen=True)
class Curation:
    """`diversity curate` in processes of its own, forked from one that has imported everything and done nothing."""

    root: Path
    folder: Path

    def run(self, within: float | None = None) -> tuple[int | None, float]:
        """Exit code, negative for the signal that killed it, and seconds; killed after `within` seconds."""
        words = ["curate", str(self.root), "--workspace", str(self.folder), "--model", "toon", "--quiet"]
        child = multiprocessing.get_context("forkserver").Process(target=main, args=(words,))
        begin = time.monotonic()
        child.start()
        child.join(within)
        child.kill()
        child.join()
        return child.exitcode, time.monotonic() - begin

    def finished(self) -> int:
        """How many stages the record says are done."""
        return len(record.load(self.folder)["stages"])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX; the deterministic variant runs everywhere")
def test_kill_9_at_twenty_random_moments_of_curate(tmp_path: Path) -> None:
    """Twenty runs killed at moments drawn uniformly over an undisturbed one's time, each then run again to its end.

    Only kills that hit a running process count: one that had ended before its moment is drawn again.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(IMPORTED))
    root = some(tmp_path / "set", layout.MIN_FOR_UMAP - 3)  # compiling the map takes longer than all the rest
    (root / "broken.jpg").write_bytes(bad_files()["truncated.jpg"])
    before, curation = tree(root), Curation(root, tmp_path / "w")
    for _ in range(2):  # the first one also waits for the imports
        shutil.rmtree(curation.folder, ignore_errors=True)
        code, lasted = curation.run()
        assert code == 0
    expected, moments = everything(curation.folder), np.random.default_rng(9)
    finished: list[int] = []
    for _ in range(3 * KILLS):
        shutil.rmtree(curation.folder)
        moment = float(moments.uniform(0, lasted))
        code, _ = curation.run(within=moment)
        if code == -signal.SIGKILL:
            finished.append(curation.finished())
            assert curation.run()[0] == 0
            assert everything(curation.folder) == expected, f"killed after {moment:.2f} of {lasted:.2f} s"
        if len(finished) == KILLS:
            break
    sys.stdout.write(f"stages finished before the kill: {sorted(finished)}, of {len(STAGES)}; a run: {lasted:.1f} s\n")
    assert len(finished) == KILLS
    assert len(set(finished)) > 1  # kills before the first stage alone would show nothing
    assert tree(root) == before
