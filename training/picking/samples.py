"""Reads a folder of sample pictures: which checkpoint, weight, prompt and seed made each.

Not for looking at the pictures. What is asked in order: a `samples.parquet` of our own runs, what the file says of
itself, its name, a prompt list beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from diversity.config import ScanConfig
from diversity.errors import InputError
from diversity.ingest import list_sources
from diversity.ingest.source import Source
from training.picking import metadata, names, prompts

TABLE = "samples.parquet"
COLUMNS = {"prompt_index": "index", "prompt": "prompt", "seed": "seed", "weight": "weight", "lora": "lora"}


@dataclass(frozen=True)
class Sample:
    """One sample picture.

    Attributes:
        source: The file.
        reader: How it was read: "kohya", "ComfyUI", ..., "" where nothing is known of it.
        step: Optimiser step; None: not known.
        epoch: Where epochs are counted instead.
        lora: File name of the LoRA, where told.
        weight: LoRA weight; None: not told.
        prompt: None: not known.
        index: Number of the prompt in its list.
        seed: None: not known.
        made: When, sortable; "" where not told.
    """

    source: Source
    reader: str = ""
    step: int | None = None
    epoch: int | None = None
    lora: str | None = None
    weight: float | None = None
    prompt: str | None = None
    index: int | None = None
    seed: int | None = None
    made: str = ""

    @property
    def path(self) -> str:
        """Relative to the samples' folder."""
        return self.source.path

    @property
    def at(self) -> tuple[int, int, str]:
        """Its checkpoint as a key that sorts: base pictures (weight 0 or step 0), epochs, steps, a final file."""
        if self.weight == 0 or self.step == 0:
            return (0, 0, "base")
        if self.epoch is not None and self.step is None:
            return (1, self.epoch, f"epoch {self.epoch:,}")
        if self.step is not None:
            return (2, self.step, f"step {self.step:,}")
        return (3, 0, PurePosixPath(self.lora.replace("\\", "/")).stem if self.lora else "the final checkpoint")

    @property
    def asked(self) -> str:
        """What identifies its prompt: the text, else its number."""
        return self.prompt if self.prompt is not None else f"#{self.index}" if self.index is not None else ""


@dataclass(frozen=True)
class Samples:
    """A folder of samples.

    Attributes:
        folder: Where they lie.
        samples: Those that were understood, ordered by checkpoint, weight, prompt, seed, path.
        unknown: Files of which nothing is known.
        readers: Reader → number of pictures.
        notes: What had to be assumed, in sentences.
        asked: The prompt list that was found, in order; empty where there is none.
    """

    folder: Path
    samples: tuple[Sample, ...]
    unknown: tuple[str, ...]
    readers: dict[str, int]
    notes: tuple[str, ...]
    asked: tuple[prompts.Asked, ...]


def read(folder: Path, config: ScanConfig, prompt_file: Path | None = None) -> Samples:
    """Read every picture below `folder`.

    Args:
        folder: Of samples; kohya's "sample", ai-toolkit's and OneTrainer's "samples", ComfyUI's output, a run's folder.
        config: For listing files.
        prompt_file: A prompt list; None: looked for beside the samples.

    Raises:
        InputError: not a folder, no picture in it, or nothing is known of any.
    """
    sources = list_sources(folder, config)
    if not sources:
        raise InputError(f"There is no picture in {folder}.", "", "Give the folder that the samples were written to.")
    listed = prompt_file or prompts.find(folder)
    asked = tuple(prompts.read(listed)) if listed else ()
    table = _table(folder)
    homes = {path.rpartition("/")[0] for path in table}
    sources = [s for s in sources if s.path in table or s.path.rpartition("/")[0] not in homes]  # without our grids
    found = [_read(source, table.get(source.path), asked) for source in sources]
    known = [sample for sample in found if sample.reader]
    if not known:
        raise InputError(
            f"No file of {folder} says which checkpoint or weight it was made with.",
            f"For example {found[0].path}.",
            "Name them like step500_w0.8_seed1.png, or use a trainer's own sample folder.",
        )
    if all(sample.weight is None for sample in known):
        notes: tuple[str, ...] = ("The LoRA weight is not told: these samples are taken as made at weight 1.",)
    elif any(sample.weight is None for sample in known):
        notes = ("Samples that do not tell their LoRA weight are taken as made at weight 1.",)
    else:
        notes = ()
    known = [s if s.weight is not None else replace(s, weight=0.0 if s.step == 0 else 1.0) for s in known]
    known.sort(key=lambda s: (s.at, s.weight or 0.0, s.asked, s.seed if s.seed is not None else -1, s.made, s.path))
    return Samples(
        folder,
        tuple(_latest(known)),
        tuple(sample.path for sample in found if not sample.reader),
        dict(Counter(sample.reader for sample in known)),
        notes,
        asked,
    )


def _read(source: Source, row: dict[str, Any] | None, asked: Sequence[prompts.Asked]) -> Sample:
    named = names.parse(source.path)
    told = metadata.read(source.location) if source.offset is None else None
    sample = Sample(source)
    if named is not None:
        sample = replace(sample, **vars(named))
    if told is not None:
        step, epoch = names.checkpoint(told.lora) if told.lora else (None, None)
        given = {**vars(told), "step": step, "epoch": epoch}
        sample = replace(sample, **{key: value for key, value in given.items() if value is not None})
    if row is not None:
        sample = replace(sample, reader=metadata.OURS, **row)
    if sample.reader and sample.index is not None and sample.index < len(asked):
        line = asked[sample.index]
        sample = replace(
            sample,
            prompt=line.prompt if sample.prompt is None or sample.reader == "OneTrainer" else sample.prompt,
            seed=line.seed if sample.seed is None else sample.seed,
            weight=line.weight if sample.weight is None else sample.weight,
        )
    if sample.reader and sample.prompt is None and source.caption:
        sample = replace(sample, prompt=source.caption)
    return sample


def _latest(samples: Sequence[Sample]) -> list[Sample]:
    """Of samples with equal checkpoint, weight, prompt and *known* seed, the last one made: a repeated run."""
    kept: dict[object, Sample] = {}
    for sample in samples:
        identity = (sample.at, sample.weight, sample.asked, sample.seed)
        kept[identity if sample.seed is not None and sample.asked else sample.path] = sample
    return list(kept.values())


def _table(folder: Path) -> dict[str, dict[str, Any]]:
    """Rows of the `samples.parquet` of our own runs below `folder`: path relative to `folder` → what it says."""
    import polars as pl

    rows: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.rglob(TABLE)):
        try:
            frame = pl.read_parquet(file)
        except (OSError, pl.exceptions.PolarsError):
            continue
        if "file" not in frame.columns:
            continue
        wanted = [column for column in COLUMNS if column in frame.columns]
        for row in frame.select("file", *wanted).to_dicts():
            path = PurePosixPath(file.parent.relative_to(folder).as_posix()) / row.pop("file")
            rows[str(path)] = {COLUMNS[key]: value for key, value in row.items() if value not in (None, "")}
    return rows
