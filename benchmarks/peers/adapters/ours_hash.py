"""Our hash tier: decode, hash, pairs at most `bits` apart. Job: folder, bits."""

PACKAGE = "diversity"


def load():
    import faiss  # noqa: F401

    import diversity.hashing
    import diversity.measure
    from diversity import decode, index, ingest

    return decode, diversity.hashing, index, ingest


def read(job):
    return None


def work(job, inputs):
    import os
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    import cv2
    import numpy

    from diversity.config import ScanConfig

    decode, hashing, index, ingest = load()
    config = ScanConfig()
    sources = ingest.list_sources(Path(job["folder"]), config)

    def hashed(source):
        try:
            pixels = decode.decode(source.read(), max_pixels=config.max_pixels).pixels
        except decode.BadPicture:
            return None
        return hashing.phash(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        hashes = list(pool.map(hashed, sources))
    known = [(source.path, value) for source, value in zip(sources, hashes, strict=True) if value is not None]
    first, second, _ = index.hamming_pairs(numpy.array([value for _, value in known], numpy.uint64), job["bits"])
    pairs = sorted(tuple(sorted((known[i][0], known[j][0]))) for i, j in zip(first, second, strict=True))
    return {"pairs": pairs, "pictures": len(known)}
