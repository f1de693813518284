"""Whether a set is like what an encoder was trained on: where it is not, its prompts are not believed.

Not for single pictures: one may be odd among familiar ones. An encoder states what it knows in two files of its folder:
`prototypes.npy` (float32 [k, dim], unit rows: centres of its training pictures) and `abilities.json` (`familiar_above`:
the cosine to the nearest prototype that pictures of its kind reach). Encoders without them are believed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diversity.errors import EncoderError

PROTOTYPES, ABILITIES = "prototypes.npy", "abilities.json"
CHUNK = 4096  # pictures compared with all prototypes at a time


@dataclass(frozen=True)
class Familiarity:
    """How like a set is to an encoder's training pictures.

    Attributes:
        likeness: Median over the set of the cosine to the nearest prototype.
        familiar_above: From which likeness on the encoder's prompts are believed.
    """

    likeness: float
    familiar_above: float

    @property
    def familiar(self) -> bool:
        """Whether the encoder's prompts are believed."""
        return self.likeness >= self.familiar_above

    @property
    def sentence(self) -> str:
        """What a person must know; empty where the set is familiar."""
        if self.familiar:
            return ""
        return (
            f"These pictures are unlike those that the encoder was trained on (likeness {self.likeness:.2f}, it needs "
            f"{self.familiar_above:.2f}), so it was not asked for views: only captions, your labels and what was "
            "learnt from them count, the rest is unsure."
        )

    def note(self) -> dict[str, object]:
        """For `curation.json`."""
        return {
            "likeness": round(self.likeness, 4),
            "familiar_above": self.familiar_above,
            "familiar": self.familiar,
            "note": self.sentence,
        }


def of_set(vectors: NDArray[np.float32], folder: Path) -> Familiarity | None:
    """Compare a set with what the encoder in `folder` knows; None where the encoder does not say, or the set is empty.

    Args:
        vectors: float32 [n, dim], unit rows.
        folder: The encoder's.

    Raises:
        EncoderError: only one of the two files is there, or they cannot be used.
    """
    files = [folder / name for name in (PROTOTYPES, ABILITIES)]
    if not any(file.is_file() for file in files) or not len(vectors):
        return None
    try:
        prototypes = np.load(files[0]).astype(np.float32)
        above = float(json.loads(files[1].read_text(encoding="utf-8"))["familiar_above"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"What {folder.name} says of itself cannot be read.", f"{error}.", _HINT) from None
    if prototypes.ndim != 2 or not len(prototypes) or prototypes.shape[1] != vectors.shape[1]:
        raise EncoderError(
            f"The prototypes of {folder.name} do not fit it.",
            f"They are {list(prototypes.shape)}, its vectors have {vectors.shape[1]} numbers.",
            _HINT,
        )
    best = [(vectors[i : i + CHUNK] @ prototypes.T).max(axis=1) for i in range(0, len(vectors), CHUNK)]
    return Familiarity(float(np.median(np.concatenate(best))), above)


_HINT = f"Mend or remove {PROTOTYPES} and {ABILITIES} there."
