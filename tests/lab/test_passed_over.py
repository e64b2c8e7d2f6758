"""What multiplies a feature map and is no map of it is passed over: activations, scales, normalisations."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attention.lab import maps
from tests.lab.test_found_maps import C, Makes, placed


class LayerScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((C, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma.sigmoid()


def _normalised(x: Tensor) -> Tensor:
    centred = x - x.mean((0, 2, 3), keepdim=True)
    return centred * (centred.square().mean((0, 2, 3), keepdim=True) + 1e-5).rsqrt() * 0.5


def _root_mean_square(x: Tensor) -> Tensor:
    return x * (x.pow(2).mean(1, keepdim=True) + 1e-6) ** -0.5


def _one_over(x: Tensor) -> Tensor:
    return x * (1 / (x.std((2, 3), keepdim=True) + 1e-5))


def _gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.04 * x**3)))


def _stochastic_depth(x: Tensor) -> Tensor:
    return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(0.8).div_(0.8)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Makes(lambda x: x * x.sigmoid()), "a function of each number itself"),
        (lambda: Makes(lambda x: x * F.relu6(x + 3) / 6), "a function of each number itself"),
        (lambda: Makes(_gelu), "a function of each number itself"),
        (lambda: Makes(lambda x: x * x), "a function of each number itself"),
        (lambda: Makes(lambda x: F.relu(x) * x.sigmoid()), "a function of each number itself"),
        (LayerScale, "a parameter or another constant"),
        (lambda: Makes(_stochastic_depth), "a parameter or another constant"),
        (lambda: Makes(lambda x: x * torch.linspace(0, 1, 6)), "a parameter or another constant"),
        (lambda: Makes(_normalised), "one over a size"),
        (lambda: Makes(_root_mean_square), "one over a size"),
        (lambda: Makes(_one_over), "one over a size"),
        (lambda: Makes(lambda x: (x.flip(2) * 2 - 1) * (x.flip(3) * 3)), "none is a map of the other"),
    ],
)
def test_what_multiplies_and_is_no_map_is_passed_over_with_the_reason(make: Callable, reason: str) -> None:
    model = placed(make()).eval()
    x = torch.rand(4, 3, 6, 6)
    with pytest.raises(ValueError, match=f"no map of another module was found.*{re.escape(reason)}"):
        maps.capture(model, x)


@pytest.mark.parametrize(
    "block",
    [
        nn.SiLU(),
        nn.GELU(),
        nn.Hardswish(),
        nn.BatchNorm2d(C),
        nn.GroupNorm(2, C),
        nn.Dropout(0.5),
        nn.LayerNorm([6, 6]),
        Makes(lambda x: 0.5 * x + x),
        Makes(lambda x: F.normalize(x)),
    ],
    ids=lambda block: type(block).__name__,
)
@pytest.mark.parametrize("training", [False, True])
def test_activations_normalisations_and_scales_are_no_gates(block: nn.Module, training: bool) -> None:
    with pytest.raises(ValueError, match=r"no map of another module was found\. Looked for: a tensor computed"):
        maps.capture(placed(block), torch.randn(4, 3, 6, 6), training=training)


def test_a_product_that_nothing_depends_on_is_passed_over() -> None:
    def unused(x: Tensor) -> Tensor:
        x * x.mean((2, 3), keepdim=True).sigmoid()
        return x + 1

    with pytest.raises(ValueError, match="1 × a product that the model's output does not depend on"):
        maps.capture(placed(Makes(unused)), torch.rand(2, 3, 4, 4))
