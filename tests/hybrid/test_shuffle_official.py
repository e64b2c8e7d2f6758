"""Shuffle Attention against its official code: the same function in our words, its names, and the sizes in print."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import instance_norm

from attention import formulas, registry
from attention.backbones.resnet import resnet50
from attention.hybrid.shuffle import ShuffleAttention
from attention.lab import cost
from attention.official import load_official

OPTIONS = registry.entry("shuffle").official["options"]


def official(channels: int, groups: int) -> dict[str, Tensor]:
    """Make up weights under the official names, with the official shapes."""
    generator, half = torch.Generator().manual_seed(3), channels // (2 * groups)
    state = {}
    for name in ("cweight", "cbias", "sweight", "sbias"):
        state[name] = torch.randn(1, half, 1, 1, generator=generator, dtype=torch.float64)
    for name in ("gn.weight", "gn.bias"):
        state[name] = torch.randn(half, generator=generator, dtype=torch.float64)
    return state


def as_official(state: dict[str, Tensor], x: Tensor, groups: int) -> Tensor:
    """The function of the official code: groups stand in the batch, each channel is normalised as an instance."""
    folded = x.reshape(x.shape[0] * groups, -1, *x.shape[2:])
    first, second = folded[:, : folded.shape[1] // 2], folded[:, folded.shape[1] // 2 :]
    means = first.mean((2, 3), keepdim=True)
    first = first * torch.sigmoid(state["cweight"] * means + state["cbias"])
    normed = instance_norm(second, weight=state["gn.weight"], bias=state["gn.bias"], eps=1e-5)
    second = second * torch.sigmoid(state["sweight"] * normed + state["sbias"])
    y = torch.cat([first, second], 1).reshape(x.shape)
    return y[:, [c // 2 + (c % 2) * (x.shape[1] // 2) for c in range(x.shape[1])]]


@pytest.mark.parametrize(("channels", "options"), [(256, OPTIONS), (24, {"groups": 4}), (6, {"groups": 3})])
def test_the_official_options_are_the_official_function(channels: int, options: dict[str, int]) -> None:
    """In float64, with all weights, on a map that is no square; 64 groups where none are named."""
    groups = options.get("groups", 64)
    state, block = official(channels, groups), ShuffleAttention(channels, **options).double().eval()
    load_official(block, state)
    x = torch.randn(2, channels, 5, 8, dtype=torch.float64)
    expected = as_official(state, x, groups)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(block.attend(x)[0], expected, rtol=0, atol=1e-9)


def test_every_official_name_has_a_place() -> None:
    assert set(registry.entry("shuffle").official["names"]) == set(official(256, 64))
    with pytest.raises(ValueError, match=r"channel_weight \(1, 4, 1, 1\), .* do not fit"):
        load_official(ShuffleAttention(256), official(256, 32))


@pytest.mark.parametrize(("channels", "groups", "parameters"), [(256, 64, 12), (256, 32, 24), (2048, 64, 96)])
def test_the_number_of_parameters_of_one_block(channels: int, groups: int, parameters: int) -> None:
    """3C/G, as counted on the official module; 2C/G without the normalisation's own."""
    block = ShuffleAttention(channels, groups)
    assert sum(p.numel() for p in block.parameters()) == parameters == 3 * channels // groups
    assert formulas.evaluate("shuffle", channels=channels, groups=groups) == parameters
    assert formulas.evaluate("shuffle", channels=channels, groups=groups, affine=False) == 2 * channels // groups
    counted = cost.check("shuffle", block, torch.randn(1, channels, 7, 5), groups=groups)
    assert counted.macs == 0


@pytest.mark.parametrize(("affine", "added"), [(True, 708), (False, 472)])
def test_the_size_of_resnet_50(affine: bool, added: int) -> None:
    """Sixteen blocks add 708 parameters, where the abstract says 300; the network stays at 25.56 million."""
    network, plain = (
        cost.on_paper(lambda a=a: resnet50(attention=a), (3, 224, 224))
        for a in (lambda c: ShuffleAttention(c, affine=affine), None)
    )
    assert network.parameters - plain.parameters == added
    assert f"{network.parameters / 1e6:.2f}" == "25.56"
    assert network.macs == plain.macs
