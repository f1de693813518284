"""The tables of one evaluation, joined for its page: cards, pairs, grids, palettes, views.

Not for layout (`run_report.py`) or words (`run_words.py`). Computes nothing beyond counting and looking up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reports import run_words, words
from reports.cards import Book, Shown
from training.evaluate.stored import Stored
from training.evaluate.views import FACE

Row = Mapping[str, Any]
COLUMNS = 7  # weights that a grid shows


@dataclass
class RunFacts:
    """One evaluation.

    Attributes:
        stored: As it lies on disk.
        rows: Its scores, each with its settings as `at`.
        shown: Cards: the samples in order, then the real pictures beside them.
        thumbnails: JPEGs of the cards.
        samples: Rows of the samples.
    """

    stored: Stored
    rows: list[dict[str, Any]]
    shown: list[Shown]
    thumbnails: list[bytes]
    samples: list[dict[str, Any]]
    real: dict[str, Shown] = field(repr=False)

    @classmethod
    def of(cls, stored: Stored) -> RunFacts:
        """Join its tables."""
        rows = [{**row, "at": json.loads(row["settings"])} for row in stored.scores.to_dicts()]
        samples, book = stored.samples.to_dicts(), Book()
        names = dict(stored.real.select("content", "name").iter_rows())
        for number, row in enumerate(samples):
            name = f"sample {number + 1}"
            book.add(name, row["jpeg"], "copy" if row["copy"] else "sample", _sample_rows(row, names))
        wanted = {row["source"] for row in samples if row["source"] is not None}
        real: dict[str, Shown] = {}
        for row in stored.real.to_dicts():
            if row["content"] in wanted and row["content"] not in real:
                said = {"In the set": row["name"], "View": run_words.view(row["view"]), "Caption": row["caption"]}
                known = {key: value for key, value in said.items() if value}
                real[row["content"]] = book.add(row["name"], row["jpeg"], "source", known)
        return cls(stored, rows, book.shown, book.thumbnails, samples, real)

    @property
    def said(self) -> dict[str, Any]:
        """What evaluation.json holds."""
        return self.stored.said

    @property
    def title(self) -> str:
        """Name of the set that it was trained on."""
        return Path(str(self.said.get("pictures") or self.stored.name)).name

    @property
    def short(self) -> str:
        """What it is called among others: its selection's name where that is not the default one, else the set's."""
        selection = (self.said.get("record") or {}).get("selection")
        return self.title if selection in (None, "default") else str(selection)

    @property
    def weights(self) -> list[float]:
        """LoRA weights that subject prompts were drawn at, the base's 0 first."""
        found = {row["weight"] for row in self.samples if row["kind"] == "subject" and not row["bare"]}
        return sorted(found)

    def score(self, measure: str, **at: object) -> dict[str, Any] | None:
        """The first row of a measure whose settings agree."""
        return next(iter(self.scores(measure, **at)), None)

    def scores(self, measure: str, **at: object) -> list[dict[str, Any]]:
        """All rows of a measure whose settings agree."""
        return [
            row
            for row in self.rows
            if row["measure"] == measure and all(row["at"].get(key) == value for key, value in at.items())
        ]

    def pairs(self) -> list[tuple[Shown, Shown, Row]]:
        """(sample, its nearest real picture, row), copies first, then the most alike."""
        found = [
            (shown, self.real[row["source"]], row)
            for shown, row in zip(self.shown, self.samples, strict=False)
            if row["source"] in self.real
        ]
        return sorted(found, key=lambda one: (not one[2]["copy"], -(one[2]["similarity"] or 0)))

    def copied(self) -> int:
        """How many samples are copies."""
        return sum(bool(row["copy"]) for row in self.samples)

    def grid(self, kind: str, *, by: str = "weight") -> tuple[list[float], list[tuple[str, list[Shown | None]]]]:
        """(columns, rows of (prompt and seed, sample per column)): a kind of prompt over LoRA or keyword weights.

        Seeds that were drawn at some weights only are left out where others were drawn at all of them.
        """
        main = max(self.weights, default=1.0)
        mine = [
            (shown, row)
            for shown, row in zip(self.shown, self.samples, strict=False)
            if row["kind"] == kind
            and not row["bare"]
            and (row["keyword_weight"] == 1 if by == "weight" else row["weight"] == main)
        ]
        columns, trigger = sorted({row[by] for _, row in mine})[:COLUMNS], str(self.said.get("trigger") or "")
        lines: dict[str, list[Shown | None]] = {}
        for shown, row in mine:
            if row[by] in columns:
                label = f"{_plain(row, trigger)} · seed {row['seed']}"
                lines.setdefault(label, [None] * len(columns))[columns.index(row[by])] = shown
        full = [(label, line) for label, line in lines.items() if None not in line]
        some = [(label, line) for label, line in lines.items() if sum(one is not None for one in line) > 1]
        return columns, full if len(columns) > 1 and full else some

    def views(self) -> list[dict[str, Any]]:
        """Per view: training pictures, likeness at every weight, gained, holds from."""
        counts: dict[str, int] = {}
        for row in self.stored.real.to_dicts():
            if row["role"] == "train" and row["view"]:
                counts[row["view"]] = counts.get(row["view"], 0) + 1
        found = []
        for view in dict.fromkeys(row["at"]["view"] for row in self.scores("fidelity")):
            whole = view.removesuffix(f"/{FACE}")
            inside = sum(n for own, n in counts.items() if own == whole or own.startswith(f"{whole}/"))
            found.append(
                {
                    "view": run_words.view(view),
                    "pictures": inside,
                    "to": self.scores("fidelity", view=view)[0]["at"]["to"],
                    "by_weight": {row["at"]["weight"]: row for row in self.scores("fidelity", view=view)},
                    "gain": self.score("fidelity.gain", view=view),
                    "holds": self.score("fidelity.holds", view=view),
                }
            )
        return found

    def palettes(self) -> list[tuple[str, list[tuple[str, float]]]]:
        """(whose, [(colour, share)]): the set's, then unrelated prompts' from the base to the highest weight."""
        found: dict[tuple[str, float], list[tuple[str, float]]] = {}
        for of, weight, _, colour, share in self.stored.palettes.iter_rows():
            found.setdefault((of, weight), []).append((colour, share))
        titles = {"set": "the training pictures"}
        return [
            (titles.get(of) or ("the base" if weight == 0 else f"weight {weight:g}"), colours)
            for (of, weight), colours in found.items()
        ]

    def richness(self) -> dict[str, Any] | None:
        """How many different pictures the set acts like."""
        return self.score("richness.effective_rank")


def _plain(row: Row, trigger: str) -> str:
    """The prompt without its keyword weight, so that those of one row share a label."""
    return str(row["prompt"]).replace(f"({trigger}:{row['keyword_weight']:g})", trigger, 1)


def _sample_rows(row: Row, names: Mapping[str, str]) -> dict[str, str]:
    shows = json.loads(row["shows"]) if row["shows"] else {}
    known = {
        "Prompt": row["prompt"],
        "Seed": str(row["seed"]),
        "LoRA weight": "0, the base" if row["weight"] == 0 else f"{row['weight']:g}",
        "Keyword weight": "" if row["keyword_weight"] == 1 else f"{row['keyword_weight']:g}",
        "Judges see": words.plain(shows).replace("_", " ") if shows else "",
        "Nearest real picture": names.get(row["source"], "") if row["source"] else "",
        "Alike": "" if row["similarity"] is None else words.number(row["similarity"], share=True),
        "Agrees when laid over it": ""
        if row["agreement"] is None
        else f"{words.number(row['agreement'], share=True)}{', mirrored' if row['mirrored'] else ''}",
        "Copy": "yes" if row["copy"] else "",
    }
    return {key: str(value) for key, value in known.items() if value}


def best(rows: Sequence[Row]) -> Row | None:
    """The row at the highest weight."""
    return max(rows, key=lambda row: row["at"].get("weight", 0), default=None)
