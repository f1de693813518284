"""Copies and variants: invariant 1 of the design, tier by tier."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scenes import encode, frame, images_of, scene, with_another_expression

from diversity import tables
from diversity.config import DuplicatesConfig
from diversity.duplicates import DuplicateGroups, Evidence, find
from diversity.errors import InputError
from diversity.keepers import Links, greedy

DEFAULT = DuplicatesConfig()


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def walks(n: int, length: int, seed: int = 0) -> np.ndarray:
    """Random-walk bursts on the sphere, as in the comparison of rules in the project's notes: [n * length, 64]."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(n, length, 64)) * 0.035
    steps[:, 0] = unit(rng.normal(size=(n, 64)))
    return unit(np.cumsum(steps, axis=1).reshape(-1, 64))


def named(n: int, **columns: list) -> pl.DataFrame:
    """`n` pictures without thumbnails, contents in another order than keys."""
    values = [{c: v[i] for c, v in columns.items()} for i in range(n)]
    return frame([{"key": f"k{i:04}", "content": f"c{(i * 7919) % 10007:05}", **values[i]} for i in range(n)])


def kinds(groups: DuplicateGroups) -> dict[str, str]:
    return dict(groups.frame.select("key", "kind").iter_rows())


def assert_no_orphans(groups: DuplicateGroups) -> None:
    rows = groups.frame
    stays = set(rows.filter(pl.col("kind") != "copy")["key"])
    copies = rows.filter(pl.col("kind") == "copy")
    assert set(copies["keeper"]) <= stays
    assert (copies["similarity"] >= copies["threshold"]).all()
    assert (rows.filter(pl.col("kind") != "copy")["keeper"] == rows.filter(pl.col("kind") != "copy")["key"]).all()
    assert (rows["group"] == rows["keeper"]).all()


# the greedy pass


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Links, np.ndarray, np.ndarray, list[str]]:
    n = draw(st.integers(1, 14))
    pairs = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40))
    pairs = sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
    m = len(pairs)
    cosine = np.array(draw(st.lists(st.floats(0, 1), min_size=m, max_size=m)))
    judgements = draw(st.lists(st.sampled_from(["copy", "variant", "different"]), min_size=m, max_size=m))
    first, second = (np.array([p[side] for p in pairs], np.int64) for side in (0, 1))
    links = Links(n, first, second, cosine, np.full(m, -1, np.int64), np.zeros(m, bool))
    fixed = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    order = np.array(draw(st.permutations(range(n))), np.int64)
    return links, np.concatenate([order[fixed[order]], order[~fixed[order]]]), fixed, judgements


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_every_copy_has_a_kept_keeper_it_is_linked_to_and_no_two_keepers_are_copies(graph):
    links, order, fixed, judgements = graph
    asked: list[int] = []
    kept = greedy(links, order, fixed, lambda pair: (asked.append(pair), judgements[pair])[1])
    rank = np.empty(links.n, np.int64)
    rank[order] = np.arange(links.n)
    for picture, keeper in enumerate(kept.keeper):
        if keeper == picture:
            continue
        pair = kept.link[picture]
        assert judgements[pair] == "copy"
        assert {links.first[pair], links.second[pair]} == {picture, keeper}
        assert kept.keeper[keeper] == keeper
        assert rank[keeper] < rank[picture]
        assert not fixed[picture]
    for pair, judgement in enumerate(judgements):
        one, two = links.first[pair], links.second[pair]
        if judgement == "copy" and kept.keeper[one] == one and kept.keeper[two] == two:
            assert fixed[[one, two]].all()
    assert len(asked) == len(set(asked))


def test_the_popular_rule_orphans_pictures_on_bursts_and_this_one_none():
    vectors = walks(40, 30)
    images = named(len(vectors))
    groups = find(images, vectors, Evidence(), DuplicatesConfig(threshold=0.95))
    assert_no_orphans(groups)
    order = images.with_row_index("row").sort("content")["row"].to_numpy()
    alike = vectors[order] @ vectors[order].T >= 0.95
    dropped = np.triu(alike, 1).any(axis=0)  # SemDeDup: any neighbour earlier in the order, dropped or not
    orphaned = dropped & ~alike[:, ~dropped].any(axis=1)
    assert orphaned.mean() > 0.05
    assert (groups.frame["kind"] == "copy").sum() < dropped.sum()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 50), threshold=st.floats(0.8, 0.99))
def test_no_dropped_picture_is_orphaned_and_row_order_does_not_matter(seed, threshold):
    vectors = walks(4, 8, seed)
    rng = np.random.default_rng(seed)
    images = named(32, quality=list(rng.integers(0, 4, 32) / 4), caption=list(rng.choice(["a", None], 32)))
    config = DuplicatesConfig(threshold=threshold)
    groups = find(images, vectors, Evidence(), config)
    assert_no_orphans(groups)
    shuffled = rng.permutation(32)
    again = find(images[shuffled.tolist()], vectors[shuffled], Evidence(), config)
    assert again.frame.equals(groups.frame)


def test_deciding_again_equals_deciding_anew():
    vectors, images = walks(10, 12), named(120)
    loose = find(images, vectors, Evidence(), DuplicatesConfig(threshold=0.9))
    strict = find(images, vectors, Evidence(), DuplicatesConfig(threshold=0.96))
    assert loose.at(0.96).frame.equals(strict.frame)
    assert (strict.frame["kind"] == "copy").sum() < (loose.frame["kind"] == "copy").sum()
    with pytest.raises(InputError, match="not collected"):
        strict.at(0.9)


def test_a_group_of_300_copies_is_one_group():
    vectors = unit(np.ones((300, 32)) + 0.01 * np.random.default_rng(0).normal(size=(300, 32)))
    groups = find(named(300), vectors, Evidence(), DEFAULT)
    assert groups.frame["group"].n_unique() == 1
    assert (groups.frame["kind"] == "copy").sum() == 299


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_tiny_sets_degrade_sanely(n):
    images, vectors, evidence = images_of({f"k{i}": scene(i) for i in range(n)})
    groups = find(images, vectors, evidence, DEFAULT)
    assert groups.frame.columns == list(tables.DUPLICATES)
    assert groups.frame["kind"].to_list() == ["keeper"] * n


# tiers


def test_equal_pixels_are_copies_even_where_cosine_falls_short_of_one():
    images = frame(
        [{"key": key, "content": "same", "bytes_hash": b} for key, b in (("a", "1"), ("b", "1"), ("c", "2"))]
    )
    vectors = np.tile(unit(np.random.default_rng(1).normal(size=(1, 7))) * np.float32(0.999), (3, 1))
    groups = find(images, vectors, Evidence(), DuplicatesConfig(threshold=1.0))
    assert groups.explain("b").tier == "bytes"
    assert groups.explain("c").tier == "pixels"
    assert groups.frame["group"].to_list() == ["a"] * 3


def test_a_resized_copy_is_found_and_the_larger_one_stays():
    pictures = {f"k{i}": scene(i) for i in range(8)} | {"small": scene(3).resize((80, 80), Image.Resampling.LANCZOS)}
    images, vectors, evidence = images_of(pictures)
    groups = find(images, vectors, evidence, DEFAULT)
    why = groups.explain("small")
    assert (why.kind, why.keeper) == ("copy", "k3")
    assert "which is larger" in why.reason
    assert kinds(groups) == {f"k{i}": "keeper" for i in range(8)} | {"small": "copy"}
    assert "Stands for 1" in str(groups.explain("k3"))


def test_the_hash_tier_states_its_own_measure():
    images = frame([{"key": k, "content": k, "phash": h} for k, h in (("a", 0), ("b", 0b111), ("c", 2**40 - 1))])
    groups = find(images, np.eye(3, dtype=np.float32), Evidence(), DEFAULT)
    why = groups.explain("b")
    assert (why.tier, why.similarity, why.threshold) == ("hash", 1 - 3 / 64, 1 - 4 / 64)
    assert groups.explain("c").kind == "keeper"


def test_an_embedding_alone_does_not_make_a_copy_where_the_pictures_disagree():
    images, _, evidence = images_of({f"k{i}": scene(i) for i in range(10)})
    same = np.tile(unit(np.ones((1, 64))), (10, 1))
    groups = find(images, same, evidence, DEFAULT)
    assert set(kinds(groups).values()) == {"keeper"}


def test_a_burst_is_one_picture_and_another_expression_stays_as_a_variant():
    pictures = {f"k{i}": scene(i) for i in range(10)}
    pictures |= {f"frame{i}": scene(0, shift=2 * i) for i in (1, 2)} | {"smile": with_another_expression(scene(5))}
    images, vectors, evidence = images_of(pictures, quality={"k0": 0.9, "k5": 0.9})
    groups = find(images, vectors, evidence, DEFAULT)
    found = kinds(groups)
    assert found["frame1"] == found["frame2"] == "copy"
    smile = groups.explain("smile")
    assert (smile.kind, smile.variant_of, smile.group) == ("variant", "k5", "smile")
    assert_no_orphans(groups)


@pytest.mark.parametrize(("between", "kind"), [((6,), "copy"), ((), "variant")])
def test_frames_of_one_movement_are_copies_by_way_of_a_frame_between_them(between, kind):
    pictures = {f"k{i}": scene(i) for i in range(8)} | {f"f{s}": scene(0, shift=s) for s in (*between, 12)}
    images, vectors, evidence = images_of(pictures, quality={"k0": 0.9})
    groups = find(images, vectors, evidence, DuplicatesConfig(threshold=0.5))
    assert groups.explain("f12").kind == kind
    assert_no_orphans(groups)


def test_flips_are_copies_only_on_request():
    pictures = {f"k{i}": scene(i) for i in range(8)} | {"flip": scene(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT)}
    images, vectors, evidence = images_of(pictures, quality={"k2": 0.9})
    assert kinds(find(images, vectors, evidence, DEFAULT))["flip"] == "keeper"
    why = find(images, vectors, evidence, DuplicatesConfig(flips=True)).explain("flip")
    assert (why.kind, why.keeper) == ("copy", "k2")
    assert "mirrored" in why.reason


# views, pins, captions


def pair(**columns: dict[str, object]) -> tuple[pl.DataFrame, np.ndarray, Evidence]:
    pictures = {f"k{i}": scene(i) for i in range(6)} | {"copy": scene(2).resize((150, 150))}
    return images_of(pictures, **columns)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        (("full_body", "three_quarter"), "copy"),
        (("full_body", None), "copy"),
        (("unsure", "unsure"), "copy"),
        (("full_body", "back"), "variant"),
        (("headshot", "front"), "variant"),
    ],
)
def test_pictures_of_views_that_do_not_adjoin_are_not_copies(label, kind):
    views = {"k2": ("full_body", "front"), "copy": label}
    groups = find(*pair(), DEFAULT, views=views)
    assert groups.explain("copy").kind == kind


def test_frames_of_one_moment_are_copies_across_views():
    views = {"k2": ("full_body", "front"), "copy": ("full_body", "back")}
    images, vectors, evidence = pair(source={"k2": "a.mp4", "copy": "a.mp4"}, time={"k2": 1.0, "copy": 1.2})
    assert find(images, vectors, evidence, DEFAULT, views=views).explain("copy").kind == "copy"


def test_what_is_kept_by_hand_stays_and_wins():
    images, vectors, evidence = pair(quality={"k2": 0.9})
    groups = find(images, vectors, evidence, DEFAULT, pins={"copy"})
    assert groups.explain("k2").keeper == "copy"
    assert "kept by hand" in groups.explain("k2").reason
    both = kinds(find(images, vectors, evidence, DEFAULT, pins={"copy", "k2"}))
    assert both["copy"] == both["k2"] == "keeper"


def test_quality_then_size_then_caption_choose_the_keeper():
    images, vectors, evidence = pair(quality={"k2": 0.4, "copy": 0.6})
    assert find(images, vectors, evidence, DEFAULT).explain("k2").keeper == "copy"
    equal = images.with_columns(quality=pl.lit(0.5))
    assert find(equal, vectors, evidence, DEFAULT).explain("copy").keeper == "k2"
    described = equal.with_columns(width=pl.lit(100), caption=pl.when(pl.col("key") == "copy").then(pl.lit("a hat")))
    height = described.with_columns(height=pl.lit(100))
    assert find(height, vectors, evidence, DEFAULT).explain("k2").keeper == "copy"


def test_a_caption_that_would_be_lost_is_named():
    images, vectors, evidence = pair(quality={"k2": 0.9}, caption={"copy": "red boots"})
    assert 'this one has: "red boots"' in find(images, vectors, evidence, DEFAULT).explain("copy").reason


def test_rows_with_a_problem_are_left_out():
    images, vectors, evidence = pair()
    broken = images.with_columns(problem=pl.when(pl.col("key") == "k1").then(pl.lit("The file is truncated.")))
    groups = find(broken, vectors, evidence, DEFAULT)
    assert "k1" not in groups.frame["key"]
    with pytest.raises(InputError, match="no usable picture"):
        groups.explain("k1")


def test_neighbours_are_listed_in_both_directions():
    groups = find(named(30), walks(3, 10), Evidence(), DuplicatesConfig(threshold=0.9))
    rows = groups.neighbours
    assert {(a, b) for a, b in rows.select("key", "other").iter_rows()} == {
        (b, a) for a, b in rows.select("key", "other").iter_rows()
    }
    assert dict(rows.schema) == tables.NEIGHBOURS


# real pictures


@pytest.mark.shared
def test_resized_photos_are_grouped_exactly(shared_data):
    folder = shared_data / "fast_neardup"
    labels = pl.read_csv(folder / "caltech_101_rand_resize_groups.csv")
    files = dict(labels.select("file", "group").iter_rows())
    pictures = {name: Image.open(folder / "caltech_101_rand_resize" / name).convert("RGB") for name in files}
    for picture in pictures.values():
        picture.thumbnail((192, 192))
    groups = find(*images_of(pictures), DEFAULT)
    together = groups.frame.with_columns(truth=pl.col("key").replace_strict(files))
    assert groups.frame["group"].n_unique() == len(set(files.values()))
    assert (together.group_by("group").agg(pl.col("truth").n_unique())["truth"] == 1).all()


@pytest.mark.shared
def test_other_views_of_a_photographed_subject_are_not_copies(shared_data):
    paths = sorted((shared_data / "dreambooth_dev").glob("*/*.jpg"))
    pictures = {f"{p.parent.name}/{p.name}": Image.open(p).convert("RGB") for p in paths}
    for picture in pictures.values():
        picture.thumbnail((192, 192))
    sizes = find(*images_of(pictures), DEFAULT).frame.group_by("group").len()["len"]
    assert sum(n * (n - 1) // 2 for n in sizes) <= 2


def test_the_encoder_of_the_tests_is_deterministic():
    assert np.array_equal(encode([scene(0)]), encode([scene(0)]))
