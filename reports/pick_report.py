"""Writes the page of `pick`: one self-contained HTML file from the tables of one sample folder.

Computes nothing beyond counting and formatting; what is said comes from `picks/<name>/`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity.errors import WorkspaceError
from diversity.workspace import atomic
from reports import pick_charts, shell, words
from reports.cards import Book, Shown

if TYPE_CHECKING:
    from diversity.dataset import Dataset

SECTIONS = (
    ("verdict", "Verdict"),
    ("copies", "Copies"),
    ("grid", "Side by side"),
    ("curves", "Over checkpoints"),
    ("set", "For the set"),
    ("numbers", "Numbers"),
    ("pictures", "All samples"),
)
GLOSSARY = {
    "copy": "A sample that can be laid over a training picture, shifted, scaled and re-lit as needed, and then agrees "
    "with it more than different pictures of the set agree with one another.",
    "colours": "Share of the way from the colours of the reference to those of the training set, on prompts that do "
    "not ask for the subject: 0 % is untouched, 100 % is painted in the set's colours. Lightness and chroma, white "
    "cut-outs left out (sliced Wasserstein distance in CIELAB).",
    "variety": "How many different pictures the samples amount to, against the reference at equal prompts and seeds "
    "(ratio of Vendi scores): 100 % is unchanged.",
    "likeness": "Mean likeness to all different training pictures, less the reference's at equal prompts and seeds, as "
    "a share of the best sound checkpoint's. Not likeness to the nearest one: that would reward copying.",
    "nearer": "Chance that a sample lies nearer to a training picture, to the encoder, than training pictures of "
    "different groups lie to one another: 50 % for fresh pictures, 100 % for copies.",
}


def write(dataset: Dataset, name: str, out: Path | None = None) -> Path:
    """Write the page of the sample folder `name`.

    Args:
        dataset: The open training set.
        name: Folder below `picks/` in the workspace.
        out: The file; default `reports/pick-<name>.html` in the workspace.

    Raises:
        WorkspaceError: `pick` has not run, or its tables cannot be read.
    """
    file = out or dataset.folder / "reports" / f"pick-{name}.html"
    with atomic(file) as temporary:
        temporary.write_text(_render(Facts.read(dataset, name)), encoding="utf-8", newline="\n")
    return file


@dataclass
class Facts:
    """The tables of one pick, joined for the page."""

    set_name: str
    samples: list[dict[str, Any]]
    cells: list[dict[str, Any]]
    told: dict[str, Any]
    shown: list[Shown]
    thumbnails: list[bytes]
    by_key: dict[str, Shown]

    @classmethod
    def read(cls, dataset: Dataset, name: str) -> Facts:
        """Read them.

        Raises:
            WorkspaceError: one is missing or cannot be read.
        """
        samples = dataset.read(f"picks/{name}/samples").to_dicts()
        cells = dataset.read(f"picks/{name}/cells").to_dicts()
        try:
            told = json.loads((dataset.folder / "picks" / name / "verdict.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WorkspaceError("The verdict cannot be read.", f"{error}.", "Run `diversity pick` again.") from None
        book = Book()
        pictures = dict(dataset.read(f"picks/{name}/thumbnails").iter_rows())
        for row in samples:
            status = "copy" if row["copy"] else "sample"
            book.add(row["path"], pictures.get(row["content"]), status, _sample_rows(row))
        wanted = {row["source"] for row in samples if row["copy"]} | {k for a in told["advice"] for k in a["keys"]}
        frame = dataset.images.filter(pl.col("key").is_in(sorted(wanted - {None}))).sort("path")
        of_set = dict(
            dataset.read("thumbnails").filter(pl.col("content").is_in(frame["content"].to_list())).iter_rows()
        )
        by_key = {
            row["key"]: book.add(row["path"], of_set.get(row["content"]), "source", {"In the set": row["path"]})
            for row in frame.to_dicts()
        }
        return cls(dataset.root.name, samples, cells, told, book.shown, book.thumbnails, by_key)

    def copies(self) -> list[tuple[Shown, Shown | None, dict[str, Any]]]:
        """(copy, source, row), those that agree most first."""
        found = [
            (shown, self.by_key.get(row["source"]), row)
            for shown, row in zip(self.shown, self.samples, strict=False)
            if row["copy"]
        ]
        return sorted(found, key=lambda item: -item[2]["agreement"])

    def of_keys(self, keys: list[str]) -> list[Shown]:
        """Training pictures by key; those that are gone are left out."""
        return [self.by_key[key] for key in keys if key in self.by_key]

    def columns(self) -> list[tuple[str, float | None]]:
        """(checkpoint, weight) of the samples, in order; an unknown weight is None."""
        keys = {(r["rank"], r["number"], *_column(r)) for r in self.samples}
        ordered = sorted(keys, key=lambda key: (*key[:3], -1.0 if key[3] is None else key[3]))
        return [(label, weight) for _, _, label, weight in ordered]

    def grid(self) -> list[tuple[str, list[list[Shown]]]]:
        """(prompt and seed, samples by column), in the order of the prompts' first appearance."""
        columns = {column: i for i, column in enumerate(self.columns())}
        found: dict[str, list[list[Shown]]] = {}
        for shown, row in zip(self.shown, self.samples, strict=False):
            seed = f" · seed {row['seed']}" if row["seed"] is not None else ""
            line = found.setdefault(f"{row['prompt'] or 'prompt not known'}{seed}", [[] for _ in columns])
            line[columns[_column(row)]].append(shown)
        return list(found.items())

    def one_weight(self) -> bool:
        """Whether all judged samples have one weight."""
        return len({cell["weight"] for cell in self.cells}) <= 1


def _column(row: dict[str, Any]) -> tuple[str, float | None]:
    """Checkpoint and weight of a sample; base pictures are one column."""
    return row["checkpoint"], 0.0 if row["rank"] == 0 else row["weight"]


def _sample_rows(row: dict[str, Any]) -> dict[str, str]:
    known = {
        "Checkpoint": row["checkpoint"],
        "Weight": words.weight_of(row["weight"]),
        "Prompt": row["prompt"] or "",
        "Seed": "" if row["seed"] is None else str(row["seed"]),
        "Asked for": words.plain(row["asked"]).replace("=", " ").replace("_", " "),
        "Shows": words.plain(row["seen"]).replace("=", " ").replace("_", " "),
        "Agrees with a training picture": f"{row['agreement']:.0%}{', mirrored' if row['mirrored'] else ''}",
        "Read as": row["reader"],
        "File": row["path"],
    }
    return {key: value for key, value in known.items() if value}


def _render(facts: Facts) -> str:
    environment = shell.environment()
    environment.filters.update(count=words.count)
    environment.globals.update(words=words, weight=words.weight_of, share=_share, span=_span)
    first = {(row["checkpoint"], row["weight"]): index for index, row in reversed(list(enumerate(facts.samples)))}
    drawn = pick_charts.curves(facts.cells, first) if len(facts.cells) > 1 else {}
    return environment.get_template("pick.html.j2").render(
        facts=facts,
        sections=SECTIONS,
        glossary=GLOSSARY,
        charts=drawn,
        titles=pick_charts.TITLES,
        cards=[shown.card() for shown in facts.shown],
        command=shell.quoted(facts.set_name),
        thumbs=shell.thumbs(facts.thumbnails),
        **shell.frame(drawn, ("report.css", "pick.css")),
    )


def _share(value: float | None) -> str:
    return words.number(value, share=True)


def _span(cell: dict[str, Any], name: str) -> str:
    return words.span(cell[f"{name}_low"], cell[f"{name}_high"], share=True)
