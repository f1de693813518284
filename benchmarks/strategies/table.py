"""The table of strategies that are compared: one row each. A new strategy is one function and one row here."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.strategies import rivals
from diversity.select.pool import Strategy
from diversity.select.strategies import STRATEGIES

ALL, DISTINCT, CURATED = "all", "distinct", "curated"
POOLS = {
    ALL: "every file that can be read",
    DISTINCT: "copies collapsed by our de-duplication",
    CURATED: "copies collapsed, pictures of rare views kept for certain",
}


@dataclass(frozen=True)
class Row:
    """One strategy.

    Attributes:
        pick: The function.
        words: What it does, for people.
        draws: Whether another seed gives another answer.
        pools: Keys of `POOLS` that it is run on.
        labels: Whether it looks at view labels (those that we guessed, never the truth).
    """

    pick: Strategy
    words: str
    draws: bool = False
    pools: tuple[str, ...] = (ALL, DISTINCT)
    labels: bool = False


TABLE: dict[str, Row] = {
    "ours": Row(STRATEGIES["facility_location"], "facility location, rare views first", pools=(CURATED,), labels=True),
    "random": Row(STRATEGIES["random"], "uniform", draws=True),
    "stratified": Row(STRATEGIES["stratified"], "random, one of each view in turn", draws=True, labels=True),
    "kmeans": Row(STRATEGIES["kmeans"], "the picture nearest to each of k means", draws=True),
    "k_center": Row(STRATEGIES["k_center"], "farthest first, from the middle"),
    "fps": Row(rivals.random_start_fps, "farthest first, from a random picture (PhotoMapAI)", draws=True),
    "herding": Row(STRATEGIES["herding"], "keeps the mean of the set"),
    "facility_location": Row(STRATEGIES["facility_location"], "nearest to every picture"),
    "graph_cut": Row(rivals.graph_cut, "near to all, far from one another"),
    "dpp": Row(rivals.dpp, "largest volume, greedily"),
    "mmr": Row(rivals.mmr, "near to the middle, unlike the picks"),
    "density_inverse": Row(STRATEGIES["density_inverse"], "random, less where it is crowded", draws=True),
    "semdedup": Row(rivals.semdedup, "the SemDeDup rule, ε at the budget", draws=True),
    "quality": Row(STRATEGIES["quality"], "best quality only"),
    "every_nth": Row(rivals.every_nth, "every n-th file", draws=True, pools=(ALL,)),
    "blur_filter": Row(rivals.sharpest, "sharpest only", pools=(ALL,)),
    "adjacent": Row(rivals.adjacent, "least like the file before", pools=(ALL,)),
}
