"""A page in a real browser, with everything that went wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

# BokehJS draws on a canvas: where is the first point of a layer of a chart, in the window?
POINT = """([title, layer]) => {
  const view = Object.values(Bokeh.index).find((v) => v.model.name.startsWith(title));
  const { data } = view.model.renderers.find((r) => r.name === layer).data_source;
  const box = view.canvas_view.el.getBoundingClientRect();
  return [box.x + view.frame.x_scale.compute(data.x[0]), box.y + view.frame.y_scale.compute(data.y[0]), data.name[0]];
}"""
TOOLTIP = """() => {
  const found = [];
  const walk = (node) => { if (node.shadowRoot) walk(node.shadowRoot); for (const child of node.children) {
    if (child.classList.contains("tip")) found.push([child.textContent, child.querySelector("img").naturalWidth]);
    walk(child); } };
  walk(document.body);
  return found;
}"""


class Opened:
    """A page, opened and drawn to the last chart.

    Attributes:
        page: As playwright has it.
        problems: Console errors and warnings, uncaught errors, requests beyond the file, dialogs.
    """

    def __init__(self, browser: Browser, file: Path) -> None:
        self.problems: list[str] = []
        self.page = browser.new_page(viewport={"width": 1360, "height": 1000}, color_scheme="light")
        note = self.problems.append
        self.page.on("console", lambda m: note(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: note(str(error)))
        self.page.on("request", lambda r: note(r.url) if not r.url.startswith(("data:", "file:")) else None)
        self.page.on("dialog", lambda dialog: note(f"dialog {dialog.message}"))
        self.page.goto(file.as_uri())
        self.charts = self.page.locator("[data-chart]").count()
        for number in range(self.charts):
            chart = self.page.locator("[data-chart]").nth(number).get_attribute("data-chart")
            self.page.locator(f"[data-chart='{chart}'][data-ready]").wait_for(state="attached", timeout=90_000)
