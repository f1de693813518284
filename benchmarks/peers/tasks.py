"""What is compared with whom: inputs, adapters, and what the answers say of one another. Not for running or timing."""

from __future__ import annotations

import csv
import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks import duplicates
from benchmarks.duplicates import SHARED, Pair
from diversity.ingest.source import PICTURE_SUFFIXES

SAMPLE = Path(__file__).parents[2] / "diversity" / "assets" / "sample_set"
ALONE = "alone"  # instead of a peer: ours by itself
HASH_BITS = 8
COPY_COSINE = 0.9  # of imagededup's CNN and of fastdup, their documented defaults
DIMENSIONS = 512
BLURRED, BLURS = 12, (0.0, 0.7, 1.4, 2.8, 5.6)  # pictures of the sample set, and radii in pixels
Answer = Mapping[str, Any]
Compared = dict[str, float | str | None]


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


@dataclass(frozen=True)
class Floor:
    """What was promised of one task.

    Attributes:
        words: In full.
        faster: Least (peer's seconds / ours); None: no promise.
        seconds: Most seconds of ours; None: no promise.
        answer: Whether the compared answers keep the promise.
    """

    words: str
    faster: float | None = None
    answer: Callable[[Compared], bool] = lambda _: True
    seconds: float | None = None


@dataclass(frozen=True)
class Task:
    """One comparison.

    Attributes:
        words: What it is, for people.
        ours: Our adapter.
        peers: Key of `environments.PEERS`, or "paper" for a rule that runs beside us → its adapter.
        jobs: (folder for made inputs, small) → inputs.
        compare: (job, our answer, the peer's) → what they say of one another.
        floors: Peer, or `ALONE` → promise.
        absent: Peer → why it is not asked. Where there are no `peers`, ours runs alone.
        pictures: Whether inputs are folders of pictures.
    """

    words: str
    ours: str
    peers: Mapping[str, str]
    jobs: Callable[[Path, bool], list[Job]]
    compare: Callable[[Job, Answer, Answer], Compared]
    floors: Mapping[str, Floor] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    pictures: bool = False


# inputs ---------------------------------------------------------------------------------------------------------------


def picture_sets(extra: Mapping[str, Any]) -> Callable[[Path, bool], list[Job]]:
    """Labelled folders of pictures; small: the embedded sample set alone, as a clean clone has it."""

    def jobs(made: Path, small: bool) -> list[Job]:
        folders: list[tuple[str, Path, Callable[[Path], tuple[set[Pair], set[str]]]]]
        folders = [("sample set", SAMPLE / "10_mira", _sample)]
        if not small:
            for name, pattern, truth in duplicates.SETS:
                if name != "pixel art":
                    folders += [(f"{name}: {f.name}", f, truth) for f in sorted(SHARED.glob(pattern))]
        return [Job(label, {"folder": str(folder), **extra}, truth(folder)) for label, folder, truth in folders]

    return jobs


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
        files = [
            file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix.lower() in PICTURE_SUFFIXES
        ]
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


def _quality_jobs(made: Path, small: bool) -> list[Job]:
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


def graded(scores: Mapping[str, Mapping[str, float]]) -> float:
    """Share of neighbouring steps of `_blurred` whose more blurred picture has the lower `blurry` score, 0..1."""
    pairs = [(name, f"{name[:3]}{int(name[3]) + 1}.png") for name in scores]
    falls = [scores[more]["blurry"] < scores[less]["blurry"] for less, more in pairs if more in scores]
    return float(np.mean(falls))


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


def _facility_jobs(made: Path, small: bool) -> list[Job]:
    sizes = [(300, 20)] if small else [(10_000, 500)]
    return [
        Job(
            f"{n} × {DIMENSIONS}, {k} kept",
            {"vectors": _stored(made, f"cloud-{n}", cloud(n, 0, max(n // 20, 2))), "keep": k},
        )
        for n, k in sizes
    ]


def _large_jobs(made: Path, small: bool) -> list[Job]:
    """More than all pairs of fit into memory; neighbours are asked for, so that small inputs take the same way."""
    n, k = (2_000, 50) if small else (100_000, 500)
    vectors = _stored(made, f"cloud-{n}", cloud(n, 0, n // 20))
    return [Job(f"{n} × {DIMENSIONS}, {k} kept", {"vectors": vectors, "keep": k, "neighbours": True})]


def _vendi_jobs(made: Path, small: bool) -> list[Job]:
    n = 200 if small else 2_000
    return [Job(f"{n} × {DIMENSIONS}", {"vectors": _stored(made, f"cloud-{n}", cloud(n, 0, n // 20))})]


def _coverage_jobs(made: Path, small: bool) -> list[Job]:
    n = 300 if small else 5_000
    asked = {
        "reference": _stored(made, f"cloud-{n}", cloud(n, 0, n // 20)),
        "subset": _stored(made, f"cloud-{n // 10}-other", cloud(n // 10, 0, n // 20)),
        "k": 5,
    }
    return [Job(f"{n} covered by {n // 10} others", asked)]


def _burst_jobs(made: Path, small: bool) -> list[Job]:
    walks = 20 if small else 200
    path = _stored(made, f"bursts-{walks}", bursts(walks, 30, 0))
    return [Job(f"{30 * walks} frames of {walks} walks", {"vectors": path, "threshold": 0.95, "seed": 0})]


# answers --------------------------------------------------------------------------------------------------------------


def compare_pairs(job: Job, ours: Answer, peer: Answer) -> Compared:
    """F1 of each against the labels, and how far both agree."""
    one, two = ({tuple(pair) for pair in answer["pairs"]} for answer in (ours, peer))
    found: Compared = {"ours_pairs": float(len(one)), "peer_pairs": float(len(two))}
    found["agreement"] = len(one & two) / len(one | two) if one | two else 1.0
    if job.truth is not None:
        truth, ignored = job.truth
        found["ours_f1"], found["peer_f1"] = (f1(pairs, truth, ignored) for pairs in (one, two))
        found["ours_wrong"], found["peer_wrong"] = (float(len(_counted(p, ignored) - truth)) for p in (one, two))
    return found


def f1(pairs: set[Pair], truth: set[Pair], ignored: set[str]) -> float | None:
    """Of pairs without a picture in `ignored`; None where nothing is alike."""
    pairs, truth = _counted(pairs, ignored), _counted(truth, ignored)
    return 2 * len(pairs & truth) / (len(pairs) + len(truth)) if truth else None


def _counted(pairs: set[Pair], ignored: set[str]) -> set[Pair]:
    return {pair for pair in pairs if not set(pair) & ignored}


def compare_scores(job: Job, ours: Answer, peer: Answer) -> Compared:
    """Rank correlation (Spearman) of every check's scores, share of pictures with the same flag, ties of the peer.

    `<check>_tied`: share of pictures that have the peer's most frequent score; where it is large, ranks say little.
    """
    from scipy.stats import spearmanr

    names = sorted(ours["scores"].keys() & peer["scores"].keys())
    found: Compared = {"pictures_of_both": float(len(names))}
    if job.asked.get("graded"):
        found["ours_graded"], found["peer_graded"] = graded(ours["scores"]), graded(peer["scores"])
    for check in next(iter(peer["scores"].values()), {}):
        columns = [[answer["scores"][name][check] for name in names] for answer in (ours, peer)]
        constant = any(len(set(column)) < 2 for column in columns)
        found[f"{check}_rank"] = None if constant else float(spearmanr(*columns).statistic)
        found[f"{check}_tied"] = Counter(columns[1]).most_common(1)[0][1] / len(names) if names else None
        same = [(check in ours["flags"][name]) == (check in peer["flags"][name]) for name in names]
        found[f"{check}_same_flag"] = float(np.mean(same)) if same else None
    return found


def compare_objectives(job: Job, ours: Answer, peer: Answer) -> Compared:
    """Facility location of each order, on the same float64 cosines; picks that are not unique are counted once."""
    vectors = np.load(job.asked["vectors"]).astype(np.float64)
    one, two = (objective(vectors, answer["order"]) for answer in (ours, peer))
    found: Compared = {"ours_objective": one, "peer_objective": two, "ratio": one / two}
    found["peer_twice"] = float(len(peer["order"]) - len(set(peer["order"])))
    for part in ("similarities", "greedy"):
        found[f"ours_{part}_s"], found[f"peer_{part}_s"] = (a["parts"][part] for a in (ours, peer))
    return found


def compare_with_random(job: Job, ours: Answer, _: Answer) -> Compared:
    """Our objective beside that of as many random picks, and what all cosines in float64 would take, in GB."""
    vectors = np.load(job.asked["vectors"]).astype(np.float64)
    rng = np.random.default_rng(0)
    picks = rng.choice(len(vectors), job.asked["keep"], replace=False).tolist()
    one, two = (objective(vectors, order) for order in (ours["order"], picks))
    found: Compared = {"ours_objective": one, "random_objective": two, "ratio": one / two}
    found |= {f"ours_{part}_s": ours["parts"][part] for part in ("similarities", "greedy")}
    return {**found, "dense_GB": 8 * len(vectors) ** 2 / 1e9}


def objective(vectors: NDArray[np.float64], order: Sequence[int]) -> float:
    """Sum over all of the largest cosine to a pick, negative ones as 0; vectors [n, d], unit rows."""
    picks = vectors[list(order)]
    parts = [np.clip(vectors[at : at + 1_024] @ picks.T, 0, None).max(axis=1) for at in range(0, len(vectors), 1_024)]
    return float(np.concatenate(parts).sum())


def compare_vendi(job: Job, ours: Answer, peer: Answer) -> Compared:
    """Largest relative difference of orders 1, 2 and infinity, and what the peer's other functions say."""
    apart = [abs(ours[order] / peer[order] - 1) for order in ("1", "2", "inf") if isinstance(peer[order], float)]
    found: Compared = {"largest_difference": max(apart, default=None), "orders_compared": float(len(apart))}
    expected = {
        "score_X, q = 1": "1",
        "score_X, q = 2": "2",
        "score_K, q = 2": "2",
        "score_dual, q = float('inf')": "inf",
    }
    for name, value in peer["also"].items():
        wanted = ours.get(expected.get(name, ""))
        right = isinstance(value, float) and wanted is not None and abs(value / wanted - 1) < 1e-6
        found[name] = "equal" if right else f"{value} for {wanted:.4f}" if wanted is not None else str(value)
    return found


def compare_coverage(job: Job, ours: Answer, peer: Answer) -> Compared:
    """Both values and their difference."""
    one, two = ours["coverage"], peer["coverage"]
    return {"ours_coverage": one, "peer_coverage": two, "difference": abs(one - two)}


def compare_removed(job: Job, ours: Answer, peer: Answer) -> Compared:
    """Share removed, and share of all that is removed though nothing that stays is as alike as the threshold."""
    vectors, threshold = np.load(job.asked["vectors"]), job.asked["threshold"]
    found: Compared = {}
    for who, answer in (("ours", ours), ("peer", peer)):
        found[f"{who}_removed"] = len(answer["removed"]) / len(vectors)
        found[f"{who}_orphans"] = orphans(vectors, answer["removed"], threshold) / len(vectors)
    return found


def orphans(vectors: NDArray[np.float32], removed: Sequence[int], threshold: float) -> int:
    """Removed rows without a surviving one at or above `threshold` (up to rounding); vectors [n, d], unit rows."""
    gone = np.array(removed, np.int64)
    stays = np.setdiff1d(np.arange(len(vectors)), gone)
    if not len(gone) or not len(stays):
        return len(gone)
    return int(((vectors[gone] @ vectors[stays].T).max(axis=1) < threshold - 1e-5).sum())


def _same_or_better_pairs(found: Compared) -> bool:
    one, two = found.get("ours_f1"), found.get("peer_f1")
    if isinstance(one, float) and isinstance(two, float):
        return one >= two
    wrong, theirs = found.get("ours_wrong"), found.get("peer_wrong")
    return not (isinstance(wrong, float) and isinstance(theirs, float)) or wrong <= theirs


def _within(name: str, least: float = -math.inf, most: float = math.inf) -> Callable[[Compared], bool]:
    def kept(found: Compared) -> bool:
        value = found.get(name)
        return isinstance(value, float) and least <= value <= most

    return kept


def _ranks(found: Compared) -> bool:
    ranks = [value for name, value in found.items() if name.endswith("_rank") and value is not None]
    return bool(ranks) and all(isinstance(value, float) and value >= 0.95 for value in ranks)


TASKS: dict[str, Task] = {
    "hash": Task(
        "Near-equal pictures by perceptual hash, from files",
        "ours_hash",
        {"imagededup": "imagededup_phash"},
        picture_sets({"bits": HASH_BITS}),
        compare_pairs,
        {"imagededup": Floor("faster, same or better pairs", 1.0, _same_or_better_pairs)},
        pictures=True,
    ),
    "copies": Task(
        "Copies from files, scan and encoding included",
        "ours_copies",
        {"imagededup": "imagededup_cnn", "fastdup": "fastdup_pairs"},
        picture_sets({"threshold": COPY_COSINE, "model": "toon"}),
        compare_pairs,
        {"fastdup": Floor("3 times faster, F1 at least equal", 3.0, _same_or_better_pairs)},
        pictures=True,
    ),
    "keepers": Task(
        "What a threshold on given vectors removes",
        "ours_keepers",
        {"paper": "semdedup_rule", "fiftyone-brain": "fiftyone_duplicates"},
        _burst_jobs,
        compare_removed,
        {"paper": Floor("no orphan", None, _within("ours_orphans", most=0.0))},
    ),
    "quality": Task(
        "Dark, light and blurred pictures, from files",
        "ours_quality",
        {"cleanvision": "cleanvision_checks"},
        _quality_jobs,
        compare_scores,
        {"cleanvision": Floor("3 times faster, rank correlation at least 0.95", 3.0, _ranks)},
        pictures=True,
    ),
    "facility": Task(
        "Facility location on given vectors",
        "ours_facility",
        {"apricot": "apricot_facility", "submodlib": "submodlib_facility"},
        _facility_jobs,
        compare_objectives,
        {"apricot": Floor("twice as fast, objective at least 0.995", 2.0, _within("ratio", least=0.995))},
    ),
    "large": Task(
        "Facility location on more vectors than all pairs of fit into memory",
        "ours_facility",
        {},
        _large_jobs,
        compare_with_random,
        {ALONE: Floor("under 90 s, better than random", None, _within("ratio", least=1.0), seconds=90.0)},
        dict.fromkeys(
            ("apricot", "submodlib"), "all pairs take 80 GB in float64; its own neighbour graph is not tried"
        ),
    ),
    "vendi": Task(
        "Vendi scores of given vectors",
        "ours_vendi",
        {"vendi-score": "vendi_scores"},
        _vendi_jobs,
        compare_vendi,
        {"vendi-score": Floor("equal to 1e-6 where it is right", None, _within("largest_difference", most=1e-6))},
    ),
    "coverage": Task(
        "Coverage of one set of vectors by another",
        "ours_coverage",
        {"prdc": "prdc_coverage"},
        _coverage_jobs,
        compare_coverage,
        {"prdc": Floor("equal to 1e-6", None, _within("difference", most=1e-6))},
    ),
}
