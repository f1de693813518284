"""The curves of `pick` as Bokeh documents: copies, colours, variety and likeness over checkpoints.

Not for colours: the page's script sets them from its style sheet, as for the charts of `charts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import words
from reports.charts import _document, _figure, _hover

TITLES = {
    "copies": "Share of copies",
    "colours": "Way to the set's colours, unrelated prompts",
    "variety": "Variety left",
    "likeness": "Likeness to the subject gained",
}
_SHARES = ("copies", "colours", "variety")
_APART = 0.14  # of a checkpoint's room that neighbouring weights are drawn apart


def curves(cells: Sequence[Mapping[str, Any]], first: Mapping[tuple[str, float | None], int]) -> dict[str, Any]:
    """Name → chart, for the measures that some cell has.

    Args:
        cells: Rows of `picks/<name>/cells`, in order.
        first: (checkpoint, weight) → index of a picture to show.
    """
    drawn = {}
    for name, title in TITLES.items():
        known = [cell for cell in cells if cell[name] is not None]
        if len(known) > 1:
            drawn[name] = _curve(name, title, cells, first)
    return drawn


def _curve(
    name: str, title: str, cells: Sequence[Mapping[str, Any]], first: Mapping[tuple[str, float | None], int]
) -> dict[str, Any]:
    from bokeh.models import ColumnDataSource, NumeralTickFormatter
    from bokeh.models.annotations import Span

    labels = list(dict.fromkeys(cell["checkpoint"] for cell in cells))
    weights = sorted({cell["weight"] for cell in cells}, key=lambda weight: -1.0 if weight is None else weight)
    chart = _figure(title, height=260, tools="tap", toolbar_location=None)
    chart.xaxis.ticker = list(range(len(labels)))
    chart.xaxis.major_label_overrides = dict(enumerate(labels))
    if name in _SHARES:
        chart.yaxis.formatter = NumeralTickFormatter(format="0 %")
    dots = []
    for weight in weights:
        mine = [cell for cell in cells if cell["weight"] == weight and cell[name] is not None]
        at = [labels.index(c["checkpoint"]) + _APART * (weights.index(weight) - (len(weights) - 1) / 2) for c in mine]
        values = [c[name] for c in mine]
        chart.line(at, values, line_width=2, line_alpha=0.5, name="line")
        ends = [(x, c[f"{name}_low"], c[f"{name}_high"]) for x, c in zip(at, mine, strict=True)]
        whiskers = [(x, low, high) for x, low, high in ends if low is not None and high is not None]
        chart.segment(
            [x for x, _, _ in whiskers],
            [low for _, low, _ in whiskers],
            [x for x, _, _ in whiskers],
            [high for _, _, high in whiskers],
            line_width=1.5,
            line_alpha=0.6,
            name="line",
        )
        for best, layer, marker in ((False, "kept", "circle"), (True, "rare", "diamond")):
            rows = [i for i, c in enumerate(mine) if bool(c["best"]) is best]
            source = ColumnDataSource(
                {
                    "x": [at[i] for i in rows],
                    "y": [values[i] for i in rows],
                    "i": [first.get((mine[i]["checkpoint"], weight), -1) for i in rows],
                    "name": [f"{mine[i]['checkpoint']} at {words.weight_of(weight)}" for i in rows],
                    "view": [title] * len(rows),
                    "status": [_words(name, mine[i]) for i in rows],
                    "thumb": [""] * len(rows),
                }
            )
            size = 14 if best else 8
            dots.append(chart.scatter("x", "y", source=source, marker=marker, size=size, name=layer))
    if name in ("colours", "likeness"):
        chart.add_layout(Span(location=0, dimension="width", line_dash="dashed", line_width=1.5, name="mark"))
    _hover(chart, dots)
    return _document(chart)


def _words(name: str, cell: Mapping[str, Any]) -> str:
    share = name in _SHARES
    interval = words.span(cell[f"{name}_low"], cell[f"{name}_high"], share=share)
    value = words.number(cell[name], share=share)
    return f"{value} ({interval}), n = {cell['n']}" if interval else f"{value}, n = {cell['n']}"
