"""imagededup's PHash: pairs of pictures at most `bits` apart. Job: folder, bits."""

PACKAGE = "imagededup"


def load():
    from imagededup.methods import PHash

    return PHash


def read(job):
    return None


def work(job, inputs):
    found = load()(verbose=False).find_duplicates(
        image_dir=job["folder"], max_distance_threshold=job["bits"], recursive=True
    )
    pairs = {tuple(sorted((one, other))) for one, others in found.items() for other in others}
    return {"pairs": sorted(pairs), "pictures": len(found)}
