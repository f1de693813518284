"""vendi-score: its dual score of orders 1, 2 and infinity, which ours is too; untimed: its other functions.

Job: vectors (.npy). It has no effective rank: told is its entropy of the singular values, which is the same.
"""

PACKAGE = "vendi-score"


def load():
    import numpy
    from vendi_score import vendi

    return vendi, numpy


def read(job):
    return load()[1].load(job["vectors"]).astype("float64")


def _said(function):
    """A number, or why there is none."""
    try:
        value = float(function())
    except Exception as error:  # what a peer raises is part of its answer
        return f"{type(error).__name__}: {error}"[:120]
    return value if value == value else "nan"


def work(job, inputs):
    vendi, _ = load()
    orders = {"1": 1, "2": 2, "inf": "inf"}
    return {
        name: _said(lambda order=order: vendi.score_dual(inputs, q=order, normalize=False))
        for name, order in orders.items()
    }


def also(job, inputs):
    vendi, numpy = load()
    kernel = inputs @ inputs.T
    roots = numpy.linalg.svd(inputs, compute_uv=False)
    return {
        "effective rank": _said(lambda: numpy.exp(vendi.entropy_q(roots / roots.sum()))),
        "score_X, q = 1": _said(lambda: vendi.score_X(inputs, q=1)),
        "score_X, q = 2": _said(lambda: vendi.score_X(inputs, q=2)),
        "score_K, q = 2": _said(lambda: vendi.score_K(kernel, q=2)),
        "score_dual, q = float('inf')": _said(lambda: vendi.score_dual(inputs, q=float("inf"), normalize=False)),
        "intdiv_X": _said(lambda: vendi.intdiv_X(inputs)),
    }
