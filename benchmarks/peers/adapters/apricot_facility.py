"""apricot's facility location, lazy greedy, on all cosines. Job: vectors (.npy), keep."""

import time
from functools import lru_cache

PACKAGE = "apricot-select"


@lru_cache
def load():
    import apricot
    import numpy

    apricot.FacilityLocationSelection(2, metric="precomputed", optimizer="lazy").fit(numpy.eye(4))  # numba compiles
    return apricot, numpy


def read(job):
    return load()[1].load(job["vectors"])


def work(job, inputs):
    apricot, numpy = load()
    start = time.perf_counter()
    similar = numpy.clip(inputs @ inputs.T, 0, 1).astype("float64")
    ready = time.perf_counter()
    chosen = apricot.FacilityLocationSelection(job["keep"], metric="precomputed", optimizer="lazy").fit(similar)
    return {
        "order": [int(i) for i in chosen.ranking],
        "parts": {"similarities": ready - start, "greedy": time.perf_counter() - ready},
    }
