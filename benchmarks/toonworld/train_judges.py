"""Train the attribute judges: ``python -m benchmarks.toonworld.train_judges --data DIR --vae FOLDER --start WEIGHTS
--out training/assets/judges --seed 0``.

On renders that no other model saw (`render --world figures`, then `visible`), half of them passed through the toon
base's autoencoder. The network also learns where hair, outfit and shoes are (`visible`): whose colour is asked for.
An attribute is shipped where at least 0.95 of unseen characters' pictures that show it are judged right, as rendered
and as decoded. Resumes from ``--work``.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.toonworld import judged, pretrained
from benchmarks.toonworld.fitting import Fit, cosine, set_rate, update_average
from benchmarks.toonworld.judged import RULES, Examples, Picture, asked, decode, read
from training import judges
from training.judges import Attribute, Network

FLOOR = 0.95
WEIGHTS = {"side": 1.5}
AZIMUTH_WEIGHT, PARTS_WEIGHT, SMOOTHING = 2.0, 2.0, 0.02
UNEVEN = 9.0  # of 255: far less than the step of a gradient that may be asked for (`figures.STEP`)
SMALL_SIDE = 96  # pixels, of the first steps: most is learnt there, at half the cost
TEMPERATURES = np.geomspace(0.3, 3, 47)


@dataclass(frozen=True)
class Settings:
    """Everything a run depends on beside the data."""

    steps: int
    seed: int
    small_steps: int = 3000
    batch: int = 48
    rate: float = 1e-3
    head_rate: float = 4e-3
    fine_rate: float = 0.2
    warmup: int = 100
    decay: float = 0.995

    def stage(self, step: int) -> tuple[int, float]:
        """Side of the pictures in pixels, and share of the peak rates, at a step: first small ones, then whole ones."""
        if step < self.small_steps:
            return SMALL_SIDE, cosine(step, self.small_steps, self.warmup)
        left = self.steps - self.small_steps
        return judges.SIDE, self.fine_rate * cosine(step - self.small_steps, left, self.warmup)


class Student(nn.Module):
    """The network, and a head for the azimuth that stays behind."""

    def __init__(self, classes: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__()
        self.network = Network({name: len(labels) for name, labels in classes.items()})
        self.azimuth = nn.Linear(self.network.norm.num_features, 2)

    def forward(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Logits by attribute, cosine and absolute sine of the azimuth [n, 2], and logits of the parts [n, 5, h, w]."""
        features, parts = self.network.features(pixels)
        return {name: head(features) for name, head in self.network.heads.items()}, self.azimuth(features), parts


def begin_from(student: Student, weights: Path, pictures: Picture) -> None:
    """ImageNet weights in the trunk, its norms fitted to pictures uint8 [n, s, s, 3], its first stages frozen."""
    whole, trunk = timm.create_model("mobilenetv2_100", pretrained=False), student.network.trunk
    pretrained.load(whole, weights)
    pretrained.unfold_norms(whole, judges.to_pixels(pictures))
    state = whole.state_dict()
    trunk.load_state_dict({name: state[name] for name in trunk.state_dict()})


def augmented(picture: Picture, parts: Picture, side: int, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """A slightly different shot, uint8 [side, side, 3], of a picture uint8 [s, s, 3], and its parts, uint8 [side/4,
    side/4] of [p, p]. Mirrored, cropped, shrunk, uneven; colours stay.
    """
    high, wide = rng.uniform(0.9, 1.0, 2)
    top, left, mirror = rng.uniform(0, 1 - high), rng.uniform(0, 1 - wide), int(rng.choice((-1, 1)))
    picture, parts = (_cropped(each, (top, left, high, wide))[:, ::mirror] for each in (picture, parts))
    picture = np.ascontiguousarray(picture)
    if rng.random() < 0.2:
        small = int(rng.integers(56, 110))
        picture = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.2:
        quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(40, 95))]
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR)
    values = judges.fit(picture, side) * rng.uniform(0.96, 1.04) + rng.normal(0, 2)
    if rng.random() < 0.5:
        values = values + unevenness(side, rng)
    coarse = cv2.resize(np.ascontiguousarray(parts), (side // 4, side // 4), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.clip(values, 0, 255).astype(np.uint8), coarse.astype(np.uint8)


def unevenness(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Soft spots of colour, [side, side, 3], as a UNet leaves them where a renderer draws one colour."""
    cells = int(rng.integers(2, 7))
    spots = rng.normal(0, rng.uniform(0, UNEVEN), (cells, cells, 3))
    return cv2.resize(spots, (side, side), interpolation=cv2.INTER_CUBIC)


def _cropped(pixels: Picture, box: tuple[float, float, float, float]) -> Picture:
    """The part of a square picture within top, left, height and width, shares of its side."""
    top, left, high, wide = (int(share * len(pixels)) for share in box)
    return pixels[top : top + high, left : left + wide]


def batch(examples: Examples, settings: Settings, step: int) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """The `step`-th batch: pixels float32 [n, 3, s, s], parts int64 [n, s/4, s/4] and its items; every second picture
    is a decoded one.
    """
    rng, (side, _) = np.random.default_rng([settings.seed, step, 11]), settings.stage(step)
    items = rng.integers(len(examples.index), size=settings.batch)
    pictures, parts = [], []
    for item in items:
        row = examples.index[item]
        source = examples.decoded if row % 2 else examples.pixels
        picture, places = augmented(np.asarray(source[row]), np.asarray(examples.parts[row]), side, rng)
        pictures.append(picture)
        parts.append(places)
    return judges.to_pixels(np.stack(pictures)), torch.from_numpy(np.stack(parts)).long(), items


def loss_of(
    student: Student, pixels: Tensor, parts: Tensor, items: NDArray[np.int64], examples: Examples
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of what each picture shows and of its parts, and the azimuth's error; the loss and shares of right
    answers.
    """
    logits, angle, places = student(pixels)
    total, right = PARTS_WEIGHT * F.cross_entropy(places, parts), {}
    for name, scores in logits.items():
        target = torch.from_numpy(examples.targets[name][items])
        seen = target >= 0
        if seen.any():
            part = F.cross_entropy(scores, target, ignore_index=-1, label_smoothing=SMOOTHING)
            total = total + WEIGHTS.get(name, 1.0) * part
        right[name] = float((scores.argmax(1) == target)[seen].float().mean()) if seen.any() else float("nan")
    turned = torch.from_numpy(np.radians(examples.azimuth[items]))
    aim = torch.stack([turned.cos(), turned.sin().abs()], 1).float()
    seen = torch.from_numpy(examples.targets["side"][items] >= 0)
    if seen.any():
        total = total + AZIMUTH_WEIGHT * F.mse_loss(angle[seen], aim[seen])
    found = float((places.argmax(1) == parts).float().mean())
    return total, {"loss": float(total.detach()), "parts": found, **right}


def make_optimiser(student: Student, settings: Settings) -> torch.optim.Optimizer:
    """AdamW; heads have a rate of their own, vectors no weight decay, frozen stages are left out."""
    groups = []
    for name, parameter in student.named_parameters():
        if parameter.requires_grad:
            rate = settings.rate if name.startswith("network.trunk") else settings.head_rate
            decay = 0.02 if parameter.ndim >= 2 else 0.0
            groups.append({"params": [parameter], "weight_decay": decay, "peak": rate})
    return torch.optim.AdamW(groups, betas=(0.9, 0.98))


def logits_of(network: Network, examples: Examples, items: NDArray[np.int64], through: bool) -> dict[str, Tensor]:
    """Logits [len(items), classes] by attribute, of renders or of decoded ones."""
    parts = []
    with torch.inference_mode():
        for some in np.array_split(items, max(1, len(items) // judges.BATCH)):
            parts.append(network.eval()(judges.to_pixels(examples.pictures(some, through))))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def accuracy(scores: Tensor, examples: Examples, items: NDArray[np.int64], name: str, labels: tuple[str, ...]) -> float:
    """Share of right answers to one attribute; classes that share one of `labels` are taken as one."""
    attribute = Attribute(labels, ())
    said = attribute.merged(scores.softmax(1).numpy()).argmax(1)
    places = np.array([attribute.labels.index(label) for label in labels])
    right = said == places[examples.targets[name][items]]
    return float(right[asked(examples, name, attribute.labels)[items]].mean())


def accuracies(logits: dict[str, Tensor], examples: Examples, items: NDArray[np.int64]) -> dict[str, float]:
    """`accuracy` of every attribute, each class by itself."""
    return {name: accuracy(rows, examples, items, name, examples.classes[name]) for name, rows in logits.items()}


def temperature_of(logits: list[Tensor], targets: Tensor, seen: Tensor) -> float:
    """The temperature of least log-loss (Guo et al. 2017, section 4.2), over renders and decoded ones together."""
    scores, truth = torch.cat([part[seen] for part in logits]), targets[seen].repeat(len(logits))
    return float(min(TEMPERATURES, key=lambda value: float(F.cross_entropy(scores / value, truth))))


def finish(network: Network, held_out: Examples, out: Path) -> dict[str, tuple[float, float]]:
    """Measure on unseen characters, write what reaches the floor in its finest reading (`judged.readings`); accuracies
    as rendered and as decoded of all, of the coarsest reading where none reaches it.
    """
    items = np.arange(len(held_out.index))
    passes = [logits_of(network, held_out, items, through) for through in (False, True)]
    measured, shipped = {}, {}
    for name, classes in held_out.classes.items():
        for labels in judged.readings(name, classes):
            plain, through = (accuracy(logits[name], held_out, items, name, labels) for logits in passes)
            measured[name] = plain, through
            if min(plain, through) >= FLOOR:
                seen, target = torch.from_numpy(asked(held_out, name, labels)), torch.from_numpy(held_out.targets[name])
                warmth = temperature_of([logits[name] for logits in passes], target, seen)
                shipped[name] = Attribute(labels, RULES[name].framings, warmth, min(plain, through))
                break
    judges.save(out, network, shipped)
    return measured


def train(examples: Examples, held_out: Examples, out: Path, work: Path, settings: Settings, start: Path) -> None:
    """Build, resume, loop, log, save."""
    torch.manual_seed(settings.seed)
    student = Student(examples.classes).to(memory_format=torch.channels_last)
    some = np.random.default_rng(settings.seed).permutation(len(examples.index))[:128]
    begin_from(student, start, examples.pictures(some, False))
    student.train()
    pretrained.freeze_first(student.network.trunk)
    average = copy.deepcopy(student).requires_grad_(False).eval()
    optimiser = make_optimiser(student, settings)
    fit = Fit(work, {"student": student, "average": average, "optimiser": optimiser})
    fit.resume()
    watched, began = np.random.default_rng(0).permutation(len(held_out.index))[:400], time.time()
    for step in range(fit.step, settings.steps):
        pixels, parts, items = batch(examples, settings, step)
        set_rate(optimiser, settings.stage(step)[1])
        loss, shares = loss_of(student, pixels, parts, items, examples)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 2.0)
        optimiser.step()
        update_average(average, student, step, settings.decay)
        fit.step = step + 1
        if fit.step % 25 == 0:
            fit.log({"step": fit.step, "seconds": round(time.time() - began, 1), **shares})
        if fit.step % 250 == 0 or fit.step == settings.steps:
            fit.save()
            seen = accuracies(logits_of(average.network, held_out, watched, True), held_out, watched)
            print(fit.step, f"{time.time() - began:.0f} s", {n: round(a, 3) for n, a in seen.items()}, flush=True)
    for name, (plain, through) in finish(average.network, held_out, out).items():
        print(f"{name}: {plain:.3f} as rendered, {through:.3f} as decoded")
    (out / "training_log.csv").write_bytes((work / "log.csv").read_bytes())


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of `render`, with `visible` run on it")
    parser.add_argument("--vae", type=Path, required=True, help="the toon base's autoencoder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True, help="ImageNet MobileNetV2 weights")
    parser.add_argument("--work", type=Path, help="decoded pictures, checkpoints, log (default: DATA/judges_work)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--threads", type=int, help="torch threads")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    work = args.work or args.data / "judges_work"
    work.mkdir(parents=True, exist_ok=True)
    decoded = work / "decoded.npy"
    decode(args.data, args.vae, decoded, training=True)
    examples = read(args.data, "train", decoded)
    held_out = read(args.data, "held_out", decoded, examples.classes)
    train(examples, held_out, args.out, work, Settings(args.steps, args.seed), args.start)


if __name__ == "__main__":
    main()
