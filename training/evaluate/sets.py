"""What one LoRA is measured on: pictures it saw, pictures it did not, unrelated ones, and the prompts to draw.

Not for where they come from (`sources.py`) or for measuring (`lora.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from training.base import Base

AT_ONCE = 8  # pictures per pass through the VAE
Kind = Literal["subject", "novel", "unrelated", "caption"]


@dataclass(frozen=True)
class Material:
    """Pictures ready for the loss grid and for the encoders; all sequences that are not empty have one length.

    Attributes:
        pictures: RGB, as the model sees them.
        latents: [c, h, w] of each, scaled, on the CPU; empty where no losses will be measured.
        captions: What the text encoder reads beside each, trigger included.
        groups: Label of near-copies: the unit of all intervals. Labels are unique over all sets of an evaluation.
        contents: Name of each picture's noise: a hash of its pixels, so that equal pictures get equal noise anywhere.
        views: Label that fidelity is told by, such as "full_body/back"; "" where it is not known.
        names: What people read: a path.
        masks: [1, h, w] of each where the loss counts, or None: everywhere.
        time_ids: SDXL's six numbers of each; empty: an uncropped picture.
        exposures: Relative number of times each was shown; empty: equal. For richness alone.
    """

    pictures: tuple[Image.Image, ...] = field(repr=False)
    latents: tuple[torch.Tensor, ...] = field(repr=False)
    captions: tuple[str, ...]
    groups: tuple[str, ...]
    contents: tuple[str, ...]
    views: tuple[str, ...]
    names: tuple[str, ...]
    masks: tuple[torch.Tensor | None, ...] = field(repr=False)
    time_ids: tuple[tuple[int, ...], ...] = ()
    exposures: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        parts: list[Sequence[object]] = [self.captions, self.groups, self.contents, self.views, self.names]
        parts += [self.latents, self.masks] if self.latents else []
        if any(len(part) != len(self.pictures) for part in parts):
            raise ValueError(
                f"{len(self.pictures)} pictures, and {[len(part) for part in parts]} of what goes with them"
            )

    def __len__(self) -> int:
        return len(self.pictures)

    @classmethod
    def of(
        cls,
        base: Base,
        pictures: Sequence[Image.Image],
        captions: Sequence[str],
        groups: Sequence[str],
        *,
        views: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> Material:
        """Pictures that are not of a run: RGB, sides multiples of what the base's VAE takes; encoded here."""
        contents = tuple(content_of(picture) for picture in pictures)
        return cls(
            pictures=tuple(pictures),
            latents=encode(base, pictures),
            captions=tuple(captions),
            groups=tuple(groups),
            contents=contents,
            views=tuple(views) or ("",) * len(pictures),
            names=tuple(names) or contents,
            masks=(None,) * len(pictures),
        )

    def take(self, rows: Sequence[int]) -> Material:
        """Some of them, in the order of `rows`."""
        return Material(
            **{
                part.name: tuple(values[row] for row in rows) if (values := getattr(self, part.name)) else ()
                for part in fields(self)
            }
        )

    def spread(self, most: int) -> Material:
        """At most `most` of them: a picture of every group, then a second one, ...; decided by content alone."""
        order = sorted(range(len(self)), key=lambda row: self.contents[row])
        turn: dict[str, int] = {}
        ranked = []
        for row in order:
            turn[self.groups[row]] = turn.get(self.groups[row], -1) + 1
            ranked.append((turn[self.groups[row]], self.contents[row], row))
        return self.take(sorted(row for _, _, row in sorted(ranked)[:most]))


@dataclass(frozen=True, eq=False)
class Prompt:
    """One prompt to draw; equal only to itself.

    Attributes:
        text: With the trigger word in it, where it asks for the subject.
        kind: "subject": the subject in a view; "novel": the subject with what no training picture shows; "unrelated":
            something else, no trigger; "caption": as a training picture was captioned.
        shows: Attribute → label that the picture should show, in the judges' words; for the subject's own looks too
            where they are known ("hair_colour": "pink").
        asks: Attributes of `shows` that the prompt's words ask for; the others are the subject's looks.
        view: Subject prompts: label of `Material.views` that it asks for; "" for none.
        bare: Subject prompts: the same without the trigger word; "" where that cannot be said.
        words: What text likeness is measured to; "": the text itself without the trigger.
    """

    text: str
    kind: Kind
    shows: Mapping[str, str] = field(default_factory=dict)
    asks: tuple[str, ...] = ()
    view: str = ""
    bare: str = ""
    words: str = ""


@dataclass(frozen=True)
class EvaluationSets:
    """All that one LoRA is measured on.

    Attributes:
        train: Pictures that were trained on.
        held_out: Name → pictures of the subject that were not; the first is what fidelity and leak are measured to.
            Empty where none are known: then what needs them is left out, and a note says so.
        prior: Unrelated pictures with captions; None: the base's own pictures of the unrelated prompts.
        prompts: What to draw.
        trigger: The word that stands for the subject; "" where there is none.
        concepts: The words of two characters, where it is two; else empty.
    """

    train: Material
    held_out: Mapping[str, Material]
    prior: Material | None
    prompts: tuple[Prompt, ...]
    trigger: str
    concepts: tuple[str, ...] = ()

    def of_kind(self, kind: Kind) -> tuple[Prompt, ...]:
        """The prompts of one kind."""
        return tuple(prompt for prompt in self.prompts if prompt.kind == kind)

    @property
    def reference(self) -> Material | None:
        """The held-out pictures that likeness is measured to."""
        return next(iter(self.held_out.values()), None)


def content_of(picture: Image.Image) -> str:
    """Name of a picture by its pixels: 32 hex digits."""
    pixels = np.ascontiguousarray(np.asarray(picture.convert("RGB")))
    return hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).hexdigest()


def encode(base: Base, pictures: Sequence[Image.Image]) -> tuple[torch.Tensor, ...]:
    """Latents [c, h, w] of RGB pictures, on the CPU; pictures of one size go together."""
    found: dict[int, torch.Tensor] = {}
    by_size: dict[tuple[int, int], list[int]] = {}
    for row, picture in enumerate(pictures):
        by_size.setdefault(picture.size, []).append(row)
    for rows in by_size.values():
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            arrays = np.stack([np.asarray(pictures[row].convert("RGB"), np.float32) for row in part])
            pixels = torch.from_numpy(arrays / 127.5 - 1).permute(0, 3, 1, 2).contiguous()
            for row, latents in zip(part, base.encode_pictures(pixels).cpu(), strict=True):
                found[row] = latents.clone()
    return tuple(found[row] for row in range(len(pictures)))
