"""The pages of one evaluated run and of many: self-contained, safe, true to their tables, plain errors."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from made_runs import NASTY, evaluation, ladder_of, scores

from diversity.errors import InputError, WorkspaceError
from reports import run_report, run_words, runs_report, words
from reports.run_facts import RunFacts
from training.evaluate import ladder, stored
from training.evaluate.store import table


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    tmp_path = tmp_path_factory.mktemp("run")
    return run_report.write(evaluation(tmp_path / "one", "run-1")).read_text(encoding="utf-8")


@pytest.fixture
def rungs(tmp_path: Path) -> Path:
    return ladder_of(tmp_path / "ladder.jsonl", ("toon-1", "toon-1", "other"))


def safe(html: str) -> None:
    assert "default-src 'none'" in unescape(html[: html.index("</head>")])
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", re.sub(r"(?s)<script.*?</script>", "", html))
    assert NASTY not in html
    assert "onerror=alert(&#34;1&#34;)" in html


def data(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_of_a_run_is_self_contained_and_takes_no_markup(page: str) -> None:
    safe(page)
    for name, _ in run_report.SECTIONS:
        assert f'<section id="{name}"' in page
        assert f'id="{name}-title"' in page


def test_every_score_is_in_the_page_with_its_interval(page: str, tmp_path: Path) -> None:
    shown = set(re.findall(r'data-measure="([^"]+)"', page))
    assert shown == {one["measure"] for one in scores()}
    assert "25 %</b> <small>10 to 50 %, 5 groups" in page


def test_copies_stand_first_beside_their_source(page: str) -> None:
    pairs = page[page.index('<ul class="pairs">') : page.index("</ul>", page.index('<ul class="pairs">'))]
    assert pairs.count('<div class="both">') == 2
    assert pairs.index("is-copy") < pairs.index("weight 0.7")
    assert "agrees to 97 %, mirrored" in pairs


def test_a_view_of_which_none_is_held_out_says_so(page: str) -> None:
    assert "full body from behind" in page or "full-body picture from behind" in page
    assert "none of this view is held out" in page


def test_every_picture_that_can_be_opened_has_a_card(page: str) -> None:
    cards = data(page)["cards"]
    opened = {int(i) for i in re.findall(r'data-open="(\d+)"', page)}
    assert opened == set(range(len(cards))) == set(range(7))


def test_charts_show_weights_and_checkpoints(page: str) -> None:
    assert set(data(page)["charts"]) == {"view-0", "copies", "steps"}


def test_a_palette_is_drawn_to_its_shares(page: str) -> None:
    assert '<rect x="0.0" y="0" width="60.0" height="10" fill="#112233"/>' in page


def test_many_runs_are_drawn_over_rungs_of_the_same_encoder(tmp_path: Path, rungs: Path) -> None:
    folders = [
        evaluation(tmp_path / name, name, richness=r, gap=g) for name, r, g in (("a", 4.0, 0.4), ("b", 9.0, 0.1))
    ]
    html = runs_report.write(folders, tmp_path / "runs.html", rungs).read_text(encoding="utf-8")
    safe(html)
    assert "over 2 LoRAs of the ladder" in html
    assert "rung 2" not in html  # another encoder's numbers are not comparable
    assert "data-rung-filters" in html
    assert '<option value="monotone">' in html
    assert {"loss-gap", "copies-share"} <= set(data(html)["charts"])
    points = json.dumps(data(html)["charts"]["loss-gap"])
    for value in ("0.4", "0.1", "9.0"):
        assert value in points


def test_without_a_ladder_the_page_says_so(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "a", "a")
    html = runs_report.write([folder], None, tmp_path / "none.jsonl").read_text(encoding="utf-8")
    assert "There is no ladder" in html
    assert (folder / "runs.html").is_file()


def test_what_is_not_there_is_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run_report.write(tmp_path / "nothing")
    with pytest.raises(InputError, match="no runs"):
        runs_report.write([])
    folder = evaluation(tmp_path / "a", "a")
    (folder / "scores.parquet").write_bytes(b"no")
    with pytest.raises(WorkspaceError, match="cannot be read"):
        run_report.write(folder)
    run = tmp_path / "w" / "runs" / "20261122-x"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"id": "20261122-x"}')
    with pytest.raises(InputError, match="was not evaluated yet"):
        run_report.write(run)


def test_a_broken_ladder_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "ladder.jsonl"
    file.write_text('{"scores": []}\n[1]\n')
    with pytest.raises(WorkspaceError, match="Line 2"):
        ladder.read(file)


def test_every_measure_has_plain_words(tmp_path: Path) -> None:
    facts = RunFacts.of(stored.read(evaluation(tmp_path / "a", "a")))
    for one in facts.rows:
        assert run_words.of(one["measure"]).name != one["measure"], one["measure"]
    assert run_words.of("loss.gap.low").name.endswith("little noise")
    for name in ("copied", "authentic_excess", "nearer", "alike"):
        assert run_words.of(f"memory.captions.{name}").name.endswith(", at captions")
    for name in ("copies.captions", "copies.captions.difference", "binding.softer", "binding.weaker", "binding.relief"):
        assert run_words.of(name).meaning
    said = run_words.settings('{"weight": 0.7, "view": "full_body/back", "features": "x"}')
    assert said == "weight 0.7, full-body picture from behind"


def test_runs_with_held_out_pictures_of_their_own_are_not_compared_silently(tmp_path: Path, rungs: Path) -> None:
    folders = [evaluation(tmp_path / name, name) for name in ("a", "b")]
    unlike = "held-out pictures of its own"
    assert unlike not in runs_report.write(folders, None, rungs).read_text(encoding="utf-8")
    held_out = stored.read(folders[1]).real.with_columns(role=pl.lit("held_out"))
    table(folders[1], "real", held_out)
    assert unlike in runs_report.write(folders, None, rungs).read_text(encoding="utf-8")


def test_runs_of_one_set_are_told_apart_by_their_selection(tmp_path: Path, rungs: Path) -> None:
    folders = [evaluation(tmp_path / name, name) for name in ("a", "b")]
    for folder, name in zip(folders, ("default", "monotonous"), strict=True):
        said = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        counts = {"digest": "d1g35t", "train": 40 if name == "default" else 24}
        said["record"] = {"steps": 20, "selection": name, "data": counts, "reasons": ["r"]}
        (folder / "evaluation.json").write_text(json.dumps(said), encoding="utf-8")
    html = runs_report.write(folders, None, rungs).read_text(encoding="utf-8")
    assert "<bdi>monotonous</bdi>" in html
    assert re.search(r"pictures trained on</th><td>40</td><td>24</td>", html)
    assert "d1g35t" not in html


def test_lines_of_copies_that_differ_between_runs_are_told(tmp_path: Path, rungs: Path) -> None:
    folders = [evaluation(tmp_path / name, name) for name in ("a", "b")]
    told = "Shares of copies are not counted alike"
    assert told not in runs_report.write(folders, None, rungs).read_text(encoding="utf-8")
    other = stored.read(folders[1]).scores.with_columns(pl.col("settings").str.replace('"line": 0.8', '"line": 0.92'))
    table(folders[1], "scores", other)
    html = runs_report.write(folders, None, rungs).read_text(encoding="utf-8")
    assert told in html
    assert "<bdi>a</bdi> 0.80, <bdi>b</bdi> 0.92" in html


def test_an_interval_of_cosines_ends_where_cosines_do() -> None:
    row = {"measure": "fidelity", "value": 0.9, "low": 0.7, "high": 1.1}
    assert run_words.span(row) == "0.70 to 1"
    assert run_words.span({**row, "measure": "loss.gap"}) == "0.70 to 1.1"


def test_notes_name_measures_in_words_and_zero_has_no_sign() -> None:
    assert run_words.note("leak.share: too few.") == "There without the trigger word: too few."
    assert run_words.note("Nothing: here.") == "Nothing: here."
    assert [words.number(value) for value in (-0.001, -0.01, 0.0, -0.0)] == ["0.00", "-0.01", "0", "0"]
    assert words.number(-0.004, share=True) == "0 %"


def test_keyword_weights_of_one_prompt_share_a_row_whatever_brackets_the_trigger_has(tmp_path: Path) -> None:
    folder, trigger = evaluation(tmp_path / "a", "a"), r"mira \(game\), 1girl"
    found = stored.read(folder)
    found.said["trigger"] = trigger
    prompts = [f"{trigger}, red hat", f"({trigger}:0.5), red hat"]
    made = [found.samples.row(5, named=True) | {"kind": "novel", "prompt": text} for text in prompts]
    made[1]["keyword_weight"] = 0.5
    facts = RunFacts.of(replace(found, samples=pl.DataFrame(made, schema=found.samples.schema)))
    columns, lines = facts.grid("novel", by="keyword_weight")
    assert columns == [0.5, 1.0]
    assert [label for label, _ in lines] == [f"{trigger}, red hat · seed 7"]


def test_faces_in_full_body_pictures_are_a_view_in_words(tmp_path: Path) -> None:
    folder, label = evaluation(tmp_path / "a", "a"), "full_body/back/face"
    rows = [
        {**one, "settings": one["settings"].replace('"full_body/back"', f'"{label}"')}
        for one in scores()
        if one["measure"] == "fidelity"
    ]
    frame = stored.read(folder).scores
    table(folder, "scores", frame.vstack(pl.DataFrame(rows, schema=frame.schema)))
    said = json.loads((folder / "evaluation.json").read_text())
    said["sweep"]["against"] = {"1": [f"{label} breaks", "full_body/back breaks"]}
    (folder / "evaluation.json").write_text(json.dumps(said))
    whole, face = RunFacts.of(stored.read(folder)).views()
    assert face["view"] == "the face in full-body pictures from behind"
    assert face["pictures"] == whole["pictures"] == 1
    html = run_report.write(folder).read_text(encoding="utf-8")
    assert f"{face['view']} breaks, {whole['view']} breaks" in html
    assert label not in re.sub(r"""(?s)<script.*?</script>|data-settings="[^"]*\"""", "", html)


def test_a_tagger_is_named_by_what_it_does_not_by_its_hash() -> None:
    told = run_words.settings(json.dumps({"by": "tagger", "tagger": "wd-0a1b", "weight": 0.7}))
    assert told == "by tagger, weight 0.7"
