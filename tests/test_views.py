"""Labels, their confidence and their sources."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity import tables, targets, taxonomy, views
from diversity.config import ViewsConfig
from diversity.errors import ConfigError, InputError

TAXONOMY = taxonomy.load()
CONFIG = ViewsConfig()
DIM = 12
COUNTS = {"framing": (1,) * 4, "side": (1,) * 5}


class FakeEncoder:
    """Texts to fixed random directions; counts its runs."""

    id, name, dim, logit_scale = "fake-1", "fake", DIM, 30.0

    def __init__(self):
        self.runs = 0

    def encode_texts(self, texts):
        self.runs += 1
        rows = [np.random.default_rng(abs(hash(text)) % 2**32).normal(size=DIM) for text in texts]
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def bank(scale=30.0):
    eye = np.eye(DIM, dtype=np.float32)
    return views.PromptBank("fake-1", scale, {"framing": eye[:4], "side": eye[4:9]}, COUNTS)


def pictures(n, seed=0, captions=None, noise=0.25):
    """Pictures whose vectors lean to the prototype of their true framing and side."""
    rng = np.random.default_rng(seed)
    framing, side = rng.integers(0, 4, n), rng.integers(0, 5, n)
    x = np.eye(DIM)[framing] + np.eye(DIM)[4 + side] + rng.normal(0, noise, (n, DIM))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    images = pl.DataFrame(
        {
            "key": [f"k{i:03}" for i in range(n)],
            "content": [f"c{i * 7919 % 1000:03}" for i in range(n)],
            "path": [f"a/{i}.png" for i in range(n)],
            "caption": pl.Series(captions or [None] * n, dtype=pl.String),
            "problem": pl.Series([None] * n, dtype=pl.String),
        }
    )
    truth = {
        axis: [TAXONOMY.axes[axis].names[c] for c in classes]
        for axis, classes in (("framing", framing), ("side", side))
    }
    return images, x.astype(np.float32), truth


def column(found, axis, name="label"):
    return found.filter(pl.col("axis") == axis)[name].to_list()


def told(images, axis, labels, step=1):
    return pl.DataFrame({"key": images["key"], "axis": axis, "label": labels})[::step]


CAPTIONS = [
    None,
    "",
    "from behind",
    "upper body, from side",
    "three-quarter view",
    "a knight seen from the front.",
    "shoes",
]


@given(st.lists(st.sampled_from(CAPTIONS), min_size=1, max_size=25), st.integers(0, 99), st.booleans(), st.randoms())
@settings(max_examples=20, deadline=None)
def test_labels_are_from_the_taxonomy_confidences_in_range_and_row_order_does_not_matter(captions, seed, text, random):
    images, x, _ = pictures(len(captions), seed, captions)
    found = views.label_views(images, x, TAXONOMY, bank() if text else None, None, CONFIG)
    assert found.schema == pl.Schema(tables.VIEWS)
    assert found.height == images.height * len(TAXONOMY.axes)
    for axis, spec in TAXONOMY.axes.items():
        assert set(column(found, axis)) <= {*spec.names, "unsure"}
    assert found["confidence"].is_between(0, 1).all()
    assert (found.filter(pl.col("label") != "unsure")["confidence"] >= CONFIG.min_confidence).all()
    order = list(range(len(captions)))
    random.shuffle(order)
    again = views.label_views(images[order], x[order], TAXONOMY, bank() if text else None, None, CONFIG)
    assert again.drop("confidence").equals(found.drop("confidence"))
    assert np.allclose(again["confidence"], found["confidence"], atol=1e-6)


def test_prompts_label_pictures_without_captions():
    images, x, truth = pictures(80)
    found = views.label_views(images, x, TAXONOMY, bank(), None, CONFIG)
    assert set(found["source"]) == {"prompt"}
    for axis, labels in truth.items():
        given_ = column(found, axis)
        assert sum(a == b for a, b in zip(given_, labels, strict=True)) > 60


def test_without_text_side_captions_and_labels_everything_is_unsure_and_says_so():
    images, x, _ = pictures(20)
    found = views.label_views(images, x, TAXONOMY, None, None, CONFIG)
    assert set(found["label"]) == {"unsure"}
    assert found["source"].null_count() == found.height
    assert found["confidence"].max() == 0


def test_a_person_wins_over_a_caption_and_a_caption_over_prompts():
    images, x, _ = pictures(3, captions=["from behind", "from behind", None])
    labels = pl.DataFrame({"key": ["k000"], "axis": ["side"], "label": ["front"]})
    found = views.label_views(images, x, TAXONOMY, bank(), labels, CONFIG)
    assert column(found, "side", "source") == ["user", "caption", "prompt"]
    assert column(found, "side")[:2] == ["front", "back"]
    without = views.label_views(images, x, TAXONOMY, bank(), None, ViewsConfig(captions=False))
    assert set(without["source"]) == {"prompt"}


def test_a_person_may_say_unsure():
    images, x, _ = pictures(2, captions=["from behind", None])
    labels = pl.DataFrame({"key": ["k000"], "axis": ["side"], "label": ["unsure"]})
    found = views.label_views(images, x, TAXONOMY, bank(), labels, CONFIG)
    assert (column(found, "side")[0], column(found, "side", "source")[0]) == ("unsure", "user")


@pytest.mark.parametrize("text", [True, False])
def test_a_probe_takes_over_where_some_labels_are_given(text):
    images, x, truth = pictures(200, seed=3)
    wrong = views.PromptBank("fake-1", 30.0, {"side": np.roll(np.eye(DIM, dtype=np.float32)[4:9], 1, axis=0)}, COUNTS)
    labels = told(images, "side", truth["side"], step=3)
    found = views.label_views(images, x, TAXONOMY, wrong if text else None, labels, CONFIG)
    asked = found.filter((pl.col("axis") == "side") & (pl.col("source") != "user"))
    assert set(asked["source"]) == {"probe"}
    right = [truth["side"][int(key[1:])] == label for key, label in asked.select("key", "label").rows()]
    assert np.mean(right) > 0.8


def test_captions_teach_the_probe_for_pictures_without():
    _, _, truth = pictures(160, seed=5)
    tag = {"front": "from front", "three_quarter": "from the front at an angle", "side": "from side"}
    tag |= {"back": "from behind", "back_three_quarter": "back three-quarter view"}
    captions = [tag[s] if i % 2 else None for i, s in enumerate(truth["side"])]
    images, x, truth = pictures(160, seed=5, captions=captions)
    found = views.label_views(images, x, TAXONOMY, None, None, CONFIG).filter(pl.col("axis") == "side")
    assert set(found["source"]) == {"caption", "probe"}
    assert np.mean([a == b for a, b in zip(found["label"], truth["side"], strict=True)]) > 0.85


def test_overconfident_prompts_are_calibrated_by_labels():
    images, x, truth = pictures(300, seed=7, noise=0.8)
    labels = told(images, "side", truth["side"], step=2)
    found = views.label_views(images, x, TAXONOMY, bank(300.0), labels, ViewsConfig(min_confidence=0))
    asked = found.filter((pl.col("axis") == "side") & (pl.col("source") != "user"))
    right = np.mean([truth["side"][int(key[1:])] == label for key, label in asked.select("key", "label").rows()])
    assert abs(asked["confidence"].mean() - right) < 0.12


def test_copies_among_the_teachers_do_not_feign_certainty():
    from diversity import probe

    rng = np.random.default_rng(0)
    seeds = rng.normal(size=(12, DIM))
    x = np.repeat(seeds, 10, axis=0) + rng.normal(0, 0.01, (120, DIM))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labels = np.repeat(np.arange(12) % 3, 10).astype(np.int64)
    fitted = probe.fit(x, labels, np.zeros((120, 3)), text=False)
    fresh = rng.normal(size=(200, DIM))
    fresh /= np.linalg.norm(fresh, axis=1, keepdims=True)
    assert fitted.probabilities(fresh, np.zeros((200, 3))).max(axis=1).mean() < 0.6


def test_an_ambiguous_tag_is_settled_by_what_the_picture_shows():
    eye = np.eye(DIM, dtype=np.float32)
    images, _, _ = pictures(2, captions=["three-quarter view"] * 2)
    x = eye[[TAXONOMY.axes["side"].names.index(s) + 4 for s in ("three_quarter", "back_three_quarter")]]
    found = views.label_views(images, x, TAXONOMY, bank(), None, CONFIG)
    assert column(found, "side") == ["three_quarter", "back_three_quarter"]
    blind = views.label_views(images, x, TAXONOMY, None, None, CONFIG)
    assert column(blind, "side") == ["three_quarter", "three_quarter"]


def test_prompts_are_embedded_once_and_kept(tmp_path):
    encoder = FakeEncoder()
    first = views.embed_prompts(TAXONOMY, encoder, tmp_path)
    again = views.embed_prompts(TAXONOMY, encoder, tmp_path)
    assert encoder.runs == 1
    assert first.scale == again.scale == 30.0
    assert all(np.array_equal(first.vectors[axis], again.vectors[axis]) for axis in TAXONOMY.axes)
    assert np.allclose(np.linalg.norm(first.vectors["side"], axis=1), 1, atol=1e-5)
    next(tmp_path.rglob("*.npz")).write_bytes(b"damaged")
    views.embed_prompts(TAXONOMY, encoder, tmp_path)
    assert encoder.runs == 2


def test_a_calibrated_encoder_has_a_temperature_of_its_own():
    prompts = taxonomy.Prompts(temperature=2, temperatures={"toon": 1, "toon-big": 3})
    assert [prompts.softening(name) for name in ("ViT-B", "toon-1", "toon-big-1")] == [2, 1, 3]


def test_rows_with_a_problem_are_passed_over():
    images, x, _ = pictures(4)
    images = images.with_columns(problem=pl.Series(["truncated", None, None, None]))
    assert "k000" not in views.label_views(images, x, TAXONOMY, bank(), None, CONFIG)["key"]


# labels from files and decisions ----------------------------------------------------------------------------------


def test_labels_are_read_long_or_wide_by_path_or_unique_name(tmp_path):
    images, _, _ = pictures(3)
    long, wide = tmp_path / "long.csv", tmp_path / "wide.csv"
    long.write_text("file,axis,label\na/0.png,side,back\n1.png,framing,detail\nelsewhere.png,side,back\n")
    wide.write_text("file,framing,side\na\\0.png,,back\n1.png,detail,\n")
    expected = [("k000", "side", "back"), ("k001", "framing", "detail")]
    assert views.read_labels(long, images, TAXONOMY).rows() == expected
    assert views.read_labels(wide, images, TAXONOMY).rows() == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file,axis,label\na/0.png,side,behind\n", "behind"),
        ("file,axis,label\na/0.png,light,dim\n", "light"),
        ("picture,view\na,b\n", "picture"),
        ("file,axis,label\nx.png,side,back\n", "No file"),
    ],
)
def test_mistakes_in_a_label_file_are_named(tmp_path, text, named):
    images, _, _ = pictures(3)
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=named):
        views.read_labels(file, images, TAXONOMY)
    with pytest.raises(InputError):
        views.read_labels(tmp_path / "none.csv", images, TAXONOMY)


def test_decisions_label_by_key_then_content_and_can_be_undone():
    images, _, _ = pictures(4)
    content = dict(images.select("key", "content").rows())
    rows = [
        ("k000", "?", "a", "label", "side=front", "1"),
        ("k000", "?", "a", "label", "side=back", "2"),
        ("gone", content["k001"], "b", "label", "framing=detail", "1"),
        ("k002", "?", "c", "label", "side=back", "1"),
        ("k002", "?", "c", "label", "undo", "2"),
        ("k003", "?", "d", "drop", "", "1"),
    ]
    decisions = pl.DataFrame(rows, schema=tables.DECISIONS, orient="row")
    found = views.decided_labels(decisions, images, TAXONOMY)
    assert found.rows() == [("k000", "side", "back"), ("k001", "framing", "detail")]
    bad = decisions.head(1).with_columns(value=pl.lit("behind"))
    with pytest.raises(InputError, match="behind"):
        views.decided_labels(bad, images, TAXONOMY)


# taxonomy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("axes = 3", "axes"),
        ("not toml", "TOML"),
        ('extends = "other"', "other"),
        ('extends = "default"\n[axes.side.labels.back]\nshare = -1', "axes.side.labels.back.share"),
        ('extends = "default"\n[axes.side.labels.back]\ntag = ["x"]', "axes.side.labels.back.tag"),
        ('extends = "default"\n[axes.side.labels.back]\ntags = ["profile"]', "profile"),
        ('extends = "default"\n[axes.side.labels.back]\ntags = [{ tag = "x", may_be = ["up"] }]', "up"),
        ('extends = "default"\n[axes.side.labels.unsure]\nshare = 1', "unsure"),
        ('extends = "default"\n[targets.cells]\n"head/back" = 1.0', "head/back"),
        ('extends = "default"\n[targets]\nleast = 9', "least"),
        ('extends = "default"\n[prompts]\ntemplates = ["a picture"]', "a picture"),
        ("[axes.framing.labels.a]\n[axes.framing.labels.b]", "side"),
    ],
)
def test_mistakes_in_a_taxonomy_are_named(tmp_path, text, named):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named):
        taxonomy.load(file)
    with pytest.raises(ConfigError):
        taxonomy.load(tmp_path / "none.toml")


def test_a_user_axis_is_labelled_like_the_others(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'extends = "default"\n[axes.lighting.labels.dark]\ntags = ["dim light"]\nprompts = ["night"]\n'
        '[axes.lighting.labels.light]\ntags = ["sunlight"]\nprompts = ["day"]\n'
    )
    mine = taxonomy.load(file)
    images, x, _ = pictures(2, captions=["knight, sunlight", None])
    prompts = views.embed_prompts(mine, FakeEncoder())
    found = views.label_views(images, x, mine, prompts, None, CONFIG)
    assert column(found, "lighting")[0] == "light"
    assert column(found, "lighting", "source") == ["caption", "prompt"]


# real pictures ----------------------------------------------------------------------------------------------------

KAYKIT = {"face": "headshot", "upper_body": "half_body", "full_body": "full_body", "shoes": "detail"}


@pytest.mark.shared
@pytest.mark.parametrize("character", ["Knight", "Rogue", "Barbarian"])
def test_every_planted_rare_picture_is_in_a_rare_cell(shared_data, character):
    folder = shared_data / "kaykit_views"
    rows = pl.read_csv(folder / "labels.csv")
    rows = rows.filter((pl.col("split") == "longtail") & (pl.col("character") == character))
    captions = [(folder / file).with_suffix(".txt").read_text() for file in rows["file"]]
    images = rows.select(key="file", content="file", path="file", caption=pl.Series(captions))
    found = views.label_views(images, np.ones((len(images), 2), np.float32), TAXONOMY, None, None, CONFIG)
    truth = dict(zip(rows["file"], zip(rows["framing"].replace_strict(KAYKIT), rows["view"], strict=True), strict=True))
    keeper = dict(rows.select("dup_group", "file").reverse().rows())
    result = targets.find(found, {f: keeper[g] for f, g in rows.select("file", "dup_group").rows()}, TAXONOMY)
    table = {row["cell"]: row for row in result.table.iter_rows(named=True)}
    cells = {f: "/".join(cell) for f, cell in truth.items()}
    planted = [f for f, c in cells.items() if c.startswith("detail") or c in ("full_body/back", "half_body/back")]
    assert len(planted) == 8
    assert all(table[result.cells[file]]["state"] == "rare" for file in planted)
    assert set(planted) <= result.protected
    distinct = {c: len({g for f, g in rows.select("file", "dup_group").rows() if cells[f] == c}) for c in table}
    assert [c for c, row in table.items() if row["state"] == "rare" and distinct[c] >= row["want"]] == []
