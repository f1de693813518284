"""A LoRA in memory, free of any file's habits: which layers it changes, and by what.

Not for applying it to a model: that is `training.lora`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch

# Parts of a pipeline as diffusers names them, and layers' paths too; those of text encoders begin with `text_model.`.
PARTS = ("unet", "text_encoder", "text_encoder_2")
Key = tuple[str, str]  # part, path


@dataclass(frozen=True)
class Layer:
    """What a LoRA does to one layer: ΔW = alpha / rank · up · down (Hu et al. 2021, arXiv 2106.09685, section 4.1).

    Attributes:
        down: [rank, in] of a linear layer, [rank, in, h, w] of a convolution (A).
        up: [out, rank] or [out, rank, 1, 1] (B).
        alpha: Numerator of the scale; equal to the rank it means 1.
        magnitude: [out], DoRA only: the adapted layer's weight is m · (W + ΔW) / ‖W + ΔW‖ with one norm per output
            (Liu et al. 2024, arXiv 2402.09353, equation 5).
    """

    down: torch.Tensor
    up: torch.Tensor
    alpha: float
    magnitude: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        """Rows of `down`."""
        return int(self.down.shape[0])

    def delta(self, weight: torch.Tensor | None = None) -> torch.Tensor:
        """The change of the layer's weight, dense: float64 [out, in] or [out, in, h, w].

        Args:
            weight: The base layer's own weight; DoRA cannot do without it.
        """
        dense: torch.Tensor = self.up.double().flatten(1) @ self.down.double().flatten(1) * (self.alpha / self.rank)
        dense = dense.reshape((len(self.up), *self.down.shape[1:]))
        if self.magnitude is None:
            return dense
        if weight is None:
            raise ValueError("the change that DoRA makes depends on the base's weight")
        base = weight.double().reshape(dense.shape)
        adapted = base + dense
        norms = adapted.flatten(1).norm(dim=1)
        scale = (self.magnitude.double() / norms).reshape(-1, *[1] * (dense.dim() - 1))
        changed: torch.Tensor = scale * adapted - base
        return changed


@dataclass(frozen=True)
class LoraWeights:
    """A whole LoRA.

    Attributes:
        layers: By part and path, in a fixed order.
        metadata: What the file said about itself, strings as in the file.
        layout: Which layout it was read from.
        notes: What a person should know, for example of parts of the file that have no place here.
    """

    layers: Mapping[Key, Layer]
    metadata: Mapping[str, str] = field(default_factory=dict)
    layout: str = ""
    notes: tuple[str, ...] = ()

    def of(self, part: str) -> dict[str, Layer]:
        """The layers of one part, by path."""
        return {path: layer for (where, path), layer in self.layers.items() if where == part}

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that it changes."""
        return tuple(part for part in PARTS if any(where == part for where, _ in self.layers))

    @property
    def dora(self) -> bool:
        """Whether it is a DoRA."""
        return any(layer.magnitude is not None for layer in self.layers.values())

    @property
    def family(self) -> str | None:
        """sd1, sd2 or sdxl, told by the width of the text that its cross-attention reads; None where it has none."""
        if "text_encoder_2" in self.parts:
            return "sdxl"
        widths = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
        reads = (layer.down.shape[1] for path, layer in self.of("unet").items() if path.endswith("attn2.to_k"))
        return next((widths[width] for width in reads if width in widths), None)


def usual(values: Iterable[float]) -> float:
    """The commonest value, the larger of equally common ones."""
    counts = Counter(values)
    return max(counts, key=lambda value: (counts[value], value))


def patterned(pattern: Mapping[str, float], path: str, default: float) -> float:
    """What peft's rank and alpha patterns give `path`: that of the first key, a regular expression, for its end."""
    return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", path)), default)
