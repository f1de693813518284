"""The page of pick: self-contained, safe, and true to its tables."""

from __future__ import annotations

import base64
import io
import json
import re
from html import unescape
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from diversity import tables, workspace
from diversity.dataset import Dataset
from diversity.errors import WorkspaceError
from reports import pick_report, words
from training.picking.pick import CELLS, SAMPLES

NASTY = '<script>alert("x")</script>'


def jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, 40, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


def sample(step: int, weight: float, i: int, copy: bool) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(SAMPLES)
    row |= {"path": f"{step}_{weight}_{i}.png", "content": f"c{i}", "reader": "kohya", "rank": 2, "number": step}
    row |= {"checkpoint": f"step {step}", "weight": weight, "prompt": f"prompt {i} {NASTY}", "seed": 7, "copy": copy}
    return row | {"source": "k1", "agreement": 0.97, "mirrored": False, "asked": "side=back", "seen": ""}


def cell(step: int, weight: float, copies: float, *, best: bool) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(CELLS)
    row |= {"rank": 2, "number": step, "checkpoint": f"step {step}", "weight": weight, "n": 4, "best": best}
    row |= {"copied": round(4 * copies), "copies": copies, "copies_low": copies / 2, "copies_high": min(1, 2 * copies)}
    return row | {"asked": 4, "shown": 1, "remarks": ["copies"] if copies else []}


def written(tmp_path: Path, rows: list[dict[str, object]], cells: list[dict[str, object]]) -> str:
    """The page of these samples and cells."""
    pictures = tmp_path / "set & co"
    pictures.mkdir()
    dataset = Dataset.open(pictures, workspace_folder=tmp_path / "w")
    workspace.prepare(dataset.folder, dataset.root)
    row = dict.fromkeys(tables.IMAGES) | {"key": "k1", "content": "t1", "path": "a/source.jpg"}
    dataset.write("images", pl.DataFrame([row], schema=tables.IMAGES))
    dataset.write("thumbnails", pl.DataFrame({"content": ["t1"], "jpeg": [jpeg(1)]}, schema=tables.THUMBNAILS))
    dataset.write("picks/p/samples", pl.DataFrame(rows, schema=SAMPLES))
    dataset.write("picks/p/cells", pl.DataFrame(cells, schema=CELLS))
    thumbs = {"content": [f"c{i}" for i in range(4)], "jpeg": [jpeg(50 + i) for i in range(4)]}
    dataset.write("picks/p/thumbnails", pl.DataFrame(thumbs, schema=tables.THUMBNAILS))
    told = {"headline": f"Use step 100. {NASTY}", "untold": ["No base."], "reference": "base", "encoder": "toon"}
    told |= {"advice": [{"kind": "drop", "text": "Copied: a", "keys": ["k1", "gone"]}], "problems": {"x.png": "broken"}}
    told |= {"failing": [{"axis": "side", "label": "back", "shown": 1, "asked": 9}], "line": {"reason": "A line."}}
    workspace.write_text(dataset.folder / "picks" / "p" / "verdict.json", json.dumps(told | {"words": ["mira"]}))
    return pick_report.write(dataset, "p").read_text(encoding="utf-8")


@pytest.fixture
def page(tmp_path: Path) -> tuple[str, pl.DataFrame]:
    rows = [sample(s, w, i, s == 200 and w == 1) for s in (100, 200) for w in (0.7, 1.0) for i in range(4)]
    cells = [cell(s, w, 1.0 * (s == 200 and w == 1), best=s == 100 and w == 1) for s in (100, 200) for w in (0.7, 1.0)]
    return written(tmp_path, rows, cells), pl.DataFrame(cells, schema=CELLS)


def test_the_page_loads_nothing_and_names_every_section(page: tuple[str, pl.DataFrame]) -> None:
    html = page[0]
    assert "default-src 'none'" in unescape(html[: html.index("</head>")])
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", re.sub(r"(?s)<script.*?</script>", "", html))
    for name, _ in pick_report.SECTIONS:
        assert f'<section id="{name}"' in html
        assert f'id="{name}-title"' in html


def test_weights_are_written_alike_everywhere_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    assert [words.weight_of(weight) for weight in (1.0, 0.7, None)] == ["1", "0.7", "unknown"]
    cells = [cell(100, 1.0, 0.0, best=True), cell(100, 1.0, 0.0, best=False) | {"weight": None}]
    rows = [sample(100, 1.0, i, copy=i == 0) for i in range(2)]
    rows += [sample(100, 1.0, i, copy=False) | {"weight": None, "path": f"u{i}.png"} for i in range(2)]
    html = written(tmp_path, rows, cells)
    assert "step 100 at unknown" in html
    assert "at 1.0" not in html


def test_what_users_wrote_is_text_and_never_markup(page: tuple[str, pl.DataFrame]) -> None:
    assert NASTY not in page[0]
    assert "&lt;script&gt;alert" in page[0]


def test_every_copy_stands_beside_its_source(page: tuple[str, pl.DataFrame]) -> None:
    html = page[0]
    pairs = html[html.index('<ul class="pairs">') : html.index("</ul>", html.index('<ul class="pairs">'))]
    assert pairs.count('<div class="both">') == 4
    assert pairs.count("<bdi>source.jpg</bdi>") == 4
    assert base64.b64encode(jpeg(1)).decode() in html


def test_numbers_of_the_page_are_those_of_the_table(page: tuple[str, pl.DataFrame]) -> None:
    html, cells = page
    shown = dict(re.findall(r'data-cell="([^"]+)" data-field="copies">(\d+) %', html))
    assert {key: int(value) / 100 for key, value in shown.items()} == {
        f"{row['checkpoint']}@{row['weight']}": row["copies"] for row in cells.to_dicts()
    }


def test_every_picture_that_can_be_opened_has_a_card(page: tuple[str, pl.DataFrame]) -> None:
    html = page[0]
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    cards = json.loads(found[1])["cards"]
    assert len(cards) == 17
    assert {int(i) for i in re.findall(r'data-open="(\d+)"', html)} == set(range(17))


def test_without_tables_it_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    dataset = Dataset.open(tmp_path / "set", workspace_folder=tmp_path / "w")
    with pytest.raises(WorkspaceError):
        pick_report.write(dataset, "none")
