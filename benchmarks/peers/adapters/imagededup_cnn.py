"""imagededup's CNN: pairs of pictures from `threshold` on. Job: folder, threshold. Needs torchvision's own weights."""

PACKAGE = "imagededup"


def load():
    from imagededup.methods import CNN

    return CNN


def read(job):
    return load()(verbose=False)  # its weights are loaded, or downloaded, here


def work(job, inputs):
    found = inputs.find_duplicates(image_dir=job["folder"], min_similarity_threshold=job["threshold"], recursive=True)
    pairs = {tuple(sorted((one, other))) for one, others in found.items() for other in others}
    return {"pairs": sorted(pairs), "pictures": len(found)}
