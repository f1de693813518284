"""The pages of one run and of many in a real browser: no errors, charts drawn, hover and filters work, both themes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_runs import evaluation, ladder_of
from opened import POINT, TOOLTIP, Opened

from reports import run_report, runs_report

if TYPE_CHECKING:
    from playwright.sync_api import Page

RUNGS = 12
# contrast of every text with what lies behind it (WCAG 2.1, 1.4.3); large and disabled text aside
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const found = rgb(getComputedStyle(node).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  for (const node of document.querySelectorAll("main *, header *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest("[data-chart], svg, .pic")) continue;
    const both = [light(rgb(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
    const ratio = (both[0] + 0.05) / (both[1] + 0.05);
    if (ratio < 4.5) poor.add(`${ratio.toFixed(1)} ${node.tagName}.${node.className}: ${node.textContent}`);
  }
  return [...poor];
}"""
CHARTS = "Object.values(Bokeh.index).filter((view) => view.model.renderers)"  # tooltips are views too
RINGS = f"""() => {CHARTS}.map(
  (view) => view.model.renderers.find((layer) => layer.name === "out").data_source.data.i.length
)"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, open_page: Callable[[Path], Opened]) -> Opened:
    """Two runs over a ladder of two kinds of sets."""
    folder = tmp_path_factory.mktemp("many")
    runs = [evaluation(folder / name, name, richness=r, gap=g) for name, r, g in (("a", 4.0, 0.4), ("b", 9.0, 0.1))]
    rungs = ladder_of(folder / "ladder.jsonl", ["toon-1"] * RUNGS)
    return open_page(runs_report.write(runs, folder / "runs.html", rungs))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, open_page: Callable[[Path], Opened]) -> Opened:
    return open_page(run_report.write(evaluation(tmp_path_factory.mktemp("one") / "a", "run-1")))


@pytest.fixture
def page(many: Opened) -> Iterator[Page]:
    """The page of many runs as it opened; a console error or a request fails the test."""
    many.page.evaluate("document.querySelector('[data-rung-filters]').reset()")
    many.page.locator("[data-rung-filters]").dispatch_event("change")
    yield many.page
    assert not many.problems


def rings(page: Page) -> list[int]:
    """Rings that each chart shows."""
    found: list[int] = page.evaluate(RINGS)
    return found


def test_filters_hide_loras_of_the_ladder_in_every_chart(page: Page) -> None:
    form = page.locator("[data-rung-filters]")
    assert form.is_visible()
    assert len(rings(page)) >= 2
    assert set(rings(page)) == {RUNGS}
    form.locator("[name=group]").select_option("monotone")
    assert set(rings(page)) == {RUNGS // 2}
    assert form.locator("output").inner_text() == f"{RUNGS // 2} LoRAs of the ladder shown"
    form.locator("[name=rungs]").uncheck()
    assert set(rings(page)) == {0}
    form.locator("[name=rungs]").check()
    form.locator("[name=group]").select_option("")
    assert set(rings(page)) == {RUNGS}


def test_hover_shows_a_run_with_its_sample_and_a_lora_of_the_ladder_without(page: Page) -> None:
    page.locator("#chart-loss-gap").scroll_into_view_if_needed()
    for layer, name, picture in (("rare", "a", True), ("out", "rung 0", False)):
        x, y, _ = page.evaluate(POINT, ["Gap", layer])
        page.mouse.move(0, 0)
        page.mouse.move(x, y)
        page.wait_for_timeout(400)
        tips = [tip for tip in page.evaluate(TOOLTIP) if name in tip[0]]
        assert tips
        assert "richness" in tips[0][0]
        assert (tips[0][1] > 0) is picture
    page.mouse.click(x, y)
    card = page.locator("#card")
    card.wait_for(state="visible")
    assert "rung 0" in card.inner_text()
    page.keyboard.press("Escape")


def test_the_page_of_a_run_draws_its_charts_and_opens_pictures(one: Opened) -> None:
    assert one.charts == 3
    assert one.page.evaluate(f"{CHARTS}.length") == 3
    one.page.locator(".pairs a").first.click()
    one.page.locator("#card").wait_for(state="visible")
    assert one.page.locator("#card dt", has_text="Prompt").count() == 1
    one.page.keyboard.press("Escape")
    assert not one.problems


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_both_themes(one: Opened, many: Opened, scheme: str) -> None:
    for opened in (one, many):
        opened.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] - one of its literals
        opened.page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        assert opened.page.evaluate(CONTRAST) == []
        assert not opened.problems


def test_neither_page_scrolls_sideways_in_a_narrow_window(one: Opened, many: Opened) -> None:
    for opened in (one, many):
        opened.page.set_viewport_size({"width": 400, "height": 800})
        opened.page.wait_for_timeout(200)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 400
        opened.page.set_viewport_size({"width": 1360, "height": 1000})
