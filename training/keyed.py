"""Randomness by name instead of by order: the same key gives the same numbers, in any process, order or batch size.

Not for the optimiser's or the model's own randomness; that is torch's and lives in checkpoints.
"""

from __future__ import annotations

import hashlib

import numpy as np

Part = int | str


def number(*key: Part) -> int:
    """128 bits over the parts of a key; ("a", 1) and ("a1",) differ."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=16).digest(), "little")


def generator(*key: Part) -> np.random.Generator:
    """A counter-based generator (Philox, Salmon et al. 2011) of its own for a key."""
    return np.random.Generator(np.random.Philox(key=number(*key)))
