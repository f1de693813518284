"""Palettes and colour migration: identity, recolouring, hue, cut-outs, controls, keyword against LoRA weight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.evaluate import colour
from training.evaluate.colour import Palette
from training.evaluate.migration import curve, migration

Pixels = NDArray[np.uint8]
ORANGE, BLUE = np.array([225, 140, 60]), np.array([60, 110, 215])


def picture(seed: int, tint: NDArray[np.int64], size: int = 48) -> Pixels:
    """Blocks of noise around one colour."""
    rng = np.random.default_rng(seed)
    blocks = np.repeat(np.repeat(rng.normal(0, 30, (6, 6, 3)), size // 6, 0), size // 6, 1)
    return np.clip(tint + blocks + rng.normal(0, 6, (size, size, 3)), 0, 255).astype(np.uint8)


def mixed(base: Pixels, target: Pixels, share: float) -> Pixels:
    return np.rint((1 - share) * base.astype(float) + share * target.astype(float)).astype(np.uint8)


def of(pixels: Pixels) -> Palette:
    found = colour.palette(colour.content(pixels))
    assert found is not None
    return found


def pool(pictures: list[Pixels], turn: float = 0.0) -> Palette:
    found = colour.pooled([colour.turned(colour.content(p), turn) for p in pictures])
    assert found is not None
    return found


TRAINING = [picture(100 + i, ORANGE) for i in range(8)]
BASE = [picture(i, BLUE) for i in range(12)]
PROMPTS = np.repeat(np.arange(6), 2)
T = pool(TRAINING)


def test_identity_lora_moves_no_colour_at_all() -> None:
    palettes = [of(p) for p in BASE]
    found = migration(palettes, palettes, PROMPTS, T, pool(TRAINING, 120))
    assert all(part.value == part.low == part.high == 0 for part in found.towards.values())
    assert found.change.value == 0
    assert found.specific.value == 0
    assert found.chance is not None
    assert found.chance.value > 0


def test_recolouring_towards_the_set_is_seen_monotonically() -> None:
    shares = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    base = [of(p) for p in BASE]
    moved = []
    for share in shares:
        lora = [of(mixed(p, TRAINING[i % 8], share)) for i, p in enumerate(BASE)]
        moved.append(migration(lora, base, PROMPTS, T).towards["colour"].value)
    assert moved == sorted(moved)
    assert moved[0] == 0
    assert moved[-1] > 0.6


def test_the_direction_is_seen_and_a_turned_control_tells_it_from_change() -> None:
    base = [of(p) for p in BASE]
    lora = [of(mixed(p, TRAINING[i % 8], 0.6)) for i, p in enumerate(BASE)]
    turned = pool(TRAINING, 180)
    there = migration(lora, base, PROMPTS, T, turned)
    away = migration(lora, base, PROMPTS, turned, T)
    assert there.specific.above(0.2)
    assert away.specific.below(-0.2)
    assert away.specific.value == pytest.approx(-there.specific.value)


def test_equal_target_and_control_say_nothing_specific() -> None:
    base = [of(p) for p in BASE]
    lora = [of(mixed(p, TRAINING[0], 0.5)) for p in BASE]
    assert migration(lora, base, PROMPTS, T, T).specific.value == 0


def test_greyscale_pictures_have_no_chroma_to_move() -> None:
    grey = [np.repeat(p.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8) for p in BASE]
    darker = [(p * 0.7).astype(np.uint8) for p in grey]
    found = migration([of(p) for p in darker], [of(p) for p in grey], PROMPTS, pool([darker[0]]))
    assert np.isnan(found.towards["chroma"].value)
    assert "already" in found.towards["chroma"].reason
    assert found.towards["lightness"].above(0)


def test_lightness_alone_is_not_called_a_move_of_chroma() -> None:
    base = [of(p) for p in BASE]
    found = migration([of((p * 0.8).astype(np.uint8)) for p in BASE], base, PROMPTS, T)
    assert abs(found.towards["chroma"].value) < abs(found.towards["lightness"].value)


def test_another_seed_of_the_base_is_no_migration() -> None:
    values = []
    for k in range(20):
        base = [of(picture(1000 + 40 * k + i, BLUE)) for i in range(12)]
        other = [of(picture(1020 + 40 * k + i, BLUE)) for i in range(12)]
        found = migration(other, base, PROMPTS, T)
        values.append(found.towards["colour"])
    assert abs(np.mean([v.value for v in values])) < 0.02
    assert sum(v.low <= 0 <= v.high for v in values) >= 14


def test_white_and_transparency_around_a_cut_out_are_no_colours_of_the_set() -> None:
    subject = picture(3, ORANGE)
    on_white = np.full((96, 96, 3), 255, np.uint8)
    on_white[24:72, 24:72] = subject
    alpha = np.zeros((96, 96), np.uint8)
    alpha[24:72, 24:72] = 255
    black = np.where(alpha[..., None] > 0, on_white, 0).astype(np.uint8)
    assert len(colour.content(on_white)) == pytest.approx(48 * 48, abs=40)
    assert len(colour.content(black, alpha)) == pytest.approx(48 * 48, abs=40)
    assert colour.distance(of(on_white), of(subject)) < 0.5


def test_white_inside_the_subject_stays() -> None:
    pixels = np.full((60, 60, 3), 255, np.uint8)
    pixels[10:50, 10:50] = picture(3, ORANGE, 42)[:40, :40]
    pixels[25:35, 25:35] = 255
    assert len(colour.content(pixels)) >= 40 * 40 - 40


def test_a_blank_sheet_has_no_palette() -> None:
    assert colour.palette(colour.content(np.full((50, 50, 3), 255, np.uint8))) is None
    assert colour.pooled([]) is None


@settings(max_examples=30, deadline=None)
@given(a=st.integers(0, 500), b=st.integers(0, 500), c=st.integers(0, 500))
def test_sliced_distance_is_a_metric(a: int, b: int, c: int) -> None:
    tints = np.array([[200, 90, 60], [70, 160, 80], [90, 90, 200]])
    x, y, z = (of(picture(s, tints[s % 3])) for s in (a, b, c))
    assert colour.distance(x, x) == 0
    assert colour.distance(x, y) == colour.distance(y, x)
    assert colour.distance(x, z) <= colour.distance(x, y) + colour.distance(y, z) + 1e-9


def test_a_shift_of_all_colours_is_measured_in_cielab_units() -> None:
    colours = colour.content(picture(1, BLUE))
    moved = colours + np.array([0, 6.0, 0])
    first, second = colour.palette(colours), colour.palette(moved)
    assert first is not None
    assert second is not None
    assert colour.distance(first, second, "chroma") == pytest.approx(6 * 2 / np.pi, rel=0.01)  # mean |cos| on a circle
    assert colour.distance(first, second) == pytest.approx(6 / 2, rel=0.02)  # mean |cos| on a sphere
    assert colour.distance(first, second, "lightness") == 0


def test_directions_are_enough() -> None:
    base, other = of(BASE[0]), T
    few = colour.distance(base, other)
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(512, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    at = (np.arange(256) + 0.5) / 256
    pixels = colour.content(BASE[0])
    target = np.concatenate([colour.content(p) for p in TRAINING])
    many = np.abs(np.quantile(pixels @ axes.T, at, axis=0) - np.quantile(target @ axes.T, at, axis=0)).mean()
    assert few == pytest.approx(many, rel=0.03)


def test_the_knob_that_takes_the_colour_away_has_the_slope() -> None:
    keyword = {w: [of(mixed(p, TRAINING[i % 8], 0.7 * w)) for i, p in enumerate(BASE)] for w in (0.0, 0.5, 1.0)}
    lora = {w: [of(mixed(p, TRAINING[i % 8], 0.7 if w else 0)) for i, p in enumerate(BASE)] for w in (0.0, 0.5, 1.0)}
    helps, does_not = curve(keyword, PROMPTS, T), curve(lora, PROMPTS, T)
    assert helps.slope.above(0.2)
    assert helps.towards[1].value == pytest.approx(helps.towards[2].value / 2, rel=0.4)
    assert does_not.towards[1].value == pytest.approx(does_not.towards[2].value)
    with pytest.raises(ValueError, match="weight 0"):
        curve({1.0: keyword[1.0]}, PROMPTS, T)
