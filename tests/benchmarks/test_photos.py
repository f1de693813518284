"""Photos that hold the encoder's eye: half of the classes, none that other benchmarks judge, losses that see it."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.toonworld.photos import Holding, Photos, halves


def write(folder, name, seed, size=(60, 80)):
    folder.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / name), cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))


@pytest.fixture
def folders(tmp_path):
    for number in range(6):
        for picture in range(3):
            write(tmp_path / "classes" / f"class{number}", f"{picture}.jpg", 10 * number + picture)
    write(tmp_path / "resized", "smaller.jpg", 20, (30, 40))  # of class2, which is trained on
    return tmp_path / "classes", tmp_path / "resized"


def test_no_class_teaches_and_judges(folders):
    taught, judged = halves(folders[0])
    assert set(taught).isdisjoint(judged)
    assert sorted([*taught, *judged]) == sorted(folders[0].iterdir())


def test_the_original_of_a_resized_photo_is_not_trained_on(folders):
    photos = Photos(*folders)
    assert len(photos.pictures) == 8  # three classes of three, less one
    original = cv2.imread(str(folders[0] / "class2" / "0.jpg"))[:, :, ::-1]
    assert not any(np.array_equal(original, photo) for photo in photos.pictures)


def test_crops_are_the_same_for_the_same_step_and_pairs_show_one_photo(folders):
    photos = Photos(*folders)
    crops = photos.crops(0, 5, 4, 32)
    assert crops.shape == (8, 32, 32, 3)
    assert crops.dtype == np.uint8
    assert np.array_equal(crops, photos.crops(0, 5, 4, 32))
    assert not np.array_equal(crops, photos.crops(0, 6, 4, 32))


def test_likeness_of_the_teacher_costs_nothing_and_another_costs():
    seen = F.normalize(torch.randn(12, 40, generator=torch.Generator().manual_seed(0)), dim=-1)
    same = F.normalize(seen - seen.mean(0), dim=-1)
    holding = Holding(40, 40)
    assert float(holding.alike(same, seen)) == pytest.approx(0, abs=1e-5)
    assert float(holding.alike(same.roll(1, 0), seen)) > 0.5


def test_what_a_linear_map_can_tell_costs_nothing():
    seen = F.normalize(torch.randn(12, 40, generator=torch.Generator().manual_seed(0)), dim=-1)
    holding = Holding(40, 40)
    with torch.no_grad():
        holding.recall.weight.copy_(torch.eye(40))
        holding.recall.bias.zero_()
    assert float(holding.told(seen, seen).detach()) == pytest.approx(0, abs=1e-5)
    assert float(holding.told(seen.roll(1, 0), seen).detach()) > 0.5
