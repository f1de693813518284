"""Trains one LoRA of the ladder and measures it: everything between a job and its row.

Not for the order of jobs or the file of rows: that is `run.py`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks.richness import arms, asked, copying, outlines, picked, pictures, pool, sets, truth
from benchmarks.richness.arms import ARMS, Arm, Job
from benchmarks.richness.people import Subject, Toon, everyone
from benchmarks.richness.sets import Cast, Looks, Written
from diversity import record
from diversity.errors import InputError
from training import base as bases
from training import lora, runs
from training.base import Base
from training.config import TrainConfig
from training.evaluate import ladder
from training.evaluate.features import InUse
from training.evaluate.lora import Evaluation, Tools, evaluate_lora, loss_gaps
from training.evaluate.loss_gap import LossGap
from training.evaluate.sets import EvaluationSets
from training.evaluate.settings import EvaluateSettings
from training.judges import Judges
from training.lora import Adapter, LoraSettings
from training.runs import LORA_FILE, Run
from training.train import train

RANK, RATE = 8, 1e-3
POOL_SEED = 770  # of the first character's pool; the next one's is one more


@dataclass
class Bench:
    """What all LoRAs are trained and measured with.

    Attributes:
        base: Name or folder of the base model.
        judges: Of the toon world; None: what they would tell is left out. The ladder is never made without.
        folder: Of all that is kept between calls.
        settings: How much is measured.
        experiment: What rows must share to be compared, beside the base: versions of pools, judges, encoder, settings.
    """

    base: str
    judges: Judges | None
    folder: Path
    settings: EvaluateSettings = field(default_factory=EvaluateSettings.ladder)

    def __post_init__(self) -> None:
        known = truth.NEEDED if self.judges is None else self.judges.attributes
        if missing := [name for name in truth.NEEDED if name not in known]:
            raise InputError(
                f"The judges do not tell {', '.join(missing)}.",
                "Ground truth is what they see.",
                "Train them first: benchmarks.toonworld.train_judges.",
            )
        self.richness = sets.Richness()
        self.features = InUse(self.richness.encoder, self.richness.centre)
        self.experiment = {
            "pool": pool.VERSION,
            "judges": "" if self.judges is None else self.judges.fingerprint(),
            "encoder": self.richness.encoder.id,
            "settings": record.digest(self.settings.model_dump(mode="json"))[:12],
            "threads": torch.get_num_threads(),
        }
        self.characters = {subject.name: number for number, subject in enumerate(everyone())}

    def row(self, job: Job) -> dict[str, Any]:
        """The row of one LoRA, trained where it is not yet."""
        if job.arm == "stack":
            return self._stacked(job)
        return self.made(job, ARMS[job.arm], self.cast(job.character))

    def train(self, job: Job) -> None:
        """Train the LoRA of one row and measure nothing: `row` finds it trained."""
        arm = None if job.arm == "stack" else ARMS[job.arm]
        if arm is None or arm is arms.IDENTITY:
            return
        cast = self.cast(job.character)
        self._train(sets.write(arm.make(cast.pool, cast.others), self.set_folder(job)), arm, cast.seed)

    def made(self, job: Job, arm: Arm, cast: Cast) -> dict[str, Any]:
        """The row of one LoRA on the set that `arm` makes of the pictures of `cast`, whatever arms the ladder has."""
        material = arm.make(cast.pool, cast.others)
        began = time.process_time()
        folder = self.set_folder(job)
        written = sets.write(material, folder)
        run = None if arm is arms.IDENTITY else self._train(written, arm, cast.seed)
        trained = time.process_time()
        about = _about(job, arm, cast.seed, material, run)
        rich = self.richness.rows(material)
        if arm is arms.STYLE:
            found = ladder.row(rich, **about, experiment=self.experiment)
            if run is not None:
                self._keep(job, run, ())
        else:
            measured = self._measure(job, arm, cast, (written, run))
            scores = pl.concat([rich, measured.pop("scores")])
            found = ladder.row(scores, **about, **measured)
        found["cpu_s"] = {"train": round(trained - began, 1), "evaluate": round(time.process_time() - trained, 1)}
        return found

    def set_folder(self, job: Job) -> Path:
        """Where a set lies; sets of other pools lie elsewhere, so that no LoRA of theirs is taken for this one's."""
        return self.folder / f"sets-{pool.VERSION}" / job.id

    def cast(self, character: str) -> Cast:
        """A character with its pictures.

        Raises:
            InputError: there is no such character here.
        """
        if character not in self.characters:
            raise InputError(f"There is no character '{character}' here.", "", "The KayKit models are in ../shared.")
        number = self.characters[character]
        subject: Subject = everyone()[number]
        pools = self.folder / "pools"
        own = pool.load(subject, POOL_SEED + number, pools, claims=isinstance(subject, Toon))
        return Cast(subject, own, pool.others(pools), number)

    # training --------------------------------------------------------------------------------------------------------

    def _train(self, written: Written, arm: Arm, seed: int) -> Run:
        finished = [run for run in runs.every(written.dataset.folder) if run.record.get("state") == "finished"]
        if finished:  # an earlier call was stopped while it measured
            return finished[-1]
        related = [{"folder": str(written.related), "kind": "related", "share": 1.0}] if written.related else []
        config = TrainConfig.of(
            {
                "base": self.base,
                "steps": arm.steps,
                "batch_size": arm.batch,
                "seed": seed,
                "save_every": arms.EVERY,
                "validate_every": arm.steps,
                "sample_every": arm.steps,
                "precision": "float32",
                "data": {"held_out": 0.0, "sources": related},
                "captions": {"keep_tokens": 1, "shuffle": False},
                "optimiser": {"lr": RATE},
                "lora": {"rank": RANK, "seed": seed},
            }
        )
        return train(written.dataset, config)

    def _keep(self, job: Job, run: Run, steps: tuple[int, ...]) -> None:
        """The LoRA, for stacking and for looking again, and its measured checkpoints; the rest of the run goes."""
        target = self.folder / "loras" / job.id
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.lora, target / LORA_FILE)
        for step, file in _checkpoints(run, steps).items():
            shutil.copyfile(file, target / f"step-{step:06d}.safetensors")

    # measuring -------------------------------------------------------------------------------------------------------

    def _measure(self, job: Job, arm: Arm, cast: Cast, trained: tuple[Written, Run | None]) -> dict[str, Any]:
        (written, run), base = trained, bases.load(self.base, device="cpu")
        if run is not None and run.record["base"]["fingerprint"] != base.fingerprint:
            raise InputError(
                f"{run.folder} was trained on another base.", "", f"Remove {written.dataset.root.parent} and run again."
            )
        distinct = len({item.group for item in written.material.train})
        steps = (0,) if run is None else arm.checkpoints(distinct)
        adapters = _adapters(base, run, steps)
        looks = sets.looks_of(cast, self.judges)
        on = sets.evaluation_sets(base, cast, arm, written.material, looks)
        tools = Tools(features=self.features, judges=self.judges, cache=self.folder / "cache")
        readings = (0,) if run is None else arm.readings
        settings = self.settings.model_copy(
            update={"weights": tuple(sorted({*self.settings.weights, *arm.extra_weights}))}
        )
        losses: dict[str, Any] = {}
        found: dict[str, pl.DataFrame] = {}
        for step in steps:
            lora.set_scale(base, {adapter.name: float(at == step) for at, adapter in adapters.items()})
            if step in readings:
                told = evaluate_lora(base, adapters[step], on, settings, tools)
                gaps: Mapping[str, LossGap] = told.gaps
                pictures.keep(told.gallery, self.folder / "pictures" / job.id / f"step-{step:06d}.npz")
                found[str(step)] = self._scores(arm, told, on, looks, cast)
                if step == readings[-1]:
                    samples = picked.samples(told.gallery, settings, max(step, 1), self.folder / "samples" / arm.name)
                    found[str(step)].extend(picked.rows(written.dataset, samples, asked.TRIGGER))
                    shutil.rmtree(samples, ignore_errors=True)
            else:
                gaps = loss_gaps(base, adapters[step], on, settings, tools)
            losses[str(step)] = {name: _gap(gap) for name, gap in gaps.items()}
        last = found.pop(str(readings[-1]))
        earlier = {step: ladder.row(rows)["scores"] for step, rows in found.items()}
        if run is not None:
            self._keep(job, run, steps)
        about = {"base": base.fingerprint, "experiment": self.experiment}
        return {"scores": last, "losses": losses, "readings": earlier, **about}

    def _scores(self, arm: Arm, told: Evaluation, on: EvaluationSets, looks: Looks, cast: Cast) -> pl.DataFrame:
        """Measures under test, then ground truth at every weight."""
        seen = truth.look(told.gallery.pictures, self.judges)
        parts = [told.rows.filter(~pl.col("measure").str.starts_with("richness."))]
        if self.judges is not None:
            weights = sorted({one.weight for one in seen if one.weight > 0})
            parts += [truth.rows(seen, weight, looks.own) for weight in weights]
        parts.append(truth.table(copying.measures(told.gallery, on, cast, arm.name, self.features), {"weight": 1.0}))
        if arm.name == "two32":
            forms, words = (looks.own, looks.second_own), (asked.TRIGGER, arms.SECOND_WORD)
            parts.append(truth.table({"truth.confusion": truth.confusion(seen, forms, words)}, {"weight": 1.0}))
        if arm.name == "bound16":
            pairs = zip(on.train.pictures, on.train.groups, strict=True)
            bound = [picture for picture, group in pairs if "bound" in group]
            parts.append(truth.table(picked.pulls(told.gallery, bound, arms.BOUND_TAG), {}))
        return pl.concat(parts)

    def _stacked(self, job: Job) -> dict[str, Any]:
        """A style LoRA on top of `rich16`.

        Raises:
            InputError: one of the two LoRAs is not in the folder, or there are no judges.
        """
        if self.judges is None:
            raise InputError("A stacked style is told by the judges.", "There are none.")
        began = time.process_time()
        files = [self.folder / "loras" / name / LORA_FILE for name in (f"rich16-{job.character}", "style-others")]
        for file in files:
            if not file.is_file():
                raise InputError(f"{file.parent.name} is not in {file.parent.parent}.", "", "Use the same --work.")
        base, cast = bases.load(self.base, device="cpu"), self.cast(job.character)
        subject, style = (lora.load(base, file, name=name) for file, name in zip(files, ("rich", "style"), strict=True))
        shown = asked.views(sets.looks_of(cast, self.judges).by_view)
        found = outlines.measure(base, (subject, style), asked.subject(shown), self.judges, self.settings)
        about: dict[str, Any] = {"id": job.id, "block": job.block, "character": job.character}
        about |= {"composition": "stack", "arm": "stack"}
        about |= {"base": base.fingerprint, "experiment": self.experiment}
        row = ladder.row(truth.table(found, {"weight": 1.0, "style": outlines.WEIGHT}), **about)
        row["cpu_s"] = {"train": 0.0, "evaluate": round(time.process_time() - began, 1)}
        return row


def _about(job: Job, arm: Arm, seed: int, material: arms.Material, run: Run | None) -> dict[str, Any]:
    """What the LoRA was made of and with."""
    distinct = len({item.group for item in material.train})
    steps = 0 if run is None else arm.steps
    own = 0.5 if material.related else 1.0
    return {
        "id": job.id,
        "block": job.block,
        "character": job.character,
        "composition": arm.composition,
        "arm": job.arm,
        "n": len(material.train),
        "distinct": distinct,
        "seed": seed,
        "steps": steps,
        "batch": arm.batch,
        "exposures": steps * arm.batch * own / distinct,
        "training_loss": None if run is None else _training_loss(run, arm.steps),
    }


def _adapters(base: Base, run: Run | None, steps: tuple[int, ...]) -> dict[int, Adapter]:
    """One for each checkpoint; for no run one that was never trained, which changes nothing."""
    if run is None:
        adapter = lora.attach(base, LoraSettings(rank=RANK), name="untrained")
        return {0: adapter}
    found: dict[int, Adapter] = {}
    for step, file in _checkpoints(run, steps).items():
        with torch.no_grad():
            found[step] = lora.load(base, file, name=f"step{step}")
        found[step].kept_as = record.file_hash(file)  # a row made again need not draw again
    return found


def _checkpoints(run: Run, steps: tuple[int, ...]) -> dict[int, Path]:
    """The LoRA files of some steps."""
    return {step: run.checkpoints / f"step-{step:06d}" / LORA_FILE for step in steps}


def _training_loss(run: Run, steps: int) -> float:
    """Mean over the last quarter: single steps are mostly noise."""
    metrics = run.read("metrics").filter((pl.col("measure") == "loss") & (pl.col("step") > 0.75 * steps))
    return float(f"{metrics['value'].to_numpy().mean():.6g}")


def _gap(found: LossGap) -> dict[str, Any]:
    """Log ratios of one checkpoint and held-out set, and by view."""
    numbers = {
        "train": found.train.value,
        "held_out": found.held_out.value,
        "gap": found.gap.value,
        **{f"gap.{band}": value.value for band, value in found.bands.items()},
    }
    if found.prior is not None:
        numbers["prior"] = found.prior.value
    rounded = {name: float(f"{value:.5g}") if np.isfinite(value) else None for name, value in numbers.items()}
    return {**rounded, "groups": {name: float(f"{value:.4g}") for name, value in found.held_out_groups.items()}}
