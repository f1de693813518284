"""`diversity runs`: what was trained, with what, and how two runs differ."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diversity.dataset import Dataset
    from training.runs import Run

WIDTH = 60  # characters of a value


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """list, show, compare."""
    parser.description = "What was trained on a set, with what, and how runs differ."
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|compare")
    listing = actions.add_parser("list", help="every run of a set")
    listing.add_argument("pictures", type=Path, metavar="PICTURES", help="the folder of pictures")
    show = actions.add_parser("show", help="everything about one run")
    show.add_argument("runs", nargs=1, metavar="RUN", help="its folder, its id or the beginning of it")
    compare = actions.add_parser("compare", help="the settings, data and results in which runs differ")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="two or more, each as for show")
    for action in (listing, show, compare):
        action.add_argument("--workspace", type=Path, help="of the set (default: _diversity/NAME beside PICTURES)")
        action.add_argument("--json", action="store_true", help="print the result as JSON")
    for action in (show, compare):
        action.add_argument("--pictures", type=Path, help="the set whose runs are meant, where an id is not enough")


def run(name: str, options: argparse.Namespace) -> int:
    """Print what was asked for."""
    from diversity.commands.common import emit
    from diversity.errors import InputError
    from training import runs

    dataset = _dataset(options)
    if options.action == "list":
        rows = [runs.summary(one) for one in runs.every(dataset.folder)] if dataset else []
        emit(options, rows, _table(rows, whole="gap") if rows else "No runs yet: `diversity train PICTURES`.")
        return 0
    found = [runs.find(text, dataset) for text in options.runs]
    if options.action == "show":
        emit(options, found[0].record, _story(found[0]))
        return 0
    if len(found) < 2:
        raise InputError("There is only one run to compare.", "", "Name two or more.")
    rows = [
        {"": key, **dict(zip(_names(found), values, strict=True))} for key, values in runs.differences(found).items()
    ]
    emit(options, {row.pop(""): row for row in map(dict, rows)}, _table(rows) if rows else "They do not differ.")
    return 0


def _dataset(options: argparse.Namespace) -> Dataset | None:
    from diversity.dataset import Dataset

    if options.pictures is None:
        return None
    return Dataset.open(options.pictures, workspace_folder=options.workspace)


def _names(found: list[Run]) -> list[str]:
    """Ids; numbered where two workspaces have the same one."""
    ids = [one.id for one in found]
    return ids if len(set(ids)) == len(ids) else [f"{i + 1}: {one}" for i, one in enumerate(ids)]


def _story(run: Run) -> str:
    record = run.record
    lines = [f"{run.id} ({record.get('state')}), {record.get('created')}", f"  {run.folder}"]
    if record.get("problem") and record.get("state") == "failed":
        lines.append(f"  {record['problem']}")
    base, data, settings = (record.get(name, {}) for name in ("base", "data", "settings"))
    lines += [
        f"base      {base.get('name')} ({base.get('family')}, {base.get('prediction_type')})",
        f"pictures  {data.get('train')} trained on, {data.get('held_out')} held out; {record.get('pictures')}",
        f"steps     {record.get('step', 0)} of {settings.get('steps')}, batch {settings.get('batch_size')}",
    ]
    lines += [f"because   {reason}" for reason in record.get("reasons", ())]
    lines += [f"note      {note}" for note in record.get("notes", ())]
    result = record.get("result", {})
    lines += [f"{name:<18}{_shown(value, whole=True)}" for name, value in result.items() if value is not None]
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in record.get("timings", {}).items())
    return "\n".join([*lines, f"seconds   {seconds}"])


def _table(rows: list[dict[str, Any]], whole: str = "") -> str:
    """Values in columns, cut to `WIDTH` but for the column `whole`."""
    names = list(rows[0])
    cells = [names, *([_shown(row[name], whole=name == whole) for name in names] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def _shown(value: object, *, whole: bool = False) -> str:
    text = "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if whole or len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
