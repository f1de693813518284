"""CleanVision's checks of light and sharpness: scores of every picture and its flags. Job: folder."""

import os

PACKAGE = "cleanvision"
CHECKS = ("dark", "light", "blurry")


def load():
    from cleanvision import Imagelab

    return Imagelab


def read(job):
    return None


def work(job, inputs):
    lab = load()(data_path=job["folder"])
    lab.find_issues({check: {} for check in CHECKS}, verbose=False)
    scores, flags = {}, {}
    for path, row in lab.issues.iterrows():
        name = os.path.relpath(path, job["folder"]).replace(os.sep, "/")
        scores[name] = {check: float(row[f"{check}_score"]) for check in CHECKS}
        flags[name] = [check for check in CHECKS if row[f"is_{check}_issue"]]
    return {"scores": scores, "flags": flags, "pictures": len(scores)}
