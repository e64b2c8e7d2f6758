"""Two sides of a comparison run in turn and alike, and what is kept for the backward pass is counted once."""

import pytest
import torch
from torch import Tensor, nn

from benchmarks import measuring


class Squared(nn.Module):
    """Keeps its input, a view of it and a parameter for the backward pass, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x * x.view(x.shape) + x * self.weight


def test_both_sides_run_equally_often_and_in_turn() -> None:
    order: list[int] = []
    one, two = measuring._in_turn(lambda: order.append(1), lambda: order.append(2), 0)
    assert len(one) == len(two) == measuring.LEAST
    assert order == [1, 2, 2, 1, 1, 2]
    one, two = measuring._in_turn(lambda: None, lambda: None, 1000)
    assert len(one) == len(two) == measuring.MOST
    one, two = measuring._in_turn(lambda: None, lambda: None, 1000, 70)
    assert len(one) == len(two) == 70


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with measuring.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with pytest.raises(KeyError), measuring.threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before


def test_what_is_kept_counts_once_and_without_parameters() -> None:
    x = torch.randn(5, 3, requires_grad=True)
    assert measuring.saved(Squared(), x) == 4 * 5 * 3
    hidden = nn.Sequential(nn.Linear(3, 7), nn.Sigmoid(), nn.Linear(7, 2))
    assert measuring.saved(hidden, x) == 4 * (5 * 3 + 5 * 7)  # the input and what the sigmoid returned


def test_what_is_kept_is_as_much_after_a_backward_pass() -> None:
    x, module = torch.randn(5, 3, requires_grad=True), Squared()
    first = measuring.saved(module, x)
    module(x).sum().backward()
    assert measuring.saved(module, x) == first


def test_parameters_move_and_keep_their_layout() -> None:
    module = nn.Linear(3, 2)
    nn.init.zeros_(module.weight)
    measuring.perturb(module)
    assert module.weight.ne(0).all()
    assert module.weight.requires_grad
