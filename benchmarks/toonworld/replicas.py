"""A batch cut over the cores: one copy of the model per core, one thread each. Not for accelerators.

On few shared cores, one thread per copy beats many threads per layer: layers of small models are too short to be worth
waking a thread for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[..., Tensor]  # (model, *its shares of the batch) → mean loss of that share


class Replicas:
    """Copies of a model that share its weights and have gradients of their own.

    For models whose layers keep examples apart (no batch statistics): the gradient is that of the whole batch.
    """

    def __init__(self, model: nn.Module, cores: int) -> None:
        torch.set_num_threads(1)
        self.models = [model, *(copy.deepcopy(model) for _ in range(cores - 1))]
        for other in self.models[1:]:
            for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
                theirs.data = mine.data
        self._threads = ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,))

    def backward(self, loss: Loss, *batch: Tensor) -> float:
        """Leave the gradient of the batch's mean loss on the model and return that loss.

        Args:
            loss: called once per copy with an equal share of every tensor of `batch`.
            batch: tensors [n, …]; n is a multiple of the number of copies.

        Raises:
            ValueError: n is no multiple of the number of copies.
        """
        count = len(self.models)
        if len(batch[0]) % count:
            raise ValueError(f"a batch of {len(batch[0])} cannot be cut in {count} equal parts")
        shares = list(zip(*(tensor.chunk(count) for tensor in batch), strict=True))

        def one(task: tuple[nn.Module, tuple[Any, ...]]) -> float:
            model, share = task
            model.zero_grad(set_to_none=True)
            value = loss(model, *share)
            value.backward()
            return float(value.detach())

        values = list(self._threads.map(one, zip(self.models, shares, strict=True)))
        self._gather()
        return sum(values) / count

    def _gather(self) -> None:
        """The mean of the copies' gradients, on the model."""
        first, *others = ([p.grad for p in model.parameters() if p.grad is not None] for model in self.models)
        for gradients in others:
            torch._foreach_add_(first, gradients)
        torch._foreach_div_(first, float(len(self.models)))
