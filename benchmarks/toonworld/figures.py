"""Pictures for the judges: figures whose looks can be seen, of every build, from all sides, in whatever pose.

Judges tell what the toon base and LoRAs on it have drawn, and those draw figures. Of pictures in which a hat hides the
hair or a gradient hardly changes nobody could say what is right, so nobody is asked; this is what `judged.SLACK` is for
sides. The encoder learns from all that `render` draws.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.toonworld.camera import FRAMINGS, Shot
from benchmarks.toonworld.character import Character, sample_character
from benchmarks.toonworld.head import EXPRESSIONS
from benchmarks.toonworld.poses import POSES
from benchmarks.toonworld.scene import BACKDROPS, draw_background

HEADGEAR = {"none": 0.7, "crown": 0.15, "headband": 0.15}
BARE_HANDS = 0.7
BACKGROUNDS = {"flat": 0.2, "white": 0.12, "horizon": 0.2, "gradient": 0.18, "noise": 0.15, "outdoors": 0.15}
STYLES = {"shaded": 0.7, "cel": 0.2, "outline": 0.1}
ZOOM = {"headshot": (0.0, 0.6), "half_body": (0.1, 0.7), "full_body": (0.0, 0.6), "detail": (0.0, 0.4)}
BACKDROP = 0.5  # share of flat ones, gradients and horizons that are of one named colour, as the base draws them
STEP = 40.0  # least change of colour across a gradient or a horizon, of 255 in the channel that changes most
TRIES = 50


def figure(seed: int) -> Character:
    """The character of a seed with its hair in sight."""
    person, rng = sample_character(seed), np.random.default_rng([seed, 737])
    headgear = str(rng.choice(list(HEADGEAR), p=list(HEADGEAR.values())))
    prop = "none" if rng.random() < BARE_HANDS else person.prop
    return replace(person, headgear=headgear, prop=prop)


def figure_shot(seed: int, index: int) -> Shot:
    """The `index`-th shot of a character."""
    rng = np.random.default_rng([seed, 747, index])
    framing = str(rng.choice(FRAMINGS))
    background = str(rng.choice(list(BACKGROUNDS), p=list(BACKGROUNDS.values())))
    return Shot(
        framing=framing,
        azimuth=float(rng.uniform(-180, 180)),
        elevation=float(np.clip(rng.normal(7, 6), -8, 25)),
        pose=str(rng.choice(POSES)),
        phase=float(rng.random()),
        pose_seed=int(rng.integers(2**31)),
        expression=str(rng.choice(EXPRESSIONS)),
        mouth=float(rng.random()),
        background=background,
        scene_seed=_scene(background, rng),
        zoom=float(rng.uniform(*ZOOM[framing])),
        shift_x=float(rng.uniform(0.2, 0.8)),
        shift_y=float(rng.uniform(0.4, 1) if framing == "detail" else rng.uniform(0.2, 0.8)),
        roll=float(rng.normal(0, 1.5)),
        style=str(rng.choice(list(STYLES), p=list(STYLES.values()))),
        backdrop=_backdrop(background, np.random.default_rng([seed, 757, index])),
    )


def _backdrop(background: str, rng: np.random.Generator) -> str:
    """The named colour of a background, empty where it has two colours or none of its own."""
    if background not in ("flat", "gradient", "horizon") or rng.random() >= BACKDROP:
        return ""
    return str(rng.choice(list(BACKDROPS)))


def _scene(background: str, rng: np.random.Generator) -> int:
    """A seed whose gradient or horizon can be seen."""
    for _ in range(TRIES):
        seed = int(rng.integers(2**31))
        if background not in ("gradient", "horizon") or _change(background, seed) >= STEP:
            break
    return seed


def _change(background: str, seed: int) -> float:
    """How far the colours of a gradient, or the two sides of a horizon, lie apart: of 255, in one channel."""
    drawn = draw_background(background, seed, 32).astype(float)
    if background == "gradient":
        return float(np.ptp(drawn.reshape(-1, 3), axis=0).max())
    return float(np.abs(np.diff(drawn[:, 0], axis=0)).max())
