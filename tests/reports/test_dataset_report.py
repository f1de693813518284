"""The report's promises that need no browser: self-contained, safe, complete, small, and true to the tables."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity.config import Config
from diversity.dataset import Dataset
from diversity.verdicts import in_numbers
from reports import charts, dataset_report, words
from reports.facts import SCHEMAS, Facts

SECTIONS = ["verdict", "add", "views", "copies", "rare", "bound", "map", "weights", "trainer", "forecast"]
SECTIONS += ["problems", "pictures", "numbers"]
Make = Callable[..., Dataset]


@dataclass
class Tag:
    name: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Tags in order, each with the text directly or deeper inside it."""

    source: str
    tags: list[Tag] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[Tag] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, dict(attrs)))
        if tag not in ("meta", "link", "input", "br", "use", "path", "circle", "rect", "img"):
            self.open.append(self.tags[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop().name != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            tag.text += data

    def all(self, name: str, **attributes: str) -> list[Tag]:
        return [t for t in self.tags if t.name == name and all(t.attributes.get(k) == v for k, v in attributes.items())]


@pytest.fixture(scope="module")
def page(report: tuple[Dataset, Path]) -> Page:
    return Page(report[1].read_text(encoding="utf-8"))


def test_default_place_is_the_workspace(report: tuple[Dataset, Path]) -> None:
    dataset, file = report
    assert file == dataset.folder / "reports" / "curation.html"
    assert [p.name for p in file.parent.iterdir()] == ["curation.html"]


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    for tag in page.tags:
        assert "src" not in tag.attributes, tag
        for attribute in ("href", "action", "poster", "srcset", "data", "formaction"):
            value = tag.attributes.get(attribute)
            assert value is None or value.startswith("#") or value == "data:,", tag
    for style in page.all("style"):
        assert "@import" not in style.text
        assert set(re.findall(r"url\((.{11})", style.text)) <= {"data:image/"}


def test_policy_forbids_the_network_and_foreign_scripts(page: Page) -> None:
    (policy,) = [t.attributes["content"] or "" for t in page.all("meta") if "http-equiv" in t.attributes]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    scripts = [t.text for t in page.all("script") if "type" not in t.attributes]
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_hostile_names_and_captions_stay_text(report: tuple[Dataset, Path], page: Page) -> None:
    assert len(page.all("script")) == 3
    assert len(page.all("style")) == 2
    assert not page.all("img")
    assert not [t for t in page.tags for name in t.attributes if name.startswith("on")]
    (data,) = page.all("script", type="application/json")
    assert not set("<>&\u2028") & set(data.text)
    cards = json.loads(data.text)["cards"]
    images = report[0].images.sort("path")
    assert [card["path"] for card in cards] == images["path"].to_list()
    assert [card["rows"].get("Caption", "") for card in cards] == images["caption"].to_list()
    assert "</td><script>alert(4)</script>" in page.all("section", id="numbers")[0].text
    assert "The file ends early <i>(truncated)</i>." in page.all("section", id="problems")[0].text
    assert "10_it's me & you" in page.all("title")[0].text
    assert "{{ 7*7 }} @thumb{safe}.png" in page.all("section", id="pictures")[0].text


def test_hover_text_is_escaped_by_the_library() -> None:
    assert "safe" not in charts.TOOLTIP
    assert "unsafe" not in charts.TOOLTIP


def test_sections_are_there_in_order_and_links_lead_somewhere(page: Page) -> None:
    assert [t.attributes["id"] for t in page.all("section")] == SECTIONS
    ids = [t.attributes["id"] for t in page.tags if "id" in t.attributes]
    assert len(ids) == len(set(ids))
    for tag in page.tags:
        href = tag.attributes.get("href") or ""
        if href.startswith("#"):
            assert href[1:] in ids, tag
        if "aria-labelledby" in tag.attributes:
            assert tag.attributes["aria-labelledby"] in ids


@pytest.fixture(scope="module")
def bare(make_workspace: Make) -> Facts:
    """A small set without charts."""
    dataset = make_workspace(12)
    for table in ("map", "selection/default"):
        dataset.path(table).unlink()
    (dataset.folder / "curation.json").unlink()
    return Facts.read(dataset)


@settings(max_examples=10, deadline=None)
@given(
    value=st.floats(0.01, 5000),
    below=st.floats(0, 1),
    above=st.floats(0, 1),
    n=st.integers(2, 9999),
    known=st.booleans(),
)
def test_what_was_measured_is_shown_as_it_stands_in_the_table_with_n_and_interval(
    bare: Facts, value: float, below: float, above: float, n: int, known: bool
) -> None:
    """Invariant 7."""
    ends = (value * (1 - below), value * (1 + above)) if known else (None, None)
    row = ("set.effective_rank", value, *ends, n, json.dumps({"encoder": "toon-abc"}))
    frames = bare.frames | {"scores": pl.DataFrame([row], schema=SCHEMAS["scores"], orient="row")}
    page = Page(dataset_report._render(replace(bare, frames=frames), "", "set", None))
    tags = [tag for tag in page.tags if "data-measure" in tag.attributes]
    assert {tag.attributes["data-field"] for tag in tags} == ({"value", "low", "high"} if known else {"value"})
    stored = dict(zip(("value", "low", "high"), (value, *ends), strict=True))
    for tag in tags:
        digits, exact = tag.text.replace(",", ""), stored[tag.attributes["data-field"] or ""]
        assert exact is not None
        assert abs(float(digits) - exact) <= 10.0 ** -len(digits.partition(".")[2]) / 2 + 1e-9
    (table,) = [tag for tag in page.all("table") if "scores" in (tag.attributes["class"] or "")]
    assert f"n = {n}" in table.text
    assert "toon-abc" in table.text  # numbers of different encoders are never compared
    assert words.span(*ends, fine=True) in table.text


def test_every_figure_is_in_a_table(report: tuple[Dataset, Path], page: Page) -> None:
    """Invariant 7."""
    dataset, _ = report
    scores = {row["measure"]: row for row in dataset.read("scores").iter_rows(named=True)}
    measured = [t for t in page.tags if "data-measure" in t.attributes]
    assert {t.attributes["data-measure"] for t in measured} >= {"set.effective_rank", "selection.effective_rank"}
    for tag in measured:
        row = scores[tag.attributes["data-measure"] or ""]
        digits = tag.text.rstrip(" %").replace(",", "")
        step = 10.0 ** -len(digits.partition(".")[2]) / (100 if "%" in tag.text else 1)
        shown = float(digits) / (100 if "%" in tag.text else 1)
        assert abs(shown - row[tag.attributes["data-field"] or ""]) <= step / 2 + 1e-9, tag
    counts = {
        "images:usable": dataset.images["problem"].null_count(),
        "duplicates:copy": (dataset.read("duplicates")["kind"] == "copy").sum(),
        "targets:enough": dataset.read("targets")["state"].is_in(["ample", "thief"]).sum(),
        "selection": len(dataset.read("selection/default")),
    }
    found = {t.attributes["data-rows"]: int(t.text) for t in page.tags if "data-rows" in t.attributes}
    assert found == counts
    figures = page.all("span", **{"class": "figure"})
    assert 4 <= len(figures) <= 6
    assert all(re.search(r"\d", t.text) for t in figures)


def test_verdict_reads_like_a_sentence(page: Page) -> None:
    (title,) = page.all("h1")
    assert " ".join(title.text.split()) == "59 pictures act like about 14 different ones (11–16)."
    (verdict,) = page.all("p", **{"class": "verdict"})
    text = " ".join(verdict.text.split())
    assert text.startswith("19 are copies of others. There is no ")
    assert "1 file could not be read." in text
    assert "  " not in text
    assert not re.search(r"[a-z]\.[A-Z]", text)


def test_matrix_draws_every_cell_and_hole(report: tuple[Dataset, Path], page: Page) -> None:
    targets = report[0].read("targets")
    for state in ("missing", "rare", "thief", "ample"):
        drawn = page.all("td", **{"class": state})
        assert len(drawn) == targets.filter(pl.col("state") == state).height
        assert all(words.STATES[state] in tag.text for tag in drawn), "the state is said, not only coloured"


def test_every_copy_is_shown_beside_its_keeper(report: tuple[Dataset, Path]) -> None:
    facts = Facts.read(report[0])
    shown = {copy.key: keeper.key for keeper, copies in facts.groups for copy in copies}
    rows = report[0].read("duplicates").filter(pl.col("kind") == "copy")
    assert shown == dict(rows.select("key", "keeper").iter_rows())


def test_each_thumbnail_is_embedded_once(report: tuple[Dataset, Path]) -> None:
    source = report[1].read_text(encoding="utf-8")
    assert source.count("url(data:image/jpeg;base64,") == len(report[0].read("thumbnails"))


def test_a_thousand_pictures_stay_under_25_megabytes(make_workspace: Make) -> None:
    dataset = make_workspace(1000, noise=0.18)
    mean = dataset.read("thumbnails")["jpeg"].bin.size().mean()
    assert mean is not None
    assert mean > 6000
    assert dataset_report.write(dataset).stat().st_size < 25_000_000


@pytest.mark.parametrize("table", [t for t in SCHEMAS if t not in ("thumbnails", "decisions", "dropped")])
def test_a_missing_table_is_named_with_its_command(make_workspace: Make, tmp_path: Path, table: str) -> None:
    dataset = make_workspace(24)
    dataset.path(table).unlink()
    text = dataset_report.write(dataset, tmp_path / "out.html").read_text(encoding="utf-8")
    assert f"diversity {words.STAGE_OF[table]} " in text
    assert [t.attributes["id"] for t in Page(text).all("section")] == SECTIONS


def test_tags_tied_to_a_view_are_listed_and_free_ones_are_not(make_workspace: Make, tmp_path: Path) -> None:
    dataset = make_workspace(24)
    (section,) = Page(dataset_report.write(dataset).read_text(encoding="utf-8")).all("section", id="bound")
    assert "1 tag of your captions comes with one view" in section.text
    assert "<b>boots</b>" in section.text  # escaped: hostile captions stay text
    assert "92 %" in section.text
    assert "hat" not in section.text.split()
    dataset.write("bindings", dataset.read("bindings").filter(pl.col("state") == "free"))
    text = dataset_report.write(dataset, tmp_path / "none.html").read_text(encoding="utf-8")
    assert "No tag comes with one view" in Page(text).all("section", id="bound")[0].text


def test_an_empty_workspace_says_how_to_begin(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    page = Page(dataset_report.write(Dataset.open(tmp_path / "set")).read_text(encoding="utf-8"))
    assert page.all("h1")[0].text.strip() == "Nothing has been scanned yet."
    assert "diversity scan set" in page.all("section", id="verdict")[0].text


def test_a_broken_record_costs_only_its_provenance(make_workspace: Make) -> None:
    dataset = make_workspace(24)
    (dataset.folder / "curation.json").write_text("{not json", encoding="utf-8")
    assert "19 are" not in dataset_report.write(dataset).read_text(encoding="utf-8")


def test_a_decision_by_hand_is_listed(make_workspace: Make) -> None:
    dataset = make_workspace(24)
    row = dataset.images.row(0, named=True)
    decision = {
        "key": row["key"],
        "content": row["content"],
        "path": row["path"],
        "what": "pin",
        "value": "",
        "when": "now",
    }
    dataset.write("decisions", pl.DataFrame([decision]))
    page = Page(dataset_report.write(dataset).read_text(encoding="utf-8"))
    assert "Decided by hand" in page.all("section", id="numbers")[0].text


def test_heavy_libraries_are_not_imported() -> None:
    heavy = "{'torch', 'umap', 'open_clip', 'sklearn', 'faiss'}"
    code = f"import sys; from reports import dataset_report, charts, facts; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("value", "share", "text"),
    [(23.4, False, "23"), (4.56, False, "4.6"), (0.313, False, "0.31"), (3.0, False, "3"), (0.455, True, "46 %"),
     (None, False, "–"), (float("nan"), False, "–"), (12345.6, False, "12,346")],
)  # fmt: skip
def test_numbers_are_written_for_people(value: float | None, share: bool, text: str) -> None:
    assert words.number(value, share=share) == text


def test_likeness_is_never_called_complete_for_other_files() -> None:
    assert words.alike(0.9997, "hash") == "over 99 % alike, same composition"
    assert words.alike(1.0, "bytes") == "same file"
    assert words.alike(0.93, "a_tier_of_tomorrow") == "93 % alike, a_tier_of_tomorrow"


def test_cells_in_reasons_are_put_in_words() -> None:
    assert words.readable("rare view: 3 of 5 full_body/back") == "rare view: 3 of 5 full-body picture from behind"
    assert words.readable("like detail/front.jpg") == "like detail/front.jpg"


def test_one_lack_wanted_from_any_side_is_said_once(make_workspace: Make) -> None:
    dataset = make_workspace(24)
    rows = [("detail/front", 1, 3, "rare", "3 details, want 5"), ("detail/back", 2, 4, "rare", "3 details, want 5")]
    dataset.write("targets", pl.DataFrame(rows, schema=dict(SCHEMAS["targets"]), orient="row"))
    (ask,) = Facts.read(dataset).in_state("rare")
    assert (ask.have, ask.want, ask.phrase) == (3, 5, "close-up of a detail (shoes, hands, …)")


def test_commands_name_a_workspace_that_is_not_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    dataset = Dataset.open(tmp_path / "set", workspace_folder=tmp_path / "my work", overrides={"select": {"keep": 12}})
    page = Page(dataset_report.write(dataset).read_text(encoding="utf-8"))
    assert "diversity scan set --workspace 'my work'" in page.all("section", id="verdict")[0].text
    commands = [tag.text for tag in page.all("code") if tag.text.startswith("diversity ")]
    assert all("set --workspace 'my work'" in command for command in commands)
    assert (
        "diversity curate set --workspace 'my work' --keep 12" in commands
    )  # adding pictures does not lift the budget


def test_pictures_that_could_not_be_placed_are_counted_once_and_can_be_shown(make_workspace: Make) -> None:
    dataset = make_workspace()
    duplicates = dataset.read("duplicates")
    copy, keeper = duplicates.filter(pl.col("kind") == "copy").select("key", "keeper").row(0)
    doubtful = pl.col("key").is_in([copy, keeper]) & (pl.col("axis") == "side")
    label = pl.when(doubtful).then(pl.lit("unsure")).otherwise("label").alias("label")
    dataset.write("views", dataset.read("views").with_columns(label))
    page = Page(dataset_report.write(dataset).read_text(encoding="utf-8"))
    (link,) = page.all("a", **{"data-show-view": "unsure"})
    shown = [tag for tag in page.all("li") if "unplaced" in (tag.attributes.get("data-state") or "").split()]
    assert link.text == "2 pictures"  # the keeper, and one whose framing the fixture leaves unsure
    assert len(shown) == 2


def test_remarks_on_copies_are_said_once_and_none_is_hidden(make_workspace: Make) -> None:
    dataset = make_workspace()
    duplicates = dataset.read("duplicates")
    first = duplicates.filter(pl.col("kind") == "copy").row(0, named=True)["keeper"]
    others = duplicates.filter((pl.col("kind") == "keeper") & (pl.col("key") != first))["key"].to_list()[:6]
    remarks = [
        f"Nearly the same as a.png ({in_numbers(0.9 + i / 100, tier, 0.875)}), which is of better quality.{lost}"
        for i, tier, lost in [(0, "hash", ""), (1, "embedding", ""), *((i, "hash", f" Lost: {i}.") for i in range(4))]
    ]
    reason = dict(zip(others, remarks, strict=True))
    changed = [
        {**row, "kind": "copy", "keeper": first, "group": first, "similarity": 0.9, "reason": reason[row["key"]]}
        if row["key"] in reason else row
        for row in duplicates.iter_rows(named=True)
    ]  # fmt: skip
    dataset.write("duplicates", pl.DataFrame(changed, schema=duplicates.schema))
    dataset.write("selection/default", dataset.read("selection").filter(~pl.col("key").is_in(others)))
    text = dataset_report.write(dataset).read_text(encoding="utf-8")
    (section,) = Page(text).all("section", id="copies")
    assert section.text.count("Nearly the same as a.png, which is of better quality.") == 1 + 4
    assert all(f"Lost: {i}." in section.text for i in range(4))
    assert "line 0.875" not in section.text


def test_intervals_share_one_unit() -> None:
    assert words.span(0.4, 0.61, share=True) == "40–61 %"
    assert words.span(None, 3.0) == ""


def with_subject(dataset: Dataset, states: dict[int, str]) -> None:
    """The table that `diversity subject` writes, over all pictures but the last two."""
    keys = dataset.images.filter(pl.col("problem").is_null()).sort("path")["key"].to_list()[:-2]
    columns = {"key": pl.String, "path": pl.String, "score": pl.Float64, "threshold": pl.Float64}
    rows = [(k, k, 0.1, 0.5, states.get(i, "on"), f"<b>{states.get(i)}</b>") for i, k in enumerate(keys)]
    dataset.write(
        "subject", pl.DataFrame(rows, schema={**columns, "state": pl.String, "reason": pl.String}, orient="row")
    )


def test_somebody_else_is_shown_before_richness_and_is_the_next_step(make_workspace: Make) -> None:
    dataset = make_workspace()
    with_subject(dataset, {3: "off", 5: "off", 6: "several"})
    source = dataset_report.write(dataset).read_text(encoding="utf-8")
    page = Page(source)
    assert [t.attributes["id"] for t in page.all("section")] == ["subject", *SECTIONS]
    assert "was not looked at" not in page.all("section", id="verdict")[0].text
    (section,) = page.all("section", id="subject")
    assert "2 pictures are perhaps of somebody else, 1 perhaps of several figures" in section.text
    assert "2 pictures came since" in section.text
    assert "<b>off</b>" in section.text  # escaped: text, not markup
    assert "Look at them before anything else" in page.all("section", id="verdict")[0].text
    assert "<b>off</b>" not in source


def test_what_was_decided_by_hand_is_not_asked_again(make_workspace: Make) -> None:
    dataset = make_workspace()
    with_subject(dataset, {3: "off", 5: "off"})
    rows = dataset.images.filter(pl.col("problem").is_null()).sort("path").select("key", "content", "path").to_dicts()
    decided = [{**rows[i], "what": what, "value": "", "when": "2026"} for i, what in ((3, "drop"), (5, "pin"))]
    dataset.write("decisions", pl.DataFrame(decided))
    section = Page(dataset_report.write(dataset).read_text(encoding="utf-8")).all("section", id="subject")[0].text
    assert "stands out" in section
    assert "1 odd one is no longer in use" in section


def test_a_style_is_not_nagged_about_views(make_workspace: Make) -> None:
    dataset = make_workspace()
    dataset.config = Config.load(None, preset="style")
    dataset.write("targets", dataset.read("targets").clear())
    page = Page(dataset_report.write(dataset).read_text(encoding="utf-8"))
    text = " ".join(page.all("section", id=name)[0].text for name in ("verdict", "add", "rare"))
    assert "judged as a style" in text
    for nagging in ("views are missing", "Every view has", "There is no", "views with enough", "takes attention"):
        assert nagging not in text
    assert page.all("section", id="views")[0].text.count("headshot") >= 1


def test_what_the_trainer_will_see_is_counted_by_resolution_and_batch(page: Page) -> None:
    (section,) = page.all("section", id="trainer")
    assert all(word in section.text for word in ("512", "1024", "Short of a batch of 4", "Subject, headshot"))
    assert "loses 50 %" in section.text
    assert "Faces were not measured" in section.text


def test_where_nothing_is_cut_nothing_is_said_of_it(make_workspace: Make) -> None:
    dataset = make_workspace()
    dataset.write("trainer", dataset.read("trainer").with_columns(lost=pl.lit(0.0), subject=pl.lit(None)))
    text = Page(dataset_report.write(dataset).read_text(encoding="utf-8")).all("section", id="trainer")[0].text
    assert "Short of a batch of 4" in text
    assert "cut off here" not in text
    assert "How large" not in text


def test_variants_stand_side_by_side_with_their_weights(report: tuple[Dataset, Path], page: Page) -> None:
    facts = Facts.read(report[0])
    assert facts.variants
    text = page.all("section", id="copies")[0].text
    assert "Variants: alike, but kept" in text
    for first, others in facts.variants[:6]:
        for picture in (first, *others[:11]):
            assert picture.name in text
            assert picture.weight is None or f"weight {words.weight(picture.weight)}" in text


def test_one_side_wanted_near_or_far_is_said_once(make_workspace: Make) -> None:
    dataset = make_workspace()
    dataset.config = Config.load(None, preset="concept")
    rows = [
        ("headshot/back", 0, 2, "missing", "No picture from behind."),
        ("full_body/back", 0, 2, "missing", "No picture from behind."),
    ]
    dataset.write("targets", pl.DataFrame(rows, schema=dataset.read("targets").schema, orient="row"))
    (ask,) = Facts.read(dataset).in_state("missing")
    assert (ask.phrase, ask.want) == ("picture from behind", 4)
