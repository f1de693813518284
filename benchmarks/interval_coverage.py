"""How often the intervals of richness hold the truth: `python -m benchmarks.interval_coverage`.

Known populations, many sets drawn from each, the same statistics by three methods at nominal 0.9: ours (subsampling
groups without replacement), the bootstrap (groups with replacement, percentiles), and the ideal width (the spread over
sets, which one set cannot know). Writes benchmarks/results/interval_coverage.json and prints the table of
docs/richness.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from diversity import rarefaction, richness

LEVEL = 0.9
DIMENSIONS = 32
RAREFIED = 40
RESULTS = Path(__file__).parent / "results" / "interval_coverage.json"
Floats = NDArray[np.float64]
Drawn = tuple[Floats, NDArray[np.int64]]


@dataclass(frozen=True)
class Population:
    """A source of pictures: kinds around directions, some common, some rare, with bursts of near-copies.

    Attributes:
        name: In the table.
        kinds: Number of directions.
        skew: Exponent of the kinds' frequencies, rank^-skew; 0: all alike.
        noise: Spread around a kind's direction.
        cone: Length of what all pictures share.
        burst: Mean pictures per group; 1: no copies.
    """

    name: str
    kinds: int
    skew: float
    noise: float
    cone: float
    burst: float

    def draw(self, groups: int, rng: np.random.Generator) -> Drawn:
        """Rows [n, d] and the group of each, n >= groups."""
        centres = np.random.default_rng(7).normal(size=(self.kinds, DIMENSIONS)) / DIMENSIONS**0.5
        share = np.arange(1, self.kinds + 1.0) ** -self.skew
        rows = centres[rng.choice(self.kinds, groups, p=share / share.sum())]
        rows = rows + self.noise * rng.normal(size=rows.shape) / DIMENSIONS**0.5
        rows[:, 0] += self.cone
        size = rng.geometric(1 / self.burst, groups)
        rows, owner = np.repeat(rows, size, axis=0), np.repeat(np.arange(groups), size)
        return rows + 0.05 * rng.normal(size=rows.shape) / DIMENSIONS**0.5, owner


POPULATIONS = (
    Population("long tail", 30, 1.0, 0.3, 0.0, 1),
    Population("long tail in a cone", 30, 1.0, 0.3, 1.0, 1),
    Population("bursts", 100, 0.7, 0.3, 0.5, 3),
    Population("one cloud", 1, 0.0, 3.0, 1.0, 1),
)


def values(rows: Floats) -> Floats:
    """The four spectral measures, [4]."""
    return richness._spectral_values(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.ones(len(rows)))


def firsts(drawn: Drawn) -> Floats:
    """One row per group."""
    rows, owner = drawn
    return rows[[part[0] for part in rarefaction.members(owner)]]


def bootstrap(drawn: Drawn, rounds: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Percentile bounds from groups drawn with replacement."""
    rows, owner = drawn
    parts = rarefaction.members(owner)
    draws = [
        values(rows[np.concatenate([parts[i] for i in rng.integers(0, len(parts), len(parts))])]) for _ in range(rounds)
    ]
    low, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    return low, high


def simulate(population: Population, groups: int, sets: int, rounds: int) -> list[dict[str, object]]:
    """Rows of the table: coverage and mean relative width of each method and measure."""
    rng = np.random.default_rng(groups)
    common = min(RAREFIED, groups)
    reference = np.array([values(population.draw(groups, rng)[0]) for _ in range(8 * sets)])
    truth = reference.mean(axis=0)
    rarefied_truth = np.mean([values(firsts(population.draw(common, rng))) for _ in range(8 * sets)], axis=0)
    hits: dict[str, list[NDArray[np.bool_]]] = {}
    widths: dict[str, list[Floats]] = {}
    for seed in range(sets):
        drawn = population.draw(groups, rng)
        ours = rarefaction.whole(lambda i, rows=drawn[0]: values(rows[i]), drawn[1], level=LEVEL, seed=seed)
        alone = firsts(drawn)
        fair = rarefaction.rarefied(
            lambda i, rows=alone: values(rows[i]), groups, common, rounds, level=LEVEL, seed=seed
        )
        found = {
            "whole": (ours.low, ours.high, truth),
            f"rarefied to {common}": (fair.low, fair.high, rarefied_truth),
            "bootstrap": (*bootstrap(drawn, rounds, rng), truth),
        }
        for method, (low, high, target) in found.items():
            hits.setdefault(method, []).append((low <= target) & (target <= high))
            widths.setdefault(method, []).append((high - low) / target)
    spread = 2 * 1.645 * reference.std(axis=0) / truth
    return [
        {
            "population": population.name,
            "groups": groups,
            "method": method,
            "measure": measure,
            "coverage": round(float(np.mean(hits[method], axis=0)[at]), 3),
            "width": round(float(np.mean(widths[method], axis=0)[at]), 3),
            "ideal_width": round(float(spread[at]), 3),
        }
        for method in hits
        for at, measure in enumerate(richness.SPECTRAL)
    ]


def table(rows: list[dict[str, object]]) -> str:
    """Markdown: coverage at nominal 0.9, one line per population and size."""
    kinds = ("whole", "rarefied", "bootstrap")
    columns = [f"{kind}: {measure}" for kind in kinds for measure in ("vendi_1", "effective_rank")]
    lines = [f"| population | distinct | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for population, groups in dict.fromkeys((row["population"], row["groups"]) for row in rows):
        mine = [row for row in rows if (row["population"], row["groups"]) == (population, groups)]
        cells = [
            str(row["coverage"])
            for kind in kinds
            for measure in ("vendi_1", "effective_rank")
            for row in mine
            if str(row["method"]).startswith(kind) and row["measure"] == measure
        ]
        lines.append(f"| {population} | {groups} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run all, write the JSON, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="sets drawn per population and size")
    parser.add_argument("--rounds", type=int, default=100, help="draws behind an interval")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 40, 126])
    options = parser.parse_args()
    rows = [
        row
        for population in POPULATIONS
        for groups in options.sizes
        for row in simulate(population, groups, options.sets, options.rounds)
    ]
    RESULTS.parent.mkdir(exist_ok=True)
    about = {"sets": options.sets, "rounds": options.rounds, "nominal": LEVEL}
    record = {"machine": machine(), **about, "rows": rows}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
