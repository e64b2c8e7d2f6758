"""CPCA against the function of the official code, written anew with plain torch."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attention import registry
from attention.hybrid.cpca import ChannelPriorAttention
from attention.official import load_official
from tests.hybrid.test_cpca import OFFICIAL


def shapes_of(channels: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of RepBlock."""
    hidden = channels // 4
    shapes: dict[str, tuple[int, ...]] = {
        "ca.fc1.weight": (hidden, channels, 1, 1),
        "ca.fc1.bias": (hidden,),
        "ca.fc2.weight": (channels, hidden, 1, 1),
        "ca.fc2.bias": (channels,),
        "conv.weight": (channels, channels, 1, 1),
        "conv.bias": (channels,),
    }
    for height, width in ((5, 5), (1, 7), (7, 1), (1, 11), (11, 1), (1, 21), (21, 1)):
        shapes[f"dconv{height}_{width}.weight"] = (channels, 1, height, width)
        shapes[f"dconv{height}_{width}.bias"] = (channels,)
    return shapes


def correlated(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """A depthwise convolution as a sum over shifts of the padded map."""
    up, left = kernel.shape[2] // 2, kernel.shape[3] // 2
    padded = F.pad(x, (left, left, up, up))
    total = bias.view(1, -1, 1, 1).expand_as(x).clone()
    for i in range(kernel.shape[2]):
        for j in range(kernel.shape[3]):
            shifted = padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
            total += kernel[:, 0, i, j].view(1, -1, 1, 1) * shifted
    return total


def official(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    def mix(u: Tensor) -> Tensor:
        return torch.einsum("oc,bchw->bohw", w["conv.weight"][..., 0, 0], u) + w["conv.bias"].view(1, -1, 1, 1)

    def gate(z: Tensor) -> Tensor:
        hidden = F.relu(z @ w["ca.fc1.weight"][..., 0, 0].T + w["ca.fc1.bias"])
        return torch.sigmoid(hidden @ w["ca.fc2.weight"][..., 0, 0].T + w["ca.fc2.bias"])

    def depthwise(u: Tensor, name: str) -> Tensor:
        return correlated(u, w[f"dconv{name}.weight"], w[f"dconv{name}.bias"])

    u = mix(x)
    u = u * torch.special.ndtr(u)  # GELU with the error function
    prior = u * (gate(u.mean((2, 3))) + gate(u.flatten(2).max(2).values))[:, :, None, None]
    first = depthwise(prior, "5_5")
    total = first
    for k in (7, 11, 21):
        total = total + depthwise(depthwise(first, f"1_{k}"), f"{k}_1")
    return mix(mix(total) * prior)


@pytest.mark.parametrize("channels", [4, 16])
def test_official_weights_give_the_official_output(channels: int) -> None:
    torch.manual_seed(2)
    weights = {name: torch.randn(shape, dtype=torch.float64) / 3 for name, shape in shapes_of(channels).items()}
    block = ChannelPriorAttention(channels, **OFFICIAL).double()
    load_official(block, weights)
    x = torch.randn(2, channels, 13, 12, dtype=torch.float64)
    expected = official(x, weights)
    torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())


def test_the_options_in_the_table_are_the_official_ones() -> None:
    assert registry.entry("cpca").official["options"] == OFFICIAL
