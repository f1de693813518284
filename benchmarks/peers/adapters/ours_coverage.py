"""Our coverage of `reference` by `subset`, k nearest. Job: reference, subset (.npy), k."""

PACKAGE = "diversity"


def load():
    import faiss  # noqa: F401
    import numpy

    from diversity import coverage

    return coverage, numpy


def read(job):
    _, numpy = load()
    return numpy.load(job["reference"]), numpy.load(job["subset"])


def work(job, inputs):
    coverage, _ = load()
    reference, subset = inputs
    within = coverage.reach(reference, k=job["k"])
    return {"coverage": float(coverage.covered(reference, subset, within).mean())}
