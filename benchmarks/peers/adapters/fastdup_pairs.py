"""fastdup: pairs of pictures from `threshold` on. Job: folder, threshold. Only where the user has installed it."""

import os

PACKAGE = "fastdup"


def load():
    import fastdup

    return fastdup


def read(job):
    return None


def work(job, inputs):
    made = load().create(work_dir=job["scratch"], input_dir=job["folder"])
    made.run(threshold=job["threshold"], ccthreshold=job["threshold"], overwrite=True)
    frame = made.similarity()
    frame = frame[frame["distance"] >= job["threshold"]]  # its `distance` is a cosine
    pairs = set()
    for ends in frame[["filename_from", "filename_to"]].values.tolist():
        one, other = (os.path.relpath(path, job["folder"]).replace(os.sep, "/") for path in ends)
        if one != other:
            pairs.add((min(one, other), max(one, other)))
    return {"pairs": sorted(pairs), "pictures": None}
