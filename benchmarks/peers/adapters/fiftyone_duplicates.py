"""fiftyone-brain's near-duplicates of given vectors. Job: vectors (.npy), threshold (cosine)."""

import os

PACKAGE = "fiftyone-brain"


def load():
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
    os.environ.setdefault("FIFTYONE_DATABASE_DIR", os.environ["DIVERSITY_BENCHMARK_SCRATCH"])
    import fiftyone
    import fiftyone.brain
    import numpy

    return fiftyone, numpy


def read(job):
    fiftyone, numpy = load()
    vectors = numpy.load(job["vectors"])
    dataset = fiftyone.Dataset()  # starts its database
    dataset.add_samples([fiftyone.Sample(filepath=f"/{i:08d}.jpg") for i in range(len(vectors))])
    return dataset, vectors


def work(job, inputs):
    fiftyone, _ = load()
    dataset, vectors = inputs
    row = {sample_id: i for i, sample_id in enumerate(dataset.values("id"))}
    index = fiftyone.brain.compute_near_duplicates(dataset, threshold=1 - job["threshold"], embeddings=vectors)
    return {"removed": sorted(row[sample_id] for sample_id in index.duplicate_ids)}
