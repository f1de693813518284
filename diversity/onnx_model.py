"""A network from a local ONNX file that takes pictures: opened, fed in batches, its first output returned.

Not for what the pictures or the output mean: `subject.Onnx` compares identities, `training.evaluate.tagger` reads tags.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diversity.errors import EncoderError

BATCH = 16

Float32Array = NDArray[np.float32]


class OnnxModel:
    """One network on the CPU.

    Args:
        file: The model.
        option: What names the file on the command line, for messages.

    Attributes:
        shape: Of its first input; a side is an int, or a name or None where any will do.
        inputs: How many it has.
        digest: Eight hex digits of its bytes: equal ones give equal numbers.

    Raises:
        EncoderError: onnxruntime is not installed, or the file is not there or no model.
    """

    def __init__(self, file: Path, option: str) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise EncoderError(
                f"{file.name} cannot be used.", "onnxruntime is not installed.", "pip install 'diversity[subject]'"
            ) from None
        if not file.expanduser().is_file():
            raise EncoderError(f"There is no file {file}.", "It should hold a model.", f"Check what {option} names.")
        try:
            data = file.expanduser().read_bytes()
            self._session: Any = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no base class
            raise EncoderError(f"{file} is no ONNX model that can be read.", f"{error}.", "Check the file.") from None
        inputs = self._session.get_inputs()
        self.shape: tuple[int | str | None, ...] = tuple(inputs[0].shape)
        self.inputs, self._name = len(inputs), inputs[0].name
        self.digest = hashlib.blake2b(data, digest_size=4).hexdigest()

    def run(self, pictures: Sequence[Image.Image], prepare: Callable[[Image.Image], Float32Array]) -> Float32Array:
        """Its first output for at least one picture, float32 [n, ...]; one by one where its batch is fixed to 1.

        Args:
            pictures: Any.
            prepare: A picture → its input without the batch, float32.
        """
        step = 1 if self.shape[0] == 1 else BATCH
        rows = []
        for start in range(0, len(pictures), step):
            batch = np.stack([prepare(picture) for picture in pictures[start : start + step]])
            rows.append(np.asarray(self._session.run(None, {self._name: batch})[0], np.float32))
        return np.concatenate(rows)
