"""Correlations, paired differences, AUCs, Holm: the LoRA is the unit, and characters are resampled first.

Not for what is compared: that is `claims.py`. PROTOCOL.md says why each is as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from scipy.stats import t as student

LEVEL = 0.95
RESAMPLED, PERMUTED = 2000, 9999
LEAST_CHARACTERS = 4

Floats = NDArray[np.float64]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Found:
    """One effect.

    Attributes:
        value, low, high: With a 95 % interval; nan where it cannot be told.
        p: Two-sided, not corrected.
        n: LoRAs, or pairs of them.
        characters: They are of so many.
        sd: Of the effects of single characters; nan for correlations.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    characters: int
    sd: float = math.nan

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def unknown(n: int = 0, characters: int = 0) -> Found:
    """Nothing can be told."""
    return Found(math.nan, math.nan, math.nan, math.nan, n, characters)


def spearman(x: Floats, y: Floats) -> float:
    """Rank correlation, ties with mean ranks; nan where one side does not vary."""
    a, b = rankdata(x), rankdata(y)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else math.nan


def correlation(x: Floats, y: Floats, characters: Names, seed: int = 0) -> Found:
    """Spearman over LoRAs; interval by resampling characters, then LoRAs; p by permuting `x` within characters."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y, characters = x[known], y[known], characters[known]
    count = len(set(characters.tolist()))
    if count < LEAST_CHARACTERS or not math.isfinite(spearman(x, y)):
        return unknown(len(x), count)
    low, high = resampled(lambda rows: spearman(x[rows], y[rows]), characters, seed)
    value, null = spearman(x, y), permuted(x, y, characters, seed)
    p = (1 + int((np.abs(null) >= abs(value) - 1e-12).sum())) / (1 + len(null))
    return Found(value, low, high, p, len(x), count)


def resampled(statistic: Callable[[NDArray[np.int64]], float], characters: Names, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of a statistic of rows: characters are drawn first, then LoRAs within each."""
    draws = draws_of(statistic, characters, seed)
    if len(draws) < RESAMPLED / 2:
        return math.nan, math.nan
    edge = (1 - LEVEL) / 2
    low, high = np.quantile(draws, (edge, 1 - edge))
    return float(low), float(high)


def draws_of(statistic: Callable[[NDArray[np.int64]], float], characters: Names, seed: int = 0) -> Floats:
    """The statistic of each resample, those left out where it cannot be told."""
    rng = np.random.default_rng([seed, 1])
    members = [np.flatnonzero(characters == name) for name in np.unique(characters)]
    found = []
    for _ in range(RESAMPLED):
        chosen = rng.integers(len(members), size=len(members))
        rows = [members[c][rng.integers(len(members[c]), size=len(members[c]))] for c in chosen.tolist()]
        found.append(statistic(np.concatenate(rows)))
    draws = np.array(found)
    kept: Floats = draws[np.isfinite(draws)]
    return kept


def permuted(x: Floats, y: Floats, characters: Names, seed: int = 0, rounds: int | None = None) -> Floats:
    """Rank correlations [rounds] after permuting `x` within every character: what chance gives in this design."""
    rng, rounds = np.random.default_rng([seed, 2]), rounds or PERMUTED
    a, b = rankdata(x), rankdata(y)
    shuffled = np.tile(a, (rounds, 1))
    for name in np.unique(characters):
        rows = np.flatnonzero(characters == name)
        order = rng.random((rounds, len(rows))).argsort(axis=1)
        shuffled[:, rows] = a[rows][order]
    a_centred, b_centred = shuffled - a.mean(), b - b.mean()
    scale = math.sqrt(float(((a - a.mean()) ** 2).sum()) * float(b_centred @ b_centred))
    null: Floats = a_centred @ b_centred / scale
    return null


def paired(effects: Mapping[str, float]) -> Found:
    """Mean of one effect for each character, with Student's t: the character is the unit."""
    values = np.array([value for value in effects.values() if math.isfinite(value)])
    n = len(values)
    if n < 2:
        return Found(float(values.mean()) if n else math.nan, math.nan, math.nan, math.nan, n, n)
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    error = sd / math.sqrt(n)
    width = float(student.ppf(0.5 + LEVEL / 2, n - 1)) * error
    p = float(2 * student.sf(abs(mean) / error, n - 1)) if error > 0 else (1.0 if mean == 0 else 0.0)
    return Found(mean, mean - width, mean + width, p, n, n, sd)


def holm(p: Sequence[float]) -> list[float]:
    """Holm 1979: corrected p, in the order given; nan ones are not tested and stay."""
    corrected, highest = list(p), 0.0
    tested = sorted((i for i, one in enumerate(p) if math.isfinite(one)), key=lambda i: p[i])
    for rank, i in enumerate(tested):
        highest = max(highest, min(1.0, p[i] * (len(tested) - rank)))
        corrected[i] = highest
    return corrected


def false_alarms(nulls: Sequence[Floats]) -> float:
    """Share of permutations in which Holm calls at least one of several tests significant: near 0.05 or below.

    Args:
        nulls: `permuted` correlations of each test under the same permutations, [rounds] each.
    """
    columns = [(len(null) + 1 - rankdata(np.abs(null), method="min")) / len(null) for null in nulls]
    smallest = np.min(np.stack(columns), axis=0)  # Holm finds something exactly if its first step does
    return float((smallest * len(nulls) < 0.05).mean())


def auc(scores: Floats, labels: NDArray[np.bool_]) -> float:
    """Chance that a labelled row has the higher score, ties one half; nan where a class is empty."""
    positive, negative = scores[labels], scores[~labels]
    if not len(positive) or not len(negative):
        return math.nan
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)].sum()
    return float((ranks - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


def area(scores: Floats, labels: NDArray[np.bool_], characters: Names) -> Found:
    """AUC with an interval over characters; p is not given."""
    low, high = resampled(lambda rows: auc(scores[rows], labels[rows]), characters)
    return Found(auc(scores, labels), low, high, math.nan, len(scores), len(np.unique(characters)))


def left_out(
    features: Floats, labels: NDArray[np.bool_], characters: Names, fitted: NDArray[np.bool_] | None = None
) -> Floats:
    """Log odds [n] by logistic regression fitted on rows of `fitted` (None: all), without those of the row's character.

    A fold whose training rows are all of one class gives 0. Missing features are the mean of the others.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = np.zeros(len(features))
    for name in np.unique(characters):
        out = characters == name
        others = ~out if fitted is None else ~out & fitted
        if len(set(labels[others].tolist())) < 2:
            continue
        model = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression(C=1.0))
        model.fit(features[others], labels[others])
        found[out] = model.decision_function(features[out])
    return found
