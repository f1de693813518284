"""The design: who, which pictures, in which order. No LoRA is trained, and only a few pictures are drawn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("diffusers", reason="diffusers is not installed: the ladder cannot be trained")
pytest.importorskip("pyvista", reason="pyvista is not installed: the toon world cannot be drawn")

from benchmarks.richness import arms, asked, people, pool
from benchmarks.richness.arms import ARMS, crossed, jobs
from benchmarks.richness.pool import Item, Pool
from benchmarks.toonworld.camera import FRAMINGS
from benchmarks.toonworld.character import sample_character
from benchmarks.toonworld.render import SEED_STRIDE
from benchmarks.toonworld.scene import BACKDROPS

MADE = {11: 2_400, 12: 1_100, 21: 1_600, 31: 9_600}  # characters that were rendered for the base and for the judges
TOONS, MODELS = [f"t{i}" for i in range(8)], ["barbarian", "knight", "rogue"]


def blank(part: str, group: str, view: str, number: int) -> Item:
    pixels = np.random.default_rng([number, *part.encode()]).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    return Item(pixels, f"a caption {number}", group, view, "flat", 0.0)


def fake_pool() -> Pool:
    """A pool with the parts and groups of a planned one, unrendered."""
    parts: dict[str, list[Item]] = {}
    for number, one in enumerate(pool.plan(5, claims=True)):
        view = f"{one.shot.framing}/{one.shot.side}"
        parts.setdefault(one.part, []).append(blank(one.part, one.group, view, number))
    for part, count in (("related", 16), ("prior", 6), ("style", 64)):
        parts[part] = [blank(part, f"{part}-{i}", "headshot/front", i) for i in range(count)]
    return Pool(parts)


POOL = fake_pool()
MATERIAL = {name: arm.make(POOL, POOL) for name, arm in ARMS.items()}


def test_the_characters_are_the_first_that_nobody_trained_on():
    seen = people.combinations_seen(max(MADE.values()))
    assert people.first_admitted(len(people.TOONS), seen) == people.TOONS


@pytest.mark.slow
def test_the_characters_are_unseen_among_far_more_than_were_made():
    assert people.first_admitted(len(people.TOONS), people.combinations_seen()) == people.TOONS


def test_no_seed_of_the_ladder_was_used_to_train_anything():
    assert not {people.SEED, people.OTHERS_SEED} & {*MADE, 0, 1}


def test_the_second_form_differs_in_what_is_told_by():
    for toon in people.toons():
        other = people.Toon(people.second_form(toon.person))
        different = {name for name in toon.looks if toon.looks[name] != other.looks[name]}
        assert {"hair_colour", "outfit_colour", "shoes_colour"} <= different


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 13), st.integers(2, 13), st.data())
def test_any_first_part_of_a_block_is_balanced(count, people_count, data):
    some = [arms.Arm(f"a{i}", "x", arms.CORE[0].make) for i in range(count)]
    names = [f"c{i}" for i in range(people_count)]
    if np.gcd(count, people_count) != 1:
        with pytest.raises(ValueError, match="arms"):
            crossed("core", some, names)
        return
    planned = crossed("core", some, names)
    assert len({(job.arm, job.character) for job in planned}) == len(planned) == count * people_count
    first = planned[: data.draw(st.integers(1, len(planned)))]
    for counted, every in ((Counter(j.arm for j in first), count), (Counter(j.character for j in first), people_count)):
        assert max(counted.values()) - (min(counted.values()) if len(counted) == every else 0) <= 1


@pytest.mark.parametrize("models", [MODELS, []])
def test_all_jobs_are_planned_once_with_or_without_the_artists_models(models):
    planned = jobs(TOONS, models)
    assert len({job.id for job in planned}) == len(planned)
    blocks = Counter(job.block for job in planned)
    assert blocks == {"identity": 1, "core": 5 * (8 + len(models)), "claims": 104, "long": 10, "style": 9}
    assert [job.block for job in planned] == sorted((job.block for job in planned), key=list(blocks).index)


def test_claim_arms_that_nothing_can_be_read_from_wait_and_the_others_stay_balanced():
    planned = [job for job in jobs(TOONS, MODELS) if job.block == "claims"]
    assert {job.arm for job in planned[-16:]} == {"rare64", "lonecap16"}
    for first in range(len(planned) - 16):
        made = Counter(job.arm for job in planned[:first])
        assert max(made.values(), default=0) - min((made[job.arm] for job in planned[:88]), default=0) <= 1


@pytest.mark.parametrize("name", sorted(ARMS))
def test_sets_are_as_the_protocol_says(name):
    """Numbers of pictures and of distinct ones; nothing that is held out is trained on; eight of its own kind."""
    material = MATERIAL[name]
    trained = {item.group for item in material.train}
    sizes = {"two32": (32, 32), "dedup4": (4, 4), "style": (56, 56), "identity": (16, 16)}
    number = int("".join(letter for letter in name if letter.isdigit()) or 0)
    distinct = 4 if name.startswith("mono") or name == "related16" else number
    assert (len(material.train), len(trained)) == sizes.get(name, (number, distinct))
    held = {item.group for item in (*material.own, *POOL.part("common"))}
    assert not trained & held
    assert len(material.own) == len({item.group for item in material.own}) == arms.OWN
    assert len(material.related) == (16 if name == "related16" else 0)


def test_rich_sets_go_around_the_turntable_in_every_framing():
    for name, most in (("rich16", 150.0), ("rich64", 50.0)):
        for framing in FRAMINGS:
            count = len([i for i in MATERIAL[name].train if i.view.startswith(framing)])
            shots = [one.shot for one in pool.plan(5, claims=False) if one.part == f"turn/{framing}"][:count]
            angles = np.sort([shot.azimuth % 360 for shot in shots])
            assert np.diff(angles, append=angles[0] + 360).max() <= most


def test_no_set_shows_what_novel_prompts_ask_for():
    novel = {prompt.shows["background"] for prompt in asked.novel({}) if "background" in prompt.shows}
    assert novel == {"horizon"}
    for seed in range(3):
        assert not novel & {one.shot.background for one in pool.plan(seed, claims=True)}


def test_every_background_is_of_one_colour_that_its_caption_names():
    planned = pool.plan(5, claims=True)
    for one in planned:
        white = one.shot.background == "white"
        assert one.shot.backdrop in ({""} if white else BACKDROPS)
        said = people.toons()[0].caption(one.shot)[-1]
        assert said == ("white background" if white else f"{one.shot.backdrop} {one.shot.background} background")
    for part in ("mono", "bound"):
        assert len({(p.shot.background, p.shot.backdrop) for p in planned if p.part == part}) == 1
    assert {p.shot.background for p in planned if p.part.startswith("white")} == {"white"}


def test_nothing_is_asked_of_details_and_no_headshot_is_asked_for_its_background():
    every = [*asked.subject(asked.views()), *asked.novel({}), *asked.unrelated()]
    assert [prompt.asks for prompt in every if prompt.view.startswith("detail")] == [()]
    in_heads = [prompt for prompt in every if prompt.shows.get("framing") == "headshot"]
    assert in_heads
    assert not any("background" in prompt.asks for prompt in in_heads)


def test_portraits_have_no_shoes_and_no_backs():
    views = {item.view for item in MATERIAL["portrait16"].train}
    assert all(view.split("/")[0] in ("headshot", "half_body") for view in views)
    assert all(view.split("/")[1] in ("front", "three_quarter") for view in views)


def test_only_the_named_picture_weighs_more():
    for name, weight in (("lone16", 1.0), ("loneup16", 8.0), ("lonecap16", 2.0)):
        heavy = [item for item in MATERIAL[name].train if item.view.startswith("detail")]
        assert [item.weight for item in heavy] == [weight]
        assert all(item.weight == 1.0 for item in MATERIAL[name].train if not item.view.startswith("detail"))


def test_bound_and_second_words_are_where_they_belong():
    tagged = [item for item in MATERIAL["bound16"].train if item.tags]
    assert len(tagged) == 8
    assert all(item.group.startswith("bound") and item.tags == (arms.BOUND_TAG,) for item in tagged)
    words = Counter(item.word for item in MATERIAL["two32"].train)
    assert words == {"": 16, arms.SECOND_WORD: 16}


def test_shuffled_captions_are_the_same_ones_elsewhere():
    plain, shuffled = MATERIAL["rich16"].train, MATERIAL["shuffled16"].train
    assert [item.group for item in plain] == [item.group for item in shuffled]
    assert Counter(item.caption for item in plain) == Counter(item.caption for item in shuffled)
    assert sum(a.caption != b.caption for a, b in zip(plain, shuffled, strict=True)) > 8


def test_checkpoints_hold_matched_steps_and_matched_exposures():
    assert ARMS["mono16"].checkpoints(4) == (25, 100, 400)
    assert ARMS["rich16"].checkpoints(16) == (100, 200, 400)
    assert ARMS["rich64"].checkpoints(64) == (100, 200, 400)
    assert ARMS["mono16long"].checkpoints(4) == (25, 100, 1500, 2000)
    for arm, distinct in (("mono64", 4), ("rich16", 16), ("rich64", 64)):
        assert ARMS[arm].matched(distinct) * ARMS[arm].batch / distinct == arms.MATCHED
    every = [step for name, m in MATERIAL.items() for step in ARMS[name].checkpoints(len({i.group for i in m.train}))]
    assert all(step % arms.EVERY == 0 for step in every)


def test_prompts_are_the_same_for_everyone_but_what_they_should_show():
    """So that the base draws them once."""
    shown = {view: {"hair_colour": "red"} for view in asked.VIEWS}
    one = [*asked.subject(asked.views()), *asked.novel({}), *asked.unrelated()]
    other = [*asked.subject(asked.views(shown)), *asked.novel({"outfit_colour": "red"}), *asked.unrelated()]
    assert [prompt.text for prompt in one] == [prompt.text for prompt in other]
    assert all(asked.TRIGGER in prompt.text for prompt in one if prompt.kind != "unrelated")
    assert not any(asked.TRIGGER in prompt.text for prompt in one if prompt.kind == "unrelated")
    assert all(asked.TRIGGER not in prompt.bare for prompt in one)
    red = next(prompt for prompt in other if "red dress" in prompt.text)
    assert "outfit_colour" not in red.asks  # what the character wears anyway is not novel
    assert "outfit_kind" in red.asks


def test_every_view_that_is_asked_for_is_held_out():
    """Else fidelity would be measured to training pictures, which rewards copying."""
    assert {view.label for view in asked.views()} <= {item.view for item in POOL.part("common")}


def test_the_same_plan_twice_and_another_for_another_seed():
    assert pool.plan(3, claims=True) == pool.plan(3, claims=True)
    assert pool.plan(3, claims=True) != pool.plan(4, claims=True)
    groups = Counter(one.group for one in pool.plan(3, claims=True) if one.part != "mono")
    assert max(groups.values()) == 1


def test_a_pool_is_drawn_once(tmp_path, monkeypatch):
    """Its shoes can be seen, and a second call reads what the first one wrote."""
    monkeypatch.setattr(pool, "SIZE", 48)
    pool.renderer.cache_clear()
    planned = [one for one in pool.plan(0, claims=True) if one.part in ("turn/detail", "mono", "second/detail")]
    some = [planned[i] for i in (0, 1, 40, -1)]
    monkeypatch.setattr(pool, "plan", lambda seed, *, claims: some)
    toon = people.Toon(sample_character(people.SEED * SEED_STRIDE))
    first = pool.load(toon, 0, tmp_path, claims=True)
    monkeypatch.setattr(pool, "_drawn", lambda one, subject: pytest.fail("drawn twice"))
    second = pool.load(toon, 0, tmp_path, claims=True)
    assert first.parts.keys() == second.parts.keys() == {one.part for one in some}
    for name, items in first.parts.items():
        for a, b in zip(items, second.part(name), strict=True):
            assert (a.pixels == b.pixels).all()
            assert (a.caption, a.group, a.view, a.azimuth) == (b.caption, b.group, b.view, b.azimuth)
    assert "shoes" in first.part("turn/detail")[0].caption
    pool.renderer.cache_clear()


def test_pools_are_framed_as_judges_learnt_framings():
    least, most = pool.ZOOM["headshot"]
    for one in pool.plan(5, claims=True):
        if one.part == "mono":  # frames of one scene, jittered
            assert least <= one.shot.zoom <= most + 0.3
        else:
            low, high = pool.ZOOM[one.shot.framing]
            assert low <= one.shot.zoom <= high, one.part
