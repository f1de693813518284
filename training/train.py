"""The training loop: gather, build, resume, then step by step learn, log, measure, draw, save.

Not for what it calls: pictures (`data.py`), order (`sampler.py`), loss (`losses.py`), adapters (`lora.py`), files.
A run can be killed at any time: it goes on from its last checkpoint, bit for bit as if nothing had happened.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from accelerate import Accelerator

from diversity import workspace
from diversity.dataset import Dataset
from diversity.progress import Progress, Silent
from training import base as bases
from training import checkpoint, lora, losses, metadata, optimise, runs, samples, session
from training.base import Base
from training.config import TrainConfig
from training.data import Loader, TrainingData, gather
from training.errors import TrainingError
from training.evaluate import loss_gap
from training.heldout import HeldOut
from training.metrics import Metrics
from training.plan import decide
from training.runs import Run
from training.sampler import SamplerState


def train(
    dataset: Dataset | str | Path,
    config: TrainConfig | None = None,
    *,
    resume: Run | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train a LoRA on the weighted selection of a curated dataset.

    An interrupted run with the same pictures and settings is continued, not repeated.

    Args:
        dataset: The pictures, curated.
        config: All settings; with `resume` only `steps` is read, to train on for longer.
        resume: A run to continue.
        fresh: Start anew even where an interrupted run could be continued.
        progress: Where to say what is done.

    Returns:
        The finished run.

    Raises:
        DiversityError: the pictures, a setting or the base model cannot be used, or a loss is not a number any more.
        KeyboardInterrupt: interrupted; what was done is in a checkpoint.
    """
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    report, clock = progress or Silent(), session.Clock()
    config = _settings(config or TrainConfig(), resume)
    accelerator = session.accelerator(config)
    with clock.part("load"):
        dtype = session.precision_of(config)
        base = bases.load(config.base, device=config.device, dtype=dtype, allow_download=config.allow_download)
    config = samples.settled(config, base)
    data = gather(dataset, base, config)
    plan = decide(data, config)
    for sentence in (*data.notes, *plan.reasons):
        report.note(sentence)
    workspace.prepare(dataset.folder, dataset.root)
    run = session.open_run(dataset, base, data, plan, resume=resume, fresh=fresh)
    with run.locked(), session.recorded(run):
        trainer = Trainer(run, base, data, plan.config, accelerator, clock)
        trainer.prepare(dataset.folder / "cache", report)
        if trainer.resume():
            report.note(f"{run.id} goes on after step {trainer.step}.")
        left = trainer.steps - trainer.step  # steps done before would make rate and time left wrong
        with session.interruptible() as stop, report.task("training", left) as advance:
            while not trainer.done:
                trainer.learn()
                advance(1)
                if trainer.due(plan.config.log_every):
                    trainer.log()
                if trainer.due(plan.config.validate_every):
                    report.note(trainer.measure())
                if trainer.due(plan.config.sample_every):
                    trainer.draw()
                if trainer.due(plan.config.save_every) or stop.is_set():
                    trainer.save()
                if stop.is_set() and not trainer.done:
                    raise KeyboardInterrupt
        trainer.finish()
    return run


class Trainer:
    """All that changes while training, and what can be done with it.

    Args:
        run: Where everything is written.
        base: The model; an adapter is attached to it.
        data: The pictures.
        config: With nothing left open (see `plan.decide`).
        accelerator: Device and arithmetic.
        clock: Counts seconds.
    """

    def __init__(
        self,
        run: Run,
        base: Base,
        data: TrainingData,
        config: TrainConfig,
        accelerator: Accelerator,
        clock: session.Clock,
    ) -> None:
        self.run, self.base, self.data, self.config = run, base, data, config
        self.accelerator, self.clock = accelerator, clock
        torch.manual_seed(config.seed)
        base.unet.to(memory_format=torch.channels_last)  # the same numbers, 8 % faster (benchmarks/trainer_speed.py)
        self.adapter = lora.attach(base, config.lora)
        self.parameters = list(self.adapter.parameters())
        if config.checkpointing:
            base.unet.enable_gradient_checkpointing()
        self.optimiser = accelerator.prepare(optimise.optimiser(self.parameters, config.optimiser))
        self.ema = optimise.averaged(self.parameters, config.optimiser)
        self.sampler = data.sampler(config)
        self.step, self.steps = 0, config.steps or 0
        self.shown: Counter[int] = Counter()
        self._recent: dict[str, list[float]] = defaultdict(list)
        self._gap = ""

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.steps

    def due(self, every: int | None) -> bool:
        """Whether it is time: every so many steps, and after the last one."""
        return self.done or (every is not None and self.step % every == 0)

    def prepare(self, cache: Path, report: Progress) -> None:
        """Fill the caches, then measure the base model."""
        with self.clock.part("encode"):
            self.loader = Loader(self.data, self.base, self.config, cache)
            self.loader.prepare(report)
        self.held_out = HeldOut(self.data, self.base, self.loader, self.config, self.accelerator.autocast)
        if self.held_out.there:
            with self.clock.part("measure"), self.adapter.disabled():
                self.held_out.reference = self.held_out.measure()

    def learn(self) -> None:
        """One step: the gradients of its batches, every picture counting alike, then one move of the weights."""
        with self.clock.part("data"):
            batches = [next(self.sampler) for _ in range(self.config.accumulate)]
        total, first, whole = sum(map(len, batches)), 0, 0.0
        for rows in batches:
            with self.clock.part("data"), self.accelerator.autocast():
                batch = self.loader.batch(rows, self.step, first)
                noise = self._noise(batch, range(first, first + len(rows)))
            with self.clock.part("forward"), self.accelerator.autocast():
                errors = losses.squared_errors(self.base, batch, noise)
                weights = losses.weights_of(self.base, batch, noise, self.config.loss.min_snr_gamma)
                loss = (errors * weights).sum() / total
                self._check(errors, rows)
            with self.clock.part("backward"):
                self.accelerator.backward(loss)
            first, whole = first + len(rows), whole + float(loss.detach())
            self._remember(rows, errors, noise.timesteps)
        with self.clock.part("optimise"):
            self._move([row for rows in batches for row in rows])
        self._recent["loss"].append(whole)
        self.step += 1

    def log(self) -> None:
        """Means since the last time, learning rate and speed."""
        means = {name: float(np.mean(values)) for name, values in self._recent.items()}
        rate = float(self.optimiser.param_groups[0]["lr"])
        speed = self.clock.rate(self.step)
        self.metrics.add(self.step, {**means, "lr": rate, "epoch": self.sampler.state.epoch, "steps_per_s": speed})
        self._recent.clear()

    def measure(self) -> str:
        """Losses on held-out pictures and their twins beside the base model's; one sentence for people."""
        bands = [(band, self.metrics.last(f"loss.{band}")) for band in losses.BANDS]
        noise = ", ".join(f"{band} noise {value:.3f}" for band, value in bands if value is not None)
        sentence = f"Step {self.step} of {self.steps}: loss {self.metrics.last('loss') or 0:.4f} ({noise})"
        if self.held_out.there:
            with self.clock.part("measure"), optimise.in_place(self.ema, self.parameters):
                measured = self.held_out.measure()
            self._append("losses", self.held_out.table(self.step, measured))
            self.metrics.add(self.step, self.held_out.summary(measured))
            self._gap = loss_gap.gap(self.held_out.losses(measured)).sentence()
            sentence += f"; {self._gap}"
        return sentence + "."

    def draw(self) -> None:
        """The sample grid."""
        if self.config.samples.prompts:
            with self.clock.part("draw"), optimise.in_place(self.ema, self.parameters):
                folder = self.run.folder / "samples" / f"step-{self.step:06d}"
                grids = samples.draw(self.base, self.adapter, self.config.samples, folder)
            for number, grid in enumerate(grids):
                self.metrics.picture(self.step, f"samples/{number}", grid)

    def save(self) -> None:
        """A checkpoint: everything that the next step needs, and the LoRA files."""
        with self.clock.part("save"):
            checkpoint.save(self.run.checkpoints, self.step, self._state(), self._write_lora)
            self._write_tables()

    def finish(self) -> None:
        """The LoRA files in the run's own folder, and the last entries of its record."""
        self._write_lora(self.run.folder)
        self._write_tables()
        self.metrics.close()
        names = ("loss", "held_out.loss", "twins.loss", "held_out.delta", "twins.delta", "gap")
        result = {name: self.metrics.last(name) for name in names}
        self.run.update(state="finished", finished=runs.now(), result={**result, "sentence": self._gap})

    def resume(self) -> bool:
        """Go to the newest checkpoint of the run; whether there is one."""
        state = checkpoint.load(self.run.checkpoints)
        self.metrics = Metrics(self.run, 0 if state is None else state["step"])
        self.clock.rate(0 if state is None else state["step"])
        if state is None:
            return False
        self.step, self.shown = state["step"], Counter(state["shown"])
        self.sampler.restore(SamplerState(*state["sampler"]))
        self.adapter.load_state(state["adapter"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
            self.ema.to(self.base.device)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["torch"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda"])
        self._recent, self._gap = defaultdict(list, state["recent"]), state["gap"]
        for name, seconds in self.run.record.get("timings", {}).items():
            self.clock.seconds[name] += seconds
        return True

    # helpers ---------------------------------------------------------------------------------------------------------

    def _noise(self, batch: losses.Batch, within: range) -> losses.Noise:
        count = int(self.base.scheduler.config.num_train_timesteps)
        key = (self.config.seed, self.step)
        found = losses.draw(batch.latents.shape[1:], key, within, count, self.config.loss.noise_offset)
        device = self.base.device
        return losses.Noise(found.noise.to(device, batch.latents.dtype), found.timesteps.to(device))

    def _check(self, errors: torch.Tensor, rows: Sequence[int]) -> None:
        finite = torch.isfinite(errors).tolist()
        if not all(finite):
            raise self._not_a_number("loss", [row for row, ok in zip(rows, finite, strict=True) if not ok])

    def _not_a_number(self, what: str, rows: Sequence[int]) -> TrainingError:
        names = list(dict.fromkeys(self.data.train[row].path for row in rows))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return TrainingError(
            f"The {what} of {', '.join(names[:3])}{more} is not a number at step {self.step + 1}.",
            "The learning rate is too high, half precision overflowed, or the base model is broken.",
            f"Lower optimiser.lr or use precision float32; checkpoints of {self.run.id} are kept.",
        )

    def _remember(self, rows: Sequence[int], errors: torch.Tensor, timesteps: torch.Tensor) -> None:
        count = int(self.base.scheduler.config.num_train_timesteps)
        for error, timestep in zip(errors.detach().tolist(), timesteps.tolist(), strict=True):
            self._recent[f"loss.{losses.band_of(timestep, count)}"].append(error)
        self.shown.update(rows)

    def _move(self, rows: Sequence[int]) -> None:
        config = self.config.optimiser
        norm = float(self.accelerator.clip_grad_norm_(self.parameters, config.max_grad_norm or math.inf))
        if not math.isfinite(norm) and self.accelerator.scaler is None:  # a scaler skips the step and tries again
            raise self._not_a_number("gradient", rows)
        self._recent["grad_norm"].append(norm)
        rate = optimise.learning_rate(config) * optimise.factor(self.step, self.steps, config)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad()
        if self.ema is not None:
            self.ema.step(self.parameters)

    def _state(self) -> checkpoint.State:
        where, scaler = self.sampler.state, self.accelerator.scaler
        return {
            "step": self.step,
            "sampler": (where.epoch, where.cursor),
            "shown": dict(self.shown),
            "adapter": self.adapter.state(),
            "optimiser": self.optimiser.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "recent": dict(self._recent),
            "gap": self._gap,
        }

    def _write_lora(self, folder: Path) -> None:
        with optimise.in_place(self.ema, self.parameters):
            lora.save(self.adapter, folder, self.run.id, metadata.of(self.run, self.data, self.config, self.step))

    def _write_tables(self) -> None:
        """Metrics, and how often each picture was to be shown and was."""
        self.metrics.flush()
        total, shares = sum(self.shown.values()), self.sampler.shares
        rows = [
            (p.key, p.path, p.source, float(share * total), self.shown[row])
            for row, (p, share) in enumerate(zip(self.data.train, shares, strict=True))
        ]
        names = ["key", "path", "source", "wanted", "shown"]
        self.run.write("exposures", pl.DataFrame(rows, schema=names, orient="row"))
        self.run.update(step=self.step, timings={k: round(v, 3) for k, v in self.clock.seconds.items()})

    def _append(self, name: str, rows: pl.DataFrame) -> None:
        """Add rows to a table of the run, in place of those of this or a later step."""
        earlier = self.run.read(name).filter(pl.col("step") < self.step) if self.run.has(name) else rows.clear()
        self.run.write(name, pl.concat([earlier, rows]))


def _settings(config: TrainConfig, resume: Run | None) -> TrainConfig:
    if resume is None:
        return config
    known = TrainConfig.of(resume.record.get("settings", {}))
    return known if config.steps is None else known.model_copy(update={"steps": config.steps})
