"""Comparing two pictures: copies agree, other shots do not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from scenes import scene, with_another_expression

from diversity.alignment import Comparer, _inside, _match_light, _warp, agreement, over_channels, shot
from diversity.calibration import PRIOR, degrade
from diversity.overlaying import refined


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


def test_only_a_picture_without_colour_counts_as_black_and_white():
    grey = np.full((40, 40, 3), 120, np.uint8)
    tinted = grey.copy()
    tinted[:9, :9] = 120, 128, 120
    assert shot(Image.fromarray(grey)).mono
    assert shot(scene(4).convert("L")).mono
    assert not shot(Image.fromarray(tinted)).mono


@pytest.mark.parametrize("channels", [1, 3])
def test_sums_over_channels_are_numpys_to_the_last_bit(channels: int) -> None:
    picture = np.random.default_rng(0).lognormal(0, 4, (33, 20, channels)).astype(np.float32)
    np.testing.assert_array_equal(over_channels(picture), picture.sum(2))


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


def slow_refine(a: np.ndarray, b: np.ndarray, place: np.ndarray, overlap: float, rounds: int) -> np.ndarray | None:
    """What `overlaying.refined` does at one size, by OpenCV and NumPy."""
    side = len(a)
    centres = (np.arange(side) + 0.5) / side
    for _ in range(rounds):
        inside = _inside(place, side)
        if inside.mean() < overlap:
            return None
        warped = _match_light(a, _warp(b, place, side), inside)
        mask = inside[..., None]
        gx = cv2.Sobel(warped, -1, 1, 0, ksize=1, scale=side / 2 / place[0]).reshape(warped.shape) * mask
        gy = cv2.Sobel(warped, -1, 0, 1, ksize=1, scale=side / 2 / place[1]).reshape(warped.shape) * mask
        slopes = (gx * centres[None, :, None], gy * centres[:, None, None], gx, gy, (a - warped) * mask)
        rows = np.stack([slope.ravel() for slope in slopes]).astype(np.float64)
        products = rows @ rows.T
        normal = products[:4, :4] + np.eye(4) * 1e-3 * max(float(np.trace(products[:4, :4])), 1e-6) / 4
        step = np.clip(np.linalg.solve(normal, products[:4, 4]), -0.1, 0.1)
        place = place + step
        if np.abs(step).max() < 0.1 / side:
            break
    return place


@pytest.mark.parametrize("channels", [1, 3])
def test_the_compiled_loop_finds_the_same_place_as_the_slow_form(channels: int) -> None:
    box = (12, 6, 150, 140)
    whole = [scene(seed) for seed in range(4)]
    pairs = [(shot(p.crop(box)), shot(p)) for p in whole] + [(shot(whole[0]), shot(whole[1]))]
    for first, second in pairs:
        for start in ((1.0, 1.0, 0.0, 0.0), (0.84, 0.84, 0.08, 0.08), (0.7, 0.7, 0.9, 0.9)):
            parts = [np.ascontiguousarray(p[..., :channels]) for p in (first.half, second.half, first.lab, second.lab)]
            place = np.array(start)
            found = refined(*parts, place, 0.425)
            slow = slow_refine(parts[0], parts[1], np.array(start), 0.425, 6)
            slow = None if slow is None else slow_refine(parts[2], parts[3], slow, 0.425, 2)
            assert found == (slow is not None)
            if slow is not None:
                np.testing.assert_allclose(place, slow, atol=1e-4)


def test_laying_over_after_comparing_is_laying_over_at_once() -> None:
    pictures = [scene(3), scene(3).crop((8, 8, 150, 150))]
    compared, fresh = Comparer(lambda row: pictures[row]), Comparer(lambda row: pictures[row])
    compared.compare(0, 1)
    for one, two in ((0, 1), (1, 0)):
        known, anew = compared.laid(one, two), fresh.laid(one, two)
        assert known is not None
        assert anew is not None
        for a, b in zip(known, anew, strict=True):
            np.testing.assert_array_equal(a, b)
