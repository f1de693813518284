"""The sets on which strategies are compared: KayKit and toon long tails, pixel-art walks, any folder; their labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.strategies.truth import Label, read_labels

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
CACHE = ROOT / "benchmarks" / "out" / "strategies"
TOON_SEED, TOON_CHARACTERS = 88, 6  # no character of this seed was in any training set
SHARES = (0.1, 0.2, 0.3)  # budgets of a folder that the user names


@dataclass(frozen=True)
class LabelledSet:
    """One set of pictures.

    Attributes:
        name: As in the results.
        folder: Where the pictures lie.
        labels: Path below `folder` → truth; None: nothing is known.
    """

    name: str
    folder: Path
    labels: Mapping[str, Label] | None


@dataclass(frozen=True)
class Suite:
    """Sets that are judged together.

    Attributes:
        words: What they are.
        sets: Makes or finds them; none where the data is absent.
        budgets: Pictures to keep.
    """

    words: str
    sets: Callable[[], list[LabelledSet]]
    budgets: tuple[int, ...]


def kaykit() -> list[LabelledSet]:
    """Three characters, 126 pictures each, 90 different, heavy in front faces; frames of bursts and made copies."""
    folders = sorted((SHARED / "kaykit_views" / "longtail").glob("*"))
    return [
        LabelledSet(
            folder.name,
            folder,
            read_labels(
                SHARED / "kaykit_views" / "labels.csv",
                ("framing", "view"),
                ("pose", "background"),
                "dup_group",
                under=f"longtail/{folder.name}/",
            ),
        )
        for folder in folders
    ]


def lpc() -> list[LabelledSet]:
    """Twenty-four pixel-art characters: four walks of nine frames each."""
    file = SHARED / "lpc_views" / "labels.csv"
    folders = sorted(folder for folder in (SHARED / "lpc_views").glob("*") if folder.is_dir())
    return [
        LabelledSet(folder.name, folder, read_labels(file, ("view",), (), "burst", under=f"{folder.name}/"))
        for folder in folders
    ]


def toon() -> list[LabelledSet]:
    """The embedded sample set's story with unseen characters: bursts, faces, few backs and shoes, re-saved copies."""
    from benchmarks.strategies.toon_sets import COLUMNS, render

    sets = []
    for number in range(TOON_CHARACTERS):
        folder = CACHE / "pictures" / f"toon-{TOON_SEED}-{number}"
        render(folder, TOON_SEED, number)
        labels = read_labels(folder / "labels.csv", *COLUMNS)
        sets.append(LabelledSet(folder.name, folder / "pictures", labels))
    return sets


SHORT = ("kaykit", "toon")  # what `python -m benchmarks` runs without --full
SUITES: dict[str, Suite] = {
    "kaykit": Suite("KayKit long tails", kaykit, (16, 24, 40)),
    "toon": Suite("toon long tails", toon, (16, 24, 40)),
    "lpc": Suite("pixel-art walks", lpc, (4, 8, 12)),
}


def of_folder(folder: Path, labels: Mapping[str, Label] | None, budgets: Sequence[int]) -> Suite:
    """A suite of the one set in `folder`; its budgets are `SHARES` of its files where none are given."""
    from diversity.config import ScanConfig
    from diversity.ingest import list_sources

    found = tuple(budgets)
    if not found:
        files = len(list_sources(folder, ScanConfig()))
        found = tuple(sorted({max(1, round(share * files)) for share in SHARES}))
    one = LabelledSet(folder.resolve().name, folder, labels)
    return Suite(os.fspath(folder.resolve().name), lambda: [one], found)
