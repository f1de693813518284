"""The toon base's parts: the written encoder is the linear code, prompts say what they name, a run goes on where it
stopped.
"""

from __future__ import annotations

import copy
import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("diffusers", reason="diffusers is not installed: the toon base cannot be built")
torch = pytest.importorskip("torch", reason="torch is not installed")

from benchmarks.richness import pool as richness_pool  # noqa: E402
from benchmarks.toonworld import captions, character, figures, fitting, linear_code, plain, prompts  # noqa: E402
from benchmarks.toonworld.camera import FRAMINGS, SIDES  # noqa: E402
from benchmarks.toonworld.character import sample_character  # noqa: E402
from benchmarks.toonworld.render import label_row, sample_shot  # noqa: E402
from benchmarks.toonworld.scene import BACKDROPS, BACKGROUNDS, draw_background  # noqa: E402

SAMPLE = Path(__file__).resolve().parents[2] / "diversity" / "assets" / "sample_set" / "10_mira"
SPECIALS = 2


@pytest.fixture(scope="module")
def pictures():
    """Drawn pictures uint8 [n, 128, 128, 3]: even ones to fit on, odd ones to judge on."""
    files = sorted(path for path in SAMPLE.glob("*.jpg"))[:32]
    return np.stack([np.asarray(Image.open(file).convert("RGB").resize((128, 128))) for file in files if whole(file)])


def whole(file):
    """Whether a file can be read; the sample set holds a truncated one."""
    try:
        Image.open(file).load()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def code(pictures):
    return linear_code.fit(pictures[::2])


@pytest.fixture(scope="module")
def autoencoder(code):
    torch.manual_seed(0)
    return linear_code.build(*code).eval()


def latents_of(model, pixels):
    values = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).to(model.dtype) / 127.5 - 1
    with torch.no_grad():
        return model.encode(values).latent_dist.mean.float().numpy()


@pytest.mark.parametrize("size", [128, 64])
def test_written_encoder_computes_the_code_on_pictures_it_was_not_fitted_on(pictures, code, autoencoder, size):
    unseen = pictures[1::2, -size:, :size]
    expected = linear_code.encode(unseen, *code)
    assert expected.shape == (len(unseen), linear_code.CHANNELS, size // 8, size // 8)
    assert np.abs(expected).max() > 1
    assert np.allclose(latents_of(autoencoder, unseen), expected, rtol=3e-3, atol=3e-3)


def test_written_encoder_computes_the_code_on_noise(code, autoencoder):
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert np.allclose(latents_of(autoencoder, noise), linear_code.encode(noise, *code), rtol=5e-3, atol=5e-3)


def test_half_precision_weights_keep_the_code(pictures, code, autoencoder, tmp_path):
    copy.deepcopy(autoencoder).half().save_pretrained(tmp_path)
    loaded = type(autoencoder).from_pretrained(tmp_path, torch_dtype=torch.float32)
    unseen = pictures[1::2]
    assert np.allclose(latents_of(loaded, unseen), linear_code.encode(unseen, *code), rtol=5e-3, atol=5e-3)


def test_encoder_hardly_adds_noise(pictures, autoencoder):
    values = torch.from_numpy(pictures[1:3]).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        assert float(autoencoder.encode(values).latent_dist.std.max()) < 0.01


def test_code_has_its_level_and_keeps_most_of_an_unseen_picture(pictures, code):
    stages, bias = code
    fitted, unseen = (linear_code.encode(part, stages, bias) for part in (pictures[::2], pictures[1::2]))
    assert np.sqrt(fitted.var((0, 2, 3)).mean()) == pytest.approx(linear_code.LEVEL, abs=0.01)
    maps = (unseen.transpose(0, 2, 3, 1) - bias) @ np.linalg.pinv(stages[3]).T
    for stage in stages[2::-1]:
        maps = unblock(maps @ stage)
    truth = pictures[1::2] / 127.5 - 1
    assert maps.shape == truth.shape
    assert ((maps - truth) ** 2).mean() < 0.06 * truth.var()


def unblock(maps):
    """The inverse of `linear_code.blocks`."""
    n, high, wide, depth = maps.shape
    halves = maps.reshape(n, high, wide, 2, 2, depth // 4).transpose(0, 1, 3, 2, 4, 5)
    return halves.reshape(n, high * 2, wide * 2, depth // 4)


def test_same_pictures_give_the_same_code(pictures, code):
    again = linear_code.fit(pictures[::2])
    assert all(np.array_equal(a, b) for a, b in zip([*code[0], code[1]], [*again[0], again[1]], strict=True))


@pytest.fixture(scope="module")
def rows():
    return [label_row(sample_character(seed), sample_shot(seed, seed % 5), "g") for seed in range(400)]


@pytest.fixture(scope="module")
def said(rows):
    return [prompts.caption(row, np.random.default_rng(index)) for index, row in enumerate(rows)]


@pytest.fixture(scope="module")
def tokenizer(said, tmp_path_factory):
    from transformers import CLIPTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    size = prompts.build_tokenizer(said, folder)
    loaded = CLIPTokenizer.from_pretrained(folder)
    assert len(loaded) == size <= prompts.PIECES + SPECIALS
    return loaded


def test_tokenizer_gives_back_what_it_was_told(tokenizer, said):
    for text in [*said[:50], prompts.sample_wanted(3).prompt, "Zorblax-9 & co."]:
        assert told_again(tokenizer, text) == text.lower().replace(" ", "")


@settings(max_examples=50, deadline=None)
@given(text=st.text(alphabet=[chr(code) for code in range(33, 127)], min_size=1, max_size=20))
def test_tokenizer_loses_no_letter_of_any_word(tokenizer, text):
    assert told_again(tokenizer, text) == text.lower()


def told_again(tokenizer, text):
    return tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True).replace(" ", "")


def test_tokens_begin_and_end_and_are_padded_to_the_context(tokenizer, said):
    rows = tokenizer([*said, "hat " * 200], padding="max_length", truncation=True).input_ids
    assert {len(row) for row in rows} == {prompts.CONTEXT} == {tokenizer.model_max_length}
    assert all(row[0] == tokenizer.bos_token_id and tokenizer.eos_token_id in row for row in rows)
    assert tokenizer.bos_token_id != tokenizer.eos_token_id


def test_no_caption_is_longer_than_the_context(tokenizer, said):
    longest = max(len(tokenizer(text).input_ids) for text in [*said, *(w.prompt for w in wanted(100))])
    assert longest <= prompts.CONTEXT


def test_captions_never_name_the_character_and_say_nothing_hidden(rows, said):
    for row, text in zip(rows, said, strict=True):
        assert str(row["name"]) not in text.replace(",", "").split()
        if row["framing"] == "headshot":
            assert not any(f" {words}" in text for kinds in captions.SHOE_WORDS.values() for words in kinds)


def test_most_captions_name_framing_and_side(rows, said):
    for slot, table in (("framing", captions.FRAMING_WORDS), ("side", captions.SIDE_WORDS)):
        named = [
            bool(set(text.split(", ")) & set(table[captions.visible_values(row)[slot]]))
            for row, text in zip(rows, said, strict=True)
        ]
        assert 0.9 < np.mean(named) < 1


def wanted(count):
    return [prompts.sample_wanted(seed) for seed in range(count)]


def test_wanted_combinations_are_the_same_every_time_and_cover_every_value():
    many = wanted(300)
    assert many == wanted(300)
    assert len({each.prompt for each in many}) > 290
    named = {"side": SIDES, "hair_colour": character.HAIR_COLOURS}
    for slot, values in (named | {"background": plain.BACKGROUNDS, "framing": plain.FRAMINGS}).items():
        assert {each.values[slot] for each in many} == set(values)


def test_plain_pictures_show_bare_big_heads_all_round():
    people = [plain.plain_character(seed) for seed in range(40)]
    assert people == [plain.plain_character(seed) for seed in range(40)]
    assert {person.kind for person in people} == set(plain.KINDS)
    assert {(p.headgear, p.prop, p.cape, p.backpack) for p in people} == {("none", "none", False, False)}
    assert len({(p.hair_colour, p.hair_style, p.outfit, p.outfit_colour) for p in people}) > 35
    shots = [plain.plain_shot(7, index) for index in range(200)]
    assert {shot.side for shot in shots} == set(SIDES)
    assert {shot.framing for shot in shots} == set(plain.FRAMINGS)
    assert {shot.background for shot in shots} == set(plain.BACKGROUNDS) < set(BACKGROUNDS)
    assert all(abs(shot.zoom - 0.5) <= plain.SLACK and shot.roll == 0 for shot in shots)
    assert {shot.backdrop for shot in shots if shot.background != "white"} == set(BACKDROPS)
    assert {shot.backdrop for shot in shots if shot.background == "white"} == {""}


@pytest.mark.parametrize("colour", BACKDROPS)
def test_the_colour_of_a_backdrop_says_what_a_background_looks_like(colour):
    flat, other = (draw_background("flat", seed, 32, colour) for seed in (1, 2))
    assert (flat == other).all()
    assert (flat == np.array(BACKDROPS[colour])).all()
    pale = draw_background("gradient", 1, 32, colour).astype(int)
    assert (pale[0] == BACKDROPS[colour]).all()
    assert (np.diff(pale[:, 0], axis=0) >= 0).all()
    assert pale[-1].min() > 200
    ground = draw_background("horizon", 1, 32, colour).astype(int)
    steps = np.abs(np.diff(ground[:, 0], axis=0)).max(1)
    assert (steps > 0).sum() == 1
    assert steps.max() >= figures.STEP


def test_captions_name_the_colour_of_a_backdrop():
    row = {**label_row(plain.plain_character(3), plain.plain_shot(3, 1), ""), "backdrop": "teal"}
    row = {**row, "background": "flat", "outfit_colour": "red", "shoes_colour": "red"}
    texts = [prompts.caption(row, np.random.default_rng(seed)) for seed in range(400)]
    named = [any(f"teal {word}" in text for word in captions.BACKGROUND_WORDS["flat"]) for text in texts]
    assert abs(np.mean(named) - (1 - prompts.UNSAID_ELSE) ** 2) < 0.06
    assert all(("teal" in text) == said for text, said in zip(texts, named, strict=True))


def test_figures_show_what_judges_are_asked_for():
    people = [figures.figure(seed) for seed in range(60)]
    assert people == [figures.figure(seed) for seed in range(60)]
    assert {person.headgear for person in people} == set(figures.HEADGEAR)
    shots = [figures.figure_shot(7, index) for index in range(400)]
    assert {shot.side for shot in shots} == set(SIDES)
    assert {shot.framing for shot in shots} == set(FRAMINGS)
    assert {shot.background for shot in shots} == set(figures.BACKGROUNDS)
    assert set(richness_pool.BACKGROUNDS) < set(plain.BACKGROUNDS) < set(figures.BACKGROUNDS)
    assert {shot.focus for shot in shots} == {"shoes"}
    one_coloured = [shot for shot in shots if shot.background in ("flat", "gradient", "horizon")]
    assert {shot.background for shot in shots if shot.backdrop} == {"flat", "gradient", "horizon"}
    assert {shot.backdrop for shot in shots} == {"", *BACKDROPS}
    assert abs(np.mean([shot.backdrop != "" for shot in one_coloured]) - figures.BACKDROP) < 0.1
    for shot in shots:
        drawn = draw_background(shot.background, shot.scene_seed, 64, shot.backdrop).astype(int)
        if shot.background == "gradient":
            assert np.ptp(drawn.reshape(-1, 3), axis=0).max() >= 40
        if shot.background == "horizon":
            assert np.abs(np.diff(drawn[:, 0], axis=0)).max() >= 30  # at another size the edge falls on another row


def test_a_prompt_names_all_its_values_and_no_other():
    for each in wanted(200):
        parts = each.prompt.split(", ")
        assert set(prompts.JUDGED) <= set(each.values)
        named = [slot for slot in prompts.ORDER if slot in each.values]
        *look, background = (captions.phrase(slot, each.values[slot], None) for slot in named)
        colours = [""] if each.values["background"] == "white" else [f"{colour} " for colour in BACKDROPS]
        assert parts in [[*look, colour + background] for colour in colours]
        assert f"{each.values['outfit_colour']} {each.values['outfit_kind']}" == each.values["outfit"]


class Run:
    """A small training run: a line through noise, with batch normalisation so that there are buffers."""

    def __init__(self, work, steps):
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW([{"params": self.model.parameters(), "peak": 0.1}])
        parts = {"model": self.model, "average": self.average, "optimiser": self.optimiser}
        self.fit, self.steps = fitting.Fit(work, parts), steps
        self.fit.resume()

    def go(self, until):
        for step in range(self.fit.step, until):
            rows = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
            fitting.set_rate(self.optimiser, fitting.cosine(step, self.steps, 2))
            loss = (self.model(rows) - rows.sum(1, keepdim=True)).square().mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            fitting.update_average(self.average, self.model, step, 0.9)
            self.fit.step = step + 1
            self.fit.log({"step": self.fit.step, "loss": float(loss.detach())})
        self.fit.save()
        return self

    def values(self):
        return [*self.model.state_dict().values(), *self.average.state_dict().values()]


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, stop):
    whole = Run(tmp_path / "whole", 8).go(8)
    killed = Run(tmp_path / "parts", 8).go(stop)
    killed.fit.log({"step": stop + 1, "loss": 0.0})  # of a step after the last checkpoint
    resumed = Run(tmp_path / "parts", 8).go(8)
    assert resumed.fit.step == 8
    assert all(torch.equal(a, b) for a, b in zip(whole.values(), resumed.values(), strict=True))
    assert (tmp_path / "parts" / "log.csv").read_text() == (tmp_path / "whole" / "log.csv").read_text()
    assert [row["step"] for row in csv.DictReader((tmp_path / "parts" / "log.csv").open())] == list("12345678")
    assert not list((tmp_path / "parts").glob("*.part"))


def test_cosine_warms_up_and_ends_at_zero():
    shares = [fitting.cosine(step, 100, 10) for step in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9] == shares[10] == 1
    assert shares[100] == pytest.approx(0)
    assert all(later <= earlier for earlier, later in itertools.pairwise(shares[10:]))
    assert min(shares) >= 0


def test_average_moves_towards_the_model_and_stays_behind(tmp_path):
    run = Run(tmp_path, 8).go(8)
    weight, slow = run.model[0].weight, run.average[0].weight
    assert not torch.equal(weight, slow)
    for step in range(200):
        fitting.update_average(run.average, run.model, step, 0.9)
    assert torch.allclose(weight, slow, atol=1e-4)
