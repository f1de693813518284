"""Our Vendi scores of orders 1, 2 and infinity; untimed: the effective rank. Job: vectors (.npy)."""

import math

PACKAGE = "diversity"


def load():
    import numpy

    from diversity import richness

    return richness, numpy


def read(job):
    return load()[1].load(job["vectors"]).astype("float64")


def work(job, inputs):
    richness, _ = load()
    orders = {"1": 1.0, "2": 2.0, "inf": math.inf}
    return {name: richness.vendi(inputs, order=order) for name, order in orders.items()}


def also(job, inputs):
    return {"effective rank": load()[0].effective_rank(inputs)}
