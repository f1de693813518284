"""How large subject and face are in a picture: measured on its small copy, as shares of its sides.

Not for what a trainer makes of them: that is `trainer_view.py`. Both are estimates that say "not known" where they
would guess: the subject needs a background that is plain along the edges, and faces a detector from a local file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diversity.errors import EncoderError
from diversity.subject import apart_from_border

PLAIN = 0.02, 0.75  # share of the picture that differs from its border where that is a subject on a background
THIN = 0.03  # rows and columns with a smaller share of the subject are hair and weapons
SURE = 0.7  # score from which a face counts


@dataclass(frozen=True)
class Sizes:
    """Shares of the picture's width and height, 0..1; None: not known.

    Attributes:
        width, height: Of the box around the subject.
        face: Height of the largest face, of the picture's height.
    """

    width: float | None = None
    height: float | None = None
    face: float | None = None


class Faces:
    """OpenCV's detector with a model such as YuNet from a local ONNX file.

    Args:
        file: The model.

    Raises:
        EncoderError: the file is no such model.
    """

    def __init__(self, file: Path) -> None:
        import cv2

        if not file.expanduser().is_file():
            raise EncoderError(f"There is no file {file}.", "A face detector was set.", "Check trainer.face_model.")
        self._lock = Lock()  # the detector holds the size of its picture
        try:
            data = file.expanduser().read_bytes()
            self._detector = cv2.FaceDetectorYN.create(
                "onnx", np.frombuffer(data, np.uint8), np.empty(0, np.uint8), (192, 192), SURE
            )
        except (OSError, cv2.error) as error:
            why = f"{error}".strip().splitlines()[0]
            raise EncoderError(
                f"{file} is no face detector that can be read.",
                f"{why}.",
                "Check trainer.face_model: YuNet's ONNX file.",
            ) from None

    def box(self, picture: Image.Image) -> tuple[float, float, float, float] | None:
        """Left, top, width and height in pixels of the largest face; None where none is found."""
        pixels = np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])
        with self._lock:
            self._detector.setInputSize(picture.size)
            _, found = self._detector.detect(pixels)
        if found is None or not len(found):
            return None
        left, top, width, height = (float(value) for value in max(found, key=lambda face: face[3])[:4])
        return left, top, width, height

    def height(self, picture: Image.Image) -> float | None:
        """Height of the largest face as a share of the picture's; None where none is found."""
        box = self.box(picture)
        return None if box is None else min(1.0, box[3] / picture.height)


def sizes(picture: Image.Image, faces: Faces | None = None) -> Sizes:
    """Measure one RGB picture of any size; without a detector faces are not known."""
    width, height = _subject(picture)
    return Sizes(width, height, None if faces is None else faces.height(picture))


def subject_mask(picture: Image.Image) -> NDArray[np.bool_] | None:
    """Where the subject is in the picture made small, bool [h, w]; None without a plain background."""
    mask = apart_from_border(picture)
    return mask if PLAIN[0] < mask.mean() < PLAIN[1] else None


def _subject(picture: Image.Image) -> tuple[float | None, float | None]:
    mask = subject_mask(picture)
    if mask is None:
        return None, None
    rows, columns = np.flatnonzero(mask.mean(1) > THIN), np.flatnonzero(mask.mean(0) > THIN)
    if not len(rows) or not len(columns):
        return None, None
    down, across = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    return float(across / mask.shape[1]), float(down / mask.shape[0])
