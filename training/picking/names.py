"""What a sample's file name says: step or epoch, prompt number, seed; as trainers write them, read in their own code.

Not for what is inside the file: that is `metadata.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Named:
    """What a name says; None where it says nothing.

    Attributes:
        reader: Whose habit it is.
        step: Optimiser step.
        epoch: Where the trainer counts epochs instead.
        index: Number of the prompt, from 0.
        seed: Of the noise.
        prompt: Where the folder or file spells it.
        weight: LoRA weight.
        made: When, in a form that sorts; tells two samples of one checkpoint and prompt apart.
        run: What the trainer called its output; "" where it does not say.
        label: A short name that stands for the prompt.
        cut: Whether `prompt` may be its beginning only.
    """

    reader: str
    step: int | None = None
    epoch: int | None = None
    index: int | None = None
    seed: int | None = None
    prompt: str | None = None
    weight: float | None = None
    made: str = ""
    run: str = ""
    label: str | None = None
    cut: bool = False


# sd-scripts, musubi-tuner: [<output name>_](e<epoch>|<step>)_<prompt>_<YYYYmmddHHMMSS>[_<seed>]
_KOHYA = re.compile(r"(?:(.*)_)?(e?)(\d{6,})_(\d{2,})_(\d{14})(?:_(\d+))?")
# ai-toolkit: <milliseconds>__<step>_<prompt>
_AI_TOOLKIT = re.compile(r"(\d{10,})__(\d{9,})_(\d+)")
# OneTrainer: <n> - <safe prompt>/<prefix><time>-training-sample-<step>-<epoch>-<epoch step>
_ONETRAINER = re.compile(r".*?(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)-training-sample-(\d+)-(\d+)-(\d+)")
_ONETRAINER_FOLDER = re.compile(r"(\d+) - (.*?)(?: - no-ema)?")
_ONETRAINER_CUT = 31  # its path_util.safe_filename keeps 32 characters, of which file systems drop a space at the end
# SimpleTuner: step_<step>_<short name of the prompt>_<n of its pictures>_<resolution>
_SIMPLETUNER = re.compile(r"step_(\d+)_(.+)_(\d+)_(\d+x\d+|\d+)")

_STEP = re.compile(r"(?<![a-z])steps?[-_ =]?(\d+)", re.IGNORECASE)
_EPOCH = re.compile(r"(?<![a-z])ep(?:och)?[-_ =]?(\d+)", re.IGNORECASE)
_SEED = re.compile(r"(?<![a-z])seed[-_ =]?(\d+)", re.IGNORECASE)
_WEIGHT = re.compile(r"(?<![a-z])(?:weight|strength|w)[-_ =]?(\d(?:\.\d+)?)(?![\d.]*\d)", re.IGNORECASE)

# checkpoints: kohya's -000010 (epochs), -step00001500; ai-toolkit's _000001500; OneTrainer's -save-<step>-<epoch>-<n>
_SAVED = re.compile(r"-save-(\d+)-\d+-\d+$")
_COUNTED = re.compile(r"-(?:save|training-sample)-(\d+)-(\d+)-(\d+)$")
_EPOCHS = re.compile(r"-(\d{6})$")
_STEPS = re.compile(r"_(\d{9,})$")


def parse(path: str) -> Named | None:
    """What the name of `path` (relative, forward slashes) says; None where no trainer's habit and no word is known."""
    where = PurePosixPath(path)
    return _trainer(where) or _plain(path)


def checkpoint(lora: str) -> tuple[int | None, int | None]:
    """(step, epoch) of a LoRA's file name, as trainers name them; (None, None) for a final file."""
    stem = PurePosixPath(lora.replace("\\", "/")).name
    stem = stem.removesuffix(".safetensors").removesuffix(".pt").removesuffix("_kohya")
    for pattern in (_SAVED, _STEPS, _STEP):
        found = pattern.search(stem)
        if found:
            return int(found[1]), None
    found = _EPOCHS.search(stem) or _EPOCH.search(stem)
    return (None, int(found[1])) if found else (None, None)


def run_of(lora: str) -> str:
    """What is left of a LoRA's file name without its step or epoch: equal for checkpoints of one run; "" for none.

    OneTrainer's are named by the time at which they were saved, and final files by the user: both say nothing.
    """
    stem = PurePosixPath(lora.replace("\\", "/")).name.removesuffix(".safetensors").removesuffix(".pt")
    if checkpoint(lora) == (None, None) or _SAVED.search(stem):
        return ""
    for pattern in (_STEPS, _STEP, _EPOCHS, _EPOCH):
        stem = pattern.sub("", stem)
    return stem.strip("-_ ")


def steps_per_epoch(name: str) -> float | None:
    """Of a sample's or a LoRA's name that tells both; None for others.

    OneTrainer writes <step>-<epoch>-<step within the epoch>.
    """
    stem = PurePosixPath(name.replace("\\", "/")).stem
    if found := _COUNTED.search(stem):
        step, epoch, within = (int(part) for part in found.groups())
        return (step - within) / epoch if epoch and step > within else None
    step_said, epoch_said = _STEP.search(stem), _EPOCH.search(stem)
    if step_said is None or epoch_said is None or not int(epoch_said[1]):
        return None
    return int(step_said[1]) / int(epoch_said[1]) or None


def _trainer(where: PurePosixPath) -> Named | None:
    stem = where.stem
    if found := _AI_TOOLKIT.fullmatch(stem):
        return Named("ai-toolkit", step=int(found[2]), index=int(found[3]), made=found[1])
    if found := _ONETRAINER.fullmatch(stem):
        folder = _ONETRAINER_FOLDER.fullmatch(where.parent.name)
        index, prompt = (int(folder[1]), folder[2]) if folder else (None, None)
        cut = prompt is not None and len(prompt) >= _ONETRAINER_CUT
        return Named("OneTrainer", step=int(found[2]), index=index, prompt=prompt, made=found[1], cut=cut)
    if found := _KOHYA.fullmatch(stem):
        number, seed = int(found[3]), int(found[6]) if found[6] else None
        step, epoch = (None, number) if found[2] else (number, None)
        run = found[1] or ""
        return Named("kohya", step=step, epoch=epoch, index=int(found[4]), seed=seed, made=found[5], run=run)
    if found := _SIMPLETUNER.fullmatch(stem):
        return Named("SimpleTuner", step=int(found[1]), label=found[2])
    return None


def _plain(path: str) -> Named | None:
    """Words such as "step 500", "seed 3", "w0.8" in the name or a folder above it; the innermost wins."""
    parts = [PurePosixPath(path).stem, *reversed(PurePosixPath(path).parts[:-1])]

    def first(pattern: re.Pattern[str]) -> str | None:
        return next((found[1] for part in parts if (found := pattern.search(part))), None)

    step, epoch, seed, weight = (first(pattern) for pattern in (_STEP, _EPOCH, _SEED, _WEIGHT))
    if step is None and epoch is None and weight is None:
        return None
    return Named(
        "file names",
        step=int(step) if step else None,
        epoch=int(epoch) if epoch and not step else None,
        seed=int(seed) if seed else None,
        weight=float(weight) if weight else None,
    )
