"""How many independent directions a set of pictures spans: effective rank, Vendi scores, distinct pictures, views.

Not for the intervals behind them (`rarefaction.py`), nor for comparing with a pool (`coverage.py`).

**Which similarity.** Cosine, of rows from which the encoder's own `centre` is first taken away where it has one. Many
encoders put all pictures into a narrow cone (two unrelated photos have a cosine near 0.4 in MobileNetV2, more in CLIP),
so that raw scores are squeezed towards 1: they still rank sets of one encoder, but "acts like 4" reads too low.
`centre` is the mean vector of pictures *unrelated to the set*, the same for every set of that encoder. It is never the
set's own mean: that takes away exactly what alike pictures share, and a burst of eight frames then scores like four
different pictures (docs/richness.md, table). Values of different encoders, or with and without a centre, are not
comparable; `settings` names both.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diversity import rarefaction
from diversity.config import RichnessConfig

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
IntArray = NDArray[np.int64]
Settings = dict[str, object]

UNSURE = "unsure"
SPECTRAL = ("vendi_1", "vendi_2", "vendi_inf", "effective_rank")
REACH_DEGREES = 22.5  # a picture shows its azimuth and this far to either side: eight even views close the circle


@dataclass(frozen=True)
class Measure:
    """One number about a set.

    Attributes:
        name: As in `scores.parquet`, for example "set.vendi_1".
        value: nan where it cannot be told; `settings["reason"]` says why.
        low, high: Interval of nominal coverage `settings["level"]`; None where the number is a count or too few
            pictures.
        n: Pictures it was computed from.
        settings: Encoder, kernel, rarefied size, why there is no interval, ...
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    settings: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class Pictures:
    """What richness looks at, in canonical order (by content, then key).

    Attributes:
        vectors: float32 [n, d], unit rows.
        groups: [n] group label of each picture: near-copies of one another share it.
        cells: [n] view cell, "framing/side" or "unsure"; empty where views are not known.
        weights: float [n], relative exposures; None: every picture counts once.
        azimuths: float [n], degrees from the subject's front, nan where not known; None: not known for any.
    """

    vectors: NDArray[np.float32]
    groups: NDArray[np.generic]
    cells: tuple[str, ...] = ()
    weights: Floats | None = None
    azimuths: Floats | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: IntArray, weights: Floats | None = None) -> Pictures:
        """The pictures at `rows`, for instance a selection; `weights` [len(rows)] replaces theirs."""
        own = None if self.weights is None else self.weights[rows]
        return Pictures(
            self.vectors[rows],
            self.groups[rows],
            tuple(self.cells[row] for row in rows) if self.cells else (),
            own if weights is None else weights,
            None if self.azimuths is None else self.azimuths[rows],
        )


# measures of arrays -------------------------------------------------------------------------------------------------


def spectrum(vectors: NDArray[np.floating], weights: Floats | None = None, centre: Floats | None = None) -> Floats:
    """Eigenvalues of the weighted cosine kernel: float64 [min(n, d)], ascending, 0..1, summing to 1.

    With p the normalised weights, these are the eigenvalues of diag(sqrt p) K diag(sqrt p), K_ij = cosine(i, j)
    (Friedman & Dieng 2023, definition 3.1 and its probability-weighted form); where n > d they come from the d × d dual
    sum p_i x_i x_i^T, which has the same ones.

    Args:
        vectors: [n, d], n >= 1; rows are normalised here.
        weights: [n] >= 0 with a positive sum; None: equal.
        centre: [d], subtracted before rows are normalised; a row equal to it has no direction and is left out.
    """
    rows = _directions(vectors, centre)
    p = np.full(len(rows), 1.0) if weights is None else np.asarray(weights, np.float64)
    scaled = rows * np.sqrt(p / p.sum())[:, None]
    kernel = scaled.T @ scaled if rows.shape[0] > rows.shape[1] else scaled @ scaled.T
    values: Floats = np.clip(np.linalg.eigvalsh(kernel), 0.0, None)
    if values.sum() == 0:  # every row lies on the centre: one direction at most
        values[-1] = 1.0
    values /= values.sum()
    return values


def _directions(vectors: NDArray[np.floating], centre: Floats | None) -> Floats:
    rows = np.asarray(vectors, np.float64) - (0.0 if centre is None else centre)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 1e-9)
    return unit


def entropy(shares: Floats, order: float = 1.0) -> float:
    """Rényi entropy of order q >= 0 in nats; q = 1 is Shannon's, q = inf is -log of the largest share.

    Args:
        shares: [k] >= 0, summing to 1; zeros (below 1e-12: rounding of eigenvalues) count nothing.
        order: q.
    """
    p = shares[shares > 1e-12]
    if order == 1:
        return float(-(p * np.log(p)).sum())
    if math.isinf(order):
        return float(-np.log(p.max()))
    return float(np.log((p**order).sum()) / (1 - order))


def vendi(
    vectors: NDArray[np.floating], weights: Floats | None = None, *, order: float = 1.0, centre: Floats | None = None
) -> float:
    """Vendi score, 1..n: the effective number of different pictures.

    exp of the Rényi entropy of `spectrum` (order 1: Friedman & Dieng 2023, eq. 2; order q: Pasarkar & Dieng 2024, eq.
    3).
    Higher orders count common kinds more: order 2 is 1 / sum of squared eigenvalues, order inf 1 / the largest.
    """
    return math.exp(entropy(spectrum(vectors, weights, centre), order))


def effective_rank(
    vectors: NDArray[np.floating], weights: Floats | None = None, *, centre: Floats | None = None
) -> float:
    """Effective rank, 1..min(n, d): exp of the entropy of singular values, p_i = s_i / sum s.

    Roy & Vetterli 2007, "The effective rank", definitions 1 and 2. Singular values are roots of the Vendi spectrum, so
    weak directions count more here; it is larger than `vendi` of order 1.
    """
    roots = np.sqrt(spectrum(vectors, weights, centre))
    return math.exp(entropy(roots / roots.sum()))


def view_entropy(cells: tuple[str, ...], weights: Floats | None = None) -> float:
    """Shannon entropy in nats of the weight over known cells; 0 where one cell or none is known.

    exp of it is the effective number of views (Jost 2006, eq. 1): the number of equally common ones with this entropy.
    """
    p = np.ones(len(cells)) if weights is None else weights
    mass: dict[str, float] = {}
    for cell, share in zip(cells, p, strict=True):
        if cell != UNSURE:
            mass[cell] = mass.get(cell, 0.0) + float(share)
    shares = np.array(list(mass.values()))
    return entropy(shares / shares.sum()) if len(shares) else 0.0


def taxonomy_coverage(cells: tuple[str, ...], groups: NDArray[np.generic], targets: dict[str, int]) -> float:
    """Share of wanted cells with at least the wanted number of distinct pictures, 0..1; nan where no cell is wanted.

    Args:
        cells: [n] cell of each picture.
        groups: [n] group of each; a group counts once in a cell.
        targets: Cell → wanted distinct pictures; cells with 0 are not wanted.
    """
    have: dict[str, set[object]] = {}
    for cell, group in zip(cells, groups.tolist(), strict=True):
        have.setdefault(cell, set()).add(group)
    wanted = [(cell, want) for cell, want in targets.items() if want > 0]
    return sum(len(have.get(cell, ())) >= want for cell, want in wanted) / len(wanted) if wanted else math.nan


def turntable_coverage(azimuths: Floats, reach: float = REACH_DEGREES) -> float:
    """Share of the circle within `reach` degrees of a picture's azimuth, 0..1; nan where no azimuth is known.

    Args:
        azimuths: [n] degrees; nan where not known.
        reach: Degrees to either side, 0..180.
    """
    known = np.unique(np.mod(azimuths[np.isfinite(azimuths)], 360.0))
    if not len(known):
        return math.nan
    gaps = np.diff(known, append=known[0] + 360.0)
    return float(np.minimum(gaps, 2 * reach).sum() / 360.0)


# all of them, with intervals ------------------------------------------------------------------------------------------


def score(
    pictures: Pictures,
    targets: dict[str, int] | None = None,
    config: RichnessConfig | None = None,
    *,
    scope: str = "set",
    centre: Floats | None = None,
    settings: Settings | None = None,
) -> pl.DataFrame:
    """Every measure of a set as rows of `scores.parquet`.

    Names are "<scope>.<measure>": before and after are `score(all, scope="set")` and
    `score(all.take(rows, weights), scope="selection")`, one below the other. Measures: pictures, distinct, vendi_1,
    vendi_2, vendi_inf, effective_rank (of all pictures), the same four with "_rarefied" (of m distinct ones,
    comparable between sets), view_entropy, taxonomy_coverage, turntable_coverage where their inputs are known.

    Args:
        pictures: Vectors, groups, cells, weights.
        targets: Cell → wanted distinct pictures.
        config: Rarefied size, rounds, level.
        scope: What the pictures are.
        centre: float64 [d], the encoder's mean picture; see the head of this file.
        settings: Kept in every row, for example {"encoder": encoder_id}.
    """
    import polars as pl

    from diversity import tables

    rows = measures(pictures, targets, config, centre=centre)
    common = {"kernel": "cosine" if centre is None else "centred cosine", **(settings or {})}
    return pl.DataFrame(
        [
            (f"{scope}.{m.name}", m.value, m.low, m.high, m.n, json.dumps({**common, **m.settings}, sort_keys=True))
            for m in rows
        ],
        schema=tables.SCORES,
        orient="row",
    )


def measures(
    pictures: Pictures,
    targets: dict[str, int] | None = None,
    config: RichnessConfig | None = None,
    *,
    centre: Floats | None = None,
) -> list[Measure]:
    """The measures of `score` as objects, names without scope; none but the two counts for an empty set."""
    config = config or RichnessConfig()
    n, distinct = len(pictures), len(rarefaction.members(pictures.groups))
    counted: Settings = {"reason": "counted, not estimated"}
    found = [
        Measure("pictures", float(n), None, None, n, counted),
        Measure("distinct", float(distinct), None, None, n, counted),
    ]
    if not n:
        return found
    found += _spectral(pictures, config, centre)
    if pictures.cells:
        found.append(_view_entropy(pictures, config))
        if targets:
            value = taxonomy_coverage(pictures.cells, pictures.groups, targets)
            found.append(Measure("taxonomy_coverage", value, None, None, n, counted))
    if pictures.azimuths is not None and np.isfinite(pictures.azimuths).any():
        known: Settings = {**counted, "reach_degrees": REACH_DEGREES}
        found.append(
            Measure("turntable_coverage", turntable_coverage(pictures.azimuths), None, None, n, known),
        )
    return found


def _spectral(pictures: Pictures, config: RichnessConfig, centre: Floats | None) -> list[Measure]:
    """Vendi 1, 2, inf and effective rank of all pictures, then of m distinct ones."""
    rows = _directions(pictures.vectors, centre)
    weights = np.ones(len(rows)) if pictures.weights is None else np.asarray(pictures.weights, np.float64)
    parts = rarefaction.members(pictures.groups)
    first = np.array([part[0] for part in parts])
    # One picture stands for its group: with the group's exposures where they are given, else once.
    share = np.ones(len(parts)) if pictures.weights is None else np.array([weights[part].sum() for part in parts])
    every = rarefaction.whole(lambda i: _spectral_values(rows[i], weights[i]), pictures.groups, level=config.level)
    common = rarefaction.rarefied(
        lambda i: _spectral_values(rows[first[i]], share[i]),
        len(parts),
        config.rarefy_to,
        config.rounds,
        level=config.level,
    )
    found = _as_measures(SPECTRAL, every, config, limit=len(rows))
    found += _as_measures([f"{name}_rarefied" for name in SPECTRAL], common, config, limit=common.groups)
    weighted = {"weighted": pictures.weights is not None}
    extra = {"rarefied_to": common.groups, "wanted_size": config.rarefy_to, "rounds": config.rounds}
    return [
        replace(m, n=len(rows), settings={**m.settings, **weighted, **(extra if m.name.endswith("_rarefied") else {})})
        for m in found
    ]


def _spectral_values(rows: Floats, weights: Floats) -> Floats:
    """[4] in the order of `SPECTRAL`; one eigendecomposition for all."""
    values = spectrum(rows, weights)
    roots = np.sqrt(values)
    entropies = [entropy(values, order) for order in (1.0, 2.0, math.inf)] + [entropy(roots / roots.sum())]
    return np.exp(entropies)


def _view_entropy(pictures: Pictures, config: RichnessConfig) -> Measure:
    """Entropy of the views of all pictures; its interval is made on the effective number, exp(entropy)."""

    def effective(rows: IntArray) -> Floats:
        weights = None if pictures.weights is None else pictures.weights[rows]
        return np.exp([view_entropy(tuple(pictures.cells[row] for row in rows), weights)])

    estimate = rarefaction.whole(effective, pictures.groups, level=config.level)
    (measure,) = _as_measures(["view_entropy"], estimate, config, limit=len(pictures))
    low, high = (None if bound is None else math.log(bound) for bound in (measure.low, measure.high))
    known = {"unit": "nats", "known": sum(cell != UNSURE for cell in pictures.cells)}
    return Measure(
        measure.name, math.log(measure.value), low, high, len(pictures), settings={**measure.settings, **known}
    )


def _as_measures(
    names: tuple[str, ...] | list[str], estimate: rarefaction.Estimate, config: RichnessConfig, *, limit: int
) -> list[Measure]:
    """Effective numbers lie in 1..limit, and so do their intervals."""
    settings: Settings = {"level": config.level} if not estimate.reason else {"reason": estimate.reason}
    low, high = np.clip(estimate.low, 1.0, limit), np.clip(estimate.high, 1.0, limit)
    return [
        Measure(
            name,
            float(estimate.value[at]),
            None if estimate.reason else float(low[at]),
            None if estimate.reason else float(high[at]),
            estimate.groups,
            settings,
        )
        for at, name in enumerate(names)
    ]
