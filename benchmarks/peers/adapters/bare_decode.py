"""Decoding alone: every picture of a folder by Pillow, on all cores. The limit of what begins with it. Job: folder."""

PACKAGE = "pillow"


def load():
    import PIL.Image

    from diversity import ingest

    return PIL.Image, ingest


def read(job):
    return None


def work(job, inputs):
    import os
    from concurrent.futures import ThreadPoolExecutor
    from io import BytesIO
    from pathlib import Path

    from diversity.config import ScanConfig

    pillow, ingest = load()

    def decoded(source):
        try:
            with pillow.open(BytesIO(source.read())) as image:
                image.load()
        except (OSError, ValueError, SyntaxError):
            return False
        return True

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = list(pool.map(decoded, ingest.list_sources(Path(job["folder"]), ScanConfig())))
    return {"pictures": sum(found)}
