"""Our keeper rule on given vectors, by similarity alone. Job: vectors (.npy), threshold."""

PACKAGE = "diversity"


def load():
    import faiss  # noqa: F401
    import numpy

    from diversity import config, index, keepers

    return config, index, keepers, numpy


def read(job):
    return load()[3].load(job["vectors"])


def work(job, inputs):
    config, index, keepers, numpy = load()
    n = len(inputs)
    built = index.Index.build(inputs, index.plan(n, inputs.shape[1], config.IndexConfig()))
    first, second, cosine = built.above(job["threshold"])
    none = numpy.full(len(first), -1)
    links = keepers.Links(n, first, second, cosine, none, none > 0)
    kept = keepers.greedy(links, numpy.arange(n), numpy.zeros(n, bool), lambda _: "copy")
    return {"removed": numpy.flatnonzero(kept.keeper != numpy.arange(n)).tolist()}
