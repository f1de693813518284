"""`diversity pin|drop|label|decisions`: decisions by hand, which every later run honours."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.commands.common import add_common, emit, open_dataset
from diversity.errors import InputError, WorkspaceError
from diversity.plural import count

if TYPE_CHECKING:
    from diversity.dataset import Dataset

USAGE = "Write: diversity label PICTURES FILE … axis=label …"


def arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """The pictures decided on."""
    add_common(parser)
    if name == "decisions":
        parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write what stands to a CSV")
        parser.add_argument("--in", dest="read", type=Path, metavar="FILE.csv", help="take decisions in from a CSV")
        return
    parser.add_argument("files", nargs="+", metavar="FILE", help="pictures of the set: paths, or unique names")
    if name == "label":
        parser.epilog = "Labels come last, for example: diversity label PICTURES 001.png side=back framing=full_body"
    parser.add_argument("--undo", action="store_true", help=f"take an earlier {name} back")


def run(name: str, options: argparse.Namespace) -> int:
    """Append the decisions, take them back, or list them."""
    dataset = open_dataset(options)
    if not dataset.has("images"):
        raise WorkspaceError("The pictures are not known yet.", "", f"Run `diversity scan {options.pictures}` first.")
    if name == "decisions":
        return _list(options, dataset)
    if name == "label":
        return _label(options, dataset)
    return _undo(name, options, dataset) if options.undo else _pin_or_drop(name, options, dataset)


def _pin_or_drop(name: str, options: argparse.Namespace, dataset: Dataset) -> int:
    from diversity import decisions

    paths = decisions.add(dataset, name, options.files)
    idle = decisions.unusable(dataset, paths) if name == "pin" else {}
    for path, problem in idle.items():
        sys.stderr.write(f"diversity: {path} cannot be used, so pinning it does nothing for now. {problem}\n")
    emit(options, {"what": name, "paths": paths, "unusable": idle}, "\n".join(f"{name}: {path}" for path in paths))
    return 0


def _undo(name: str, options: argparse.Namespace, dataset: Dataset) -> int:
    """Take back what stands, and say of which pictures nothing does."""
    from diversity import decision_lists, decisions

    paths = [decisions.find_picture(dataset, file)["path"] for file in options.files]
    stands = {path for path, what, *_ in decision_lists.standing(dataset).iter_rows() if what == name}
    held = [path for path in paths if path in stands]
    idle = [path for path in paths if path not in stands]
    decisions.add(dataset, name, held, undo=True)
    done, never = {
        "pin": ("no longer pin: {}", "{} was not pinned."),
        "drop": ("no longer drop: {}", "{} was not dropped by hand."),
        "label": ("{}: no label of yours", "{} had no label of yours."),
    }[name]
    said = [*(done.format(path) for path in held), *(never.format(path) for path in idle)]
    emit(options, {"what": f"no longer {name}", "paths": held, "untouched": idle}, "\n".join(said))
    return 0


def _label(options: argparse.Namespace, dataset: Dataset) -> int:
    """Words with "=" whose beginning is an axis are labels, but for pictures that are called so; others pictures."""
    from diversity import decision_lists, decisions, taxonomy

    axes = taxonomy.load(dataset.config.views.taxonomy).axes
    labels = [word for word in options.files if "=" in word and word.partition("=")[0] in axes]
    labels = [word for word in labels if not decisions.is_picture(dataset, word)]
    files = [word for word in options.files if word not in labels]
    if not files or bool(labels) == options.undo:
        todo = "Leave the labels out: --undo takes all of a picture's back." if options.undo and files else USAGE
        raise InputError("There is nothing to label.", f"Axes are {', '.join(axes)}.", todo)
    if options.undo:
        return _undo("label", options, dataset)
    decision_lists.check(dataset, labels)
    for value in labels:
        paths = decisions.add(dataset, "label", files, value=value)
    said = ", ".join(labels)
    emit(options, {"labels": labels, "paths": paths}, "\n".join(f"{path}: {said}" for path in paths))
    return 0


def _list(options: argparse.Namespace, dataset: Dataset) -> int:
    from diversity import decision_lists

    if options.read is None and options.out is None:
        rows = decision_lists.standing(dataset).to_dicts()
        lines = [f"{row['what']:<6} {row['path']}  {row['value']}".rstrip() for row in rows]
        emit(options, rows, "\n".join(lines) or "Nothing was decided by hand.")
        return 0
    done: list[object] = []
    said: list[str] = []
    if options.read is not None:
        taken = decision_lists.read(dataset, options.read)
        done.append(taken)
        said.append(taken.text())
    if options.out is not None:
        written = decision_lists.write(dataset, options.out)
        done.append({"rows": written, "file": options.out})
        said.append(f"{count(written, 'decision')}: {options.out}")
    emit(options, done if len(done) > 1 else done[0], "\n".join(said))
    return 0
