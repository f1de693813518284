"""A few-shot linear probe that starts from text prototypes, and its calibration. Arrays in, arrays out.

Not for where labels come from: that is `views.py`.

The probe keeps zero-shot logits and learns a penalised correction, in the spirit of CLAP (Silva-Rodríguez et al., "A
Closer Look at the Few-Shot Adaptation of Large Vision-Language Models", CVPR 2024): with few labels it stays near the
prompts, with many it leaves them. Temperature scaling follows Guo et al., "On Calibration of Modern Neural Networks",
ICML 2017, section 4.2, on out-of-fold logits, with near-copies in one fold so that bursts do not feign certainty.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

LEAST_PER_CLASS = 3  # independent examples that two classes must have before anything is learnt
LEAST_FOR_TEMPERATURE = 8  # independent examples before the temperature is moved
_ALIKE = 0.95  # cosine above which labelled pictures count as one example
_COMPARED = 3000  # pictures compared with one another for near-copies, spread evenly over the classes
_MOST = 400  # of these, examples used
_PENALTIES = (0.01, 0.1)
_TRUSTS = (1.0, 0.3, 0.1)  # factors on the prompts' logits
_FOLDS = 4
_LOG_T = np.linspace(np.log(0.25), np.log(32.0), 85)
_LOG_T_SPREAD = 0.7  # prior: the temperature is 1, give or take a factor of 2
_SMOOTH = 0.02  # probability kept for "none of what I have seen"


@dataclass(frozen=True)
class Correction:
    """What is added to zero-shot logits.

    Attributes:
        centre: [d], subtracted from vectors.
        size: Root mean square length of the centred vectors.
        weights: [C, d]; rows of unlearnt classes are 0.
        bias: [C]; -inf for classes that cannot be answered (no prompts and no example).
        trust: Factor on the zero-shot logits, 0..1.
    """

    centre: Float
    size: float
    weights: Float
    bias: Float
    trust: float

    def apply(self, vectors: Float, logits: Float) -> Float:
        """[n, d], [n, C] → corrected logits [n, C]."""
        return self.trust * logits + (vectors - self.centre) / self.size @ self.weights.T + self.bias


@dataclass(frozen=True)
class Probe:
    """A fitted probe; `correction` is None where there were too few labels for more than a temperature."""

    correction: Correction | None
    temperature: float
    n: int

    def probabilities(self, vectors: Float, logits: Float) -> Float:
        """Vectors [n, d] and zero-shot logits [n, C] → calibrated probabilities [n, C], rows sum to 1."""
        if self.correction is not None:
            logits = self.correction.apply(vectors, logits)
        return softmax(logits / self.temperature)


def softmax(logits: Float) -> Float:
    """[n, C] → probabilities, each at least 2 % / C so that nothing is ever certain; -inf gives 0."""
    open_ = np.isfinite(logits)
    if not open_.any():
        return np.zeros_like(logits)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    raised /= raised.sum(axis=1, keepdims=True)
    spread: Float = (1 - _SMOOTH) * raised + _SMOOTH * open_ / logits.shape[1]
    return spread


def fit(vectors: Float, labels: Int, logits: Float, *, text: bool) -> Probe:
    """Learn from labelled pictures, in canonical order.

    Args:
        vectors: [m, d], unit rows.
        labels: [m], class numbers below C.
        logits: Zero-shot logits [m, C]; zeros without prompts.
        text: Whether the logits come from prompts; without them only classes with an example can be answered.

    Returns:
        A probe; with fewer than two classes of three independent examples it only has a temperature.
    """
    compared = _spread(labels, np.arange(len(labels)), _COMPARED)
    vectors, labels, logits = vectors[compared], labels[compared], logits[compared]
    burst = _bursts(vectors)
    chosen = _spread(labels, burst, _MOST)
    vectors, labels, logits, burst = vectors[chosen], labels[chosen], logits[chosen], burst[chosen]
    examples = {int(c): len(np.unique(burst[labels == c])) for c in np.unique(labels)}
    if sum(count >= LEAST_PER_CLASS for count in examples.values()) < 2:
        enough = text and len(np.unique(burst)) >= LEAST_FOR_TEMPERATURE
        return Probe(None, _temperature(logits, labels)[0] if enough else 1.0, len(labels))
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # small matrices, and the same sums whatever the number of threads
        return _search(vectors, labels, logits, _folds(labels, burst), text)


def _search(vectors: Float, labels: Int, logits: Float, fold: Int, text: bool) -> Probe:
    """The penalty and trust of least out-of-fold loss, fitted on everything."""
    learnt = np.unique(labels)
    trials = []
    for knobs in itertools.product(_PENALTIES[::-1], _TRUSTS if text else (1.0,)):
        out = np.empty_like(logits)
        for f in np.unique(fold):
            held = fold == f
            learner = _correct(vectors[~held], labels[~held], logits[~held], learnt, _Knobs(*knobs, text))
            out[held] = learner.apply(vectors[held], logits[held])
        temperature, loss = _temperature(out, labels)
        trials.append((loss, temperature, _Knobs(*knobs, text)))
    _, temperature, best = min(trials, key=lambda trial: trial[0])
    return Probe(_correct(vectors, labels, logits, learnt, best), temperature, len(labels))


class _Knobs(NamedTuple):
    penalty: float
    trust: float
    text: bool


def _correct(vectors: Float, labels: Int, logits: Float, learnt: Int, knobs: _Knobs) -> Correction:
    """Least weighted cross-entropy + penalty/2 · |weights|²; a class weighs √count, between as found and balanced."""
    from scipy.optimize import minimize

    centre = vectors.mean(axis=0)
    size = float(np.sqrt(((vectors - centre) ** 2).sum(axis=1).mean())) or 1.0
    x = np.hstack([(vectors - centre) / size, np.ones((len(vectors), 1))])
    count = np.bincount(labels, minlength=logits.shape[1])
    weight = 1 / np.sqrt(count[labels])
    weight /= weight.sum()
    penalty, trust, text = knobs
    base = trust * logits if text else np.where(np.isin(np.arange(logits.shape[1]), learnt), logits, -np.inf)
    wanted = np.eye(logits.shape[1])[labels]
    shape = (len(learnt), x.shape[1])

    def loss(flat: Float) -> tuple[float, Float]:
        w = flat.reshape(shape)
        z = base.copy()
        z[:, learnt] += x @ w.T
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)
        picked = z[np.arange(len(z)), labels] - np.log(total[:, 0])
        slope = ((e / total - wanted) * weight[:, None])[:, learnt].T @ x + penalty * w
        return float(-(weight * picked).sum() + penalty / 2 * (w**2).sum()), slope.ravel()

    best = minimize(loss, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 50})
    weights = np.zeros((logits.shape[1], vectors.shape[1]))
    bias = np.zeros(logits.shape[1]) if text else np.full(logits.shape[1], -np.inf)
    solved = best.x.reshape(shape)
    weights[learnt], bias[learnt] = solved[:, :-1], solved[:, -1]
    return Correction(centre, size, weights, bias, trust)


def _temperature(logits: Float, labels: Int) -> tuple[float, float]:
    """(temperature, mean loss) of largest posterior on a grid, log temperature ~ N(0, 0.7²)."""
    losses = []
    for log_t in _LOG_T:
        picked = softmax(logits / np.exp(log_t))[np.arange(len(labels)), labels]
        losses.append(-np.log(np.maximum(picked, 1e-9)).sum() + (log_t / _LOG_T_SPREAD) ** 2 / 2)
    best = int(np.argmin(losses))
    return float(np.exp(_LOG_T[best])), float(losses[best] / len(labels))


def _bursts(vectors: Float) -> Int:
    """[m] number of the connected component of pictures with a cosine of at least 0.95."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = [], []
    for start in range(0, len(vectors), 1024):
        near = np.argwhere(vectors[start : start + 1024] @ vectors.T >= _ALIKE)
        rows.append(near[:, 0] + start)
        columns.append(near[:, 1])
    i, j = np.concatenate(rows), np.concatenate(columns)
    graph = csr_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(len(vectors), len(vectors)))
    component: Int = connected_components(graph, directed=False)[1].astype(np.int64)
    return component


def _spread(labels: Int, burst: Int, most: int) -> Int:
    """Indices of at most `most` pictures, evenly over classes, one of every burst before the second of any."""
    seen: dict[int, int] = {}
    turn = np.empty(len(burst), dtype=np.int64)
    for i, b in enumerate(burst):
        turn[i] = seen.get(int(b), 0)
        seen[int(b)] = turn[i] + 1
    rank = np.empty(len(labels), dtype=np.int64)
    for c in np.unique(labels):
        own = np.flatnonzero(labels == c)
        rank[own[np.argsort(turn[own], kind="stable")]] = np.arange(len(own))
    return np.sort(np.argsort(rank, kind="stable")[:most])


def _folds(labels: Int, burst: Int) -> Int:
    """[m] fold of every picture: bursts stay whole, classes are dealt out in turn."""
    fold = np.zeros(len(labels), dtype=np.int64)
    dealt = 0
    for c in np.unique(labels):
        for b in dict.fromkeys(burst[labels == c].tolist()):
            own = burst == b
            if labels[own].min() == c:  # a burst across a class border is dealt once
                fold[own] = dealt % _FOLDS
                dealt += 1
    return fold
