"""Comparing two pictures: copies agree, other shots do not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scenes import scene, with_another_expression

from diversity.alignment import Comparer, agreement, shot
from diversity.calibration import PRIOR, degrade


def test_made_copies_are_the_same_shot():
    pictures = [scene(seed) for seed in range(6)]
    copies = [degrade(picture, np.random.default_rng(seed)) for seed, picture in enumerate(pictures)]
    scores = [agreement(shot(p), shot(copy)).score for p, made in zip(pictures, copies, strict=True) for copy in made]
    assert np.quantile(scores, 0.05) >= PRIOR.same_shot  # brightening may burn colours out: a few fall short
    assert min(scores) >= 0.85


def test_other_scenes_are_not_the_same_shot():
    shots = [shot(scene(seed)) for seed in range(12)]
    scores = [agreement(a, b).score for i, a in enumerate(shots) for b in shots[:i]]
    assert max(scores) < 0.75


def test_a_changed_region_shows_in_one_spot():
    picture = scene(3)
    result = agreement(shot(picture), shot(with_another_expression(picture)))
    assert result.score > 0.75
    assert result.local > PRIOR.same_spot


def test_a_black_and_white_copy_is_the_same_shot():
    picture = scene(4)
    assert agreement(shot(picture), shot(picture.convert("L"))).score >= PRIOR.same_shot


def test_a_camera_that_turned_away_is_another_shot():
    picture = scene(5).resize((320, 320))
    left, right = picture.crop((0, 0, 220, 320)), picture.crop((100, 0, 320, 320))
    assert agreement(shot(left), shot(right)).score < 0.75


def test_mirrored_pictures_agree_only_when_mirrored():
    picture = scene(6)
    pictures = [picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    comparer = Comparer(lambda row: pictures[row])
    plain, mirrored = comparer.compare(0, 1), comparer.compare(0, 1, mirrored=True)
    assert plain is not None
    assert plain.score < 0.75
    assert mirrored is not None
    assert mirrored.score >= PRIOR.same_shot


def test_blank_and_tiny_pictures_do_no_harm():
    blank, dark, dot = (
        shot(Image.new("RGB", size, c)) for size, c in (((50, 80), "white"), ((9, 9), "black"), ((1, 1), "red"))
    )
    for a, b in ((blank, blank), (blank, dark), (dark, dot), (blank, shot(scene(0)))):
        assert 0 <= agreement(a, b).score <= 1
    assert agreement(blank, shot(scene(0))).score < 0.75
    assert agreement(blank, dot).score < 0.75


def test_comparing_is_symmetric():
    a, b = scene(1), scene(1).crop((8, 8, 150, 150))
    there, back = agreement(shot(a), shot(b)), agreement(shot(b), shot(a))
    assert there.score == pytest.approx(back.score, abs=1e-4)
