"""The lines are measured on the set itself, and say so when they are not."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import encode, scene

from diversity.alignment import Comparer
from diversity.calibration import LEAST, PRIOR, PRIOR_UNCHECKED, Calibration, calibrate, valley


def calibrated(pictures: list, **options: object) -> Calibration:
    return calibrate(encode(pictures), Comparer(lambda row: pictures[row]), encode, **options)


def test_copies_made_of_the_set_are_found_and_most_others_are_not():
    lines = calibrated([scene(seed) for seed in range(24)])
    assert lines.source == "measured"
    assert lines.found >= 0.9
    assert lines.passed <= 0.2
    assert "copies made of" in lines.reason


def test_a_set_full_of_bursts_still_counts_them_as_copies():
    bursts = [scene(seed, shift=3 * step) for seed in range(4) for step in range(6)]
    lines = calibrated(bursts)
    vectors = encode(bursts)
    frames = np.array([vectors[6 * seed] @ vectors[6 * seed + step] for seed in range(4) for step in range(1, 4)])
    assert (frames >= lines.threshold).mean() >= 0.9
    assert lines.found >= 0.9


def test_the_line_depends_on_the_encoder_not_on_a_constant():
    pictures = [scene(seed) for seed in range(10)]

    def squeezed(some: list) -> np.ndarray:  # every cosine close to 1, as with some models
        rows = np.concatenate([np.full((len(some), 1), 3, np.float32), encode(some)], axis=1)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    wide = calibrated(pictures)
    narrow = calibrate(squeezed(pictures), Comparer(lambda row: pictures[row]), squeezed)
    assert narrow.threshold > wide.threshold
    assert narrow.found >= 0.9


def test_the_same_set_gives_the_same_lines():
    pictures = [scene(seed) for seed in range(6)]
    assert calibrated(pictures) == calibrated(pictures)


@pytest.mark.parametrize("n", [1, 2, LEAST - 1])
def test_too_few_pictures_take_the_usual_line_and_say_so(n):
    lines = calibrated([scene(seed) for seed in range(n)])
    assert (lines.source, lines.threshold) == ("prior", PRIOR.threshold)
    assert f"only {n} pictures" in lines.reason


def test_five_pictures_are_enough_to_measure():
    assert calibrated([scene(seed) for seed in range(LEAST)]).source == "measured"


def test_without_pictures_the_line_is_stricter():
    lines = calibrate(np.eye(3, dtype=np.float32), Comparer(lambda _: None), encode)
    assert lines.threshold == PRIOR_UNCHECKED.threshold > PRIOR.threshold
    assert "no pictures" in lines.reason


def test_a_line_from_the_settings_is_taken_as_it_is():
    lines = calibrated([scene(seed) for seed in range(6)], user=0.5)
    assert (lines.source, lines.threshold) == ("user", 0.5)


def test_the_valley_lies_between_copies_and_others():
    scores = np.concatenate([np.full(50, 0.985), np.full(50, 0.9), np.full(30, 0.6)])
    assert 0.92 < valley(scores, 0.88, 0.95, 0.92) <= 0.95


def test_an_empty_valley_stays_at_the_usual_line():
    assert valley(np.array([]), 0.88, 0.95, 0.92) == pytest.approx(0.92, abs=0.002)
