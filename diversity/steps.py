"""The built-in stages: each fetches tables, hands them to its room, and writes what comes back.

Not for mathematics, and not for deciding whether to run: that is `stages.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from diversity import record, scan_stage, tables, trainer_stage, workspace
from diversity.decisions import load as load_decisions
from diversity.decisions import standing
from diversity.encoders.familiarity import ABILITIES, PROTOTYPES
from diversity.errors import ExportError, InputError, SelectionError
from diversity.stages import Context, Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from diversity.dataset import Dataset
    from diversity.select.pool import Pool
    from diversity.targets import Targets
    from diversity.taxonomy import Taxonomy
    from diversity.views import PromptBank

# label ---------------------------------------------------------------------------------------------------------------


def _label_inputs(context: Context) -> object:
    config, folder = context.dataset.config.views, context.services.spec.folder
    files = [config.taxonomy, config.labels]
    files += [folder / PROTOTYPES, folder / ABILITIES] if folder is not None else []
    apart = [(source.path, source.apart) for source in context.services.sources() if source.apart]
    return [_file_digest(file) for file in files], _decision_digest(context, "label"), apart


def _label(context: Context) -> None:
    from diversity import captions, taxonomy, views

    dataset, config = context.dataset, context.dataset.config.views
    rules = taxonomy.load(config.taxonomy)
    usable = dataset.usable
    if usable.is_empty():
        first = dataset.images.row(0, named=True)
        raise InputError(
            f"None of the {len(dataset.images)} pictures can be used.",
            f"For example {first['path']}: {first['problem']}",
            "Give another folder.",
        )
    vectors = dataset.vectors(usable)
    prompts = _prompts(context, rules, vectors)
    given = [views.decided_labels(load_decisions(dataset), dataset.images, rules)]
    if config.labels is not None:
        given.insert(0, views.read_labels(config.labels, dataset.images, rules, dataset.root))
    labels = pl.concat(given)
    dataset.write("views", views.label_views(usable, vectors, rules, prompts, labels, config))
    apart = {source.path: source.apart for source in context.services.sources() if source.apart}
    dataset.write("tags", captions.tag_table(usable, rules, apart))


def _prompts(context: Context, rules: Taxonomy, vectors: NDArray[np.float32]) -> PromptBank | None:
    """The prompts' vectors; None where the set is unlike what the encoder knows, so that its answers mean nothing."""
    from diversity import views
    from diversity.encoders import familiarity

    dataset, folder = context.dataset, context.services.spec.folder
    known = familiarity.of_set(vectors, folder) if folder is not None else None
    context.notes["familiarity"] = None if known is None else known.note()
    if known is not None and not known.familiar:
        return None
    return views.embed_prompts(rules, context.services.deferred_encoder(dataset.encoder_id), dataset.folder)


# dedup ---------------------------------------------------------------------------------------------------------------


def _dedup(context: Context) -> None:
    from diversity import duplicates

    dataset, config = context.dataset, context.dataset.config
    usable = dataset.usable
    by_hand = pl.col("key").is_in(sorted(_decided(context, "drop")))
    left = usable.filter(~by_hand)
    thumbnails = dict(dataset.read("thumbnails").iter_rows())
    evidence = duplicates.Evidence(thumbnails, _encode(context), config.index, _controls(dataset))
    found = duplicates.find(
        left,
        dataset.vectors(left),
        evidence,
        config.duplicates,
        views=_confident_views(dataset),
        pins=_decided(context, "pin"),
    )
    dataset.write("duplicates", pl.concat([found.frame, _alone(usable.filter(by_hand))]))
    dataset.write("neighbours", found.neighbours)
    context.notes["duplicates"] = found.note()


def _controls(dataset: Dataset) -> dict[str, str]:
    """Key → hash of the control picture, for the targets of an edit set that have one."""
    from diversity.export.controls import hashes

    folder = dataset.config.export.control
    if folder is None:
        return {}
    return hashes(folder, dataset.root, dict(dataset.usable.select("key", "path").iter_rows()))


def _dedup_inputs(context: Context) -> object:
    return _by_hand(context), _controls(context.dataset) if context.dataset.has("images") else None


def _alone(dropped: pl.DataFrame) -> pl.DataFrame:
    """Rows of `duplicates` for pictures dropped by hand: they stand for nothing, and nothing stands for them."""
    columns = {"key": dropped["key"], "group": dropped["key"], "keeper": dropped["key"]}
    rows = pl.DataFrame(columns, schema={name: pl.String for name in columns})
    rows = rows.with_columns(kind=pl.lit("keeper"), reason=pl.lit("Dropped by hand, so not compared with the others."))
    absent = [name for name in tables.DUPLICATES if name not in rows.columns]
    return tables.conform(rows.with_columns(pl.lit(None).alias(name) for name in absent), tables.DUPLICATES)


def _encode(context: Context) -> Callable[[list[Image]], NDArray[np.float32]]:
    return lambda pictures: context.services.encoder().result().encode_images(pictures)


def _confident_views(dataset: Dataset) -> dict[str, tuple[str | None, str | None]]:
    """Key → (framing, side), None where unsure or where the axis does not matter to this set."""
    sure = dataset.read("views").filter(
        pl.col("axis").is_in(dataset.config.targets.axes) & (pl.col("label") != "unsure")
    )
    framing = dict(sure.filter(pl.col("axis") == "framing").select("key", "label").iter_rows())
    side = dict(sure.filter(pl.col("axis") == "side").select("key", "label").iter_rows())
    return {key: (framing.get(key), side.get(key)) for key in framing.keys() | side.keys()}


# views ---------------------------------------------------------------------------------------------------------------


def _views(context: Context) -> None:
    from diversity import binding

    dataset, found = context.dataset, _targets(context)
    dataset.write("targets", found.table)
    bound = binding.of_set(dataset.read("tags"), found.cells, _groups(dataset), _decided(context, "drop"))
    dataset.write("bindings", bound)


def _targets(context: Context) -> Targets:
    from diversity import targets, taxonomy

    dataset = context.dataset
    rules, gone = taxonomy.load(dataset.config.views.taxonomy), frozenset(_decided(context, "drop"))
    return targets.find(dataset.read("views"), _groups(dataset), rules, gone, dataset.config.targets)


def _groups(dataset: Dataset) -> dict[str, str]:
    return dict(dataset.read("duplicates").select("key", "group").iter_rows())


# select --------------------------------------------------------------------------------------------------------------


def _select(context: Context) -> None:
    from diversity.select.choose import choose, left_out

    pool = _pool(context)
    chosen = choose(pool, context.dataset.config.select)
    budget = left_out(pool, chosen.order).sort("key")
    context.dataset.write("selection", chosen.frame(pool))
    context.dataset.write("dropped", pl.concat([_not_in_pool(context), budget]))
    context.notes["elbow"] = {"gain": chosen.curve.tolist(), "keep": len(chosen.order), "elbow": chosen.elbow}


def _pool(context: Context) -> Pool:
    """Keepers and variants that were not dropped by hand, in canonical order."""
    from diversity.select.pool import Pool

    dataset, targets = context.dataset, _targets(context)
    kinds, wants = targets.kinds(dataset.config.targets.axes), targets.wants(dataset.config.targets.axes)
    gone, pinned = _decided(context, "drop"), _decided(context, "pin")
    copies = dataset.read("duplicates").select("key", "group", "kind")
    frame = dataset.usable.join(copies, on="key", how="left", maintain_order="left")
    frame = frame.filter((pl.col("kind") != "copy") & ~pl.col("key").is_in(sorted(gone)))
    if frame.is_empty():
        raise SelectionError("No picture is left to select.", "All were dropped, or could not be used.")
    sizes = dict(copies.group_by("group").len().iter_rows())
    keys = frame["key"].to_list()
    return Pool(
        keys=tuple(keys),
        vectors=dataset.vectors(frame),
        group_size=np.array([sizes[key] for key in keys], np.int64),
        cells=tuple(kinds.get(key, "unsure") for key in keys),
        targets=wants,
        quality=frame["quality"].fill_null(0).to_numpy().astype(np.float64),
        protected=np.array([key in targets.protected for key in keys]),
        pinned=np.array([key in pinned for key in keys]),
        initial=_initial(dataset, keys),
    )


def _select_inputs(context: Context) -> object:
    """An earlier selection that is grown is an input, but not the one that this stage writes itself."""
    config = context.dataset.config.select
    grown = None if config.initial in (None, config.name) else context.dataset.path(f"selection/{config.initial}")
    return _rules_and_hand(context), _file_digest(grown)


def _check_select(dataset: Dataset) -> None:
    from diversity.select.strategies import strategy

    strategy(dataset.config.select.strategy)
    initial = dataset.config.select.initial
    if initial is not None and initial not in dataset.selections():
        there = ", ".join(dataset.selections()) or "none yet"
        raise SelectionError(
            f"There is no selection '{initial}' to grow.", f"There are: {there}.", "Name one of them with --initial."
        )


def _initial(dataset: Dataset, keys: list[str]) -> NDArray[np.int64]:
    """Rows of the earlier selection that this one grows; a picture that is now a copy is found by its keeper."""
    name = dataset.config.select.initial
    if name is None:
        return np.empty(0, np.int64)
    row, groups = {key: i for i, key in enumerate(keys)}, _groups(dataset)
    earlier = dataset.read(f"selection/{name}").sort("rank")["key"]
    found = dict.fromkeys(groups.get(key, key) for key in earlier)
    return np.array([row[key] for key in found if key in row], np.int64)


def _not_in_pool(context: Context) -> pl.DataFrame:
    """Rows of `dropped` for copies, problems and what was dropped by hand."""
    dataset = context.dataset
    bad = dataset.images.filter(pl.col("problem").is_not_null())
    bad = bad.select("key", keeper=pl.lit(None, pl.String), reason=pl.col("problem"))
    gone = sorted(_decided(context, "drop"))
    frame = dataset.read("duplicates")
    by_hand = frame.filter(pl.col("key").is_in(gone)).select(
        "key", keeper=pl.lit(None, pl.String), reason=pl.lit("dropped by hand")
    )
    copies = frame.filter((pl.col("kind") == "copy") & ~pl.col("key").is_in(gone)).select("key", "keeper", "reason")
    return pl.concat([copies, by_hand, bad]).sort("key")


# score ---------------------------------------------------------------------------------------------------------------


def _score(context: Context) -> None:
    """Measures of the whole set, and of the selection where there is one."""
    from diversity import richness

    dataset, targets = context.dataset, _targets(context)
    usable = dataset.usable
    keys, groups = usable["key"].to_list(), _groups(dataset)
    pictures = richness.Pictures(
        dataset.vectors(usable),
        np.array([groups[key] for key in keys], dtype=np.str_),
        tuple(targets.cells.get(key, "unsure") for key in keys),
    )
    wants = dict(targets.table.select("cell", "want").iter_rows())

    def measured(part: richness.Pictures, scope: str) -> pl.DataFrame:
        settings: dict[str, object] = {"encoder": dataset.encoder_id}
        centre = context.services.spec.centre()
        return richness.score(part, wants, dataset.config.richness, scope=scope, centre=centre, settings=settings)

    frames = [measured(pictures, "set")]
    picked = dataset.read("selection") if dataset.has("selection") else tables.empty(tables.SELECTION)
    chosen = dict(picked.select("key", "weight").iter_rows())
    if chosen and chosen.keys() <= set(keys):  # else it is older than the last scan
        rows = np.array([row for row, key in enumerate(keys) if key in chosen], np.int64)
        weights = np.array([chosen[keys[row]] for row in rows], np.float64)
        frames.append(measured(pictures.take(rows, weights), "selection"))
    dataset.write("scores", pl.concat(frames))


def _score_inputs(context: Context) -> object:
    return _rules_and_hand(context), _file_digest(context.dataset.path("selection"))


# export --------------------------------------------------------------------------------------------------------------


def _export(context: Context) -> None:
    from diversity.export import ExportOptions, export

    dataset, config = context.dataset, context.dataset.config.export
    options = ExportOptions(
        root=dataset.root,
        mean_repeats=config.mean_repeats,
        resolution=config.resolution,
        trigger=config.trigger,
        leave_out=config.leave_out,
        epochs=config.epochs,
        trainer_root=config.trainer_root,
        link=config.link,
        control=config.control,
        fit=config.fit,
        force=config.force,
    )
    folder = _export_folder(dataset)
    with workspace.plainly(folder):
        reports = export(dataset.read("selection"), dataset.images, folder, options, config.formats)
    context.notes["export"] = [
        {
            "format": report.format,
            "folder": str(report.folder),
            "files": len(report.files),
            "repeats": sum(report.repeats.values()),
            "error": report.error.sentence,
            "warnings": list(report.warnings),
            "advice": list(report.advice),
        }
        for report in reports
    ]


def _export_folder(dataset: Dataset) -> Path:
    """`export/` for the default selection, `export/<selection>/` for others."""
    return dataset.folder / record.key("export", dataset.config.select.name)


def _check_export(dataset: Dataset) -> None:
    from diversity.export import EXPORTERS

    for name in dataset.config.export.formats:
        if name not in EXPORTERS:
            raise ExportError(f"There is no export format '{name}'.", "", f"Choose among {', '.join(EXPORTERS)}.")
    if dataset.config.select.name in EXPORTERS:
        raise ExportError(
            f"The selection '{dataset.config.select.name}' is called like an export format.",
            "Their folders would be the same.",
            "Select with another --name.",
        )


def _export_complete(context: Context) -> bool:
    """Whether every file of every wanted export is still there."""
    from diversity.export import MANIFEST

    for name in context.dataset.config.export.formats:
        folder = _export_folder(context.dataset) / name
        try:
            files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        except (OSError, ValueError, KeyError):
            return False
        if not all((folder / file).is_file() for file in files):
            return False
    return True


# map -----------------------------------------------------------------------------------------------------------------


def _map(context: Context) -> None:
    usable = context.dataset.usable
    points = context.services.lay_out(context.dataset.vectors(usable))
    frame = usable.select("key").with_columns(x=pl.Series(points[:, 0]), y=pl.Series(points[:, 1]))
    context.dataset.write("map", frame)


# helpers -------------------------------------------------------------------------------------------------------------


def _file_digest(file: Path | None) -> str | None:
    return record.file_hash(file) if file is not None and file.is_file() else None


def _decided(context: Context, what: str) -> frozenset[str]:
    return frozenset(key for key, held in standing(context.dataset, "pin", "drop").items() if held == what)


def _by_hand(context: Context) -> str:
    return _decision_digest(context, "pin", "drop")


def _rules_and_hand(context: Context) -> object:
    return _file_digest(context.dataset.config.views.taxonomy), _by_hand(context)


def _decision_digest(context: Context, *whats: str) -> str:
    decided = load_decisions(context.dataset).filter(pl.col("what").is_in(whats))
    return record.digest(decided.rows())


TABLE: dict[str, Stage] = {
    "scan": scan_stage.STAGE,
    "label": Stage(("images", "embeddings"), ("views", "tags"), ("views",), _label, _label_inputs),
    "dedup": Stage(
        ("images", "embeddings", "thumbnails", "views"),
        ("duplicates", "neighbours"),
        ("duplicates", "index", "targets"),
        _dedup,
        _dedup_inputs,
    ),
    "views": Stage(
        ("views", "tags", "duplicates"), ("targets", "bindings"), ("views", "targets"), _views, _rules_and_hand
    ),
    "select": Stage(
        ("images", "embeddings", "duplicates", "views", "targets"),
        ("selection", "dropped"),
        ("select", "views", "targets"),
        _select,
        _select_inputs,
        check=_check_select,
    ),
    "score": Stage(
        ("images", "embeddings", "duplicates", "views", "targets"),
        ("scores",),
        ("richness", "targets"),
        _score,
        _score_inputs,
    ),
    "export": Stage(("images", "selection"), (), ("export",), _export, complete=_export_complete, check=_check_export),
    "trainer": trainer_stage.STAGE,
    "map": Stage(("images", "embeddings"), ("map",), (), _map),
}
