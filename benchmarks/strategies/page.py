"""Writes the page of a comparison of strategies: one self-contained HTML file in the style of the reports.

Computes nothing: every number comes from the results' JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.strategies import downstream_summary
from benchmarks.strategies.summary import LEVEL
from benchmarks.strategies.table import ALL, CURATED, DISTINCT, POOLS, TABLE
from benchmarks.strategies.truth import MEASURES, Measure
from diversity.workspace import atomic
from reports import charts, shell, words

HERE = Path(__file__).parent
Row = Mapping[str, Any]
LAYERS = {ALL: ("out", "circle", 9), DISTINCT: ("kept", "circle", 9), CURATED: ("rare", "diamond", 15)}
DRAWN = ("reached", "views", "rare", "copies", "coverage", "richness")
BASELINES = {"random/all": "random, all files", "random/distinct": "random, de-duplicated"}
BASELINES |= {"stratified/all": "stratified, all files", "stratified/distinct": "stratified, de-duplicated"}
EVERY = {**MEASURES, **downstream_summary.MEASURES}
TIP = """<div style="max-width:320px;margin:-6px;padding:8px;background:var(--surface);color:var(--ink);
border:1px solid var(--muted);line-height:1.45"><b>@name</b><br>@status</div>"""


def write(result: Mapping[str, Any], file: Path) -> None:
    """Write the page of `result` (benchmarks/results/strategies.json) to `file`."""
    environment = shell.environment(HERE)
    environment.globals.update(shown=shown, compared=compared, verdict=verdict, ours=ours, beside=beside, words=words)
    environment.globals.update(fewer=fewer)
    environment.globals.update(lora_measures=downstream_summary.MEASURES, standings=downstream_summary.MEANING)
    drawn, titles = {}, {}
    for suite in result["suites"]:
        for name in DRAWN:
            for budget in suite["budgets"]:
                key = f"{suite['name']}-{name}-{budget}"
                chart = _dots(suite, name, budget)
                if chart is not None:
                    drawn[key], titles[key] = chart, f"{MEASURES[name].title}, {budget} kept"
    text = environment.get_template("page.html.j2").render(
        result={"downstream": None, **result},
        table=TABLE,
        pools=POOLS,
        measures=MEASURES,
        drawn_measures=DRAWN,
        level=LEVEL,
        charts=drawn,
        titles=titles,
        **shell.frame(drawn, ("report.css", "pick.css")),
    )
    with atomic(file) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def shown(entry: Mapping[str, Any], name: str) -> str:
    """`62 % (55–69)`; an en dash where it is not known."""
    found = entry["values"].get(name)
    return _estimate(found, EVERY[name]) if found else "–"


def _estimate(found: Mapping[str, Any], measure: Measure) -> str:
    mean, low, high = (_number(found[end], measure) for end in ("mean", "low", "high"))
    if found["low"] is None:
        return mean
    return f"{mean} ({low.removesuffix(' %')}{' to ' if low.startswith('−') else '–'}{high})"


def _number(value: float | None, measure: Measure) -> str:
    return words.number(value, share=measure.share, fine=measure.fine).replace("-", "−")


def compared(entry: Mapping[str, Any], name: str) -> str:
    """The difference from random in words: `+21 % (12–30)`; an en dash where there is none."""
    found = entry["gains"].get(name)
    if not found or entry["strategy"] == "random":
        return "–"
    sign = "+" if found["mean"] > 0 else ""
    return sign + _estimate(found, EVERY[name])


def verdict(entry: Mapping[str, Any], name: str) -> str:
    """Whether the interval of the difference from random tells: "better", "worse" or "not told"."""
    found, good = entry["gains"].get(name), EVERY[name].more_is_better
    if not found or found["low"] is None or good is None:
        return "not told"
    low, high = (found["low"], found["high"]) if good else (-found["high"], -found["low"])
    return "better" if low > 0 else "worse" if high < 0 else "not told"


def _dots(suite: Mapping[str, Any], name: str, budget: int) -> dict[str, Any] | None:
    """One measure at one budget: a line per strategy, a dot per pool with its interval; None where nothing is known."""
    from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter

    rows = [row for row in suite["rows"] if row["budget"] == budget and name in row["values"]]
    if not rows:
        return None
    best: dict[str, float] = {}
    for row in rows:
        best[row["strategy"]] = max(best.get(row["strategy"], float("-inf")), row["values"][name]["mean"])
    names = sorted(best, key=lambda strategy: best[strategy], reverse=MEASURES[name].more_is_better is False)
    chart = charts._figure(
        MEASURES[name].title, height=60 + 24 * len(names), toolbar_location=None, tools="", y_range=(-0.7, len(names))
    )
    chart.yaxis.ticker = list(range(len(names)))
    chart.yaxis.major_label_overrides = dict(enumerate(names))
    if MEASURES[name].share:
        chart.xaxis.formatter = NumeralTickFormatter(format="0 %")
    dots: list[Any] = []
    for at, (pool, (layer, marker, size)) in enumerate(LAYERS.items()):
        mine = [row for row in rows if row["pool"] == pool]
        places = [names.index(row["strategy"]) + 0.22 * (1 - at) for row in mine]
        values = [row["values"][name] for row in mine]
        known = [(y, v) for y, v in zip(places, values, strict=True) if v["low"] is not None]
        ys = [y for y, _ in known]
        chart.segment(
            [v["low"] for _, v in known], ys, [v["high"] for _, v in known], ys, line_width=1.5, line_alpha=0.6,
            name="line",
        )  # fmt: skip
        source = ColumnDataSource(
            {
                "x": [value["mean"] for value in values],
                "y": places,
                "name": [f"{row['strategy']} from {POOLS[pool]}" for row in mine],
                "status": [_told(row, name) for row in mine],
            }
        )
        dots.append(chart.scatter("x", "y", source=source, marker=marker, size=size, name=layer))
    hover = HoverTool(renderers=dots, tooltips=TIP, point_policy="snap_to_data", show_arrow=False)
    hover.visible = False
    chart.add_tools(hover)
    return charts._document(chart)


def _told(row: Mapping[str, Any], name: str) -> str:
    value = row["values"][name]
    over = {"sets": f"{value['n']} sets", "draws": f"{value['n']} draws of one set", "nothing": "one run"}
    return f"{_estimate(value, MEASURES[name])}, {over[value['over']]}"


def ours(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Entries of our own strategy, by budget."""
    return sorted((row for row in rows if row["strategy"] == "ours"), key=lambda row: row["budget"])


def beside(rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> Iterator[tuple[str, Row, Row]]:
    """Words, entry of each of `BASELINES` at the budget of `row`, and `row` with its gains over that one."""
    for key, said in BASELINES.items():
        for base in rows:
            if (base["strategy"], base["pool"], base["budget"]) == (*key.split("/"), row["budget"]):
                gains = row["gains"] if key == "random/all" else row.get("beside", {}).get(key, {})
                yield said, base, {**row, "gains": gains}


def fewer(row: Mapping[str, Any]) -> str:
    """How many pictures were kept where the pool was too small for the budget; else nothing."""
    kept = row.get("kept")
    if not kept or kept["least"] >= row["budget"]:
        return ""
    return f"{kept['least']}–{kept['most']} kept" if kept["least"] < kept["most"] else f"{kept['least']} kept"
