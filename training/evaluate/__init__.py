"""How far a LoRA overfits: measures as pure functions of arrays, each with its interval, n, null and positive control.

Not for running a model to get those arrays, and not for showing them: see docs/overfitting.md for every measure.
"""
