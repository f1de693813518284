"""Charts of evaluated runs as Bokeh documents: a number over weights or checkpoints, and runs as points.

Not for colours: the page's script sets them from its style sheet, as for the charts of `charts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.charts import _document, _figure, _hover


@dataclass(frozen=True)
class Point:
    """One point of a chart.

    Attributes:
        x, y: Where.
        low, high: Its interval; None for none.
        card: Index of the page's card that it opens; -1 for none.
        name, text: What its tooltip says.
        group: What filters go by.
    """

    x: float
    y: float
    low: float | None
    high: float | None
    card: int
    name: str
    text: str
    group: str = ""


def curve(
    title: str, series: Sequence[tuple[str, Sequence[Point]]], axis: str, *, share: bool = False
) -> dict[str, Any]:
    """One number over `axis`; at most two series, the second one hollow."""
    from bokeh.models.annotations import Span

    chart = _framed(title, axis, share=share, height=240)
    drawn = []
    for (name, points), layer in zip(series, ("kept", "out"), strict=False):
        chart.line([p.x for p in points], [p.y for p in points], line_width=2, line_alpha=0.5, name="line")
        _whiskers(chart, points)
        drawn.append(chart.scatter("x", "y", source=_source(points, name), size=8, name=layer))
    if any(p.y <= 0 for _, points in series for p in points):
        chart.add_layout(Span(location=0, dimension="width", line_dash="dashed", line_width=1.5, name="mark"))
    _hover(chart, drawn)
    return _document(chart)


def cloud(
    title: str, own: Sequence[Point], others: Sequence[Point], axis: str, *, share: bool = False
) -> dict[str, Any]:
    """Runs as diamonds over the ladder's LoRAs as rings; x is how rich a set is."""
    chart = _framed(title, axis, share=share, height=320)
    rings = chart.scatter(
        "x", "y", source=_source(others, "ladder"), marker="circle", size=8, name="out", line_alpha=0.6
    )
    _whiskers(chart, own)
    diamonds = chart.scatter("x", "y", source=_source(own, "runs"), marker="diamond", size=15, name="rare")
    _hover(chart, [rings, diamonds])
    return _document(chart)


def _framed(title: str, axis: str, *, share: bool, height: int) -> Any:  # noqa: ANN401 - a Bokeh figure
    from bokeh.models import DataRange1d, NumeralTickFormatter

    chart = _figure(title, height=height, tools="tap", toolbar_location=None)
    chart.xaxis.axis_label = axis
    chart.yaxis.formatter = NumeralTickFormatter(format="0 %" if share else "0.[000]")
    chart.y_range = DataRange1d(default_span=0.1)  # which is for charts whose values are all one
    return chart


def _whiskers(chart: Any, points: Sequence[Point]) -> None:  # noqa: ANN401 - a Bokeh figure
    known = [p for p in points if p.low is not None and p.high is not None]
    xs = [p.x for p in known]
    chart.segment(xs, [p.low for p in known], xs, [p.high for p in known], line_width=1.5, line_alpha=0.6, name="line")


def _source(points: Sequence[Point], name: str) -> Any:  # noqa: ANN401 - a Bokeh data source
    from bokeh.models import ColumnDataSource

    columns = {
        "x": [p.x for p in points],
        "y": [p.y for p in points],
        "i": [p.card for p in points],
        "name": [p.name for p in points],
        "view": [p.group for p in points],
        "status": [p.text for p in points],
        "thumb": [""] * len(points),
    }
    return ColumnDataSource(columns, name=name)
