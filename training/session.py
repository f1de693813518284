"""What surrounds a training loop: device and precision, the run's folder, its record when something ends it, time.

Not for the loop itself: that is `train.py`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from diversity import record
from diversity.encoders.open_clip_encoder import pick_device
from diversity.errors import ConfigError, DiversityError
from training import runs
from training.base import Base
from training.config import TrainConfig
from training.data import TrainingData
from training.errors import TrainingError
from training.plan import Plan
from training.runs import Run

if TYPE_CHECKING:
    from diversity.dataset import Dataset

Precision = Literal["float32", "bfloat16", "float16"]
MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
NOT_OF_THE_RESULT = {"device", "memory_gb", "allow_download"}  # settings that may differ when a run goes on


class Clock:
    """Seconds by part of the work, in all and since the last look.

    Work on a GPU is counted where it is waited for, which is in the parts of the step anyway.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._since, self._steps = time.perf_counter(), 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block under `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def rate(self, step: int) -> float:
        """Steps per second since the last call, everything included."""
        now = time.perf_counter()
        rate = (step - self._steps) / max(now - self._since, 1e-9)
        self._since, self._steps = now, step
        return rate


def precision_of(config: TrainConfig) -> Precision:
    """The dtype that `config` asks for; auto: bfloat16 where a CUDA device computes in it, else float32."""
    if config.precision != "auto":
        return config.precision
    cuda = pick_device(config.device).startswith("cuda")
    return "bfloat16" if cuda and torch.cuda.is_bf16_supported() else "float32"


def accelerator(config: TrainConfig) -> Accelerator:
    """Device and arithmetic.

    Raises:
        ConfigError: several processes, a memory cap for a device that has none, or float16 on the CPU.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "A run uses one process and one device.", "Several were launched.", "Start it without a launcher."
        )
    device, precision = pick_device(config.device), precision_of(config)
    if not device.startswith("cuda") and config.memory_gb is not None:
        raise ConfigError(
            "Memory can only be capped on a CUDA device.",
            f"This run is on {device}.",
            "Use a smaller batch with --accumulate.",
        )
    if device == "cpu" and precision == "float16":
        raise ConfigError("float16 cannot be trained on the CPU.", "", "Use --precision float32 or bfloat16.")
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device).index or 0)
        if config.memory_gb is not None:
            whole = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, config.memory_gb * 2**30 / whole))
    AcceleratorState._reset_state(reset_partial_state=True)  # it is global: a second run may want another precision
    return Accelerator(mixed_precision=MIXED[precision], cpu=device == "cpu")


def fingerprint(base: Base, data: TrainingData, plan: Plan) -> str:
    """A run's identity: all that decides its outcome. Runs of one identity give the same LoRA, so one may go on."""
    settings = plan.config.model_dump(mode="json")
    decisive = {name: value for name, value in settings.items() if name not in NOT_OF_THE_RESULT}
    return record.digest([decisive, data.digest(), runs.identity(base)])


def open_run(
    dataset: Dataset,
    base: Base,
    data: TrainingData,
    plan: Plan,
    *,
    resume: Run | None,
    fresh: bool,
) -> Run:
    """The run to write to: the one to resume, an interrupted one with the same fingerprint, or a new one.

    Raises:
        TrainingError: the run to resume was made from other pictures, weights or another base, or is further already.
    """
    config, settings = plan.config, plan.config.model_dump(mode="json")
    digest, selection = data.digest(), record.file_hash(dataset.path(f"selection/{config.selection}"))
    identity = fingerprint(base, data, plan)
    if resume is not None:
        other = runs.other_base(resume, base)
        why = f"The base model is another one: {other}." if other else ""
        if resume.record.get("data", {}).get("digest") != digest:
            why = "The pictures, captions or weights changed."
        if why:
            raise TrainingError(f"The run {resume.id} cannot go on.", why, "Start a new run.")
        done = int(resume.record.get("step", 0))
        if (config.steps or 0) < done:
            raise TrainingError(
                f"The run {resume.id} has {done} steps already.", f"{config.steps} were asked for.", "Raise --steps."
            )
        resume.update(state="running", settings=settings, fingerprint=identity)
        return resume
    found = None if fresh else runs.unfinished(dataset.folder, identity)
    if found is not None:
        found.update(state="running")
        return found
    counts = {"train": len(data.train), "held_out": len(data.held_out), "twins": len(data.twins)}
    contents = {
        "fingerprint": identity,
        "pictures": str(dataset.root),
        "data": {"digest": digest, "selection": selection, **counts},
        "base": {
            "name": _findable(base.name),
            "family": base.family,
            "prediction_type": base.prediction_type,
            **runs.identity(base),
        },
        "settings": settings,
        "reasons": list(plan.reasons),
        "notes": list(data.notes),
        "device": base.device,
        **runs.surroundings(),
    }
    run = Run.create(dataset.folder, config.selection, contents)
    run.write("pictures", data.table())
    return run


def _findable(name: str) -> str:
    """The name of a base model as it can be loaded from anywhere: local paths in full."""
    path = Path(name).expanduser()
    return str(path.resolve()) if name != "toon" and path.exists() else name


@contextmanager
def recorded(run: Run) -> Iterator[None]:
    """Write into the run's record how it ended, if it did not finish; a full GPU becomes a plain message."""
    try:
        yield
    except KeyboardInterrupt:
        run.update(state="interrupted")
        raise
    except torch.OutOfMemoryError:
        run.update(state="failed", problem="out of memory")
        raise TrainingError(
            "The device ran out of memory.",
            "",
            "Lower batch_size and raise accumulate by as much, or set checkpointing, a lower rank or resolution.",
        ) from None
    except DiversityError as error:
        run.update(state="failed", problem=str(error))
        raise
    except BaseException as error:
        run.update(state="failed", problem=f"{type(error).__name__}: {error}")
        raise


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C or a polite kill sets, so that the current step can end; a second one is not waited for."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
