"""Train the toon encoder: ``python -m benchmarks.toonworld.train_encoder --data DIR --out
diversity/assets/toon_encoder --seed 0``.

A small CLIP (open_clip, local folder) on renders. Every phrase of a caption states one label, so which texts are true
of which pictures is known exactly: the contrastive loss has all true pairs as positives. With ``--shared`` photos keep
what ImageNet's MobileNetV2 tells apart (`photos.py`). Resumes from ``--work`` checkpoints.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.toonworld import pretrained, vocabulary
from benchmarks.toonworld.captions import dress, phrase
from benchmarks.toonworld.dataset import AXES, Batch, ToonSet, corpus, plain
from benchmarks.toonworld.fitting import Fit, cosine, set_rate, update_average
from benchmarks.toonworld.photos import Holding, Photos, Teacher

DIM = 192
IMAGE_SIZE = 96
FIRST_SIZE, FIRST_SHARE = 80, 0.75  # pixels of the first steps, and their share: a third cheaper, as good to learn from
AXIS_WEIGHT = {"framing": 1.0, "side": 1.5}
OTHER_AXIS_WEIGHT, OTHER_AXES = 0.25, 2
EMA_DECAY = 0.98
PAIR_WEIGHT, PAIR_TEMPERATURE = 0.6, 0.08
ALIKE_WEIGHT, TOLD_WEIGHT, RENDERS_TOLD_WEIGHT = 1.0, 2.0, 1.0


@dataclass(frozen=True)
class Settings:
    """Everything a run depends on beside the data."""

    steps: int
    seed: int
    batch: int = 48
    photos: int = 24
    rate: float = 6e-4
    text_rate: float = 1.5e-3
    head_rate: float = 5e-3
    decay: float = 0.05
    warmup: int = 30


@dataclass(frozen=True)
class Anchor:
    """Photos, and who sees in them what shall not be forgotten."""

    photos: Photos
    teacher: Teacher

    @staticmethod
    def of(shared: Path) -> Anchor:
        """From ../shared/data."""
        photos = Photos(shared / "caltech101", shared / "fast_neardup")
        return Anchor(photos, Teacher(next((shared / "weights").glob("mobilenet*.safetensors"))))


def model_config(vocabulary_size: int) -> dict[str, Any]:
    """open_clip_config.json: a MobileNetV2 picture tower and a text tower of two layers."""
    return {
        "model_cfg": {
            "embed_dim": DIM,
            "vision_cfg": {
                "timm_model_name": "mobilenetv2_100",
                "timm_model_pretrained": False,
                "timm_pool": "avg",
                "timm_proj": "linear",
                "image_size": IMAGE_SIZE,
            },
            "text_cfg": {
                "context_length": vocabulary.CONTEXT,
                "vocab_size": vocabulary_size,
                "width": 128,
                "heads": 4,
                "layers": 2,
                "hf_tokenizer_name": "local",
            },
        },
        "preprocess_cfg": {
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


def as_pixels(pictures: np.ndarray) -> Tensor:
    """Pictures uint8 [n, s, s, 3] as float32 [n, 3, s, s] in -1..1."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last).float()
    return pixels / 127.5 - 1.0


class Student(nn.Module):
    """The CLIP model and auxiliary linear heads (every axis, azimuth) that are dropped on export."""

    def __init__(self, folder: Path, names: dict[str, list[str]]) -> None:
        super().__init__()
        import open_clip

        self.clip = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.spread = nn.BatchNorm1d(DIM, affine=False)
        self.azimuth = nn.Linear(DIM, 2)
        self.holding = Holding(DIM)
        self.heads = nn.ModuleDict({axis: nn.Linear(DIM, len(names[axis])) for axis in AXES})

    def images(self, pictures: np.ndarray) -> Tensor:
        """Rows float32 [n, DIM], not yet of unit length, of uint8 [n, s, s, 3] pictures."""
        return self.clip.encode_image(as_pixels(pictures))

    def texts(self, texts: list[str]) -> Tensor:
        """Unit rows float32 [n, DIM]; shorter texts are encoded together and cut, which changes nothing under the
        causal mask.
        """
        tokens = self.tokenizer(texts)
        lengths = (tokens != 0).sum(1)
        order = lengths.argsort(stable=True)
        rows = torch.cat(
            [self._encode(tokens[part], int(lengths[part].max())) for part in order.tensor_split(4) if len(part)]
        )
        return rows[order.argsort()]

    def _encode(self, tokens: Tensor, length: int) -> Tensor:
        clip, tokens = self.clip, tokens[:, :length]
        states = clip.token_embedding(tokens) + clip.positional_embedding[:length]
        states = clip.ln_final(clip.transformer(states, attn_mask=clip.attn_mask[:length, :length]))
        return F.normalize(states[torch.arange(len(tokens)), tokens.argmax(1)] @ clip.text_projection, dim=-1)


def multi_positive(logits: Tensor, true: Tensor) -> Tensor:
    """Contrastive loss of ``logits`` [n, m] with a truth matrix bool [n, m]: mean log-probability of the true ones,
    both ways.
    """
    losses = []
    for scores, truth in ((logits, true), (logits.T, true.T)):
        target = truth.float()
        target = target / target.sum(1, keepdim=True).clamp(min=1)
        losses.append(-(target * scores.log_softmax(1)).sum(1).mean())
    return torch.stack(losses).mean()


def pair_loss(first: Tensor, second: Tensor, groups: Tensor) -> Tensor:
    """Two versions of one moment attract, other moments repel; other pictures of the same moment count as neither."""
    same = (groups[:, None] == groups[None]) & ~torch.eye(len(groups), dtype=torch.bool)
    logits = (first @ second.T / PAIR_TEMPERATURE).masked_fill(same, -1e4)
    aim = torch.arange(len(groups))
    return 0.5 * (F.cross_entropy(logits, aim) + F.cross_entropy(logits.T, aim))


def axis_prompts(names: dict[str, list[str]], rng: np.random.Generator) -> dict[str, list[str]]:
    """One random prompt per value, for framing and side and ``OTHER_AXES`` of the other axes."""
    prompts = {}
    for axis in [*AXIS_WEIGHT, *rng.choice(AXES[len(AXIS_WEIGHT) :], OTHER_AXES, replace=False)]:
        slot = axis.removesuffix("_kind").removesuffix("_colour") if axis.startswith(("outfit", "shoes")) else axis
        texts = []
        for value in names[axis]:
            if axis.endswith("_kind"):
                text = phrase(slot, f"? {value}", rng).replace("? ", "")
            elif axis == "outfit_colour":
                text = f"{value} {('clothes', 'outfit')[rng.integers(2)]}"
            else:
                text = phrase(slot, value, rng) or "empty hands"
            texts.append(dress(text, rng))
        prompts[axis] = texts
    return prompts


def axis_loss(logits: dict[str, Tensor], batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Weighted cross-entropy of ``logits`` [2b, classes] per axis where the axis is visible, and the accuracies."""
    total, accuracy = torch.zeros(()), {}
    for axis, scores in logits.items():
        target = torch.from_numpy(np.concatenate([batch.classes[axis]] * 2))
        if (target >= 0).any():
            weight = AXIS_WEIGHT.get(axis, OTHER_AXIS_WEIGHT)
            total = total + weight * F.cross_entropy(scores, target, ignore_index=-1)
            accuracy[axis] = float((scores.argmax(1) == target)[target >= 0].float().mean())
    return total, accuracy


def train_step(
    student: Student, batch: Batch, prompts: dict[str, list[str]], crops: np.ndarray | None, teacher: Teacher | None
) -> tuple[Tensor, dict[str, float]]:
    """The loss of one batch and its parts; with photos `crops` and a teacher, what holds the encoder's eye too."""
    shown = [batch.first, batch.second] if crops is None else [batch.first, batch.second, crops]
    every = student.images(np.concatenate(shown))
    features = every[: 2 * len(batch.first)]
    pictures, spread = F.normalize(features, dim=-1), student.spread(features)
    first, second = pictures.chunk(2)
    texts = student.texts(batch.texts + [text for words in prompts.values() for text in words])
    captions, *classes = texts.split([len(batch.texts), *(len(words) for words in prompts.values())])
    scale = student.clip.logit_scale.exp().clamp(max=60)
    true = torch.from_numpy(batch.true)
    caption = 0.5 * sum(multi_positive(scale * side @ captions.T, true) for side in (first, second))
    by_text = {axis: scale * pictures @ rows.T for axis, rows in zip(prompts, classes, strict=True)}
    axes, accuracy = axis_loss(by_text, batch)
    heads, direct = axis_loss({axis: head(spread) for axis, head in student.heads.items()}, batch)
    pair = pair_loss(first, second, torch.from_numpy(batch.groups))
    angle = torch.from_numpy(np.stack([np.cos(batch.azimuth), np.abs(np.sin(batch.azimuth))], 1)).repeat(2, 1)
    azimuth = F.mse_loss(student.azimuth(spread), angle)
    loss = caption + axes + heads + PAIR_WEIGHT * pair + 2 * azimuth
    parts = {"caption": caption, "axes": axes, "heads": heads, "pair": pair, "azimuth": azimuth}
    if crops is not None and teacher is not None:
        held = hold(student.holding, F.normalize(every[len(features) :], dim=-1), teacher(as_pixels(crops)))
        some = as_pixels(batch.first[::2])
        seen = teacher(some, look=some.shape[-1])
        held["told_renders"] = RENDERS_TOLD_WEIGHT * student.holding.told(first[::2], seen)
        loss = loss + sum(held.values())
        parts |= held
    accuracies = {
        "framing": accuracy["framing"],
        "side": accuracy["side"],
        "head_framing": direct["framing"],
        "head_side": direct["side"],
    }
    parts = {"loss": loss, **parts}
    return loss, {**{name: float(value.detach()) for name, value in parts.items()}, **accuracies}


def hold(holding: Holding, photos: Tensor, seen: Tensor) -> dict[str, Tensor]:
    """Weighted losses of unit rows of photos [n, DIM] beside the teacher's [n, 1280]."""
    return {"alike": ALIKE_WEIGHT * holding.alike(photos, seen), "told": TOLD_WEIGHT * holding.told(photos, seen)}


def make_optimiser(student: Student, settings: Settings) -> torch.optim.Optimizer:
    """AdamW; picture tower, text tower and heads have their own rates, vectors have no weight decay."""
    groups = []
    for name, parameter in student.named_parameters():
        rate = settings.rate if name.startswith("clip.visual.trunk") else settings.text_rate
        rate = rate if name.startswith("clip.") else settings.head_rate
        decay = settings.decay if parameter.ndim >= 2 else 0.0
        groups.append({"params": [parameter], "weight_decay": decay, "peak": rate})
    return torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98))


def export(student: Student, out: Path) -> None:
    """Write open_clip_model.safetensors in fp16 (the auxiliary heads stay behind)."""
    from safetensors.torch import save_file

    state = {
        k: v.half().contiguous() if v.is_floating_point() else v
        for k, v in student.clip.state_dict().items()
        if k != "attn_mask"
    }
    save_file(state, str(out / "open_clip_model.safetensors"))


def prepare(data: ToonSet, out: Path, settings: Settings) -> None:
    """Vocabulary and config in the asset folder."""
    out.mkdir(parents=True, exist_ok=True)
    size = vocabulary.build(corpus(data.rows, settings.seed), 2048, out)
    (out / "open_clip_config.json").write_text(json.dumps(model_config(size), indent=2) + "\n", encoding="utf-8")


def validate(student: Student, data: ToonSet, limit: int = 800) -> dict[str, float]:
    """Zero-shot framing and side with one plain prompt per class, on held-out characters."""
    rng = np.random.default_rng(0)
    items = rng.permutation(len(data))[:limit]
    with torch.no_grad():
        pictures = torch.cat(
            [
                F.normalize(student.images(np.stack([plain(data.picture(i), IMAGE_SIZE) for i in part])), dim=-1)
                for part in np.array_split(items, 8)
            ]
        )
        result = {}
        for axis in ("framing", "side"):
            names = [name for name in data.names[axis] if name != "hand"]
            texts = [[phrase(axis, name, rng) for _ in range(8)] for name in names]
            classes = torch.stack([F.normalize(student.texts(words).mean(0), dim=-1) for words in texts])
            guess = (pictures @ classes.T).argmax(1).numpy()
            truth = [data.axes[i][axis] for i in items]
            result[f"held_out_{axis}"] = float(
                np.mean([names[g] == t for g, t in zip(guess, truth, strict=True) if t != "hand"])
            )
    return result


def begin_from(student: Student, start: Path, batch: Batch) -> None:
    """Start the picture tower from ImageNet weights (a file) or from an earlier encoder (a folder); the first stages
    stay frozen.
    """
    trunk = student.clip.visual.trunk
    if start.is_dir():
        pretrained.load_earlier(student.clip.visual, start)
    else:
        pretrained.load(trunk, start)
        pretrained.unfold_norms(trunk, as_pixels(batch.first))
    trunk.train()
    pretrained.freeze_first(trunk)


def fetch(data: ToonSet, anchor: Anchor | None, settings: Settings, step: int) -> tuple[Batch, np.ndarray | None]:
    """Renders and crops of photos of one step."""
    size = FIRST_SIZE if step < FIRST_SHARE * settings.steps else IMAGE_SIZE
    crops = None if anchor is None else anchor.photos.crops(settings.seed, step, settings.photos, size)
    return data.batch(settings.seed, step, settings.batch, size), crops


def train(
    splits: tuple[ToonSet, ToonSet],
    out: Path,
    work: Path,
    settings: Settings,
    start: Path | None,
    anchor: Anchor | None,
) -> None:
    """Build, resume, loop, log, save; `splits`: what is learnt from, and what is only watched."""
    data, held_out = splits
    teacher = None if anchor is None else anchor.teacher
    torch.manual_seed(settings.seed)
    prepare(data, out, settings)
    student = Student(out, data.names).to(memory_format=torch.channels_last).train()
    if start:
        begin_from(student, start, data.batch(settings.seed, 0, 128, IMAGE_SIZE))
    average, optimiser = copy.deepcopy(student).eval(), make_optimiser(student, settings)
    fit = Fit(work, {"student": student, "average": average, "optimiser": optimiser})
    fit.resume()
    began = time.time()
    with ThreadPoolExecutor(1) as pool:
        ask = partial(pool.submit, fetch, data, anchor, settings)
        upcoming = ask(fit.step)
        for step in range(fit.step, settings.steps):
            (batch, crops), upcoming = upcoming.result(), ask(step + 1)
            set_rate(optimiser, cosine(step, settings.steps, settings.warmup))
            prompts = axis_prompts(data.names, np.random.default_rng([settings.seed, step, 1]))
            loss, parts = train_step(student, batch, prompts, crops, teacher)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimiser.step()
            update_average(average, student, step, EMA_DECAY)
            fit.step = step + 1
            if fit.step % 25 == 0:
                fit.log({"step": fit.step, "seconds": round(time.time() - began, 1), **parts})
            if fit.step % 100 == 0 or fit.step == settings.steps:
                fit.save()
                export(average, out)
                print(fit.step, f"{time.time() - began:.0f} s", validate(average, held_out), flush=True)


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="checkpoints and log (default: DATA/encoder_work)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="ImageNet MobileNetV2 weights, or an earlier encoder")
    parser.add_argument("--shared", type=Path, help="../shared/data: photos hold the encoder's eye")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, help="torch threads; 1 is fastest on cores shared with other work")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    work = args.work or args.data / "encoder_work"
    settings = Settings(steps=args.steps, seed=args.seed)
    data = ToonSet(args.data, "train"), ToonSet(args.data, "held_out")
    train(data, args.out, work, settings, args.start, Anchor.of(args.shared) if args.shared else None)
    (args.out / "training_log.csv").write_bytes((work / "log.csv").read_bytes())


if __name__ == "__main__":
    main()
