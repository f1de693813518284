"""Our facility location. Job: vectors (.npy), keep; neighbours: whether on a graph of them at any size."""

import time
from functools import lru_cache

PACKAGE = "diversity"


@lru_cache
def load():
    import faiss  # noqa: F401
    import numpy
    import scipy.sparse  # noqa: F401

    from diversity.select import compiled, facility, graph, pool

    four = numpy.ones(4, numpy.uint16)
    compiled.gain(four, four)  # numba loads, or compiles once and keeps, its code
    return facility, graph, pool, numpy


def read(job):
    return load()[3].load(job["vectors"])


def work(job, inputs):
    facility, graph, pool, numpy = load()
    n = len(inputs)
    none = numpy.zeros(n, bool)
    start = time.perf_counter()
    near = graph.neighbour_graph(inputs) if job.get("neighbours") else None
    names, ones, zeros = tuple(map(str, range(n))), numpy.ones(n, numpy.int64), numpy.zeros(n)
    candidates = pool.Pool(names, inputs, ones, ("",) * n, {}, zeros, none, none, neighbours=near)
    similar = graph.similarities(candidates)
    ready = time.perf_counter()
    chosen = facility.lazy_greedy(similar, job["keep"], numpy.empty(0, numpy.int64))
    return {
        "order": chosen.order.tolist(),
        "parts": {"similarities": ready - start, "greedy": time.perf_counter() - ready},
    }
