"""The `diversity` command: parses, calls, prints; no logic, and no heavy import before a command runs.

Rooms add commands by the entry point group `diversity.commands`; each names a `Command`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

from diversity import __version__
from diversity.errors import DiversityError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# name → (module under diversity.commands, one line of help)
BUILT_IN = {
    "curate": ("curate", "all stages: scan, find copies, label views, score, select, export, report"),
    "scan": ("stage", "read, measure and encode the pictures"),
    "dedup": ("stage", "find copies and variants"),
    "views": ("stage", "label framing and side, find rare and missing views"),
    "score": ("score", "measure richness; --against POOL for coverage of another set"),
    "select": ("stage", "choose and weight pictures"),
    "export": ("stage", "write the selection for trainers"),
    "report": ("report", "write the HTML page: of a set, of an evaluated run, of --runs side by side"),
    "search": ("search", "find pictures by words or by another picture"),
    "explain": ("explain", "everything known about one picture, and why it was kept or dropped"),
    "trainer": ("trainer", "what a trainer will see: enlarged, cut off, short of a batch"),
    "subject": ("subject", "pictures of somebody else, or of several, listed first"),
    "pin": ("decide", "always keep these pictures"),
    "drop": ("decide", "never keep these pictures"),
    "label": ("decide", "say what pictures show: axis=label, for example side=back"),
    "decisions": ("decide", "list decisions made by hand, write them to a CSV, take them in from one"),
    "diff": ("diff", "what came, went and changed between two states, and what it did to richness"),
    "doctor": ("doctor", "what this computer has, and what each missing piece costs"),
    "demo": ("demo", "the main job on the embedded sample set, in ./diversity-demo/"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code: 0 fine, 1 a check failed, 2 a user's error."""
    for stream in (sys.stdout, sys.stderr):  # names that a console cannot show are escaped, not fatal
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(overview())
        return 0
    if words[0] in ("-V", "--version"):
        sys.stdout.write(f"diversity {__version__}\n")
        return 0
    try:
        return _dispatch(words[0], words[1:])
    except DiversityError as error:
        sys.stderr.write(f"diversity: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("diversity: interrupted; what was finished is kept, run the same command to go on.\n")
        return 130


def overview() -> str:
    """The text of `diversity --help`."""
    rows = {name: help_line for name, (_, help_line) in BUILT_IN.items()} | _offered()
    lines = [f"  {name:<10} {text}" for name, text in rows.items()]
    return (
        "usage: diversity COMMAND …\n\n"
        "Finds what a set of training pictures really contains: copies, rare and missing views, how rich it is;\n"
        "selects and weights what to train on.\n\ncommands:\n"
        + "\n".join(lines)
        + "\n\n  diversity COMMAND --help   options of one command\n  diversity --version\n"
    )


def _offered() -> dict[str, str]:
    """Commands of other rooms, with the first line of their module's docstring after its colon."""
    from importlib.metadata import entry_points

    points = sorted(entry_points(group="diversity.commands"), key=lambda point: point.name)
    return {point.name: _first_line(point).partition(": ")[2].rstrip(".") for point in points}


def _first_line(point: EntryPoint) -> str:
    try:
        return (point.load().__doc__ or "").partition("\n")[0]
    except ImportError:  # a command whose own packages are not installed does not stop the others
        return ""


def _dispatch(name: str, words: list[str]) -> int:
    if name in BUILT_IN:
        module, help_line = BUILT_IN[name]
        command = import_module(f"diversity.commands.{module}")
    else:
        from importlib.metadata import entry_points

        found = list(entry_points(group="diversity.commands", name=name))
        if not found:
            return _unknown(name)
        command, help_line = found[0].load(), ""
    parser = _Parser(prog=f"diversity {name}", description=help_line or None)
    command.arguments(parser, name)
    options = parser.parse_args(words)
    code: int = command.run(name, options)
    return code


def _unknown(name: str) -> int:
    import difflib

    near = difflib.get_close_matches(name, BUILT_IN, 1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    sys.stderr.write(f"diversity: there is no command '{name}'.{hint} `diversity --help` lists them.\n")
    return 2


class _Parser(argparse.ArgumentParser):
    """argparse that speaks like the rest of the tool."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See `{self.prog} --help`.\n")


if __name__ == "__main__":
    sys.exit(main())
