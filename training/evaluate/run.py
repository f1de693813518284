"""`diversity evaluate` from end to end: a run or a LoRA file in, measured, judged in words, written.

Not for measuring (`lora.py`) or for the page (`reports.run_report`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diversity.errors import InputError, WorkspaceError
from diversity.sizes import Faces
from training import base as bases
from training import judges, lora, runs
from training.config import TrainConfig
from training.evaluate import apart, features, prompts, sources, store
from training.evaluate.blended import concepts
from training.evaluate.lora import Evaluation, Tools, evaluate_lora, loss_gaps
from training.evaluate.loss_gap import Advice, LossGap, advise
from training.evaluate.rows import Rows
from training.evaluate.sets import EvaluationSets
from training.evaluate.settings import EvaluateSettings
from training.evaluate.sources import Found
from training.evaluate.tagger import Tagger
from training.evaluate.verdict import Verdict, judge

if TYPE_CHECKING:
    from diversity.dataset import Dataset
    from diversity.progress import Progress
    from training.base import Base
    from training.judges import Judges
    from training.runs import Run

TESTED = "evaluated"  # name of the adapter under test
HELD_OUT = "held_out"  # name of a run's held-out set


@dataclass(frozen=True)
class Options:
    """What an evaluation was asked for.

    Attributes:
        settings: How much is measured.
        base: As `training.base.load` takes it; None: the run's own.
        prompts: A TOML file of prompts; None: the embedded ones.
        trigger: The subject's word; None: the run's, or from the captions.
        second: The word of a second character in the same LoRA; None: from kohya's folders, if they name two.
        class_word: Stands in the trigger's place where it is left out.
        copies: A copy detector: a TorchScript file (SSCD), or a folder (DINOv2).
        tagger: A tagger: a folder with model.onnx and selected_tags.csv, or that model; None: none.
        held_out: A folder of pictures that were not trained on; None: those that the run held out, if any.
        device, dtype, allow_download: See `training.base.load`.
    """

    settings: EvaluateSettings = field(default_factory=EvaluateSettings)
    base: str | None = None
    prompts: Path | None = None
    trigger: str | None = None
    second: str | None = None
    class_word: str = ""
    copies: Path | None = None
    tagger: Path | None = None
    held_out: Path | None = None
    device: str = "auto"
    dtype: str = "float32"
    allow_download: bool = False


@dataclass(frozen=True)
class Evaluated:
    """The answer, for a terminal or as JSON.

    Attributes:
        lora: Its file.
        folder: The tables.
        state, headline, use, evidence, data: Of the verdict.
        checkpoints: step → log ratio of LoRA to base loss on trained and held-out pictures, and the gap.
        notes: What could not be measured.
        scores: The rows of `scores.parquet`.
        page: The HTML page, where one was written.
    """

    lora: str
    folder: str
    state: str
    headline: str
    use: str
    evidence: tuple[dict[str, str], ...]
    data: tuple[str, ...]
    checkpoints: dict[str, dict[str, float]]
    notes: tuple[str, ...]
    scores: list[dict[str, Any]]
    page: str | None = None

    def text(self) -> str:
        """For a terminal."""
        marks = {"bad": "✗", "good": "✓", "open": "·"}
        lines = [" ".join(part for part in (self.headline, self.use) if part), ""]
        lines += [f" {marks[one['state']]} {one['text']}" for one in self.evidence]
        for title, rows in (("In the pictures, before any setting:", self.data), ("Not told:", self.notes)):
            if rows:
                lines += ["", title, *(f"  - {row}" for row in rows)]
        lines += ["", f"tables {self.folder}", *([f"page   {self.page}"] if self.page else [])]
        return "\n".join(lines)


def evaluate_run(run: Run, options: Options, progress: Progress) -> Evaluated:
    """Evaluate a run's LoRA on the pictures that its record says were trained on and held out.

    Raises:
        DiversityError: the run, its set or the base cannot be used.
    """
    if not run.lora.is_file():
        raise WorkspaceError(f"{run.id} has no LoRA yet.", f"There is no {run.lora.name} in it.", "Let it finish.")
    base = base_of(options, options.base or run.record.get("base", {}).get("name"), run.id)
    found = sources.of_run(run, base)
    if options.held_out is not None:
        config = TrainConfig.of(run.record.get("settings", {}))
        found = apart.with_folder(found, options.held_out, base, config, progress)
    side = run.record.get("settings", {}).get("resolution")
    settings = options.settings
    if side and settings.size is None:
        settings = settings.model_copy(update={"size": (side, side)})
    sets, tools = _prepared(found, base, options, progress)
    adapter = lora.load(base, run.lora, name=TESTED)
    evaluation = evaluate_lora(base, adapter, sets, settings, tools)
    gaps = _checkpoints(run, base, (sets, settings, tools)) if sets.held_out else {}
    about: dict[str, object] = {"run": run.id, "record": _record(run), "held_out": _place(options)}
    return _stored(
        run.folder / store.FOLDER, (run.lora, base, settings), (evaluation, sets, found), gaps, (tools, about)
    )


def evaluate_file(file: Path, dataset: Dataset, options: Options, progress: Progress) -> Evaluated:
    """Evaluate a LoRA of any trainer.

    Which of the pictures it never saw is not known: without a folder of them, what needs that is left out.

    Raises:
        DiversityError: the file, the set or the base cannot be used.
    """
    base = base_of(options, options.base, file.name)
    adapter = lora.load(base, file, name=TESTED)
    found = sources.of_pictures(dataset, base, options.trigger, progress, losses=options.held_out is not None)
    if options.held_out is not None:
        found = apart.with_folder(found, options.held_out, base, TrainConfig(), progress)
    sets, tools = _prepared(found, base, options, progress)
    evaluation = evaluate_lora(base, adapter, sets, options.settings, tools)
    folder = dataset.folder / "evaluations" / name_of(file)
    return _stored(
        folder,
        (file, base, options.settings),
        (evaluation, sets, found),
        {},
        (tools, {"run": None, "held_out": _place(options)}),
    )


def name_of(file: Path) -> str:
    """Name of the tables of one LoRA file: stable, and different for different files."""
    path = file.expanduser().resolve()
    slug = re.sub(r"[^\w-]+", "-", path.stem).strip("-")[:40]
    return f"{slug}-{hashlib.blake2b(str(path).encode(), digest_size=3).hexdigest()}"


def _place(options: Options) -> str | None:
    """Where the held-out pictures came from; None: from the run's own record."""
    return None if options.held_out is None else str(options.held_out.expanduser().resolve())


def base_of(options: Options, name: str | None, of: str) -> Base:
    """The base model to evaluate on.

    Raises:
        InputError: none is known.
        BaseModelError: it cannot be loaded.
    """
    if name is None:
        raise InputError(f"Which base {of} is for is not known.", "", "Name one with --base.")
    return bases.load(name, device=options.device, dtype=options.dtype, allow_download=options.allow_download)


def _prepared(found: Found, base: Base, options: Options, progress: Progress) -> tuple[EvaluationSets, Tools]:
    """Sets with prompts, and what sees the pictures; judges only for the world they know."""
    for note in found.notes:
        progress.note(note)
    court = _judges(base)
    looks = {} if court is None else sources.looks(found.train, court)
    bank = prompts.read(options.prompts, toon=base.name == "toon" or court is not None)
    trigger, words = _words(found, options)
    if words:
        progress.note(f"Two characters: “{words[0]}” and “{words[1]}”; all but their blend is told for “{trigger}”.")
    wanted = prompts.prompts(bank, trigger, found.train.captions, class_word=options.class_word, looks=looks)
    held_out = {} if found.held_out is None else {HELD_OUT: found.held_out}
    face_model = found.dataset.config.trainer.face_model
    tools = Tools(
        features=features.in_use(found.dataset.config.encoder),
        copies=None if options.copies is None else features.from_file(options.copies, device=base.device),
        judges=court,
        tagger=None if options.tagger is None else Tagger(options.tagger),
        faces=None if face_model is None else Faces(face_model),
        cache=found.dataset.folder / "cache" / "evaluation",
        progress=progress,
    )
    return EvaluationSets(found.train, held_out, None, wanted, trigger, words), tools


def _words(found: Found, options: Options) -> tuple[str, tuple[str, ...]]:
    """The subject's word, and the words of two characters where it is two.

    Raises:
        InputError: a second word without a first one.
    """
    trigger = found.trigger if options.trigger is None else options.trigger
    if options.second:
        if not trigger or trigger == options.second:
            raise InputError("Two characters have two words.", "", "Name the first with --trigger.")
        return trigger, (trigger, options.second)
    words = concepts(found.train)
    if words is None:
        return trigger, ()
    return trigger or words[0], words


def _judges(base: Base) -> Judges | None:
    """The toon judges for the toon base; None for any other, and where their files are not there."""
    toon = base.name == "toon" or Path(base.name).resolve() == bases.TOON_FOLDER.resolve()
    if not toon or not (judges.FOLDER / judges.WEIGHTS).is_file():
        return None
    return judges.load()


def _checkpoints(run: Run, base: Base, how: tuple[EvaluationSets, EvaluateSettings, Tools]) -> dict[int, LossGap]:
    """Step → loss gap of checkpoints whose LoRA file is there, evenly over the run, the last one among them."""
    files = [file for folder in sorted(run.checkpoints.glob("step-*")) if (file := folder / runs.LORA_FILE).is_file()]
    count = min(how[1].checkpoints, len(files))
    found = {}
    for file in (files[(i + 1) * len(files) // count - 1] for i in range(count)):
        step = int(file.parent.name.removeprefix("step-"))
        adapter = lora.load(base, file, name=file.parent.name)
        found[step] = loss_gaps(base, adapter, *how)[HELD_OUT]
    return found


def _stored(
    folder: Path,
    what: tuple[Path, Base, EvaluateSettings],
    measured: tuple[Evaluation, EvaluationSets, Found],
    gaps: dict[int, LossGap],
    more: tuple[Tools, dict[str, object]],
) -> Evaluated:
    (file, base, settings), (evaluation, sets, found), (tools, about) = what, measured, more
    advice = advise(gaps) if gaps else None
    evaluation = with_checkpoints(evaluation, gaps, advice)
    verdict = judge(evaluation, sets, advice)
    told = {
        **about,
        "lora": str(file),
        "base": {"name": base.name, "family": base.family, **runs.identity(base)},
        "pictures": str(found.dataset.root),
        "trigger": sets.trigger,
        "settings": settings.model_dump(mode="json"),
        "features": None if tools.features is None else {"id": tools.features.id, "name": tools.features.name},
        "copies": None if tools.copies is None else {"id": tools.copies.id, "name": tools.copies.name},
        "tagger": None if tools.tagger is None else {"id": tools.tagger.id, "name": tools.tagger.name},
        "advice": None if advice is None else asdict(advice),
        "created": runs.now(),
        **runs.surroundings(),
    }
    store.write(folder, evaluation, sets, verdict, told)
    return _answer(file, folder, evaluation, verdict, gaps)


def with_checkpoints(evaluation: Evaluation, gaps: dict[int, LossGap], advice: Advice | None) -> Evaluation:
    """The evaluation with the rows of a run's checkpoints: their losses, and which one is advised."""
    import dataclasses

    rows = Rows()
    for step, one in sorted(gaps.items()):
        for name, value in (("train", one.train), ("held_out", one.held_out), ("gap", one.gap)):
            rows.add(f"loss.{name}", value, set=HELD_OUT, step=step)
    if advice is not None and advice.step is not None:
        rows.number("advice.step", advice.step, advice.groups, "groups", steps=list(advice.steps))
        if advice.overfits_from is not None:
            rows.number("advice.overfits_from", advice.overfits_from, advice.groups, "groups")
    elif advice is not None:
        rows.note(f"Which checkpoint is best is not told: {advice.reason}.")
    notes = (*evaluation.notes, *rows.notes)
    return dataclasses.replace(evaluation, rows=evaluation.rows.vstack(rows.frame()), notes=notes)


def _answer(file: Path, folder: Path, evaluation: Evaluation, verdict: Verdict, gaps: dict[int, LossGap]) -> Evaluated:
    return Evaluated(
        lora=str(file),
        folder=str(folder),
        state=verdict.state,
        headline=verdict.headline,
        use=verdict.use,
        evidence=tuple(asdict(one) for one in verdict.evidence),
        data=verdict.data,
        checkpoints={
            str(step): {"train": one.train.value, "held_out": one.held_out.value, "gap": one.gap.value}
            for step, one in sorted(gaps.items())
        },
        notes=evaluation.notes,
        scores=evaluation.rows.to_dicts(),
    )


def _record(run: Run) -> dict[str, Any]:
    """What the page says about the run itself."""
    settings = run.record.get("settings", {})
    kept: Sequence[str] = ("steps", "batch_size", "accumulate", "selection", "seed")
    return {
        **{name: settings.get(name) for name in kept},
        "rank": settings.get("lora", {}).get("rank"),
        "lr": settings.get("optimiser", {}).get("lr"),
        "step": run.record.get("step"),
        "data": run.record.get("data"),
        "reasons": run.record.get("reasons"),
        "created": run.record.get("created"),
    }
