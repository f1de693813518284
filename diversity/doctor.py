"""What this computer has for the engine, and what each missing piece costs: for `diversity doctor`.

Not for mending anything. Nothing heavy is imported unless it is there, and nothing is downloaded.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

State = Literal["ok", "missing", "broken"]

NEEDED = {  # distribution → (module, what does not work without it)
    "torch": ("torch", "nothing can be encoded: scan, search and everything after them"),
    "open_clip_torch": ("open_clip", "nothing can be encoded: scan, search and everything after them"),
    "faiss-cpu": ("faiss", "copies cannot be found"),
    "numba": ("numba", "pictures cannot be selected"),
    "opencv-python-headless": ("cv2", "pictures cannot be measured"),
    "pillow": ("PIL", "pictures cannot be read"),
    "polars": ("polars", "no table can be read"),
}
OPTIONAL = {
    "pillow-heif": ("pillow_heif", "HEIC pictures of phones become rows with a problem"),
    "umap-learn": ("umap", "the report's map is a plain projection"),
    "onnxruntime": ("onnxruntime", "no identity model or tagger from an ONNX file: `pip install diversity[subject]`"),
    "diffusers": ("diffusers", "`train` and `generate` do not work: `pip install diversity[train]`"),
    "peft": ("peft", "`train` does not work: `pip install diversity[train]`"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        state: "ok", "missing" (something optional is not there) or "broken" (the main job cannot run).
        found: What is there.
        costs: What does not work without it; "" where all is well.
    """

    name: str
    state: State
    found: str
    costs: str = ""

    def line(self) -> str:
        """For a terminal."""
        mark = {"ok": "ok     ", "missing": "missing", "broken": "BROKEN "}[self.state]
        return f"{mark}  {self.name:<13} {self.found}" + (f" — {self.costs}" if self.costs else "")


def examine(folder: Path | None = None, device: str = "auto") -> list[Finding]:
    """Look at Python, packages, device, memory, weights and the places that are written to.

    Args:
        folder: Pictures, to see whether a workspace can be made beside them; None: not asked.
        device: As in the settings: auto, cpu, cuda, cuda:N or mps.
    """
    found = [_python(), *_packages(), *_torch(device), _memory(), _weights(), _sample_set()]
    if folder is not None and not folder.expanduser().is_dir():
        what = "is a file" if folder.expanduser().is_file() else "is not there"
        found.append(Finding("pictures", "broken", f"{folder} {what}", "give the folder that holds the pictures"))
    elif folder is not None:
        found += [_place(folder), _links(folder)]
    return found


def text(found: list[Finding]) -> str:
    """For a terminal, with what it comes to at the end."""
    broken = [one.name for one in found if one.state == "broken"]
    missing = [one.name for one in found if one.state == "missing"]
    if broken:
        last = f"The main job cannot run here: mend {', '.join(broken)} first."
    elif missing:
        last = f"The main job runs here, at the price that is named for: {', '.join(missing)}."
    else:
        last = "Everything is here."
    return "\n".join([*(one.line() for one in found), last])


def _python() -> Finding:
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Finding("Python", "ok", said)


def _packages() -> list[Finding]:
    found = []
    for packages, state in ((NEEDED, "broken"), (OPTIONAL, "missing")):
        for name, (module, costs) in packages.items():
            there = find_spec(module) is not None
            found.append(
                Finding(name, "ok", _version(name)) if there else Finding(name, state, "not installed", costs)  # type: ignore[arg-type]
            )
    return found


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "installed"


def _torch(device: str) -> list[Finding]:
    """The build of torch and the device that the settings come to."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return [Finding("torch build", "broken", f"cannot be imported: {error}", "install it anew for this system")]
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "HIP" if torch.version.hip else "CPU only"
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    wanted = device if device != "auto" else "cuda" if cuda else "mps" if mps else "cpu"
    kind = wanted.partition(":")[0]
    here = {"cuda": cuda, "mps": mps, "cpu": True}.get(kind, False)
    if not here:
        return [Finding("device", "broken", f"{wanted} is not here (torch: {build})", "choose another with --device")]
    if kind == "cuda":
        index = int(wanted.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            return [Finding("device", "broken", f"{wanted} is not here", f"there are {torch.cuda.device_count()}")]
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        return [Finding("device", "ok", f"{wanted}: {name}, {_gb(free)} of {_gb(total)} free (torch: {build})")]
    costs = "large sets are encoded slowly, training is not practical" if kind == "cpu" else ""
    return [Finding("device", "ok" if kind == "mps" else "missing", f"{kind} (torch: {build})", costs)]


def _memory() -> Finding:
    total = _total_memory()
    if total is None:
        return Finding("memory", "ok", "not known on this system")
    low = total < 4e9
    return Finding(
        "memory", "missing" if low else "ok", _gb(total), "lower scan.workers if scans are killed" if low else ""
    )


def _total_memory() -> int | None:
    """Bytes of memory, of the container where it is limited; None where the system does not tell."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    try:
        return min(total, int(limit.read_text()))
    except (OSError, ValueError):  # no container, or no limit ("max")
        return total


def _weights() -> Finding:
    from diversity.config import EncoderConfig
    from diversity.encoders import resolve
    from diversity.errors import EncoderError

    try:
        spec = resolve(EncoderConfig())
    except EncoderError as error:
        return Finding("encoder", "broken", "the embedded encoder is not here", f"{error}")
    if spec.folder is None:
        return Finding("encoder", "ok", spec.name)
    costs = "photos and unusual drawings are told apart less well than with a CLIP: --model … --allow-download"
    return Finding("encoder", "missing", f"{spec.name}; no CLIP weights in the local cache", costs)


def _sample_set() -> Finding:
    folder = Path(__file__).parent / "assets" / "sample_set"
    if any(folder.rglob("*.jpg")) or any(folder.rglob("*.png")) or any(folder.rglob("*.webp")):
        return Finding("sample set", "ok", "embedded")
    return Finding("sample set", "missing", "not here", "`diversity demo` does not work: install anew")


def _place(folder: Path) -> Finding:
    from diversity import workspace

    where = workspace.default_location(folder.expanduser().resolve())
    beside = where.parent.parent == folder.expanduser().resolve().parent
    free = shutil.disk_usage(next(place for place in (where, *where.parents) if place.exists())).free
    costs = "" if beside else "the folder beside the pictures is read-only: tables go to your user's data"
    if free < 1e9:
        costs = f"only {_gb(free)} free: an export may not fit"
    return Finding("workspace", "missing" if costs else "ok", f"{where}, {_gb(free)} free", costs)


def _links(folder: Path) -> Finding:
    """Whether exports can be hard links: tried in the place where they would be."""
    parent = folder.expanduser().resolve().parent
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=".diversity-") as name:
            (Path(name) / "one").write_bytes(b"")
            os.link(Path(name) / "one", Path(name) / "two")
            folded = (Path(name) / "ONE").exists()
    except (OSError, NotImplementedError):
        return Finding(
            "hard links", "missing", f"not in {parent}", "exports copy every picture and take its space again"
        )
    return Finding("hard links", "ok", "exports take no space" + (", names ignore case" if folded else ""))


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
