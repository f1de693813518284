"""What the answers of two sides say of one another: pairs, scores, objectives. Not for running or timing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.duplicates import Pair
from benchmarks.peers.inputs import Job

Answer = Mapping[str, Any]
Compared = dict[str, float | str | None]


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
    return found


def compare_with_random(job: Job, ours: Answer, _: Answer) -> Compared:
    """Our objective beside that of as many random picks, and what all cosines in float64 would take, in GB."""
    vectors = np.load(job.asked["vectors"]).astype(np.float64)
    rng = np.random.default_rng(0)
    picks = rng.choice(len(vectors), job.asked["keep"], replace=False).tolist()
    one, two = (objective(vectors, order) for order in (ours["order"], picks))
    found: Compared = {"ours_objective": one, "random_objective": two, "ratio": one / two}
    return {**found, "dense_GB": 8 * len(vectors) ** 2 / 1e9}


def objective(vectors: NDArray[np.float64], order: Sequence[int]) -> float:
    """Sum over all of the largest cosine to a pick, negative ones as 0; vectors [n, d], unit rows."""
    picks = vectors[list(order)]
    parts = [np.clip(vectors[at : at + 1_024] @ picks.T, 0, None).max(axis=1) for at in range(0, len(vectors), 1_024)]
    return float(np.concatenate(parts).sum())


def compare_vendi(job: Job, ours: Answer, peer: Answer) -> Compared:
    """Largest relative difference of orders 1, 2 and infinity and of the effective rank; the peer's other functions."""
    others = dict(peer["also"])
    told = [(ours[order], peer[order]) for order in ("1", "2", "inf")]
    told.append((ours["also"]["effective rank"], others.pop("effective rank")))
    apart = [abs(one / two - 1) for one, two in told if isinstance(two, float)]
    found: Compared = {"largest_difference": max(apart, default=None), "orders_compared": float(len(apart))}
    expected = {
        "score_X, q = 1": "1",
        "score_X, q = 2": "2",
        "score_K, q = 2": "2",
        "score_dual, q = float('inf')": "inf",
    }
    for name, value in others.items():
        wanted = ours.get(expected.get(name, ""))
        right = isinstance(value, float) and wanted is not None and abs(value / wanted - 1) < 1e-6
        found[name] = "equal" if right else f"{value} for {wanted:.4f}" if wanted is not None else str(value)
    return found


def compare_coverage(job: Job, ours: Answer, peer: Answer) -> Compared:
    """Both values and their difference."""
    one, two = ours["coverage"], peer["coverage"]
    return {"ours_coverage": one, "peer_coverage": two, "difference": abs(one - two)}


def compare_counts(job: Job, ours: Answer, peer: Answer) -> Compared:
    """How many pictures each could read."""
    return {"ours_pictures": float(ours["pictures"]), "peer_pictures": float(peer["pictures"])}


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


def graded(scores: Mapping[str, Mapping[str, float]]) -> float:
    """Share of neighbouring steps of `_blurred` whose more blurred picture has the lower `blurry` score, 0..1."""
    pairs = [(name, f"{name[:3]}{int(name[3]) + 1}.png") for name in scores]
    falls = [scores[more]["blurry"] < scores[less]["blurry"] for less, more in pairs if more in scores]
    return float(np.mean(falls))
