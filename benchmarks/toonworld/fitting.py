"""What the training scripts of the toon world share: moving average, learning rate, checkpoints, log. No model code."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass
class Fit:
    """A run that can be stopped and resumed: named parts (modules, optimisers), the step, a folder for its files."""

    work: Path
    parts: dict[str, Any]
    step: int = 0
    _columns: list[str] = field(default_factory=list)

    def resume(self) -> bool:
        """Take over `checkpoint.pt` where there is one; whether there was."""
        self.work.mkdir(parents=True, exist_ok=True)
        path = self.work / "checkpoint.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.step = int(state["step"])
        self._forget_unsaved()
        return True

    def save(self) -> None:
        """Write `checkpoint.pt`, whole or not at all."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
        partial = self.work / "checkpoint.part"
        torch.save({**state, "step": self.step}, partial)
        partial.replace(self.work / "checkpoint.pt")

    def log(self, values: Mapping[str, float]) -> None:
        """Append one row to `log.csv`, its `step` the number of steps done; the first row of a file decides the
        columns.
        """
        path = self.work / "log.csv"
        if not self._columns:
            self._columns = _header(path) or list(values)
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            if fresh:
                writer.writerow(self._columns)
            cells = [values[name] for name in self._columns]
            writer.writerow([f"{cell:.4g}" if isinstance(cell, float) else cell for cell in cells])

    def _forget_unsaved(self) -> None:
        """Drop rows of `log.csv` past the checkpoint: those steps are made again."""
        path = self.work / "log.csv"
        if not path.exists():
            return
        with path.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.reader(handle))
        place = rows[0].index("step")
        kept = [rows[0], *(row for row in rows[1:] if int(float(row[place])) <= self.step)]
        with path.open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows(kept)


def cosine(step: int, steps: int, warmup: int) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return float(0.5 * (1 + np.cos(np.pi * (step - warmup) / max(1, steps - warmup))))


def set_rate(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Give every group `share` of its `peak` rate."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * share


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, step: int, decay: float) -> None:
    """Exponential moving average of weights and buffers, faster in the first steps; this is what is exported."""
    decay = min(decay, (1 + step) / (10 + step))
    pairs = list(zip(average.state_dict().values(), module.state_dict().values(), strict=True))
    moving = [(slow, fast) for slow, fast in pairs if slow.is_floating_point()]
    torch._foreach_lerp_([slow for slow, _ in moving], [fast for _, fast in moving], 1 - decay)
    for slow, fast in pairs:
        if not slow.is_floating_point():
            slow.copy_(fast)


def _header(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as handle:
        return handle.readline().strip().split(",")
