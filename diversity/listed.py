"""Lists that people bring: a CSV as any spreadsheet saves it, and the pictures that its lines name.

Not for what the lines say: that is up to `decision_lists.py` and `views.py`.
"""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path

import polars as pl

from diversity.errors import InputError
from diversity.ingest.text import decode_text

_SEPARATORS = ",;\t"


def read_csv(file: Path) -> pl.DataFrame:
    """The lines of a CSV as text, without empty ones; column names in lower case without spaces around them.

    Separated by commas, semicolons or tabs, whichever the first line has most of; in any common encoding.

    Raises:
        InputError: it cannot be read, or a line has more cells than the first.
    """
    try:
        text = decode_text(file.expanduser().read_bytes())
    except OSError as error:
        raise InputError(f"{file} cannot be read.", f"{error.strerror or error}.", "Give a CSV.") from None
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep="):  # Excel's own line on how it separates
        text, first = rest, rest.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    try:
        lines = [line for line in csv.reader(io.StringIO(text), delimiter=separator) if any(map(str.strip, line))]
    except csv.Error as error:
        raise InputError(f"{file} cannot be read.", f"{error}.", "Give a CSV.") from None
    names = [name.strip().lower() for name in lines[0]] if lines else []
    if not names or len(set(names)) < len(names):
        why = "It is empty." if not names else "Two of its columns have the same name."
        raise InputError(f"{file} cannot be read.", why, "Give a CSV with a line of column names.")
    for line in lines[1:]:
        if any(cell.strip() for cell in line[len(names) :]):
            said = separator.join(line)
            raise InputError(
                f"A line of {file} has more cells than there are columns: {said}.",
                f"There are {', '.join(names)}.",
                'Put names that hold a separator between quotes, "like this".',
            )
    full = [[cell or None for cell in (line + [""] * len(names))[: len(names)]] for line in lines[1:]]
    return pl.DataFrame(full, schema=dict.fromkeys(names, pl.String), orient="row")


class Finder:
    """The pictures that lines name.

    Args:
        paths: Of the set, relative to its folder.
        root: That folder; None: absolute paths are not understood.
    """

    def __init__(self, paths: list[str], root: Path | None = None) -> None:
        self._paths, self._root = set(paths), root
        self._by_name: dict[str, list[str]] = {}
        for path in paths:
            self._by_name.setdefault(path.rpartition("/")[2], []).append(path)

    def path(self, text: str, *, by_name: bool = False) -> str | None:
        """The path in the set of what `text` names: a path below the folder, or on disk; None where there is none.

        Args:
            text: With slashes of any system, and spaces around it.
            by_name: Whether a bare file name stands for the only picture that is called so.
        """
        for spelt in dict.fromkeys((text, text.strip(), text.strip().replace("\\", "/"))):
            for path in (spelt, spelt.removeprefix("./"), self._below_root(spelt)):
                if path in self._paths:
                    return path
            named = self._by_name.get(spelt, [])
            if by_name and len(named) == 1:
                return named[0]
        return None

    def _below_root(self, text: str) -> str | None:
        """An absolute path as one below the folder, as it is written or as links lead."""
        if self._root is None:
            return None
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # too long, an unknown home, not below it
            path = Path(text).expanduser()
            if path.is_absolute():
                below = path if path.is_relative_to(self._root) else path.resolve()
                return below.relative_to(self._root).as_posix()
        return None
