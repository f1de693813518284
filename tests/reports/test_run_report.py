"""The pages of one evaluated run and of many: self-contained, safe, true to their tables, plain errors."""

from __future__ import annotations

import io
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from diversity import workspace
from diversity.errors import InputError, WorkspaceError
from reports import run_report, run_words, runs_report
from reports.run_facts import RunFacts
from training.evaluate import ladder, stored
from training.evaluate.rows import ROWS
from training.evaluate.store import PALETTES, REAL, SAMPLES, table

NASTY = '</script><img src=x onerror=alert("1")>'


def jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (shade % 256, 40, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


def row(
    measure: str, value: float, low: float | None = None, high: float | None = None, **at: object
) -> dict[str, Any]:
    return {"measure": measure, "value": value, "low": low, "high": high, "n": 5, "unit": "groups"} | {
        "settings": json.dumps(at, sort_keys=True)
    }


def scores(richness: float = 4.2, gap: float = 0.31) -> list[dict[str, Any]]:
    found = [
        row("richness.vendi_1", richness, richness - 1, richness + 1, encoder="toon-1"),
        row("loss.gap", gap, gap - 0.1, gap + 0.1, set="held_out"),
        row("loss.gap.low", 0.2, 0.1, 0.3, set="held_out"),
        row("copies.share", 0.25, 0.1, 0.5, weight=1.0, line=0.8),
        row("copies.share", 0.0, 0.0, 0.2, weight=0.7, line=0.8),
        row("binding.before", 0.7, tag=NASTY, look="headshot/front", state="bound", p=0.01),
    ]
    for weight, value in ((0.0, 0.3), (0.7, 0.5), (1.0, 0.6)):
        found.append(row("fidelity", value, value - 0.1, value + 0.1, view="full_body/back", weight=weight, to="train"))
    for step in (10, 20):
        found += [row(f"loss.{side}", -step / 100, set="held_out", step=step) for side in ("train", "held_out")]
    return found


def samples() -> list[dict[str, Any]]:
    made = []
    for i, weight in enumerate((0.0, 0.7, 1.0) * 2):
        kind = ("subject", "unrelated")[i // 3]
        one = dict.fromkeys(SAMPLES) | {"prompt": f"hero {NASTY}", "kind": kind, "view": "", "bare": False, "seed": 7}
        one |= {
            "weight": weight,
            "keyword_weight": 1.0,
            "jpeg": jpeg(10 * i),
            "shows": json.dumps({"framing": "detail"}),
        }
        if kind == "subject" and weight:
            one |= {"source": "c1", "similarity": 0.9, "agreement": 0.97, "mirrored": True, "copy": weight == 1.0}
        made.append(one)
    return made


def evaluation(folder: Path, name: str, **given: float) -> Path:
    table(folder, "scores", pl.DataFrame(scores(**given), schema=ROWS))
    table(folder, "samples", pl.DataFrame(samples(), schema=SAMPLES))
    real = dict.fromkeys(REAL, "") | {"content": "c1", "name": f"a/{NASTY}.png", "role": "train", "jpeg": jpeg(99)}
    table(folder, "real", pl.DataFrame([real | {"view": "full_body/back"}], schema=REAL))
    palette = [
        ("set", 0.0, 0, "#112233", 0.6),
        ("unrelated", 0.0, 0, "#445566", 1.0),
        ("unrelated", 1.0, 0, "#112233", 1.0),
    ]
    table(folder, "palettes", pl.DataFrame(palette, schema=PALETTES, orient="row"))
    said = {
        "run": name,
        "lora": "x.safetensors",
        "base": {"name": NASTY},
        "pictures": f"/sets/{NASTY}",
        "trigger": "hero",
    }
    said |= {
        "state": "copies",
        "headline": f"It copies {NASTY}",
        "use": "Use weight 0.7.",
        "notes": [NASTY],
        "data": [NASTY],
    }
    said |= {"evidence": [{"topic": "copies", "text": NASTY, "state": "bad"}], "features": {"id": "t", "name": "toon"}}
    said |= {"sweep": {"band": [0.7, 0.7], "failing": [], "against": {"1": ["copies appear"]}}, "record": {"steps": 20}}
    workspace.write_text(folder / "evaluation.json", json.dumps(said))
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    tmp_path = tmp_path_factory.mktemp("run")
    return run_report.write(evaluation(tmp_path / "one", "run-1")).read_text(encoding="utf-8")


@pytest.fixture
def rungs(tmp_path: Path) -> Path:
    rows = []
    for i, encoder in enumerate(("toon-1", "toon-1", "other")):
        made = pl.DataFrame(scores(3.0 + i), schema=ROWS).with_columns(
            pl.col("settings").str.replace("toon-1", encoder)
        )
        about = {"id": f"rung {i}", "character": NASTY, "composition": "monotone", "n": 16, "steps": 400}
        rows.append(json.dumps(ladder.row(made, **about)))
    file = tmp_path / "ladder.jsonl"
    file.write_text("\n".join([*rows, json.dumps({"id": "broken", "problem": "nan", "scores": []})]) + "\n")
    return file


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
    said = run_words.settings('{"weight": 0.7, "view": "full_body/back", "features": "x"}')
    assert said == "weight 0.7, full-body picture from behind"
