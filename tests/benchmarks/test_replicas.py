"""A batch cut over cores must give the gradient of the whole batch."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from benchmarks.toonworld.replicas import Replicas


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """`Replicas` sets one thread for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def squared(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return ((model(inputs) - targets) ** 2).mean()


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(8, 5, generator=generator), torch.randn(8, 2, generator=generator)


def test_gradient_and_loss_are_those_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.GroupNorm(1, 7), nn.Linear(7, 2))
    alone = copy.deepcopy(model)
    whole = squared(alone, *batch())
    whole.backward()
    loss = Replicas(model, 2).backward(squared, *batch())
    assert loss == pytest.approx(whole.item(), rel=1e-6)
    for mine, theirs in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_a_step_of_the_optimiser_reaches_every_copy() -> None:
    model = nn.Linear(5, 2)
    replicas = Replicas(model, 2)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        losses.append(replicas.backward(squared, *batch()))
        optimiser.step()
    assert losses[2] < losses[1] < losses[0]
    assert torch.equal(replicas.models[1].weight, model.weight)


def test_a_batch_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="equal parts"):
        Replicas(nn.Linear(5, 2), 2).backward(squared, torch.zeros(3, 5), torch.zeros(3, 2))
