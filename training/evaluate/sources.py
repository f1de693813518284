"""Where the sets of an evaluation come from: a run's own record, or a folder of pictures beside a LoRA of any trainer.

Not for measuring: that is `lora.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from diversity import targets, taxonomy
from diversity.dataset import Dataset
from diversity.errors import InputError, WorkspaceError
from training import runs
from training.config import SourceConfig, TrainConfig
from training.data import Loader, TrainingData, bucket_rules, gather
from training.evaluate.sets import Material
from training.pictures import Picture, beside
from training.pixels import render

if TYPE_CHECKING:
    from diversity.progress import Progress
    from training.base import Base
    from training.judges import Judges
    from training.runs import Run

MAJORITY = 0.6  # share of the pictures that show a look, from which it is the subject's
STAGES = ("scan", "label", "dedup", "views")


@dataclass(frozen=True)
class Found:
    """Pictures of one LoRA.

    Attributes:
        dataset: The set that they are of.
        train: Pictures that were trained on, related ones too; not those for prior preservation.
        held_out: Pictures that were not; None where that is not known.
        trigger: The subject's word; "" where there is none.
        notes: What a person should know.
    """

    dataset: Dataset
    train: Material
    held_out: Material | None
    trigger: str
    notes: tuple[str, ...] = ()


def dataset_of(run: Run) -> Dataset:
    """The set that a run was trained on.

    Raises:
        InputError: its pictures are gone.
        WorkspaceError: the run does not lie in the workspace of a set.
    """
    root, folder = Path(str(run.record.get("pictures", ""))), run.folder.parents[1]
    if not root.is_dir():
        raise InputError(
            f"The pictures of {run.id} are gone.", f"They were in {root}.", "Put them back, or move the run with them."
        )
    return Dataset.open(root, workspace_folder=folder)


def of_run(run: Run, base: Base) -> Found:
    """The pictures of a run, in the roles they had: its own record says which were held out.

    Raises:
        DiversityError: the set, the selection or a picture cannot be used any more.
    """
    dataset = dataset_of(run)
    config = TrainConfig.of(run.record.get("settings", {}))
    other = runs.other_base(run, base)
    if other:
        raise InputError(
            f"{base.name} is not the base that {run.id} was trained on.",
            f"{other[0].upper()}{other[1:]}.",
            "Leave --base out, or name the same one.",
        )
    data = gather(dataset, base, config)
    known = {picture.content: picture for picture in (*data.train, *data.held_out)}
    table = run.read("pictures")
    roles: dict[str, list[Picture]] = {"train": [], "held_out": []}
    for row in table.iter_rows(named=True):
        picture = known.get(row["content"])
        if picture is not None and row["role"] in roles:
            told = {"plain": row["caption"], "source": row["source"], "exposures": row["exposures"]}
            roles[row["role"]].append(replace(picture, **told))
    lost = table.height - sum(map(len, roles.values()))
    if not roles["train"]:
        raise InputError(f"No picture of {run.id} is in the set any more.", "", "Put the pictures back.")
    notes = (f"{lost} of the {table.height} pictures of the run are not in the set any more.",) if lost else ()
    loader = Loader(data, base, config, dataset.folder / "cache")
    own = [picture for picture in roles["train"] if not picture.source.startswith("prior ")]
    made = [material(dataset, data, config, some, loader) for some in (own, roles["held_out"])]
    return Found(dataset, made[0], made[1] if len(made[1]) else None, config.captions.trigger or "", notes)


def of_pictures(
    dataset: Dataset, base: Base, trigger: str | None, progress: Progress, *, losses: bool = False
) -> Found:
    """All pictures of a set as trained on; nothing is known to be held out.

    Args:
        dataset: The set.
        base: Says how pictures are cut.
        trigger: The subject's word; None: from the captions.
        progress: Of the scan.
        losses: Whether losses will be measured on them; without, they have no latents.

    Raises:
        DiversityError: the set cannot be scanned.
    """
    from training.picking.subject import subject_words

    dataset.run(*STAGES, progress=progress)
    config = TrainConfig()
    notes: list[str] = []
    source = SourceConfig(folder=dataset.root, kind="related", share=1.0)
    config = config.model_copy(update={"data": config.data.model_copy(update={"sources": (source,)})})
    pictures = beside(dataset, config, bucket_rules(base, config), 1.0, notes.append)
    rows = {row["content"]: row for row in dataset.usable.iter_rows(named=True)}
    duplicates = dict(dataset.read("duplicates").select("key", "group").iter_rows())
    kept = [
        replace(one, key=rows[one.content]["key"], groups=(duplicates[rows[one.content]["key"]],))
        for one in pictures
        if one.content in rows
    ]
    data = TrainingData(tuple(kept), (), (), dataset.config.scan.max_pixels)
    words = subject_words(dataset.usable, trigger)
    if trigger is None and words:
        notes.append(
            f"The subject's word is taken to be '{words[0]}', as most captions have it; --trigger says another."
        )
    loader = Loader(data, base, config, dataset.folder / "cache") if losses else None
    made = material(dataset, data, config, kept, loader)
    return Found(dataset, made, None, words[0] if words else "", tuple(notes))


def looks(material: Material, judges: Judges) -> dict[str, str]:
    """Attribute → the label that judges see in most training pictures that show it; for the toon world."""
    said = judges.predict(list(material.pictures))
    found = {}
    for name, judgement in said.items():
        if name not in ("framing", "side", "background"):
            labels = [label for label, shown in zip(judgement.labels, judgement.shown, strict=True) if shown]
            label, count = Counter(labels).most_common(1)[0] if labels else ("", 0)
            if labels and count >= MAJORITY * len(labels):
                found[name] = label
    return found


def material(
    dataset: Dataset, data: TrainingData, config: TrainConfig, pictures: Sequence[Picture], loader: Loader | None
) -> Material:
    """Pictures of a set, as the evaluator takes them; without a loader they have no latents."""
    cells = _cells(dataset)
    held = [loader.latents(picture, picture.placement) for picture in pictures] if loader else []
    return Material(
        pictures=tuple(_pixels(picture, data, config) for picture in pictures),
        latents=tuple(one["latents"] for one in held),
        captions=tuple(picture.plain for picture in pictures),
        groups=tuple(picture.groups[0] if picture.groups else picture.key for picture in pictures),
        contents=tuple(picture.content for picture in pictures),
        views=tuple(cells.get(picture.key, "") for picture in pictures),
        names=tuple(picture.path for picture in pictures),
        masks=tuple(one.get("mask") for one in held),
        time_ids=tuple(tuple(picture.placement.time_ids) for picture in pictures),
        exposures=tuple(picture.exposures for picture in pictures),
    )


def _pixels(picture: Picture, data: TrainingData, config: TrainConfig) -> Image.Image:
    """The picture as the model sees it."""
    found = render(picture.decoded(data.max_pixels), picture.placement, config.data.background)
    return Image.fromarray(np.rint((found.pixels.permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8))


def _cells(dataset: Dataset) -> dict[str, str]:
    """Key → "framing/side"; "" where it is not sure."""
    try:
        views, duplicates = dataset.read("views"), dataset.read("duplicates")
    except WorkspaceError:
        return {}
    groups = dict(duplicates.select("key", "group").iter_rows())
    rules = taxonomy.load(dataset.config.views.taxonomy)
    found = targets.find(views, groups, rules).cells
    return {key: _sure(cell) for key, cell in found.items()}


def _sure(cell: str) -> str:
    """A cell as it is; its framing alone, as in "detail", only the side is unsure; "" where the framing is."""
    framing, _, side = cell.partition("/")
    if framing == taxonomy.UNSURE:
        return ""
    return framing if side in ("", taxonomy.UNSURE) else cell
