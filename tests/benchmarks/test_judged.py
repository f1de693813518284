"""Judges are asked what pictures show, training ignores the rest, the base's record goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest

pytest.importorskip("diffusers", reason="diffusers is not installed: the toon base cannot be judged")
torch = pytest.importorskip("torch", reason="torch is not installed")

from benchmarks.toonworld import evaluate_base, figures, judged, prompts, train_judges, visible  # noqa: E402
from benchmarks.toonworld.character import CLOTH_COLOURS, HAIR_COLOURS, sample_character  # noqa: E402
from benchmarks.toonworld.poses import build_skeleton, sample_pose  # noqa: E402
from benchmarks.toonworld.render import label_row, sample_shot  # noqa: E402
from benchmarks.toonworld.scene import Renderer  # noqa: E402
from training import judges  # noqa: E402

ALL_SHOWN = np.array([0.3, 0.3, 0.3, 0.5], np.float32)
ROWS = [label_row(sample_character(seed), sample_shot(seed, 0), "g") for seed in range(300)]


def test_a_shot_can_be_read_back_from_its_labels():
    for seed in range(10):
        shot = sample_shot(seed, 0)
        assert visible.shot_of(label_row(sample_character(seed), shot, "g")) == shot


def test_markers_are_on_hair_clothes_and_shoes_and_colours_stay_as_they_were():
    before = dict(CLOTH_COLOURS), dict(HAIR_COLOURS)
    for seed in range(12):
        person = sample_character(seed)
        bones = build_skeleton(person.body, sample_pose("standing", 0.2, np.random.default_rng(0)))
        vertices, faces, marks = visible.marked(person, bones)
        assert len(vertices) == len(marks) > faces.max()
        assert set(np.unique(marks)) <= {0, 255}
        assert (marks > 0).sum(1).max() == 1
        red, green, blue = (vertices[marks[:, channel] > 0] for channel in range(3))
        assert blue[:, 1].mean() < green[:, 1].mean() < (red[:, 1].mean() if len(red) else np.inf)
    assert before == (CLOTH_COLOURS, HAIR_COLOURS)


def test_judges_are_asked_only_for_what_is_shown():
    for row in ROWS:
        everything, nothing = (judged.truths(row, shares) for shares in (ALL_SHOWN, np.zeros(4, np.float32)))
        assert set(nothing) - {"hair_style"} == {"framing"}
        assert nothing.get("hair_style", "bald") == "bald"
        assert everything["framing"] == row["framing"]
        assert ("side" in everything) == (row["framing"] != "detail")
        if row["framing"] in ("headshot", "half_body"):
            assert not {"shoes_kind", "shoes_colour"} & set(everything)
        if row["framing"] == "headshot":
            assert not {"outfit_kind", "background"} & set(everything)


def test_greaves_are_grey_as_they_are_drawn():
    armed = [row for row in ROWS if row["shoes"] == "greaves" and row["framing"] == "full_body"]
    assert armed
    assert {judged.truths(row, ALL_SHOWN)["shoes_colour"] for row in armed} == {"grey"}


def examples(azimuths, targets):
    """Examples without pictures."""
    blank = np.zeros((len(azimuths), 8, 8, 3), np.uint8)
    classes = {name: ("a", "b", "c") for name in targets}
    numbers = np.arange(len(azimuths))
    parts = np.full((len(azimuths), 4, 4), 3, np.uint8)
    return judged.Examples(numbers, targets, classes, np.array(azimuths, float), numbers, blank, blank, parts)


def test_the_side_is_asked_only_clear_of_its_boundaries():
    angles = [0, 23, 29, 36, 39, -39, 68, 100, 110, 124, 180, -155, 360 + 30]
    found = judged.asked(examples(angles, {"side": np.array([0] * 12 + [1])}), "side")
    assert found.tolist() == [True, False, False, False, True, True, False, True, False, True, True, False, False]


def test_a_coarser_judge_of_the_side_is_asked_beside_the_edges_it_does_not_know():
    angles = [0, 29, 36, 63, 77, 108, 122, 150, 180]
    five, labels, two = judged.readings("side", ("back", "back_three_quarter", "front", "side", "three_quarter"))
    assert [len(set(each)) for each in (five, labels, two)] == [5, 3, 2]
    assert labels[0] == labels[1]
    assert labels[2] == labels[4]
    assert two[0] == two[1] == two[3]
    found = judged.asked(examples(angles, {"side": np.zeros(9, int)}), "side", labels)
    assert found.tolist() == [True, True, True, False, False, False, False, True, True]
    found = judged.asked(examples(angles, {"side": np.zeros(9, int)}), "side", two)
    assert found.tolist() == [True, True, True, False, False, True, True, True, True]
    assert judged.readings("framing", ("detail", "headshot")) == [("detail", "headshot")]


def test_outfits_under_capes_are_not_asked_for():
    row = next(row for row in ROWS if row["framing"] == "full_body" and not any(row[thing] for thing in judged.OVER))
    assert {"outfit_kind", "outfit_colour"} <= set(judged.truths(row, ALL_SHOWN))
    for thing in judged.OVER:
        assert not {"outfit_kind", "outfit_colour"} & set(judged.truths({**row, thing: True}, ALL_SHOWN))


def test_what_cannot_reach_the_floor_is_shipped_coarser_or_not_at_all(tmp_path):
    classes = {"side": ("back", "back_three_quarter", "front", "side", "three_quarter"), "framing": ("a", "b")}
    targets = {"side": np.array([0, 1, 2, 3, 4] * 8), "framing": np.array([0, 1] * 20)}
    azimuths = np.array([180, 130, 0, 90, 50] * 8, float)
    blank = np.zeros((40, 8, 8, 3), np.uint8)
    some = judged.Examples(np.arange(40), targets, classes, azimuths, np.arange(40), blank, blank, blank[..., 0])
    confused = {"side": np.array([1, 0, 4, 3, 2] * 8), "framing": np.ones(40, int)}  # the five are taken for neighbours

    class Told(judges.Network):
        def forward(self, pixels):
            chosen = {
                name: torch.nn.functional.one_hot(torch.tensor(said[: len(pixels)]), len(classes[name]))
                for name, said in confused.items()
            }
            return {name: 9 * rows.float() for name, rows in chosen.items()}

    found = train_judges.finish(Told({name: len(labels) for name, labels in classes.items()}), some, tmp_path)
    assert found["side"] == (1, 1)
    assert found["framing"] == (0.5, 0.5)
    shipped = json.loads((tmp_path / judges.CONFIG).read_text())["attributes"]
    assert set(shipped) == {"side"}
    assert len(set(shipped["side"]["classes"])) == 3
    assert shipped["side"]["accuracy"] == 1


def test_what_is_not_shown_teaches_nothing():
    torch.manual_seed(0)
    targets = {"framing": np.array([0, 1]), "side": np.array([-1, -1])}
    some = examples([10, 20], targets)
    student = train_judges.Student(some.classes).train()
    places = torch.full((2, 24, 24), 3)
    loss, parts = train_judges.loss_of(student, torch.randn(2, 3, 96, 96), places, np.arange(2), some)
    loss.backward()
    assert student.network.heads["framing"].weight.grad.abs().sum() > 0
    assert student.network.heads["side"].weight.grad is None
    assert student.azimuth.weight.grad is None
    assert np.isnan(parts["side"])


def test_augmentation_leaves_colours_true():
    rng = np.random.default_rng(0)
    for colour in (*CLOTH_COLOURS.values(), *HAIR_COLOURS.values()):
        flat = np.broadcast_to(np.array(colour, np.uint8), (128, 128, 3))
        for _ in range(5):
            shot, _ = train_judges.augmented(flat, np.zeros((64, 64), np.uint8), 96, rng)
            assert shot.shape == (96, 96, 3)
            assert np.abs(shot.astype(int).mean((0, 1)) - colour).max() < 20


def test_unevenness_stays_far_below_the_step_of_a_gradient():
    rng = np.random.default_rng(0)
    spots = np.stack([train_judges.unevenness(96, rng) for _ in range(200)])
    assert spots.shape == (200, 96, 96, 3)
    assert abs(spots.mean()) < 0.5
    assert 2 < spots.std() < figures.STEP / 6
    assert np.abs(np.diff(spots, axis=2)).max() < 5  # soft: no edge within it


def test_parts_stay_where_they_are_in_the_augmented_picture():
    rng = np.random.default_rng(0)
    parts = np.full((64, 64), 4, np.uint8)
    parts[8:40, 20:50] = 0
    picture = np.where(np.kron(parts, np.ones((2, 2)))[..., None] == 0, 255, 0).astype(np.uint8).repeat(3, 2)
    for _ in range(40):
        shot, coarse = train_judges.augmented(picture, parts, 96, rng)
        small = cv2.resize(shot, coarse.shape, interpolation=cv2.INTER_AREA)[..., 0]
        clear = (small < 40) | (small > 215)
        assert clear.mean() > 0.7
        assert ((small > 128) == (coarse == 0))[clear].mean() > 0.97


def test_marked_parts_are_where_the_picture_shows_them():
    pytest.importorskip("pyvista", reason="pyvista is not installed: the toon world cannot be drawn")
    person = sample_character(4)
    renderer = Renderer(visible.SIZE)
    shot = dataclasses.replace(sample_shot(4, 0), framing="full_body", azimuth=0.0, elevation=5.0, pose="standing")
    shown = visible.drawn(renderer, person, shot)
    renderer.close()
    where = visible.labels(shown)
    rows = np.arange(visible.SIZE)[:, None] * np.ones(visible.SIZE)
    hair, outfit, shoes = (rows[where == place].mean() for place in range(3))
    assert hair < outfit < shoes
    assert where[0, 0] == visible.PARTS.index("background")
    assert (where == visible.OTHER).any()


def test_batches_are_the_same_every_time_and_half_of_them_decoded():
    some = examples([0] * 200, {"framing": np.zeros(200, int)})
    decoded = np.full((200, 8, 8, 3), 255, np.uint8)
    some = dataclasses.replace(some, decoded=decoded)
    settings = train_judges.Settings(steps=10, seed=0, small_steps=8, batch=64)
    pixels, parts, items = train_judges.batch(some, settings, 3)
    again = train_judges.batch(some, settings, 3)
    assert pixels.shape == (64, 3, 96, 96)
    assert train_judges.batch(some, settings, 8)[0].shape == (64, 3, judges.SIDE, judges.SIDE)
    assert torch.equal(pixels, again[0])
    assert torch.equal(parts, again[1])
    assert np.array_equal(items, again[2])
    bright = pixels.mean((1, 2, 3)) > 0
    assert bright.tolist() == [bool(item % 2) for item in items]


def test_small_pictures_come_first_and_whole_ones_at_lower_rates():
    settings = train_judges.Settings(steps=4200, seed=0)
    sides, rates = zip(*(settings.stage(step) for step in range(4200)), strict=True)
    assert sides[:3000] == (96,) * 3000
    assert sides[3000:] == (judges.SIDE,) * 1200
    assert max(rates) == rates[100] == 1
    assert max(rates[3000:]) == pytest.approx(settings.fine_rate)
    assert rates[2999] < 0.01
    assert rates[-1] < 0.01


def test_overconfident_logits_are_cooled():
    torch.manual_seed(0)
    target = torch.randint(3, (400,))
    wrong = torch.rand(400) < 0.3
    said = torch.where(wrong, (target + 1) % 3, target)
    logits = 20 * torch.nn.functional.one_hot(said, 3).float()
    seen = torch.ones(400, dtype=torch.bool)
    warm = train_judges.temperature_of([logits], target, seen)
    assert warm == pytest.approx(train_judges.TEMPERATURES[-1])
    assert train_judges.temperature_of([logits * 0.05], target, seen) < 1


BODY = ("half_body", "full_body")
SHOWN = {name: BODY if name.startswith("outfit") else ("headshot", *BODY) for name in (*prompts.JUDGED, "shoes_kind")}


def row_of(seed, wrong=()):
    """A row whose judges agree with the prompt but for some attributes."""
    values = prompts.sample_wanted(seed).values
    return {"seed": seed, "judged": {name: "?" if name in wrong else values.get(name, "?") for name in SHOWN}}


def test_summary_counts_what_prompts_name_and_their_framing_shows():
    found = evaluate_base.summarise([row_of(seed, ["side"] if seed % 4 else []) for seed in range(40)], SHOWN)
    assert set(found) == set(prompts.JUDGED)
    assert found["framing"]["accuracy"] == found["hair_colour"]["accuracy"] == 1
    assert found["side"]["accuracy"] == pytest.approx(0.25)
    assert found["side"]["low"] < 0.25 < found["side"]["high"]
    assert found["side"]["n"] == 40
    assert found["side"]["floor"] == evaluate_base.FLOORS["side"]
    portraits = sum(prompts.sample_wanted(seed).values["framing"] == "headshot" for seed in range(40))
    assert found["outfit_colour"]["n"] == 40 - portraits < 40


def test_record_goes_on_where_it_stopped_and_begins_anew_for_other_weights(tmp_path):
    file, settings = tmp_path / "base.json", {"weights": "a", "steps": 25}
    first = evaluate_base.Record(file, settings, SHOWN)
    assert first.missing(20) == list(range(20))
    first.add([row_of(seed) for seed in range(16)], 8.123)
    first.add([row_of(seed) for seed in (19, 17)], 1.0)
    again = evaluate_base.Record(file, settings, SHOWN)
    assert again.missing(20) == [16, 18]
    again.add([row_of(16), row_of(18)], 1.0)
    kept = json.loads(file.read_text())
    assert [row["seed"] for row in kept["rows"]] == list(range(20))
    assert kept["seconds_for_16"]["batches"] == [8.12]
    assert kept["summary"]["framing"]["n"] == 20
    assert len(file.read_text().splitlines()) >= 20
    assert evaluate_base.Record(file, {**settings, "weights": "b"}, SHOWN).missing(3) == [0, 1, 2]
    assert not list(tmp_path.glob("*.part"))
