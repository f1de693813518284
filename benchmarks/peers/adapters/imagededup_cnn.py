"""imagededup's CNN: pairs of pictures from `threshold` on, closed into groups as ours are. Job: folder, threshold.

Needs torchvision's own weights; loading them is timed, as it is on our side.
"""

import _pairs

PACKAGE = "imagededup"


def load():
    from imagededup.methods import CNN

    CNN(verbose=False)  # its weights are downloaded here where they are not there
    return CNN


def read(job):
    return None


def work(job, inputs):
    from imagededup.methods import CNN

    found = CNN(verbose=False).find_duplicates(
        image_dir=job["folder"], min_similarity_threshold=job["threshold"], recursive=True
    )
    pairs = ((one, other) for one, others in found.items() for other in others)
    return {"pairs": _pairs.closed(pairs), "pictures": len(found)}
