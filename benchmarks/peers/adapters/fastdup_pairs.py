"""fastdup: pairs of pictures in one of its connected components, at its own default cosine (0.96). Job: folder.

Only where the user has installed it: its licence is non-commercial. It loads its model within the run.
"""

import _pairs

PACKAGE = "fastdup"


def load():
    import fastdup

    return fastdup


def read(job):
    return None


def work(job, inputs):
    made = load().create(work_dir=job["scratch"], input_dir=job["folder"])
    made.run(overwrite=True)
    frame, _ = made.connected_components()
    rows = frame[["component_id", "filename"]].values.tolist()
    return {"pairs": _pairs.within((group, _pairs.below(job["folder"], path)) for group, path in rows)}
