"""Which prompts ask for the subject, however trainers write its word, and prompt lists of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from diversity.config import ScanConfig
from diversity.errors import InputError
from training.picking import prompts, samples
from training.picking.prompts import Asked
from training.picking.subject import asks_for


@pytest.mark.parametrize(
    ("word", "prompt", "expected"),
    [
        ("mira_chan", "mira chan, on a bike", True),
        ("mira chan", "mira_chan, on a bike", True),
        ("mira", "[trigger] holding a cup", True),
        ("mira", "miraculous light", False),
        ("米拉", "米拉在公园里骑自行车", True),
        ("米拉", "公园里的自行车", False),
        ("みら", "公園のみらです", True),
        ("mira", None, None),
    ],
)
def test_the_word_is_found_as_prompts_write_it(word: str, prompt: str | None, expected: bool | None) -> None:
    assert asks_for((word,), prompt) is expected


def test_what_a_shortened_prompt_lacks_may_stand_in_its_rest() -> None:
    assert asks_for(("mira",), "a beautiful highly detailed phot", cut=True) is None
    assert asks_for(("mira",), "mira in a beautiful highly deta", cut=True) is True


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (len(path.name), 2, 3)).save(path)


def test_ai_toolkits_place_for_the_trigger_is_filled(tmp_path: Path) -> None:
    job = {"trigger_word": "mira", "sample": {"seed": 4, "prompts": ["[trigger] on a bike", "a bowl"]}}
    (tmp_path / "config.yaml").write_text(json.dumps({"config": {"process": [job]}}))
    draw(tmp_path / "samples" / "1724500000123__000000250_0.jpg")
    found = samples.read(tmp_path / "samples", ScanConfig())
    assert (found.samples[0].prompt, found.trigger) == ("mira on a bike", "mira")


def test_onetrainers_folders_may_hold_the_beginning_of_a_prompt_only(tmp_path: Path) -> None:
    for name in ("0 - full body shot in a park, sunlig", "1 - mira portrait"):
        draw(tmp_path / name / "2024-01-01_12-00-00-training-sample-500-5-0.png")
    assert [s.cut for s in samples.read(tmp_path, ScanConfig()).samples] == [True, False]


def test_simpletuners_short_names_tell_prompts_apart_and_are_no_prompts(tmp_path: Path) -> None:
    for name in ("portrait", "back"):
        draw(tmp_path / "v" / f"step_500_{name}_0_512x512.png")
    found = samples.read(tmp_path / "v", ScanConfig()).samples
    assert [(s.prompt, s.asked) for s in found] == [(None, "back"), (None, "portrait")]
    library = tmp_path / "library.json"
    library.write_text(json.dumps({"portrait": "mira, close-up", "back": "mira, from behind"}))
    found = samples.read(tmp_path / "v", ScanConfig(), library).samples
    assert [s.prompt for s in found] == ["mira, close-up", "mira, from behind"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '[{"prompt": "mira", "seed": 42}, "a bowl --d 3"]'),
        ("p.toml", '[prompt]\nwidth = 512\n[[prompt.subset]]\nprompt = "mira"\nseed = 42\n'
                   '[[prompt.subset]]\nprompt = "a bowl"\nseed = 3\n'),
        ("p.txt", "mira --d 42\na bowl --d 3\n"),
    ],
)  # fmt: skip
def test_kohyas_prompt_files_of_every_kind(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert prompts.read(tmp_path / name) == [Asked("mira", 42), Asked("a bowl", 3)]


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("p.json", "[oh", "not valid JSON"),
        ("p.toml", "= 3", "not valid TOML"),
        ("p.json", '{"a": 1}', "no prompts"),
        ("p.yaml", "job: other", "no prompts"),
        ("p.txt", "# nothing\n", "no prompts"),
    ],
)
def test_a_list_that_cannot_be_read_is_an_error(tmp_path: Path, name: str, text: str, error: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=error):
        prompts.read(tmp_path / name)


def test_another_programs_file_beside_the_samples_is_passed_over_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("job: other")
    draw(tmp_path / "step500_0.png")
    found = samples.read(tmp_path, ScanConfig())
    assert any("config.yaml beside the samples is not used" in note for note in found.notes)
