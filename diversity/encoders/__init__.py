"""Encoders behind one seam: open_clip models, local checkpoints, and the embedded toon encoder."""
