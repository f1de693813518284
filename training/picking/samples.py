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
from training.picking import loras, metadata, names, prompts, timeline

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
        run: Name of the run that it is of; "" where not told.
        label: Short name that stands for its prompt.
        cut: Whether `prompt` may be its beginning only.
        unread: A LoRA is on whose strength cannot be read: `weight` None is then unknown, not the trainer's 1.
        steps: Its epoch in steps, where checkpoints by epoch and by step have to be ordered together.
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
    run: str = ""
    label: str | None = None
    cut: bool = False
    unread: bool = False
    steps: int | None = None

    @property
    def path(self) -> str:
        """Relative to the samples' folder."""
        return self.source.path

    @property
    def at(self) -> tuple[int, int, str]:
        """Its checkpoint as a key that sorts: base pictures (weight, step or epoch 0), epochs, steps, a final file."""
        if self.weight == 0 or (self.step if self.step is not None else self.epoch) == 0:
            return (0, 0, "base")
        if self.epoch is not None and self.step is None:
            label = f"epoch {self.epoch:,}"
            return (1, self.epoch, label) if self.steps is None else (2, self.steps, label)
        if self.step is not None:
            return (2, self.step, f"step {self.step:,}")
        return (3, 0, PurePosixPath(self.lora.replace("\\", "/")).stem if self.lora else "the final checkpoint")

    @property
    def asked(self) -> str:
        """What identifies its prompt: the text, else its short name or number; "" where nothing does."""
        if self.prompt is not None:
            return self.prompt
        return self.label or (f"#{self.index}" if self.index is not None else "")


@dataclass(frozen=True)
class Samples:
    """A folder of samples.

    Attributes:
        folder: Where they lie.
        samples: Those that were understood, ordered by checkpoint, weight, prompt, seed, path.
        unknown: Files of which nothing is known.
        readers: Reader → number of pictures.
        notes: What had to be assumed, in sentences.
        trigger: The subject's word, where an ai-toolkit job beside the samples tells it.
    """

    folder: Path
    samples: tuple[Sample, ...]
    unknown: tuple[str, ...]
    readers: dict[str, int]
    notes: tuple[str, ...]
    trigger: str | None = None


def read(folder: Path, config: ScanConfig, prompt_file: Path | None = None, run: str | None = None) -> Samples:
    """Read every picture below `folder`.

    Args:
        folder: Of samples; kohya's "sample", ai-toolkit's and OneTrainer's "samples", ComfyUI's output, a run's folder.
        config: For listing files.
        prompt_file: A prompt list; None: looked for beside the samples.
        run: Name of the run to judge, where there are several.

    Raises:
        InputError: not a folder, no picture in it, nothing is known of any, or the prompt list or run is not there.
    """
    sources = list_sources(folder, config)
    if not sources:
        raise InputError(f"There is no picture in {folder}.", "", "Give the folder that the samples were written to.")
    asked, trigger, notes = _asked(folder, prompt_file)
    table = _table(folder)
    homes = {path.rpartition("/")[0] for path in table}
    sources = [s for s in sources if s.path in table or s.path.rpartition("/")[0] not in homes]  # without our grids
    told = [metadata.read(source.location) if source.offset is None else None for source in sources]
    common = loras.background([said.worn for said in told if said is not None])
    found = [
        _read(source, (said, common), table.get(source.path), asked) for source, said in zip(sources, told, strict=True)
    ]
    known = [sample for sample in found if sample.reader]
    if not known:
        raise InputError(
            f"No file of {folder} says which checkpoint or weight it was made with.",
            f"For example {found[0].path}.",
            "Name them like step500_w0.8_seed1.png, or use a trainer's own sample folder.",
        )
    known, of_runs = timeline.one_run(known, run)
    notes += [*of_runs, *_about_weights(known, common)]
    known = [s if s.weight is not None or s.unread else replace(s, weight=float(s.at[0] != 0)) for s in known]
    known, of_order = timeline.ordered(known)
    known.sort(key=_order)
    return Samples(
        folder,
        tuple(_latest(known)),
        tuple(sample.path for sample in found if not sample.reader),
        dict(Counter(sample.reader for sample in known)),
        (*notes, *of_order),
        trigger,
    )


def _order(sample: Sample) -> tuple[object, ...]:
    weight = -1.0 if sample.weight is None else sample.weight
    return (sample.at, weight, sample.asked, -1 if sample.seed is None else sample.seed, sample.made, sample.path)


def _asked(folder: Path, prompt_file: Path | None) -> tuple[list[prompts.Asked], str | None, list[str]]:
    """Prompts, the trigger that is told with them, and notes; a list that nobody named may hold something else."""
    if prompt_file is not None:
        return prompts.read(prompt_file), prompts.trigger_word(prompt_file), []
    beside = prompts.find(folder)
    if beside is None:
        return [], None, []
    try:
        return prompts.read(beside), prompts.trigger_word(beside), []
    except InputError as error:
        return [], None, [f"{beside.name} beside the samples is not used: {error.what}"]


def _about_weights(samples: Sequence[Sample], common: frozenset[str]) -> list[str]:
    """What had to be assumed of the LoRAs."""
    found = []
    silent = [sample for sample in samples if sample.weight is None and not sample.unread and sample.at[0]]
    if silent and len(silent) == sum(sample.at[0] != 0 for sample in samples):
        found.append("The LoRA weight is not told: these samples are taken as made at weight 1.")
    elif silent:
        found.append("Samples that do not tell their LoRA weight are taken as made at weight 1.")
    unread = sum(sample.weight is None and sample.unread for sample in samples)
    if unread:
        found.append(
            f"Of {unread} samples the strength of the LoRA cannot be read (a link, a stack, a loader that is not "
            "known): they are judged apart, as of unknown weight."
        )
    if common:
        always = ", ".join(sorted(common))
        found.append(f"{always}: on in every picture with a LoRA, at one weight; taken as part of the base.")
    return found


def _read(
    source: Source,
    said: tuple[metadata.Told | None, frozenset[str]],
    row: dict[str, Any] | None,
    asked: Sequence[prompts.Asked],
) -> Sample:
    """One sample: the name, then what the file says, then the table, then the prompt list."""
    named = names.parse(source.path)
    sample = Sample(source)
    if named is not None:
        sample = replace(sample, **vars(named))
    told, common = said
    if told is not None:
        sample = replace(sample, **{key: value for key, value in _told(told, common).items() if value is not None})
    if row is not None:
        sample = replace(sample, reader=metadata.OURS, **row)
    line = _line(sample, asked) if sample.reader else None
    if line is not None:
        listed = sample.prompt is None or sample.reader == "OneTrainer"
        sample = replace(
            sample,
            prompt=line.prompt if listed else sample.prompt,
            cut=sample.cut and not listed,
            seed=line.seed if sample.seed is None else sample.seed,
            weight=line.weight if sample.weight is None else sample.weight,
        )
    if sample.reader and sample.prompt is None and source.caption:
        sample = replace(sample, prompt=source.caption)
    return sample


def _told(said: metadata.Told, common: frozenset[str]) -> dict[str, Any]:
    """What a file says of itself, as fields of a sample."""
    worn = loras.under_test(said.worn, common)
    step, epoch = names.checkpoint(worn.name) if worn.name else (None, None)
    own = {"reader": said.reader, "prompt": said.prompt, "seed": said.seed, "lora": worn.name, "weight": worn.weight}
    run = names.run_of(worn.name) if worn.name else ""
    return {**own, "step": step, "epoch": epoch, "run": run or None, "unread": worn.weight is None}


def _line(sample: Sample, asked: Sequence[prompts.Asked]) -> prompts.Asked | None:
    """The line of the prompt list that a sample is of: by its short name, else by its number."""
    if sample.label is not None:
        return next((line for line in asked if line.label == sample.label), None)
    return asked[sample.index] if sample.index is not None and sample.index < len(asked) else None


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
