"""Toon world: procedural 3D characters with full ground truth, and what is trained and sampled from them."""

import os

# Read once, when torch loads its OpenMP. Spinning threads on shared cores made a training step 6 times slower here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
