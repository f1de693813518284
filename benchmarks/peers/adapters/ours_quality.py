"""Our checks of light and sharpness: scores of every picture and its flags, named as CleanVision's. Job: folder."""

PACKAGE = "diversity"
FLAGS = {"dark": "dark", "bright": "light", "blurred": "blurry"}


def load():
    from diversity import decode, ingest, measure, quality

    return decode, ingest, measure, quality


def read(job):
    return None


def work(job, inputs):
    import os
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from diversity.config import ScanConfig

    decode, ingest, measure, quality = load()
    config = ScanConfig()
    sources = ingest.list_sources(Path(job["folder"]), config)

    def judged(source):
        try:
            pixels = decode.decode(source.read(), max_pixels=config.max_pixels).pixels
        except decode.BadPicture:
            return None
        small = quality.Reduced.of(measure.halvings(pixels)[-1])
        found = quality.light_and_blur(quality.Content.of(pixels, small))
        sharp = -1e9 if found.sharpness is None else found.sharpness
        scores = {"dark": found.light.p99, "light": 1 - found.light.p5, "blurry": sharp}
        flags = found.flags()
        return scores, [theirs for ours, theirs in FLAGS.items() if flags[ours]]

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        answers = dict(zip((source.path for source in sources), pool.map(judged, sources), strict=True))
    known = {name: answer for name, answer in answers.items() if answer is not None}
    return {
        "scores": {name: scores for name, (scores, _) in known.items()},
        "flags": {name: sorted(flags) for name, (_, flags) in known.items()},
        "pictures": len(known),
    }
