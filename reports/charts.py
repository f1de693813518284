"""The three charts as Bokeh documents: map, gain curve, weights.

Not for colours or pictures: the page's script sets both, from its style sheet, so that light and dark work
and one copy of each thumbnail serves all charts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reports import words

if TYPE_CHECKING:
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure

    from reports.facts import Facts
    from reports.rows import Picture

# laid over Bokeh's own box, whose colours cannot be set; values are escaped by Bokeh
TOOLTIP = """<div class="tip" style="display:flex;gap:12px;align-items:center;max-width:320px;margin:-6px;padding:8px;
background:var(--surface);color:var(--ink);border:1px solid var(--muted);line-height:1.45">
<style>img[src=""]{display:none}</style>
<img src="@thumb" alt="" style="width:112px;height:112px;object-fit:contain;flex:none">
<div style="overflow-wrap:anywhere"><b>@name</b><br>@view<br>@status</div></div>"""
_PICTURE = 48  # longest side of the pictures on the map, pixels
_SHAPES = {"kept": ("circle", 9), "rare": ("diamond", 14), "out": ("circle_x", 9)}


def script() -> str:
    """BokehJS, core only (no widgets, tables, mathjax or gl)."""
    import bokeh

    folder = Path(bokeh.__file__).parent / "server" / "static" / "js"
    return (folder / "bokeh.min.js").read_text(encoding="utf-8")


def layer(picture: Picture) -> str:
    """Layer of the map that a picture belongs to: "rare", "kept" or "out"."""
    if picture.rare:
        return "rare"
    return "kept" if picture.status in ("kept", "undecided") else "out"


def picture_map(facts: Facts) -> dict[str, Any]:
    """Where pictures lie by likeness, one layer per state."""
    from bokeh.models import DataRange1d

    places = {key: (x, y) for key, x, y in facts.frames["map"].select("key", "x", "y").iter_rows()}
    chart = _figure(
        "Map of the pictures by likeness",
        height=560,
        tools="pan,box_zoom,wheel_zoom,reset,tap",
        toolbar_location="above",
    )
    chart.x_range, chart.y_range = (DataRange1d(range_padding=0.18) for _ in range(2))  # room for pictures
    chart.axis.visible = False
    chart.grid.visible = False
    layers = []
    for name in ("out", "kept", "rare"):
        shown = [p for p in facts.pictures if p.key in places and layer(p) == name]
        source = _source(shown)
        source.data["x"] = [places[p.key][0] for p in shown]
        source.data["y"] = [places[p.key][1] for p in shown]
        source.data["w"] = [_PICTURE * min(1, p.aspect) for p in shown]
        source.data["h"] = [_PICTURE * min(1, 1 / p.aspect) for p in shown]
        source.name = name
        marker, size = _SHAPES[name]
        chart.image_url(
            url="thumb", x="x", y="y", w={"field": "w", "units": "screen"}, h={"field": "h", "units": "screen"},
            anchor="bottom_center", source=source, visible=False, name="pictures",
        )  # fmt: skip
        layers.append(
            chart.scatter("x", "y", source=source, marker=marker, size=size, name=name, line_width=1.5, fill_alpha=0.75)
        )
    _hover(chart, layers)
    return _document(chart)


def gain_curve(facts: Facts) -> dict[str, Any]:
    """What each further picture adds, with the chosen number."""
    from bokeh.models.annotations import Label, Span

    gains, keep = facts.gains
    by_rank = {p.rank: p for p in facts.pictures if p.rank is not None}
    chart = _figure("What each further picture adds", height=280, tools="tap", toolbar_location=None, y_axis_type="log")
    chart.xaxis.axis_label, chart.yaxis.axis_label = "pictures picked", "gain of the last one (log)"
    source = _source([by_rank.get(rank) for rank in range(len(gains))])
    source.data["x"], source.data["y"] = list(range(1, len(gains) + 1)), gains
    source.data["status"] = [f"pick {rank + 1} adds {words.number(gain)}" for rank, gain in enumerate(gains)]
    chart.line("x", "y", source=source, line_width=2, name="line")
    dots = chart.scatter("x", "y", source=source, size=6, name="kept")
    if keep is not None:
        chart.add_layout(Span(location=keep, dimension="height", line_dash="dashed", line_width=1.5, name="mark"))
        chart.add_layout(
            Label(
                x=keep,
                y=max(gains),
                text=f"  elbow: {keep}  ",
                text_baseline="top",
                text_align="right" if keep > len(gains) * 0.8 else "left",
            )
        )
    _hover(chart, [dots], mode="vline")
    return _document(chart)


def weight_bars(facts: Facts) -> dict[str, Any]:
    """Every picture's weight, the heaviest first, with the average of 1."""
    from bokeh.models import DataRange1d
    from bokeh.models.annotations import Span

    chart = _figure(
        "Weight of every chosen picture", height=260, tools="tap", toolbar_location=None, y_range=DataRange1d(start=0)
    )
    chart.xaxis.axis_label, chart.yaxis.axis_label = "pictures, the heaviest first", "weight"
    source = _source(facts.weighted)
    source.data["x"] = list(range(1, len(facts.weighted) + 1))
    source.data["y"] = [p.weight for p in facts.weighted]
    bars = chart.vbar(x="x", top="y", width=0.9, source=source, name="kept", line_width=0)
    chart.add_layout(Span(location=1, dimension="width", line_dash="dashed", line_width=1.5, name="mark"))
    _hover(chart, [bars], mode="vline")
    return _document(chart)


def _figure(title: str, **options: Any) -> figure:  # noqa: ANN401 - passed through to Bokeh
    from bokeh.plotting import figure

    chart = figure(sizing_mode="stretch_width", min_width=260, background_fill_alpha=0, border_fill_alpha=0, **options)
    chart.toolbar.logo = None
    chart.toolbar.active_scroll = None
    chart.toolbar.stylesheets = [":host(.bk-above) .bk-divider { width: 0 }"]
    chart.outline_line_alpha = 0
    chart.name = title
    chart.min_border_left = chart.min_border_right = 8
    chart.grid.grid_line_dash = [2, 4]
    return chart


def _source(pictures: Iterable[Picture | None]) -> ColumnDataSource:
    """Index, words of each picture; the script adds the thumbnails' column."""
    from bokeh.models import ColumnDataSource

    shown = list(pictures)
    weights = [f", weight {words.weight(p.weight)}" if p and p.weight is not None else "" for p in shown]
    return ColumnDataSource(
        {
            "i": [p.index if p else -1 for p in shown],
            "name": [p.name if p else "" for p in shown],
            "view": [p.view if p else "" for p in shown],
            "framing": [p.label("framing") if p else "" for p in shown],
            "status": [words.STATUSES[p.status] + w if p else "" for p, w in zip(shown, weights, strict=True)],
            "thumb": [""] * len(shown),
        }
    )


def _hover(chart: figure, renderers: list[Any], mode: Literal["mouse", "vline"] = "mouse") -> None:
    from bokeh.models import HoverTool, TapTool

    for tool in chart.tools:
        tool.visible = not isinstance(tool, TapTool)
    hover = HoverTool(renderers=renderers, tooltips=TOOLTIP, mode=mode, point_policy="snap_to_data", show_arrow=False)
    hover.visible = False
    chart.add_tools(hover)


def _document(chart: figure) -> dict[str, Any]:
    from bokeh.embed import json_item

    return dict(json_item(chart))
