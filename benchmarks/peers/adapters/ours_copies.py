"""Our copies from pictures, default settings: scan, encode with the embedded encoder, find. Job: folder, model."""

PACKAGE = "diversity"


def load():
    import faiss  # noqa: F401
    import open_clip  # noqa: F401

    import benchmarks.duplicates

    return benchmarks.duplicates


def read(job):
    from diversity.config import EncoderConfig
    from diversity.encoders import load_encoder

    return load_encoder(EncoderConfig(model=job["model"]))


def work(job, inputs):
    from pathlib import Path

    ours = load()
    groups, images, _ = ours.groups_of(Path(job["folder"]), inputs)
    return {"pairs": sorted(ours.pairs_of(groups, images)), "pictures": len(images)}
