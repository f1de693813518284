"""What is compared with whom, and what was promised of it. Not for making inputs, running or judging answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import answers, inputs
from benchmarks.peers.answers import Answer, Compared
from benchmarks.peers.inputs import Job

ALONE = "alone"  # instead of a peer: ours by itself
PAPER = "paper"  # a rule written from its paper, which runs beside us
DECODE = "decode"  # decoding alone, which runs beside us
HASH_BITS = 8
COPY_COSINE = 0.9  # of imagededup's CNN, its documented default


@dataclass(frozen=True)
class Floor:
    """What was promised of one task.

    Attributes:
        words: In full.
        faster: Least (peer's seconds / ours); None: no promise.
        seconds: Most seconds of ours; None: no promise.
        parts: Part of the work that both time → least (peer's seconds / ours).
        answer: Whether the compared answers keep the promise.
    """

    words: str
    faster: float | None = None
    answer: Callable[[Compared], bool] = lambda _: True
    seconds: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One comparison.

    Attributes:
        words: What it is, for people.
        ours: Our adapter.
        peers: Key of `environments.PEERS`, `PAPER` or `DECODE` → its adapter.
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


def _as_many(found: Compared) -> bool:
    """Whether ours read all that decoding alone did: less work is no speed."""
    ours, theirs = found["ours_pictures"], found["peer_pictures"]
    return isinstance(ours, float) and isinstance(theirs, float) and ours >= theirs


def _ranks(found: Compared) -> bool:
    ranks = [value for name, value in found.items() if name.endswith("_rank") and value is not None]
    return bool(ranks) and all(isinstance(value, float) and value >= 0.95 for value in ranks)


TASKS: dict[str, Task] = {
    "hash": Task(
        "Near-equal pictures by perceptual hash, from files",
        "ours_hash",
        {"imagededup": "imagededup_phash"},
        inputs.picture_sets({"bits": HASH_BITS}),
        answers.compare_pairs,
        {"imagededup": Floor("faster, same or better pairs", 1.0, _same_or_better_pairs)},
        pictures=True,
    ),
    "decode": Task(
        "Hashes and their pairs beside decoding alone, from files",
        "ours_hash",
        {DECODE: "bare_decode"},
        inputs.picture_sets({"bits": HASH_BITS}, joined=True),
        answers.compare_counts,
        {DECODE: Floor("0.85 of the speed of decoding alone", 0.85, _as_many)},
        pictures=True,
    ),
    "copies": Task(
        "Copies from files, scan and encoding included",
        "ours_copies",
        {"imagededup": "imagededup_cnn", "fastdup": "fastdup_pairs"},
        inputs.picture_sets({"threshold": COPY_COSINE, "model": "toon"}, joined=True),
        answers.compare_pairs,
        {"fastdup": Floor("3 times faster, F1 at least equal", 3.0, _same_or_better_pairs)},
        pictures=True,
    ),
    "keepers": Task(
        "What a threshold on given vectors removes",
        "ours_keepers",
        {PAPER: "semdedup_rule", "fiftyone-brain": "fiftyone_duplicates"},
        inputs.burst_jobs,
        answers.compare_removed,
        {PAPER: Floor("no orphan", None, _within("ours_orphans", most=0.0))},
    ),
    "quality": Task(
        "Dark, light and blurred pictures, from files",
        "ours_quality",
        {"cleanvision": "cleanvision_checks"},
        inputs.quality_jobs,
        answers.compare_scores,
        {"cleanvision": Floor("3 times faster, rank correlation at least 0.95", 3.0, _ranks)},
        pictures=True,
    ),
    "facility": Task(
        "Facility location on given vectors",
        "ours_facility",
        {"apricot": "apricot_facility", "submodlib": "submodlib_facility"},
        inputs.facility_jobs,
        answers.compare_objectives,
        {
            "apricot": Floor(
                "twice as fast, 4 times given the similarities, objective at least 0.995",
                2.0,
                _within("ratio", least=0.995),
                parts={"greedy": 4.0},
            )
        },
    ),
    "large": Task(
        "Facility location on more vectors than all pairs of fit into memory",
        "ours_facility",
        {},
        inputs.large_jobs,
        answers.compare_with_random,
        {ALONE: Floor("under 90 s, better than random", None, _within("ratio", least=1.0), seconds=90.0)},
        dict.fromkeys(
            ("apricot", "submodlib"), "all pairs take 80 GB in float64; its own neighbour graph is not tried"
        ),
    ),
    "vendi": Task(
        "Vendi scores of given vectors",
        "ours_vendi",
        {"vendi-score": "vendi_scores"},
        inputs.vendi_jobs,
        answers.compare_vendi,
        {"vendi-score": Floor("equal to 1e-6 where it is right", None, _within("largest_difference", most=1e-6))},
    ),
    "coverage": Task(
        "Coverage of one set of vectors by another",
        "ours_coverage",
        {"prdc": "prdc_coverage"},
        inputs.coverage_jobs,
        answers.compare_coverage,
        {"prdc": Floor("equal to 1e-6", None, _within("difference", most=1e-6))},
    ),
}
