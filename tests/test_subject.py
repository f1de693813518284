"""Somebody else in the set is listed first, nothing is dropped; an identity model from a file is one more encoder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from diversity import record, subject, subject_check, subject_palette, tables, workspace
from diversity.cli import main
from diversity.dataset import Dataset
from diversity.errors import EncoderError, InputError
from diversity.scan import key_of

HERO, OTHER = ((200, 60, 50), (240, 200, 170), (60, 60, 160)), ((40, 150, 60), (90, 60, 40), (230, 220, 60))


def figure(colours: tuple[tuple[int, int, int], ...], seed: int, *, twice: bool = False) -> Image.Image:
    """A shaded figure of three coloured parts before a plain light background, in any size and place."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (160, 160), tuple(int(c) for c in rng.integers(190, 256, 3)))
    draw = ImageDraw.Draw(image)
    for x in (40, 120) if twice else (int(rng.integers(60, 100)),):
        width, top = int(rng.integers(14, 24)), int(rng.integers(12, 40))
        for at, colour in enumerate(colours):
            shade = tuple(int(np.clip(c + rng.integers(-12, 13), 0, 255)) for c in colour)
            draw.rectangle((x - width, top + 30 * at, x + width, top + 30 * at + 29), fill=shade)
    pixels = np.asarray(image, np.float32)
    shading = rng.normal(0, 10, pixels.shape[:2])[..., None] * (pixels.sum(2, keepdims=True) < 560)
    return Image.fromarray(np.clip(pixels + shading, 0, 255).astype(np.uint8))


def vectors(count: int, seed: int, towards: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(0, 0.15, (count, 16))
    rows[:, towards] += 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


# the rule -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("references", [0, 1, 3])
def test_strangers_are_off_and_score_least(references: int) -> None:
    together = np.concatenate([vectors(60, 1), vectors(3, 2, towards=5)])
    found = subject.check(together, vectors(references, 3) if references else None)
    assert set(np.flatnonzero(found.off)) >= {60, 61, 62}
    assert found.off[:60].sum() <= 2
    assert set(np.argsort(found.scores)[:3]) == {60, 61, 62}


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(0, 3))
def test_order_does_not_matter_and_what_is_like_a_reference_is_never_off(
    seed: int, count: int, references: int
) -> None:
    own, known = vectors(count, seed), vectors(references, seed + 1) if references else None
    found = subject.check(own, known)
    order = np.random.default_rng(seed).permutation(count)
    again = subject.check(own[order], known)
    assert np.allclose(again.scores, found.scores[order])
    assert (again.off == found.off[order]).all()
    if references:
        assert found.threshold <= subject.check(np.concatenate([own, known]), known).scores[count:].min() + 0.2
    if count + references < subject.FEWEST:
        assert not found.off.any()


def test_equal_pictures_are_not_strangers_to_one_another() -> None:
    assert not subject.check(np.repeat(vectors(1, 0), 30, axis=0)).off.any()


def test_a_quarter_of_strangers_who_are_all_alike_are_still_strangers() -> None:
    together = np.concatenate([vectors(40, 1), vectors(11, 2, towards=5)])
    found = subject.check(together, vectors(3, 3))
    assert found.off[40:].all()
    assert found.off[:40].sum() <= 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_slack_only_lowers_the_line(seed: int, slack: float) -> None:
    together = np.concatenate([vectors(40, seed), vectors(3, seed + 1, towards=5)])
    strict, mild = subject.check(together), subject.check(together, slack=slack)
    assert (strict.scores == mild.scores).all()
    assert mild.threshold == pytest.approx(strict.threshold - slack)


# what is compared ---------------------------------------------------------------------------------------------------


def test_the_palette_tells_figures_apart_whatever_the_background() -> None:
    hero = subject_palette.Palette().encode([figure(HERO, seed) for seed in range(12)])
    other = subject_palette.Palette().encode([figure(OTHER, seed) for seed in range(12)])
    assert np.allclose(np.linalg.norm(hero, axis=1), 1, atol=1e-5)
    nearest = hero @ hero.T - 2 * np.eye(12)
    assert (nearest.max(1) > (hero @ other.T).max(1)).all()
    assert (hero @ hero.T)[np.triu_indices(12, 1)].mean() > 0.3 + (hero @ other.T).mean()


GRASS = (90, 190, 90)


def close_up(seed: int) -> Image.Image:
    """The hero's two lower parts fill the picture to its borders; between them is a little grass."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((160, 160, 3), np.float32)
    pixels[:90], pixels[90:] = HERO[1], HERO[2]
    pixels += rng.normal(0, 10, (160, 160, 1))
    pixels[140:156, 70:86] = GRASS
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("seed", range(3))
def test_a_close_up_that_fills_its_borders_is_known_by_the_other_pictures(seed: int) -> None:
    looks = [
        *(subject_palette.look(figure(HERO, 20 * seed + n)) for n in range(12)),
        subject_palette.look(close_up(seed)),
    ]
    grass = subject_palette.look(Image.new("RGB", (9, 9), GRASS)).cells
    (alone,) = subject_palette.subject_shares(looks[-1:])
    (known,) = subject_palette.subject_shares(looks)
    assert alone[0, grass].sum() > 0.6  # by itself, what fills the border is taken for background
    assert known[-1, grass].sum() < 0.5
    palette = subject_palette.Palette()
    first, second = palette.vectors(looks), palette.vectors(looks[-1:])[0]
    assert first[-1] @ first[:-1].mean(0) > 0.05 + second @ first[:-1].mean(0)


def test_a_background_in_a_colour_of_the_subject_is_not_the_subject() -> None:
    plain = Image.new("RGB", (160, 160), HERO[1])
    plain.paste(figure(HERO, 3).crop((50, 30, 110, 130)), (50, 30))
    looks = [*(subject_palette.look(figure(HERO, n)) for n in range(12)), subject_palette.look(plain)]
    (shares,) = subject_palette.subject_shares(looks)
    skin = subject_palette.look(Image.new("RGB", (9, 9), HERO[1])).cells
    assert shares[-1, skin].sum() < 0.4  # of the picture it fills more than half


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_shares_of_colours_add_up_and_know_no_order(seed: int, count: int) -> None:
    looks = [subject_palette.look(figure(HERO, seed + n)) for n in range(count)]
    order = np.random.default_rng(seed).permutation(count)
    (shares,) = subject_palette.subject_shares(looks)
    (again,) = subject_palette.subject_shares([looks[n] for n in order])
    assert np.allclose(shares.sum(1), 1, atol=1e-5)
    assert np.allclose(again, shares[order], atol=1e-6)


def test_many_pictures_are_looked_at_in_chunks_and_a_blank_one_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [subject_palette.look(figure(HERO, n)) for n in range(5)]
    looks.append(subject_palette.look(Image.new("RGB", (3, 1), "white")))
    whole = subject_palette.Palette().vectors(looks)
    monkeypatch.setattr(subject_palette, "_CHUNK", 2)
    assert np.allclose(subject_palette.Palette().vectors(looks), whole, atol=1e-5)
    assert np.isfinite(whole).all()


class Flat:
    """An encoder of one's own: the mean colour."""

    id, name = "flat-1", "flat encoder"

    def encode_images(self, pictures: list[Image.Image]) -> np.ndarray:
        rows = np.array([np.asarray(one, np.float32).mean((0, 1)) for one in pictures])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_encoder_in_use_is_one_more_encoder(dataset: Dataset) -> None:
    encoder = subject.InUse(Flat())  # type: ignore[arg-type]
    assert (encoder.id, encoder.name) == ("flat-1", "the flat encoder")
    found = subject_check.run(dataset, ["hero 00.png"], encoder)
    assert (found.by, found.references, found.pictures) == ("the flat encoder", 1, 23)


def onnx_file(folder: Path, *, batch: object = "n", channels: int = 3) -> Path:
    """A model whose vector is the mean colour of the picture."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["pixels"], ["vector"])],
        "identity",
        [helper.make_tensor_value_info("pixels", floats, [batch, channels, 16, 24])],
        [helper.make_tensor_value_info("vector", floats, [batch, channels, 1, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    file = folder / "identity.onnx"
    file.write_bytes(model.SerializeToString())
    return file


@pytest.mark.parametrize("batch", ["n", 1])
def test_an_identity_model_from_a_file_is_one_more_encoder(batch: object, tmp_path: Path) -> None:
    encoder = subject.Onnx(onnx_file(tmp_path, batch=batch))
    colours = [(255, 0, 0), (0, 255, 0), (0, 51, 255)]
    found = encoder.encode([Image.new("RGB", (50, 40), colour) for colour in colours] * 9)
    wanted = np.array(colours * 9, np.float32)
    assert np.allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)
    assert encoder.id == subject.Onnx(onnx_file(tmp_path, batch=batch)).id


def test_a_file_that_is_no_such_model_is_a_plain_message(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(EncoderError, match="no ONNX model"):
        subject.Onnx(tmp_path / "text.onnx")
    with pytest.raises(EncoderError, match="There is no file"):
        subject.Onnx(tmp_path / "missing.onnx")
    with pytest.raises(EncoderError, match="does not take pictures"):
        subject.Onnx(onnx_file(tmp_path, channels=4))


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EncoderError, match=r"diversity\[subject\]"):
        subject.Onnx(tmp_path / "x.onnx")


@pytest.mark.parametrize(
    ("picture", "caption", "many"),
    [
        (figure(HERO, 1), None, False),
        (figure(HERO, 1, twice=True), None, True),
        (figure(HERO, 1), "2girls, smile", True),
        (figure(HERO, 1), "1girl, multiple boys", True),
        (figure(HERO, 1), "1girl, twogirls_logo, solo", False),
        (None, "a couple of shoes", False),
    ],
)
def test_several_figures_are_seen_or_read(picture: Image.Image | None, caption: str | None, many: bool) -> None:
    assert bool(subject.several(picture, caption)) is many


# a set --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Twenty pictures of the hero, two of another, one of both kinds twice; tables as a scan writes them."""
    root = tmp_path / "set"
    root.mkdir()
    dataset = Dataset.open(root)
    workspace.prepare(dataset.folder, root)
    record.save(dataset.folder, {"stages": {}})
    made = {f"hero {n:02}.png": figure(HERO, n) for n in range(20)}
    made |= {f"other {n}.png": figure(OTHER, n) for n in range(2)} | {"two.png": figure(HERO, 3, twice=True)}
    rows, thumbnails = [], []
    for path, picture in made.items():
        picture.save(root / path)
        row = {"key": key_of(path), "path": path, "content": path, "width": 160, "height": 160, "flags": []}
        rows.append({**dict.fromkeys(tables.IMAGES), **row})
        thumbnails.append({"content": path, "jpeg": (tmp_path / "t.jpg")})
        picture.save(tmp_path / "t.jpg", quality=90)
        thumbnails[-1]["jpeg"] = (tmp_path / "t.jpg").read_bytes()
    dataset.write("images", pl.DataFrame(rows, schema=tables.IMAGES))
    dataset.write("thumbnails", pl.DataFrame(thumbnails, schema=tables.THUMBNAILS))
    return dataset


@pytest.mark.parametrize("references", [[], ["hero 00.png", "hero 01.png", "hero 02.png"]])
def test_the_odd_ones_come_first_and_nothing_is_dropped(references: list[str], dataset: Dataset) -> None:
    found = subject_check.run(dataset, references, subject_palette.Palette())
    assert [one.path for one in found.odd[:2]] == ["other 0.png", "other 1.png"] or [
        one.path for one in found.odd[:2]
    ] == ["other 1.png", "other 0.png"]
    assert {one.path: one.state for one in found.odd}["two.png"] == "several"
    table = dataset.read("subject")
    assert len(table) == len(dataset.images) == 23
    assert table["state"].to_list() == sorted(table["state"], key=["off", "several", "on"].index)
    assert not dataset.has("decisions")
    assert "Nothing was dropped" in found.text()


def test_a_close_up_that_is_off_is_said_to_be_one(dataset: Dataset) -> None:
    told = [(key_of(path), "framing", "detail", 0.9, "caption") for path in ("other 0.png", "hero 03.png")]
    told.append((key_of("other 1.png"), "framing", "headshot", 0.9, "caption"))
    dataset.write("views", pl.DataFrame(told, schema=tables.VIEWS, orient="row"))
    found = {one.path: one for one in subject_check.run(dataset, [], subject_palette.Palette()).odd}
    assert "close-up of a detail" in found["other 0.png"].reason
    assert "close-up" not in found["other 1.png"].reason
    assert "hero 03.png" not in found


def test_references_may_lie_elsewhere_and_bad_ones_are_named(dataset: Dataset, tmp_path: Path) -> None:
    figure(HERO, 77).save(tmp_path / "ref.png")
    found = subject_check.run(dataset, [str(tmp_path / "ref.png")], subject_palette.Palette())
    assert found.references == 1
    assert {"other 0.png", "other 1.png"} <= {one.path for one in found.odd}
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(InputError, match=r"bad\.png cannot be used"):
        subject_check.run(dataset, [str(tmp_path / "bad.png")], subject_palette.Palette())
    with pytest.raises(InputError, match="not in the set"):
        subject_check.run(dataset, ["nowhere.png"], subject_palette.Palette())


def test_the_command_lists_and_says_what_may_be_compared(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Dataset, "run", lambda self, *stages, **more: self)
    assert main(["subject", str(dataset.root), "--ref", "hero 00.png", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["odd"][0]["path"].startswith("other")
    assert main(["subject", str(dataset.root), "--by", "magic"]) == 2
    assert "palette, encoder or a FILE.onnx" in capsys.readouterr().err


def test_a_drop_by_hand_beats_the_protection_of_a_rare_view(tmp_path: Path) -> None:
    from test_pipeline import open_at, picture

    from diversity import decisions

    root = tmp_path / "set"
    root.mkdir()
    for n in range(9):
        picture(n).save(root / f"{n}.png")
        (root / f"{n}.txt").write_text("full body, from behind" if n == 8 else "portrait, from front")
    dataset = open_at(root, tmp_path / "w").select()
    rare = key_of("8.png")
    reasons = dict(dataset.read("selection/default").select("key", "reason").iter_rows())
    assert reasons[rare].startswith("rare view")
    decisions.add(dataset, "drop", ["8.png"])
    dataset = open_at(root, tmp_path / "w").select()
    assert rare not in dataset.read("selection/default")["key"].to_list()
    assert dict(dataset.read("dropped").select("key", "reason").iter_rows())[rare] == "dropped by hand"
