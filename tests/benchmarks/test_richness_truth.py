"""Ground truth: what judges see of made-up pictures becomes control, repainting, identity and copying."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("diffusers", reason="diffusers is not installed: the ladder cannot be trained")

from benchmarks.richness import asked, truth
from benchmarks.richness.truth import Seen

OWN = {"hair_colour": "red", "hair_style": "spiky", "outfit_colour": "teal", "outfit_kind": "robe"}
LOOKS = {view: ({**OWN, "shoes_colour": "blue"} if view[0] != "headshot" else OWN) for view in asked.VIEWS}
PROMPTS = [*asked.subject(asked.views(LOOKS)), *asked.novel(OWN), *asked.unrelated()]
WRONG = {"framing": "elsewhere", "side": "back_three_quarter", "background": "indoors"}


def seen(weight: float, answer, seeds: int = 2) -> list[Seen]:
    """Every prompt drawn `seeds` times; `answer` gives the labels of a prompt."""
    blank = np.zeros(truth.SIDE**2 * 3, np.float32)
    return [
        Seen(prompt, prompt.text, False, seed, weight, answer(prompt), blank)
        for prompt in PROMPTS
        for seed in range(seeds)
    ]


def asked_for(prompt):
    """The base: what is asked for, and looks of nobody."""
    return {name: prompt.shows[name] if name in prompt.asks else "nobody's" for name in prompt.shows}


def everything(prompt):
    """The best LoRA: what is asked for, and the character."""
    return dict(prompt.shows)


def one_picture(prompt):
    """The worst LoRA: its one training picture, whatever is asked for."""
    return {**OWN, "shoes_colour": "nobody's", **WRONG}


def values(lora, weight: float = 1.0) -> dict[str, float]:
    table = truth.rows([*seen(weight, lora), *seen(0.0, asked_for)], weight, OWN)
    return dict(table.select("measure", "value").iter_rows())


def test_the_base_itself_loses_nothing():
    found = values(asked_for)
    assert found["truth.lost"] == found["truth.control"] == found["truth.unrelated"] == found["truth.repaint"] == 0
    assert found["truth.identity"] == found["truth.identity_gain"] == 0


def test_a_perfect_lora_shows_the_character_and_loses_nothing():
    found = values(everything)
    assert found["truth.lost"] == 0
    assert found["truth.identity"] == found["truth.shoes"] == found["truth.turned_away_gain"] == 1


def test_one_picture_for_everything_is_overfitted_and_repaints():
    found = values(one_picture)
    assert found["truth.lost"] == pytest.approx(1.0)
    assert found["truth.lost"] >= truth.OVERFITTED
    assert found["truth.repaint"] == 1
    assert found["truth.shoes"] == 0
    assert found["truth.hair_full_body"] == 1


def test_both_kinds_of_prompts_weigh_equally():
    def forgets_others(prompt):
        return one_picture(prompt) if prompt.kind == "unrelated" else everything(prompt)

    found = values(forgets_others)
    assert found["truth.control"] == 0
    assert found["truth.unrelated"] == pytest.approx(-1)
    assert found["truth.lost"] == pytest.approx(0.5)


def test_what_the_lora_adds_does_not_make_up_for_what_it_breaks():
    """Half of what is asked the base shows, the other half the LoRA: nothing is lost on balance, half is broken."""

    def half(of: int):
        return lambda prompt: {
            name: label if list(prompt.shows).index(name) % 2 == of else "nobody's"
            for name, label in prompt.shows.items()
        }

    table = truth.rows([*seen(1.0, half(1)), *seen(0.0, half(0))], 1.0, OWN)
    found = dict(table.select("measure", "value").iter_rows())
    asked_of = [[list(p.shows).index(name) % 2 for name in p.asks] for p in PROMPTS]
    kinds = [p.kind == "unrelated" for p in PROMPTS]
    broken = [
        np.mean(
            [
                np.mean([place == 0 for place in places])
                for places, k in zip(asked_of, kinds, strict=True)
                if k == kind and places
            ]
        )
        for kind in (False, True)
    ]
    assert found["truth.broken"] == pytest.approx(np.mean(broken))
    assert found["truth.broken"] > found["truth.lost"] + 0.2


def test_what_a_framing_does_not_show_is_not_judged(monkeypatch):
    drawn = [
        SimpleNamespace(
            place=SimpleNamespace(prompt=p, bare=False, weight=1.0),
            text=p.text,
            seed=0,
            picture=Image.new("RGB", (8, 8)),
        )
        for p in PROMPTS
    ]
    found = truth.look(drawn, Always())
    assert {"hair_colour" in one.labels for one in found if one.prompt.view.startswith("detail")} == {False}
    assert {"hair_colour" in one.labels for one in found if one.prompt.shows.get("framing") == "full_body"} == {True}
    assert {"hair_colour" in one.labels for one in found if one.prompt.shows.get("framing") == "half_body"} == {False}


def test_pictures_are_compared_with_the_bases_own_at_equal_prompt_and_seed():
    """What the base cannot draw is not held against the LoRA."""
    poor = seen(0.0, one_picture)
    table = truth.rows([*seen(1.0, one_picture), *poor], 1.0, OWN)
    found = dict(table.select("measure", "value").iter_rows())
    assert found["truth.lost"] == 0
    assert found["truth.identity"] > 0  # a level, not a gain
    assert found["truth.identity_gain"] == 0


def test_other_weights_and_bare_prompts_do_not_count():
    bare = [Seen(o.prompt, o.text, True, o.seed, 1.0, WRONG, o.pixels) for o in seen(1.0, everything)]
    rows = [*seen(1.0, everything), *seen(0.0, asked_for), *seen(0.7, one_picture)]
    found = dict(truth.rows([*rows, *bare], 0.7, OWN).select("measure", "value").iter_rows())
    assert found["truth.lost"] == pytest.approx(1.0)
    only = [o for o in bare if o.prompt.kind == "subject"]
    found = dict(truth.rows([*rows, *only], 1.0, OWN).select("measure", "value").iter_rows())
    assert found["truth.lost"] == 0


def pictures(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 300)).astype(np.float32)


def copied(pixels: np.ndarray, train: np.ndarray, groups: list[str], own: np.ndarray):
    return truth.copied(pixels, [PROMPTS[i % 6].text for i in range(len(pixels))], train, groups, own, "k")


def test_copies_are_told_from_fresh_pictures_also_in_sets_of_near_copies():
    train, own = pictures(16, 0), pictures(8, 1)
    groups = [str(i) for i in range(16)]
    near = np.repeat(train[:4], 4, axis=0) + 1e-3 * pictures(16, 2)
    few = [str(i // 4) for i in range(16)]
    fresh = copied(pictures(60, 3), train, groups, own)
    assert fresh.low < 0.5 < fresh.high or abs(fresh.value - 0.5) < 0.1
    # With eight of sixteen groups drawn, a copy of one picture is found half of the time, and is even otherwise.
    assert copied(train, train, groups, own).value > 0.7
    assert copied(near, near, few, own[:4]).value == 1.0
    assert copied(own, train, groups, own).value < 0.3


def test_more_training_pictures_are_no_more_copying():
    fresh, own = pictures(80, 3), pictures(8, 1)
    few, many = (copied(fresh, pictures(n, 5), [str(i) for i in range(n)], own).value for n in (8, 64))
    assert abs(few - many) < 0.2
    assert not copied(own[:0], own, ["a"] * 8, own).known


def test_two_forms_that_run_into_one_another():
    first, second = {"hair_colour": "red", "outfit_kind": "coat"}, {"hair_colour": "blue", "outfit_kind": "coat"}
    words = ("zorvex", "quilmar")
    views = [asked.views(dict.fromkeys(asked.VIEWS, looks)) for looks in (first, second)]
    prompts = [*asked.subject(views[0], words[0]), *asked.second(views[1], words[1])]
    blank = np.zeros(3, np.float32)

    def drawn(weight, labels):
        return [Seen(p, p.text, False, 0, weight, labels(p), blank) for p in prompts]

    base = drawn(0.0, lambda p: {"hair_colour": "green"})
    apart = drawn(1.0, lambda p: dict(p.shows))
    always_first = drawn(1.0, lambda p: dict(first))
    assert truth.confusion([*apart, *base], (first, second), words).value == 0
    assert truth.confusion([*always_first, *base], (first, second), words).value == 0.5


class Always:
    """Judges that see the same labels in every picture but each third."""

    def __init__(self):
        self.attributes = {"hair_colour": SimpleNamespace(framings=("headshot", "full_body"))}

    def predict(self, pictures):
        labels = tuple("blue" if i % 3 == 2 else "red" for i in range(len(pictures)))
        return {"hair_colour": SimpleNamespace(labels=labels)}


def test_looks_without_labels_are_what_most_renders_show():
    some = [Image.new("RGB", (8, 8))] * 6
    assert truth.looks_of_renders(Always(), some, ["headshot/front"] * 6) == {"hair_colour": "red"}
    split = ["detail/front", "detail/front", "headshot/front"] * 2  # only blue ones show hair
    assert truth.looks_of_renders(Always(), some, split) == {"hair_colour": "blue"}
    assert truth.looks_of_renders(Always(), some, ["detail/front"] * 6) == {}


def test_every_row_has_the_columns_of_the_ladder():
    table = truth.rows([*seen(1.0, everything), *seen(0.0, asked_for)], 1.0, OWN)
    assert table.columns == ["measure", "value", "low", "high", "n", "unit", "settings"]
    assert set(table["unit"]) == {"prompts"}
