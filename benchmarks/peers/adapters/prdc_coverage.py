"""prdc: coverage of `reference` by `subset`, k nearest. Job: reference, subset (.npy), k."""

PACKAGE = "prdc"


def load():
    import numpy
    from prdc import compute_prdc

    return compute_prdc, numpy


def read(job):
    _, numpy = load()
    return numpy.load(job["reference"]), numpy.load(job["subset"])


def work(job, inputs):
    reference, subset = inputs
    return {"coverage": float(load()[0](reference, subset, nearest_k=job["k"])["coverage"])}
