"""The journal of a folder of rejects: what was moved into it, and where each file comes from and goes back to.

Not for moving: that is `rejects.py`. Its presence also makes ingest skip the folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from diversity import workspace
from diversity.errors import ExportError
from diversity.export.base import MANIFEST

CONTROLS = f"{workspace.FOLDER}/control/"  # no picture of a set lies below a folder of that name: ingest skips it


@dataclass(frozen=True)
class Journal:
    """What a folder of rejects holds.

    Attributes:
        folder: Of rejects.
        pictures: The set that they are of.
        control: Its folder of control pictures, where that lies elsewhere; None: nothing came from there.
        names: Every file that was ever moved, relative to `folder`: of the set under their paths in it, controls from
            elsewhere below `CONTROLS`.
    """

    folder: Path
    pictures: Path
    control: Path | None = None
    names: tuple[str, ...] = ()

    def away(self, name: str) -> Path:
        """Where a file lies once it was moved."""
        return self.folder / name

    def home(self, name: str) -> Path:
        """Where it came from."""
        if self.control is not None and name.startswith(CONTROLS):
            return self.control / name.removeprefix(CONTROLS)
        return self.pictures / name

    def control_name(self, control: Path, of: Path) -> str:
        """What a control picture in the folder `of` is called here."""
        if control.is_relative_to(self.pictures):
            return control.relative_to(self.pictures).as_posix()
        return CONTROLS + control.relative_to(of).as_posix()

    def holding(self, names: list[str], control: Path | None = None) -> Journal:
        """With `names` as well, and with the folder that controls among them come from.

        Raises:
            ExportError: earlier ones come from another folder.
        """
        if any(name.startswith(CONTROLS) for name in names):
            if self.control not in (None, control):
                raise ExportError(
                    f"{self.folder} holds control pictures of {self.control}.",
                    f"Those of {control} would be mixed with them.",
                    "Give another folder to --move-rejects.",
                )
            return replace(self, control=control, names=tuple(dict.fromkeys((*self.names, *names))))
        return replace(self, names=tuple(dict.fromkeys((*self.names, *names))))

    def write(self) -> None:
        """Write it into its folder."""
        said = {"version": 1, "pictures": str(self.pictures), "rejects": self.names}
        said |= {} if self.control is None else {"control": str(self.control)}
        workspace.write_text(self.folder / MANIFEST, json.dumps(said, indent=1, ensure_ascii=False) + "\n")


def read(folder: Path, pictures: Path, *, usual: bool) -> Journal:
    """The journal of `folder` for the set `pictures`; without names where nothing was moved there yet.

    Args:
        folder: Of rejects.
        pictures: The set.
        usual: Whether that is the set's own place for rejects: then both may have been moved or renamed together.

    Raises:
        ExportError: the folder is in use for something else or another set, or its journal names places outside.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return Journal(folder, pictures)
    try:
        said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        names, owner = tuple(str(path) for path in said["rejects"]), Path(said["pictures"])
        control = Path(said["control"]) if "control" in said else None
    except (OSError, ValueError, KeyError, TypeError):
        raise ExportError(
            f"{folder} cannot take rejects.", "It holds files of another origin.", "Give a folder of their own."
        ) from None
    if names and not _same(owner, pictures) and not (usual and not owner.exists()):
        raise ExportError(
            f"{folder} holds rejects of {owner}.",
            f"Those of {pictures} are others.",
            f'Give another folder; or, if {owner} was moved, say so under "pictures" in {folder / MANIFEST}.',
        )
    outside = [name for name in names if not _within(name)]
    if outside:
        raise ExportError(
            f"The journal in {folder} cannot be followed.",
            f"It names {outside[0]}, which lies outside.",
            f"Mend or remove {folder / MANIFEST}; nothing was moved.",
        )
    return Journal(folder, pictures, control, names)


def _within(name: str) -> bool:
    """Whether `name` stays below the folder that it is relative to, on this system."""
    path = Path(name)
    return bool(path.parts) and not path.anchor and ".." not in path.parts


def _same(one: Path, other: Path) -> bool:
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False
