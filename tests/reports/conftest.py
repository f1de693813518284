"""A made-up workspace for the report: pictures, groups, rare and missing views, hostile names and captions."""

from __future__ import annotations

import colorsys
import functools
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from opened import FLAGS, NAMES, Opened
from PIL import Image, ImageDraw

from diversity import tables
from diversity.dataset import Dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE_NAMES = (
    "<script>alert(1)</script>.png",
    'quote" onmouseover="alert(2).png',
    "it's & <b>bold</b>.png",
    "emoji 🎒 naïve ‮gnp.png",
    "two\nlines {{ 7*7 }} @thumb{safe}.png",
)
HOSTILE_CAPTIONS = (
    "</script><img src=x onerror=alert(3)>",
    "1girl, \"smile\", 'wink' & <!-- <script> \u2028 line",
    "-->]]><style>*{display:none}</style>",
)
FRAMINGS = ("headshot", "half_body", "full_body", "detail")
SIDES = ("front", "three_quarter", "side", "back_three_quarter", "back")
WANT = 5
# how many of each cell in ten pictures: face-heavy, few backs, one view missing
CELLS = ["headshot/front"] * 9 + ["headshot/three_quarter"] * 4 + ["half_body/front"] * 5 + ["half_body/side"] * 3
CELLS += ["full_body/front"] * 4 + ["full_body/side"] * 2 + ["full_body/back"] + ["detail/front"]


@functools.cache
def thumbnail(seed: int, size: int = 192, noise: float = 0.0) -> bytes:
    """A flat figure on a plain ground as JPEG; noise makes the file as large as a photo's."""
    rng = random.Random(seed)
    hue = rng.random()
    colours = [
        tuple(int(255 * c) for c in colorsys.hsv_to_rgb((hue + d) % 1, s, v))
        for d, s, v in ((0, 0.2, 0.9), (0.5, 0.6, 0.6), (0.1, 0.4, 0.95))
    ]
    picture = Image.new("RGB", (size, int(size * rng.choice((1, 1, 0.75)))), colours[0])
    draw = ImageDraw.Draw(picture)
    x, y, r = rng.randint(60, 130), rng.randint(40, 70), rng.randint(20, 44)
    draw.rectangle((x - r, y, x + r, picture.height), fill=colours[1])
    draw.ellipse((x - r, y - r, x + r, y + r), fill=colours[2])
    if noise:
        picture = Image.blend(picture, Image.effect_noise(picture.size, 120).convert("RGB"), noise)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82)
    return out.getvalue()


def images_frame(n: int) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for i in range(n):
        rows.append({name: None for name in tables.IMAGES} | {
            "key": f"{i:016x}", "content": f"{i:032x}", "width": 768, "height": 1024, "quality": 0.5, "flags": [],
            "path": HOSTILE_NAMES[i] if i < len(HOSTILE_NAMES) else f"shots/{i:04d}.png",
            "caption": HOSTILE_CAPTIONS[i] if i < len(HOSTILE_CAPTIONS) else f"1girl, standing, picture {i}",
        })  # fmt: skip
    rows[7]["flags"], rows[8]["flags"] = ["blurred"], ["blurred", "dark", "a_new_flag"]
    rows[-1] |= {"content": None, "problem": "The file ends early <i>(truncated)</i>.", "width": None, "height": None}
    return pl.DataFrame(rows, schema=tables.IMAGES)


def write_all(dataset: Dataset, n: int, noise: float = 0.0) -> None:
    """Every table that the pipeline writes, for n files: the last cannot be read, every sixth is a copy."""
    rng = random.Random(0)
    images = images_frame(n)
    keys = images["key"].to_list()
    usable = keys[:-1]
    copies = {key: usable[i - 1 - i % 6 % 3] for i, key in enumerate(usable) if i % 6 in (4, 5)}
    copies = {key: keeper for key, keeper in copies.items() if keeper not in copies}
    kept = [key for key in usable if key not in copies]
    cell = {key: CELLS[i % len(CELLS)] for i, key in enumerate(usable)}
    cell |= {key: cell[keeper] for key, keeper in copies.items()}
    dataset.write("images", images)
    drawn = [thumbnail(i, noise=noise) for i in range(min(n - 1, 24))]
    jpeg = [drawn[i % 24] for i in range(n - 1)]
    dataset.write("thumbnails", pl.DataFrame({"content": images["content"].to_list()[:-1], "jpeg": jpeg}))
    dataset.write(
        "duplicates", pl.DataFrame([duplicate_row(key, copies, usable) for key in usable], schema=tables.DUPLICATES)
    )
    views = [
        (key, axis, label, 0.9, "prompt")
        for key in usable
        for axis, label in zip(("framing", "side"), cell[key].split("/"), strict=True)
    ]
    views[12] = (*views[12][:2], "unsure", 0.4, "prompt")
    dataset.write("views", pl.DataFrame(views, schema=tables.VIEWS, orient="row"))
    dataset.write("targets", targets_frame([cell[key] for key in kept]))
    bound = [("<b>boots</b>", 12, 9, 0.8, 0.001, CELLS[0], 0.92, 0.05, "bound")]
    bound += [("hat", 5, 4, 0.1, 0.6, CELLS[1], 0.5, 0.3, "free")]
    dataset.write("bindings", pl.DataFrame(bound, schema=tables.BINDINGS, orient="row"))
    dataset.write("scores", scores_frame(n))
    places = [(key, rng.gauss(i % 5, 0.3), rng.gauss(i % 3, 0.3)) for i, key in enumerate(usable)]
    dataset.write("map", pl.DataFrame(places, schema=tables.MAP, orient="row"))
    dataset.write("trainer", trainer_frame(kept))
    chosen = [
        (key, rank, 1 / (rank + 1), 0.5 + rank % 5 / 4, f"adds <view> {rank}") for rank, key in enumerate(kept[:-2])
    ]
    dataset.write("selection/default", pl.DataFrame(chosen, schema=tables.SELECTION, orient="row"))
    dropped = [(key, keeper, f"copy of {keeper}") for key, keeper in copies.items()] + [
        (key, None, "over the budget") for key in kept[-2:]
    ]
    dataset.write("dropped", pl.DataFrame(dropped, schema=tables.DROPPED, orient="row"))
    (dataset.folder / "curation.json").write_text(json.dumps(curation(len(kept))), encoding="utf-8")


def trainer_frame(keys: list[str]) -> pl.DataFrame:
    """Every picture enlarged at 1024, the third cut by half, subjects known in every second."""
    rows = [
        (
            key,
            resolution,
            resolution,
            resolution,
            resolution / 768,
            0.5 if i == 2 else 0.02,
            300.0 if i % 2 else None,
            None,
        )
        for resolution in (512, 1024)
        for i, key in enumerate(keys)
    ]
    return pl.DataFrame(rows, schema=tables.TRAINER, orient="row")


def duplicate_row(key: str, copies: dict[str, str], usable: list[str]) -> dict[str, Any]:
    place = usable.index(key)
    row: dict[str, Any] = {
        "key": key,
        "group": copies.get(key, key),
        "keeper": copies.get(key, key),
        "kind": "keeper",
        "variant_of": None,
        "similarity": None,
        "tier": None,
        "threshold": None,
        "reason": "the best of its group",
    }
    if key in copies:
        row |= {
            "kind": "copy",
            "similarity": 0.97,
            "tier": "embedding",
            "threshold": 0.93,
            "reason": "looks the same, <smaller>",
        }
    elif place % 11 == 9:
        row |= {
            "kind": "variant",
            "variant_of": usable[0],
            "similarity": 0.9,
            "tier": "embedding",
            "reason": "another expression",
        }
    return row


def targets_frame(cells: list[str]) -> pl.DataFrame:
    rows = []
    for framing in FRAMINGS:
        for side in SIDES:
            cell = f"{framing}/{side}"
            have = cells.count(cell)
            state = (
                "missing" if not have else "rare" if have < WANT else "thief" if cell == "headshot/front" else "ample"
            )
            if framing != "detail" or have:
                advice = {
                    "missing": f"No {cell}, want {WANT}: add {WANT}.",
                    "rare": f"{have} {cell}, want {WANT}: add <more>.",
                    "thief": "Add other views rather than more of these.",
                    "ample": "",
                }
                rows.append((cell, have, WANT, state, advice[state]))
    return pl.DataFrame(rows, schema=tables.TARGETS, orient="row")


def scores_frame(n: int) -> pl.DataFrame:
    settings = json.dumps({"encoder": "toon-abc", "order": 1})
    rows = [
        ("set.effective_rank", n * 0.23, n * 0.19, n * 0.27, n - 1, settings),
        ("set.effective_rank_rarefied", n * 0.2, None, None, 40, settings),
        ("set.turntable_coverage", 0.52, 0.4, 0.61, 20, settings),
        ("set.view_entropy", float("nan"), None, None, n - 1, settings),
        ("selection.effective_rank", n * 0.21, n * 0.18, n * 0.24, n // 2, settings),
        ("a_measure_of_tomorrow", 0.031, None, None, 7, "not json"),
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=tables.SCORES, orient="row")


def curation(n: int) -> dict[str, Any]:
    return {
        "encoder": {"id": "toon-abc", "name": "embedded toon encoder", "note": "Vendors' weights were not found."},
        "stages": {"scan": {"seconds": 3.2, "settings": {"workers": None}, "versions": {"pillow": "13"}}},
        "duplicates": {"threshold": 0.93, "calibration": {"pairs": 900}},
        "elbow": {"gain": [1 / (i + 1) for i in range(n)], "keep": 12},
        "export": [
            {"format": "kohya", "folder": "export/kohya", "files": 44, "repeats": {"1": 20, "2": 24}, "error": 0.04,
             "warnings": ["wanted 17.6×, shown 18×"], "advice": "</td><script>alert(4)</script>"},
        ],
    }  # fmt: skip


@pytest.fixture(scope="session")
def make_workspace(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Dataset]:
    """`make_workspace(n, noise)` → an opened dataset with every table."""

    def make(n: int = 60, noise: float = 0.0) -> Dataset:
        pictures = tmp_path_factory.mktemp("set") / "10_it's me & you"
        pictures.mkdir()
        dataset = Dataset.open(pictures)
        write_all(dataset, n, noise)
        return dataset

    return make


@pytest.fixture(scope="session")
def report(make_workspace: Callable[..., Dataset]) -> tuple[Dataset, Path]:
    """A dataset of 60 files and its report."""
    from reports import dataset_report

    dataset = make_workspace()
    return dataset, dataset_report.write(dataset)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium of this machine; skipped where there is none."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip("no Chromium here: apt-get install -y chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def open_page(browser: Browser) -> Callable[[Path], Opened]:
    """`open_page(file)` → the page, drawn."""
    return lambda file: Opened(browser, file)
