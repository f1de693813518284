"""What is compared: labelled pictures and made vectors, as files that adapters of any interpreter can read.

Not for running or judging.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks import duplicates
from benchmarks.duplicates import SHARED, Pair
from diversity.ingest.source import PICTURE_SUFFIXES

SAMPLE = Path(__file__).parents[2] / "diversity" / "assets" / "sample_set"
TOGETHER = ("kaykit_views/longtail/*", "caltech101", "dreambooth_dev", "lpc_views/*male0[0-3]")  # no copies across
DIMENSIONS = 512
BLURRED, BLURS = 12, (0.0, 0.7, 1.4, 2.8, 5.6)  # pictures of the sample set, and radii in pixels
Truth = Callable[[Path], tuple[set[Pair], set[str]]]


@dataclass(frozen=True)
class Job:
    """One input.

    Attributes:
        label: What people read.
        asked: JSON-able values for the adapters.
        truth: Pairs of copies and pictures that count nowhere; None: not known.
    """

    label: str
    asked: Mapping[str, Any]
    truth: tuple[set[Pair], set[str]] | None = None


def picture_sets(extra: Mapping[str, Any], *, joined: bool = False) -> Callable[[Path, bool], list[Job]]:
    """Every labelled folder of pictures; small: the embedded sample set alone, as a clean clone has it.

    Args:
        extra: Values for the adapters.
        joined: Whether `together` is one more.
    """

    def jobs(made: Path, small: bool) -> list[Job]:
        folders: list[tuple[str, Path, Truth]] = [("sample set", SAMPLE / "10_mira", _sample)]
        if not small:
            for name, pattern, truth in duplicates.SETS:
                folders += [(f"{name}: {f.name}", f, truth) for f in sorted(SHARED.glob(pattern))]
        found = [Job(label, {"folder": str(folder), **extra}, truth(folder)) for label, folder, truth in folders]
        more = together(made, extra) if joined and not small else None
        return [*found, more] if more else found

    return jobs


def together(made: Path, extra: Mapping[str, Any]) -> Job | None:
    """The sets of `TOGETHER` as one folder of about 1,900 pictures, labels and all; None where none is there.

    Sets that show one another's pictures are not in it, because no label tells those pairs.
    """
    place, pairs, ignored, count = made / "together", set[Pair](), set[str](), 0
    shutil.rmtree(place, ignore_errors=True)
    for _, pattern, truth in duplicates.SETS:
        for folder in sorted(SHARED.glob(pattern)) if pattern in TOGETHER else ():
            own = folder.name
            for file in _pictures_of(folder):
                target = place / own / file.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                count += 1
            alike, left_out = truth(folder)
            pairs |= {(f"{own}/{one}", f"{own}/{other}") for one, other in alike}
            ignored |= {f"{own}/{name}" for name in left_out}
    if not count:
        return None
    return Job(f"{count} pictures of several sets", {"folder": str(place), **extra}, (pairs, ignored))


def _pictures_of(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix.lower() in PICTURE_SUFFIXES]


def _sample(folder: Path) -> tuple[set[Pair], set[str]]:
    with (folder.parent / "labels.csv").open(encoding="utf-8") as file:
        rows = {Path(row["file"]).name: row["dup_group"] for row in csv.DictReader(file)}
    return duplicates.truth_of(rows), set()


def readable_sets(made: Path, small: bool) -> list[Job]:
    """The same folders; where a file cannot be read, once more without such files, for peers that stop at them."""
    jobs = []
    for job in picture_sets({})(made, small):
        jobs.append(job)
        folder = Path(job.asked["folder"])
        files = _pictures_of(folder)
        sound = [file for file in files if _is_sound(file)]
        if len(sound) < len(files):
            place = made / f"sound-{folder.name}"
            shutil.rmtree(place, ignore_errors=True)
            for file in sound:
                target = place / file.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
            jobs.append(Job(f"{job.label}, sound files", {"folder": str(place)}, job.truth))
    return jobs


def quality_jobs(made: Path, small: bool) -> list[Job]:
    """Sets as they are, and some pictures blurred step by step, whose order is known."""
    return [*readable_sets(made, small), _blurred(made)]


def _blurred(made: Path) -> Job:
    """The first pictures of the sample set, each at every width of `BLURS`: `<number>-<step>.png`."""
    place = made / "blurred"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    sound = [file for file in sorted((SAMPLE / "10_mira").glob("*.jpg")) if _is_sound(file)][:BLURRED]
    for number, file in enumerate(sound):
        with Image.open(file) as image:
            for step, width in enumerate(BLURS):
                blurred = image.convert("RGB").filter(ImageFilter.GaussianBlur(width))
                blurred.save(place / f"{number:02d}-{step}.png")
    return Job(f"{len(sound)} pictures, each blurred {len(BLURS) - 1} times", {"folder": str(place), "graded": True})


def _is_sound(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            image.load()
    except (OSError, ValueError, SyntaxError):
        return False
    return True


def cloud(n: int, seed: int, kinds: int) -> NDArray[np.float32]:
    """Pictures of `kinds` kinds, long-tailed, as float32 [n, DIMENSIONS], unit rows."""
    rng = np.random.default_rng(seed)
    centres, share = rng.normal(size=(kinds, DIMENSIONS)), 1 / np.arange(1, kinds + 1)
    kind = rng.choice(kinds, n, p=share / share.sum())
    rows = centres[kind] + rng.normal(size=(n, DIMENSIONS))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def bursts(walks: int, steps: int, seed: int) -> NDArray[np.float32]:
    """Frames of random walks in 64 dimensions, shuffled: neighbours are alike, ends are not. Float32 [n, 64]."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([np.cumsum(rng.normal(size=(steps, 64)) * _sizes(steps), axis=0) for _ in range(walks)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows[rng.permutation(len(rows))].astype(np.float32)
    return unit


def _sizes(steps: int) -> NDArray[np.float64]:
    """A place to begin, then small steps: [steps, 1]."""
    return np.concatenate([[[1.0]], np.full((steps - 1, 1), 0.28)])


def _stored(made: Path, name: str, vectors: NDArray[np.float32]) -> str:
    file = made / f"{name}.npy"
    np.save(file, vectors)
    return str(file)


def facility_jobs(made: Path, small: bool) -> list[Job]:
    """As many vectors as all pairs of fit into memory."""
    sizes = [(300, 20)] if small else [(10_000, 500)]
    return [
        Job(
            f"{n} × {DIMENSIONS}, {k} kept",
            {"vectors": _stored(made, f"cloud-{n}", cloud(n, 0, max(n // 20, 2))), "keep": k},
        )
        for n, k in sizes
    ]


def large_jobs(made: Path, small: bool) -> list[Job]:
    """More than all pairs of fit into memory; neighbours are asked for, so that small inputs take the same way."""
    n, k = (2_000, 50) if small else (100_000, 500)
    vectors = _stored(made, f"cloud-{n}", cloud(n, 0, n // 20))
    return [Job(f"{n} × {DIMENSIONS}, {k} kept", {"vectors": vectors, "keep": k, "neighbours": True})]


def vendi_jobs(made: Path, small: bool) -> list[Job]:
    """More vectors than dimensions, where the dual form is the cheaper one."""
    n = 200 if small else 2_000
    return [Job(f"{n} × {DIMENSIONS}", {"vectors": _stored(made, f"cloud-{n}", cloud(n, 0, n // 20))})]


def coverage_jobs(made: Path, small: bool) -> list[Job]:
    """A set and a tenth as many others of its kinds."""
    n = 300 if small else 5_000
    asked = {
        "reference": _stored(made, f"cloud-{n}", cloud(n, 0, n // 20)),
        "subset": _stored(made, f"cloud-{n // 10}-other", cloud(n // 10, 0, n // 20)),
        "k": 5,
    }
    return [Job(f"{n} covered by {n // 10} others", asked)]


def burst_jobs(made: Path, small: bool) -> list[Job]:
    """Walks whose neighbouring frames are alike."""
    walks = 20 if small else 200
    path = _stored(made, f"bursts-{walks}", bursts(walks, 30, 0))
    return [Job(f"{30 * walks} frames of {walks} walks", {"vectors": path, "threshold": 0.95, "seed": 0})]
