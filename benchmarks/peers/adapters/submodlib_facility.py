"""submodlib's facility location, lazy greedy, on all cosines. Job: vectors (.npy), keep."""

import time

PACKAGE = "submodlib-py"


def load():
    import numpy
    from submodlib import FacilityLocationFunction

    return FacilityLocationFunction, numpy


def read(job):
    return load()[1].load(job["vectors"])


def work(job, inputs):
    function, numpy = load()
    start = time.perf_counter()
    similar = numpy.clip(inputs @ inputs.T, 0, 1).astype("float32")
    ready = time.perf_counter()
    objective = function(n=len(inputs), mode="dense", sijs=similar, separate_rep=False)
    chosen = objective.maximize(budget=job["keep"], optimizer="LazyGreedy", show_progress=False)
    return {
        "order": [int(i) for i, _ in chosen],
        "parts": {"similarities": ready - start, "greedy": time.perf_counter() - ready},
    }
