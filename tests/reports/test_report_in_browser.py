"""The report in a real browser: opens from disk without network or errors, hover, filters, theme and keyboard work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opened import POINT, TOOLTIP, Opened

from diversity.dataset import Dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RESET = """() => document.querySelectorAll("form").forEach((form) => {
  form.reset();
  for (const kind of ["input", "change"]) form.dispatchEvent(new Event(kind));
})"""


Open = Callable[[Path], Opened]


@pytest.fixture(scope="module")
def opened(open_page: Open, report: tuple[Dataset, Path]) -> Opened:
    return open_page(report[1])


@pytest.fixture
def page(opened: Opened) -> Iterator[Page]:
    """The open report; its forms are reset after the test, which fails on any console error or request."""
    yield opened.page
    opened.page.evaluate(RESET)
    opened.page.set_viewport_size({"width": 1360, "height": 1000})
    opened.page.emulate_media(color_scheme="light")
    assert not opened.problems


def test_hover_shows_the_picture_and_a_click_opens_its_card(page: Page) -> None:
    page.locator("#chart-map").scroll_into_view_if_needed()
    x, y, name = page.evaluate(POINT, ["Map", "kept"])
    page.mouse.move(x, y)
    page.wait_for_timeout(300)
    tips = page.evaluate(TOOLTIP)
    assert any(name in text and width > 0 for text, width in tips), tips
    page.mouse.click(x, y)
    card = page.locator("#card")
    card.wait_for(state="visible")
    assert card.locator("dt", has_text="Caption").count() == 1
    assert "base64" in card.locator(".pic").evaluate("e => getComputedStyle(e).backgroundImage")
    page.keyboard.press("Escape")
    card.wait_for(state="hidden")


def test_map_filters_hide_points(page: Page) -> None:
    shown = page.locator("[data-map-filters] output")
    assert shown.inner_text() == "59 shown"
    page.locator("[name=layer][value=out]").uncheck()
    without_copies = int(shown.inner_text().split()[0])
    assert 0 < without_copies < 59
    page.locator("[data-map-filters] [name=framing]").select_option("full_body")
    assert 0 < int(shown.inner_text().split()[0]) < without_copies


def test_gallery_filters_and_matrix_links_hide_pictures(page: Page) -> None:
    form, visible = page.locator("[data-gallery-filters]"), page.locator(".gallery > li:visible")
    assert visible.count() == 60
    form.locator("[name=state]").select_option("copy")
    assert visible.count() == 19
    form.locator("[name=state]").select_option("")
    form.locator("[name=text]").fill("PICTURE 4")
    assert visible.count() == 11
    page.locator(".matrix .rest").first.click()
    assert 5 < visible.count() < 60
    assert form.locator("output").inner_text() == f"{visible.count()} of 60 pictures"
    unplaced = page.locator("[data-show-view=unsure]")
    unplaced.click()
    assert unplaced.inner_text() == f"{visible.count()} picture"


def test_theme_follows_the_system_and_the_toggle(page: Page) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(background)
    page.locator("[data-theme-toggle]").click()
    dark = page.evaluate(background)
    assert light != dark
    page.locator("[data-theme-toggle]").click()
    assert page.evaluate(background) == light
    page.emulate_media(color_scheme="dark")
    page.evaluate("delete document.documentElement.dataset.theme")
    assert page.evaluate(background) == dark


def test_keyboard_reaches_filters_and_cards(open_page: Open, report: tuple[Dataset, Path]) -> None:
    page = open_page(report[1]).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#chart-map").scroll_into_view_if_needed()
    page.locator("#bound summary").last.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "layer"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Space")
    assert not page.locator("[name=layer]").first.is_checked()
    page.locator(".gallery a").first.focus()
    page.keyboard.press("Enter")
    page.locator("#card").wait_for(state="visible")
    first = page.locator("#card-name").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#card-name").inner_text() != first
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('.gallery') !== null")


def test_printing_opens_all_details_in_light_colours_and_closes_them_again(page: Page) -> None:
    closed = page.locator("main details:not([open])").count()
    assert closed
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("main details:not([open])").count() == 0
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("main form:visible").count() == 0
    assert page.locator(".gallery > li:visible").count() == 60
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.locator("main details:not([open])").count() == closed


def test_narrow_window_does_not_scroll_sideways(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_without_javascript_text_and_pictures_are_there(browser: Browser, report: tuple[Dataset, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report[1].as_uri())
    assert page.locator("h1").is_visible()
    assert page.locator(".matrix .thumb").first.is_visible()
    assert page.locator(".gallery > li").count() == 60
    assert page.get_by_text("This chart is drawn by JavaScript").first.is_visible()
    context.close()
