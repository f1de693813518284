"""An encoder is not asked for views of pictures that it does not know; one that does not say what it knows is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diversity.encoders import familiarity
from diversity.encoders.familiarity import ABILITIES, PROTOTYPES, Familiarity
from diversity.encoders.spec import TOON_FOLDER
from diversity.errors import EncoderError


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / PROTOTYPES, np.eye(4, dtype=np.float32)[:2])
    (tmp_path / ABILITIES).write_text(json.dumps({"familiar_above": 0.7}))
    return tmp_path


def test_the_median_picture_decides_not_the_odd_one(folder: Path) -> None:
    near, far = np.array([[1, 0.1, 0, 0]]), np.array([[0, 0.1, 1, 1]])
    mostly_near = familiarity.of_set(unit(np.concatenate([near] * 3 + [far] * 2)), folder)
    mostly_far = familiarity.of_set(unit(np.concatenate([near] * 2 + [far] * 3)), folder)
    assert mostly_near is not None
    assert mostly_far is not None
    assert (mostly_near.familiar, mostly_far.familiar) == (True, False)
    assert mostly_near.likeness == pytest.approx(1 / np.sqrt(1.01), abs=1e-5)
    assert mostly_near.sentence == ""
    assert "0.7" in mostly_far.sentence


def test_an_encoder_that_does_not_say_what_it_knows_is_believed(tmp_path: Path, folder: Path) -> None:
    empty = tmp_path / "other"
    empty.mkdir()
    assert familiarity.of_set(unit(np.ones((3, 4))), empty) is None
    assert familiarity.of_set(np.empty((0, 4), np.float32), folder) is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (ABILITIES, b"{"),
        (ABILITIES, b"{}"),
        (ABILITIES, b'{"familiar_above": "much"}'),
        (PROTOTYPES, b"nonsense"),
        (PROTOTYPES, None),
        (ABILITIES, None),
    ],
)
def test_damaged_or_missing_halves_are_plain_messages(folder: Path, name: str, data: bytes | None) -> None:
    (folder / name).unlink()
    if data is not None:
        (folder / name).write_bytes(data)
    with pytest.raises(EncoderError, match=r"prototypes\.npy"):
        familiarity.of_set(unit(np.ones((3, 4))), folder)


def test_prototypes_of_another_encoder_are_refused(folder: Path) -> None:
    with pytest.raises(EncoderError, match="5 numbers"):
        familiarity.of_set(unit(np.ones((3, 5))), folder)


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_sentence_is_said_exactly_where_the_encoder_is_not_asked(likeness: float, above: float) -> None:
    found = Familiarity(likeness, above)
    assert found.familiar == (likeness >= above) == (found.sentence == "") == found.note()["familiar"]


def test_the_embedded_encoder_says_what_it_knows() -> None:
    prototypes = np.load(TOON_FOLDER / PROTOTYPES)
    assert prototypes.dtype == np.float32
    assert prototypes.shape[0] == 256
    assert np.allclose(np.linalg.norm(prototypes, axis=1), 1, atol=1e-5)
    known = familiarity.of_set(prototypes, TOON_FOLDER)
    assert known is not None
    assert known.familiar
