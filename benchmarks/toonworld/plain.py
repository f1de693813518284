"""Pictures for the toon base alone: big-headed figures with nothing on their heads or in their hands, standing or
walking, centred, before plain backgrounds of named colours.

On two cores a base sees some hundred thousand pictures. Of everything that the renderer can draw, that many teach it
blotches; of these, figures. A colour that no caption names has to be agreed upon by all places of a picture while it
is still noise, and comes out uneven: white, the one background of a known colour, did not. The encoder learns
from all that `render` draws, judges from `figures.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.toonworld.camera import Shot
from benchmarks.toonworld.character import Character, sample_character
from benchmarks.toonworld.head import EXPRESSIONS
from benchmarks.toonworld.scene import BACKDROPS

KINDS = ("chibi", "stocky")
FRAMINGS = ("headshot", "half_body", "full_body")
POSES = ("standing", "walking", "waving", "hands_on_hips")
BACKGROUNDS = {"flat": 0.3, "white": 0.15, "horizon": 0.3, "gradient": 0.25}
STYLES = {"shaded": 0.6, "cel": 0.25, "outline": 0.15}
SLACK = 0.1  # of the framing's slack, to both sides of its middle


def plain_character(seed: int) -> Character:
    """The first big-headed character from `seed` on (in steps that no other seed takes), bare of what hides it."""
    person = sample_character(seed)
    attempt = 0
    while person.kind not in KINDS:
        attempt += 1
        person = sample_character(int(np.random.default_rng([seed, 707, attempt]).integers(2**40, 2**41)))
    person = replace(person, seed=seed, headgear="none", prop="none", beard="none")
    return replace(person, backpack=False, scarf=False, cape=False)


def plain_shot(seed: int, index: int) -> Shot:
    """The `index`-th shot of a character, all round it, nearly centred."""
    rng = np.random.default_rng([seed, 717, index])
    slack = rng.uniform(0.5 - SLACK, 0.5 + SLACK, 3)
    background = str(rng.choice(list(BACKGROUNDS), p=list(BACKGROUNDS.values())))
    return Shot(
        framing=str(rng.choice(FRAMINGS)),
        azimuth=float(rng.uniform(-180, 180)),
        elevation=float(np.clip(rng.normal(6, 3), -2, 14)),
        pose=str(rng.choice(POSES)),
        phase=float(rng.random()),
        pose_seed=int(rng.integers(2**31)),
        expression=str(rng.choice(EXPRESSIONS)),
        mouth=float(rng.random()),
        background=background,
        scene_seed=int(rng.integers(2**31)),
        zoom=float(slack[0]),
        shift_x=float(slack[1]),
        shift_y=float(slack[2]),
        style=str(rng.choice(list(STYLES), p=list(STYLES.values()))),
        backdrop="" if background == "white" else str(rng.choice(list(BACKDROPS))),
    )
