"""The stages in order, each table → table: skipped when nothing that it reads has changed, recorded when it has run.

Not for what a stage computes: the rooms do that; here their tables are fetched, handed over and written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from diversity import __version__, record, workspace
from diversity.errors import DiversityError, InputError, NotExportedError, WorkspaceError
from diversity.progress import Progress, Silent
from diversity.services import Services

if TYPE_CHECKING:
    from diversity.dataset import Dataset

BUILT_IN = ("scan", "label", "dedup", "views", "select", "score", "map", "trainer", "export")
STAGES = (*BUILT_IN, "report")
ENTRY_POINTS = "diversity.stages"


@dataclass
class Context:
    """What a stage works with.

    Attributes:
        dataset: The pictures and their tables.
        services: Encoder and map worker, shared by the stages of one run and started only where needed.
        progress: Where to say what is done.
        force: Whether nothing of an earlier run may be taken over.
        notes: What the stage wants to keep in `curation.json`, by key.
    """

    dataset: Dataset
    services: Services
    progress: Progress
    force: bool = False
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One step.

    Attributes:
        needs: Tables that must be there, and whose change makes the stage run again.
        gives: Tables that it writes; a missing one makes it run again.
        settings: Sections of the configuration that it reads.
        run: The work.
        inputs: Anything else that it depends on, as JSON-able values.
        complete: Whether what it writes beside tables is still there.
        check: Raises before any stage of the run has begun where the settings cannot work.
    """

    needs: tuple[str, ...]
    gives: tuple[str, ...]
    settings: tuple[str, ...]
    run: Callable[[Context], None]
    inputs: Callable[[Context], object] = lambda _: None
    complete: Callable[[Context], bool] = lambda _: True
    check: Callable[[Dataset], None] = lambda _: None


def find(name: str) -> Stage:
    """The stage called `name`: a built-in one, or one that another room offers by entry point.

    Raises:
        InputError: there is none.
    """
    if name in BUILT_IN:
        from diversity import steps

        return steps.TABLE[name]
    for point in entry_points(group=ENTRY_POINTS, name=name):
        stage: Stage = point.load()
        return stage
    raise InputError(f"There is no stage '{name}'.", f"The stages are: {', '.join(STAGES)}.")


def run(
    dataset: Dataset, names: Iterable[str], *, force: Collection[str] = (), progress: Progress | None = None
) -> list[str]:
    """Run the stages that are not up to date, or named in `force`, in the given order; the names of those that ran.

    Raises:
        WorkspaceError: the workspace is in use, or a table that is needed is missing.
        NotExportedError: the export failed; stages after it do not need it and were run.
        DiversityError: whatever another stage raises.
    """
    ran: list[str] = []
    unwritten: DiversityError | None = None
    stages = {name: find(name) for name in names}
    for stage in stages.values():
        stage.check(dataset)
    workspace.prepare(dataset.folder, dataset.root)
    with workspace.locked(dataset.folder), Services(dataset) as services:
        workspace.tidy(dataset.folder)
        record.remember_preset(dataset.folder, dataset.config.set.preset)
        record.remember_control(dataset.folder, dataset.root, dataset.config.export.control)
        services.expect(stages)
        for name, stage in stages.items():
            context = Context(dataset, services, progress or Silent(), name in force)
            try:
                if _run_one(name, stage, context):
                    ran.append(name)
            except DiversityError as error:
                if name != "export" or name == list(stages)[-1]:
                    raise
                unwritten = error
    if unwritten is not None:
        raise NotExportedError(unwritten.what, unwritten.why, unwritten.todo) from None
    return ran


def _run_one(name: str, stage: Stage, context: Context) -> bool:
    dataset, folder = context.dataset, context.dataset.folder
    before, key = record.load(folder), _key(name, dataset)
    fingerprint = _fingerprint(name, stage, context, before)
    done = before["stages"].get(key, {})
    written = all(context.dataset.has(t) for t in stage.gives) and stage.complete(context)
    if not context.force and written and done.get("fingerprint") == fingerprint:
        return False
    if before["stages"].pop(key, None) is not None:  # if it fails half-way, it was not run
        before.pop(key, None)  # nor is what it noted true any more
        record.save(folder, before)
    start = time.perf_counter()
    stage.run(context)
    seconds = round(time.perf_counter() - start, 2)
    after = record.load(folder)
    after["pictures"], after["version"] = str(dataset.root), __version__
    after.update({_key(note, dataset): value for note, value in context.notes.items()})
    hashes = after.setdefault("tables", {})
    hashes |= {dataset.named(t): record.file_hash(dataset.path(t)) for t in stage.gives}
    settings = {s: getattr(dataset.config, s).model_dump(mode="json") for s in stage.settings}
    after["stages"][key] = {
        "fingerprint": fingerprint,
        "seconds": seconds,
        "settings": settings,
        "read": {dataset.named(t): hashes.get(dataset.named(t)) for t in stage.needs},
    }
    record.save(folder, after)
    return True


def _key(name: str, dataset: Dataset) -> str:
    """Under which key the record holds a stage or note: of some, every selection has its own."""
    return record.key(name, dataset.config.select.name) if name in record.PER_SELECTION else name


def fresh(dataset: Dataset) -> frozenset[str]:
    """Which stages of the record were run on what the last scan and all stages before them left."""
    known = record.load(dataset.folder)
    hashes, found = known.get("tables", {}), set[str]()
    givers: dict[str, str] = {}
    for name in STAGES:
        stage, entry = find(name), known["stages"].get(_key(name, dataset))
        givers |= {dataset.named(table): name for table in stage.gives}
        read = (entry or {}).get("read", {})
        there = all(dataset.has(table) for table in stage.gives)
        same = there and all(hashes.get(table) == value and givers.get(table) in found for table, value in read.items())
        if entry is not None and same:
            found.add(name)
    return frozenset(found)


def _fingerprint(name: str, stage: Stage, context: Context, known: dict[str, Any]) -> str:
    missing = [t for t in stage.needs if not context.dataset.has(t)]
    if missing:
        raise WorkspaceError(
            f"The stage '{name}' needs the table '{missing[0]}'.", "It is not there yet.", "Run `diversity curate`."
        )
    config = context.dataset.config
    return record.digest(
        [
            __version__,
            name,
            {s: getattr(config, s).model_dump(mode="json", exclude={"force", "workers"}) for s in stage.settings},
            {t: known.get("tables", {}).get(context.dataset.named(t)) for t in stage.needs},
            stage.inputs(context),
        ]
    )


def last_encoder(dataset: Dataset) -> str:
    """The id of the encoder of the last scan.

    Raises:
        WorkspaceError: nothing was scanned yet.
    """
    found = record.load(dataset.folder).get("encoder", {}).get("id")
    if found is None:
        raise WorkspaceError("There are no embeddings yet.", "Nothing was scanned.", "Run `diversity scan` first.")
    return str(found)
