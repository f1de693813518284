"""The SemDeDup rule as its paper states it, on given vectors; runs beside us. Job: vectors (.npy), threshold, seed."""

PACKAGE = "numpy"


def load():
    import numpy
    import sklearn.cluster  # noqa: F401

    from benchmarks.strategies import rivals

    return rivals, numpy


def read(job):
    return load()[1].load(job["vectors"])


def work(job, inputs):
    rivals, numpy = load()
    scores = rivals.semdedup_scores(inputs, job["seed"])
    return {"removed": numpy.flatnonzero(scores >= job["threshold"]).tolist()}
