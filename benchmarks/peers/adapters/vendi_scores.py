"""vendi-score: the score of orders 1, 2 and infinity by each of its functions. Job: vectors (.npy)."""

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
    kernel = inputs @ inputs.T
    return {
        "1": _said(lambda: vendi.score_dual(inputs, q=1, normalize=False)),
        "2": _said(lambda: vendi.score_dual(inputs, q=2, normalize=False)),
        "inf": _said(lambda: vendi.score_dual(inputs, q="inf", normalize=False)),
        "also": {
            "score_X, q = 1": _said(lambda: vendi.score_X(inputs, q=1)),
            "score_X, q = 2": _said(lambda: vendi.score_X(inputs, q=2)),
            "score_K, q = 2": _said(lambda: vendi.score_K(kernel, q=2)),
            "score_dual, q = float('inf')": _said(lambda: vendi.score_dual(inputs, q=float("inf"), normalize=False)),
            "intdiv_X": _said(lambda: vendi.intdiv_X(inputs)),
        },
    }
