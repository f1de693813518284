"""Our copies from pictures, default settings: load the embedded encoder, scan, encode, find. Job: folder, model."""

PACKAGE = "diversity"


def load():
    import faiss  # noqa: F401
    import open_clip  # noqa: F401

    import benchmarks.duplicates

    return benchmarks.duplicates


def read(job):
    return None


def work(job, inputs):
    from pathlib import Path

    from diversity.config import EncoderConfig
    from diversity.encoders import load_encoder

    ours = load()
    groups, images, _ = ours.groups_of(Path(job["folder"]), load_encoder(EncoderConfig(model=job["model"])))
    return {"pairs": sorted(ours.pairs_of(groups, images)), "pictures": len(images)}
