"""From a curated dataset to batches on the device: who is trained on, who is held out, latents and texts cached.

Not for the order of pictures (`sampler.py`) or for losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import torch

from diversity import record
from diversity.errors import ConfigError
from training import keyed
from training.base import Base, TextStates
from training.buckets import BucketRules, Placement
from training.cache import Shelf, TextCache
from training.captions import Captions
from training.config import TrainConfig
from training.losses import Batch
from training.pictures import Picture, beside, protected, selected
from training.pixels import Rendered, render
from training.sampler import Sampler, SamplerRules
from training.split import fold, split

if TYPE_CHECKING:
    from diversity.dataset import Dataset
    from diversity.progress import Progress

CHUNK = 32  # pictures in memory while encoding
AT_ONCE = 8  # pictures per pass through the VAE


@dataclass(frozen=True)
class TrainingData:
    """Who is trained on and who is measured.

    Attributes:
        train: Every picture to train on: the selection's first, then other sources'.
        held_out: Pictures of the selection that are never trained on.
        twins: Pictures of `train` that are measured beside them.
        max_pixels: Of a picture; larger ones were refused by the scan.
        notes: What a person should know, one sentence each.
    """

    train: tuple[Picture, ...]
    held_out: tuple[Picture, ...]
    twins: tuple[Picture, ...]
    max_pixels: int
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """16 hex digits over everything about the pictures that changes the training."""
        return record.digest(
            [
                [(p.key, p.content, p.texts, p.plain, p.exposures, p.loss_weight, p.placement) for p in part]
                for part in (self.train, self.held_out, self.twins)
            ]
        )

    def table(self) -> pl.DataFrame:
        """Every picture of the run: key, content, path, source, role, caption, exposures (per epoch), bucket."""
        parts = (("train", self.train), ("held_out", self.held_out))
        rows = [
            (
                p.key,
                p.content,
                p.path,
                p.source,
                role,
                p.plain,
                p.exposures,
                f"{p.placement.size[0]}x{p.placement.size[1]}",
            )
            for role, part in parts
            for p in part
        ]
        names = ["key", "content", "path", "source", "role", "caption", "exposures", "bucket"]
        return pl.DataFrame(rows, schema=names, orient="row")

    def sampler(self, config: TrainConfig) -> Sampler:
        """The order in which `train` is shown."""
        rules = SamplerRules(config.batch_size, config.seed, config.data.mode, config.data.partial)
        return Sampler([p.exposures for p in self.train], [p.placement.size for p in self.train], rules)


def bucket_rules(base: Base, config: TrainConfig) -> BucketRules:
    """The buckets for a base model; by default sides that its UNet can halve as often as it does.

    Raises:
        ConfigError: the resolution is too small for that.
    """
    side = config.resolution or base.resolution
    step = config.data.bucket_step or base.latent_scale * 2 ** (len(base.unet.config.block_out_channels) - 1)
    if step > side or step % base.latent_scale:
        raise ConfigError(
            f"Buckets with sides in steps of {step} pixels cannot be made at a resolution of {side}.",
            f"This base needs at least {step}, and steps in multiples of {base.latent_scale}.",
            "Raise the resolution or set data.bucket_step.",
        )
    return BucketRules(side * side, step, config.data.max_aspect, config.data.enlarge)


def gather(dataset: Dataset, base: Base, config: TrainConfig) -> TrainingData:
    """The pictures of a run.

    Raises:
        DiversityError: the selection, a file or a setting cannot be used.
    """
    notes: list[str] = []
    rules = bucket_rules(base, config)
    chosen = selected(dataset, config, rules)
    contents, groups = [p.content for p in chosen], [p.groups for p in chosen]
    if config.data.fold is not None:
        parts = fold(contents, groups, config.data.fold, seed=config.seed)
    else:
        alone = protected(dataset, chosen)
        parts = split(contents, groups, share=config.data.held_out, seed=config.seed, protected=alone)
    train = [chosen[row] for row in parts.train]
    held_out = tuple(chosen[row] for row in parts.held_out)
    others = beside(dataset, config, rules, sum(p.exposures for p in train), notes.append)
    kept_out = {p.content for p in held_out}
    leaks = [p for p in others if p.content in kept_out]
    if leaks:
        notes.append(f"{len(leaks)} pictures of other folders are held-out pictures of the selection: left out.")
    train += [p for p in others if p.content not in kept_out]
    twins = tuple(chosen[row] for row in parts.twins)
    notes += _remarks(train, held_out, config)
    return TrainingData(tuple(train), held_out, twins, dataset.config.scan.max_pixels, tuple(notes))


def _remarks(train: Sequence[Picture], held_out: Sequence[Picture], config: TrainConfig) -> Iterator[str]:
    bare = [p for p in train if not p.plain]
    if bare:
        yield f"{len(bare)} of {len(train)} pictures have neither caption nor trigger ({bare[0].path}, …)."
    enlarged = [p for p in train if p.placement.magnification > 1.0]
    if enlarged:
        worst = max(enlarged, key=lambda p: p.placement.magnification)
        yield (
            f"{len(enlarged)} of {len(train)} pictures are smaller than their bucket and enlarged; "
            f"{worst.path} most, {worst.placement.magnification:.1f}×."
        )
    if config.data.held_out and not held_out:
        yield "No picture is held out: every group of near-copies is too large, or of a rare view."


class Loader:
    """Batches of a run's pictures on the device of the base model.

    Args:
        data: The pictures.
        base: Encodes them.
        config: Of the run.
        folder: Where caches lie.
    """

    def __init__(self, data: TrainingData, base: Base, config: TrainConfig, folder: Path) -> None:
        self._data, self._base, self._config = data, base, config
        self._captions = Captions(config.captions)
        self._latents = Shelf(folder / "latents")
        self._keys: dict[tuple[str, Placement], dict[str, object]] = {}
        pictures = (*data.train, *data.held_out)
        plain = [text.plain for picture in pictures for text in picture.texts]
        self.windows = min(base.windows(plain), config.captions.max_windows)
        frozen = not config.lora.text_encoder
        self._texts = TextCache(base, self.windows, Shelf(folder / "texts")) if frozen else None

    def prepare(self, progress: Progress) -> None:
        """Encode what is not in the caches: latents, and text states unless the text encoder is trained."""
        wanted = [(p, placement) for p in self._data.train for placement in self._placements(p)]
        wanted += [(p, p.placement) for p in self._data.held_out]
        missing = [pair for pair in wanted if self._latents.get(self._key(*pair)) is None]
        if missing:
            with progress.task("latents", len(missing)) as advance:
                for start in range(0, len(missing), CHUNK):
                    self._encode(missing[start : start + CHUNK])
                    advance(len(missing[start : start + CHUNK]))
        if self._texts is not None:
            texts = {p.plain for p in (*self._data.twins, *self._data.held_out)}
            for picture in self._data.train:
                texts |= self._captions.all_texts(picture.texts, picture.content)
            texts_in_order = sorted(texts)
            with progress.task("captions", len(texts_in_order)) as advance:
                for start in range(0, len(texts_in_order), CHUNK):
                    self._texts.prepare(texts_in_order[start : start + CHUNK])
                    advance(len(texts_in_order[start : start + CHUNK]))

    def batch(self, rows: Sequence[int], step: int, first: int) -> Batch:
        """One training batch.

        Args:
            rows: Of `data.train`, all of one bucket.
            step: The step.
            first: Number of its first sample within the step.
        """
        seed, pictures = self._config.seed, [self._data.train[row] for row in rows]
        placements, texts = [], []
        for sample, picture in enumerate(pictures, first):
            turned = self._config.data.flip and keyed.generator(seed, "flip", step, sample).random() < 0.5
            placements.append(picture.placement.mirrored() if turned else picture.placement)
            texts.append(self._captions.draw(picture.texts, picture.content, seed, step, sample))
        return self._batch(pictures, placements, self.states(texts))

    def fixed(self, pictures: Sequence[Picture]) -> Batch:
        """Pictures of one bucket as they are measured: not mirrored, captions as they stand."""
        return self._batch(pictures, [p.placement for p in pictures], self.states([p.plain for p in pictures]))

    def states(self, texts: Sequence[str]) -> TextStates:
        """Text states on the device; with a gradient where the text encoder is trained and gradients are on."""
        if self._texts is None:
            return self._base.encode_prompts(texts, windows=self.windows)
        return self._texts.states(texts).to(self._base.device)

    def latents(self, picture: Picture, placement: Placement) -> dict[str, torch.Tensor]:
        """`latents` [c, h, w] and, where there is one, `mask` [1, h, w] of one picture; encoded where missing."""
        key = self._key(picture, placement)
        found = self._latents.get(key)
        if found is None:
            self._encode([(picture, placement)])
            found = self._latents.get(key)
        return found or {}

    def _batch(self, pictures: Sequence[Picture], placements: Sequence[Placement], states: TextStates) -> Batch:
        device = self._base.device
        found = [self.latents(picture, placement) for picture, placement in zip(pictures, placements, strict=True)]
        latents = torch.stack([f["latents"] for f in found]).to(device)
        masks = None
        if any("mask" in f for f in found):
            whole = torch.ones(1, *latents.shape[-2:])
            masks = torch.stack([f.get("mask", whole) for f in found]).to(device)
        time_ids = None
        if self._base.family == "sdxl":
            time_ids = torch.tensor([p.time_ids for p in placements], dtype=torch.float32, device=device)
        factors = torch.tensor([p.loss_weight for p in pictures], dtype=torch.float32, device=device)
        return Batch(latents, states, time_ids, masks, None if bool((factors == 1).all()) else factors)

    def _placements(self, picture: Picture) -> tuple[Placement, ...]:
        both = (picture.placement, picture.placement.mirrored())
        return both if self._config.data.flip else both[:1]

    def _key(self, picture: Picture, placement: Placement) -> dict[str, object]:
        """All that makes a picture's latents and mask."""
        if (picture.key, placement) not in self._keys:
            self._keys[picture.key, placement] = self._new_key(picture, placement)
        return self._keys[picture.key, placement]

    def _new_key(self, picture: Picture, placement: Placement) -> dict[str, object]:
        data = self._config.data
        mask = "alpha" if data.mask == "alpha" else record.file_hash(picture.mask) if picture.mask else "none"
        return {
            "content": picture.content,
            "base": self._base.fingerprint,
            "dtype": str(self._base.dtype),
            "original": placement.original,
            "scaled": placement.scaled,
            "size": placement.size,
            "corner": (placement.left, placement.top),
            "flipped": placement.flipped,
            "scaling": float(self._base.vae.config.scaling_factor),
            "background": data.background,
            "mask": mask,
        }

    def _encode(self, wanted: Sequence[tuple[Picture, Placement]]) -> None:
        """Decode in threads, encode by bucket, store."""
        with ThreadPoolExecutor(self._config.data.workers) as pool:
            rendered = list(pool.map(self._render, wanted))
        by_size: dict[tuple[int, int], list[int]] = {}
        for i, (_, placement) in enumerate(wanted):
            by_size.setdefault(placement.size, []).append(i)
        for rows in by_size.values():
            for start in range(0, len(rows), AT_ONCE):
                part = rows[start : start + AT_ONCE]
                latents = self._base.encode_pictures(torch.stack([rendered[i].pixels for i in part])).cpu()
                for i, one in zip(part, latents, strict=True):
                    mask = rendered[i].mask
                    stored = {"latents": one.clone()} | ({} if mask is None else {"mask": mask})
                    self._latents.put(self._key(*wanted[i]), stored)

    def _render(self, wanted: tuple[Picture, Placement]) -> Rendered:
        picture, placement = wanted
        limit, data = self._data.max_pixels, self._config.data
        decoded = picture.decoded(limit)
        mask = picture.mask_image(decoded, data, limit)
        return render(decoded, placement, data.background, mask, scale=self._base.latent_scale)


def in_buckets(pictures: Sequence[Picture], most: int) -> Iterator[list[int]]:
    """Rows of `pictures` in runs of one bucket, at most `most` long."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for row, picture in enumerate(pictures):
        by_size.setdefault(picture.placement.size, []).append(row)
    for rows in by_size.values():
        yield from (rows[start : start + most] for start in range(0, len(rows), most))
