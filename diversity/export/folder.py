"""The folder of an export: written beside its place and then renamed; only our own unchanged work is replaced.

Not for what goes into it: that is up to each format.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from diversity import __version__
from diversity.errors import ExportError
from diversity.export.base import MANIFEST, MANIFEST_VERSION, ExportOptions, ExportReport
from diversity.export.controls import Controls
from diversity.export.items import NEARLY, Item
from diversity.export.pictures import Pictures
from diversity.export.repeats import RepeatsError
from diversity.plural import count
from diversity.trainer_view import BucketRules
from diversity.workspace import is_workspace

_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # put there by file browsers, not by people


@dataclass
class Stage:
    """An export in the making.

    Attributes:
        folder: Where files are written now.
        final: Where they will lie.
        pictures: Brings pictures.
        controls: Brings the control pictures of an edit set; None: there are none.
        warnings: Sentences for the report.
    """

    folder: Path
    final: Path
    pictures: Pictures
    controls: Controls | None = None
    warnings: list[str] = field(default_factory=list)
    _placed: dict[str, tuple[str, str]] = field(default_factory=dict)

    def picture(self, item: Item, where: str, listed: str | None = None) -> str:
        """Put the picture of `item` into the sub-folder `where`; its file name.

        The manifest says that it lies there, or at `listed` + name where the format packs it.
        """
        (self.folder / where).mkdir(parents=True, exist_ok=True)
        name, how = self.pictures.place(item, self.folder / where)
        self._placed[item.key] = (f"{where}/{name}" if listed is None else f"{listed}{name}", how)
        return name

    def control(self, item: Item, where: str, stem: str | None = None, suffix: str | None = None) -> str:
        """Put the control picture of `item` into the sub-folder `where`; its file name.

        Raises:
            ExportError: there is none: a target without its control is never exported.
        """
        if self.controls is None:
            raise RuntimeError("this export has no control pictures")
        (self.folder / where).mkdir(parents=True, exist_ok=True)
        return self.pictures.place_file(self.controls.of(item), stem or item.stem, self.folder / where, suffix)

    def text(self, relative: str, content: str) -> None:
        """Write a text file, UTF-8 with LF ends and without a BOM."""
        target = self.folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode("utf-8"))

    def finish(
        self,
        name: str,
        items: Sequence[Item],
        repeats: Mapping[str, float],
        error: RepeatsError,
        options: ExportOptions,
    ) -> ExportReport:
        """Write the manifest; the report, still without advice."""
        hashes = {relative: digest(self.folder / relative) for relative in _files(self.folder)}
        hashes.pop(MANIFEST, None)
        manifest = {
            "format": name,
            "version": MANIFEST_VERSION,
            "complete": True,
            "diversity": __version__,
            "settings": options.settings(),
            "repeats": {
                "total_variation": error.total_variation,
                "worst": error.path,
                "wanted": error.wanted,
                "shown": error.shown,
                "sentence": error.sentence,
            },
            "pictures": [self._entry(item, repeats, hashes) for item in items],
            "files": hashes,
        }
        self.text(MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        converted = sum(how.startswith("converted") for _, how in self._placed.values())
        if converted:
            self.warnings.append(
                f"{count(converted, 'picture was', 'pictures were')} written anew because not every trainer reads them "
                f"right (format, rotation or 16 bits) or to be smaller; {MANIFEST} lists them."
            )
        nearly = sum(self._renamed(item) == NEARLY for item in items)
        if nearly:
            self.warnings.append(
                f"{count(nearly, 'picture has a name that differs', 'pictures have names that differ')} from another's "
                "only in case or Unicode form, which is the same name on some computers; other names were given, "
                f"{MANIFEST} lists them."
            )
        files = tuple(sorted([*hashes, MANIFEST]))
        return ExportReport(name, self.final, files, dict(repeats), error, tuple(self.warnings), ())

    def _entry(self, item: Item, repeats: Mapping[str, float], hashes: Mapping[str, str]) -> dict[str, object]:
        target, how = self._placed.get(item.key, (None, None))
        return {
            "key": item.key,
            "source": item.path,
            "target": target,
            "how": how,
            "weight": item.weight,
            "repeats": repeats.get(item.key),
            "hash": hashes.get(target) if target else None,
            "renamed": self._renamed(item) or None,
        }

    def _renamed(self, item: Item) -> str:
        """Why its file is not called as the original; "" too where the format names files in its own way, or none."""
        target, _ = self._placed.get(item.key, ("", ""))
        return item.renamed if PurePosixPath(target).stem == item.stem else ""


@contextmanager
def staging(folder: Path, options: ExportOptions, rules: BucketRules | None = None) -> Iterator[Stage]:
    """A stage for an export into `folder`, which changes only when the block has ended well.

    Raises:
        ExportError: files that are not ours, or edited since, are in `folder` (unless `options.force`, which puts
            the old folder aside); `folder` is the pictures' own, holds them or is a workspace; the disk is full.
    """
    final = folder.expanduser().resolve()
    new, old = (final.with_name(f".{final.name}.diversity-{part}") for part in ("new", "old"))
    _refuse(final, options.root.expanduser().resolve())
    with _explained(final):
        _recover(final, new, old)
        warnings, aside = _clearance(final, options)
        new.mkdir(parents=True)
        try:
            stub = {"version": MANIFEST_VERSION, "complete": False}  # ingest skips it from its first moment
            (new / MANIFEST).write_text(json.dumps(stub), encoding="utf-8")
            controls = Controls(options.control, options.root) if options.control is not None else None
            yield Stage(new, final, Pictures(options, rules), controls, warnings)
            _swap(new, final, aside or old)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def digest(file: Path) -> str:
    """32 hex digits of blake2b over the bytes of `file`."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _refuse(final: Path, root: Path) -> None:
    """Never write over the pictures or a workspace, force or not."""
    if final == root or final in root.parents:
        why = "It is, or holds, the folder of the pictures."
    elif is_workspace(final):
        why = "It is a workspace."
    elif final.exists() and not final.is_dir():
        why = "It is a file."
    else:
        return
    raise ExportError(f"Nothing can be exported to {final}.", why, "Give a folder of its own.")


def _clearance(final: Path, options: ExportOptions) -> tuple[list[str], Path | None]:
    """Warnings, and where to put the old folder aside if it holds more than our unchanged export.

    Raises:
        ExportError: it does, and `options.force` is not set.
    """
    in_the_way, gone = _compare(final, options.root)
    warnings = [f"{count(len(gone), 'deleted file')} of the earlier export: back again."] if gone else []
    if not in_the_way:
        return warnings, None
    if not options.force:
        more = f" and {len(in_the_way) - 3} more" if len(in_the_way) > 3 else ""
        raise ExportError(
            f"{final} holds files that an export would replace: {', '.join(in_the_way[:3])}{more}.",
            "They are not from an earlier export, or were changed since (a trainer's caches count too).",
            "Move them away, or use --force to put the whole folder aside.",
        )
    numbers = iter(range(1, 10_000))
    aside = next(free for n in numbers if not (free := final.with_name(f"{final.name}.before-{n}")).exists())
    return [*warnings, f"The earlier folder was put aside as {aside.name}."], aside


def _compare(final: Path, root: Path) -> tuple[list[str], list[str]]:
    """Files in `final` that are foreign or edited, and files of our earlier export that are gone."""
    present = {unicodedata.normalize("NFC", name): name for name in _files(final)} if final.is_dir() else {}
    hashes, sources = _earlier(final)
    in_the_way = []
    for name, spelt in sorted(present.items()):
        known = hashes.get(name)
        if name == MANIFEST and hashes:
            continue
        if known is None:
            in_the_way.append(f"{spelt}")
        elif not _is_link(final / spelt, sources.get(name), root) and digest(final / spelt) != known:
            in_the_way.append(f"{spelt} (edited)")
    return in_the_way, sorted(set(hashes) - set(present))


def _earlier(final: Path) -> tuple[dict[str, str], dict[str, str]]:
    """From the manifest of our earlier export: file → hash, and picture → its source; empty if there is none."""
    try:
        found = json.loads((final / MANIFEST).read_text(encoding="utf-8"))
        hashes = {unicodedata.normalize("NFC", str(name)): str(value) for name, value in found["files"].items()}
        targets = {unicodedata.normalize("NFC", str(row["target"])): str(row["source"]) for row in found["pictures"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}
    return hashes, targets


def _is_link(target: Path, source: str | None, root: Path) -> bool:
    """Whether an exported picture is still its original's hard link: then a change was made to the original."""
    try:
        return source is not None and not target.is_symlink() and target.samefile(root / source)
    except OSError:
        return False


def _files(folder: Path) -> list[str]:
    """Every file and symbolic link under `folder`, relative, with forward slashes."""
    found = []
    for where, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        found += [(Path(where) / name).relative_to(folder).as_posix() for name in names + links if name not in _LITTER]
    return found


def _recover(final: Path, new: Path, old: Path) -> None:
    """Tidy up after a killed export: the old one goes back to its place, a half-written one goes away."""
    if old.exists() and not final.exists():
        old.rename(final)
    for left in (new, old):
        if not left.exists():
            continue
        if not (left / MANIFEST).is_file() and any(left.iterdir()):
            raise ExportError(f"{left} is in the way.", "It is not ours.", "Move it away.")
        shutil.rmtree(left)


def _swap(new: Path, final: Path, old: Path) -> None:
    """Rename `final` to `old` and `new` to `final`; back again if the second fails."""
    existed = final.exists()
    if existed:
        final.rename(old)
    try:
        new.rename(final)
    except OSError:
        if existed:
            old.rename(final)
        raise


@contextmanager
def _explained(final: Path) -> Iterator[None]:
    """Turn a file system's refusal into a sentence."""
    try:
        yield
    except OSError as error:
        full = error.errno == errno.ENOSPC
        raise ExportError(
            f"{final} could not be written.",
            "The disk is full." if full else f"{error.strerror or error}.",
            "Free some space and export again; the earlier export is whole."
            if full
            else "Check that the folder may be written; the earlier export is whole.",
        ) from None
