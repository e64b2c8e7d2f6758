"""ELA against the copy that is best known, and what its four sizes cost."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from attention import formulas, registry
from attention.backbones.resnet import resnet50
from attention.hybrid.ela import SIZES, EfficientLocalAttention
from attention.lab import cost
from attention.official import load_official

OPTIONS = registry.entry("ela").official["options"]


def official(channels: int, kernel_size: int = 7, group_width: int = 1) -> dict[str, Tensor]:
    """Make up weights under the names of the copy, with its shapes."""
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return {
        "conv.weight": normal(channels, group_width, kernel_size),
        "gn.weight": normal(channels),
        "gn.bias": normal(channels),
    }


def as_official(state: dict[str, Tensor], x: Tensor, groups: int = 16) -> Tensor:
    """The same function without its layers: taps as shifted strips, statistics written out."""
    weight = state["conv.weight"]
    half, channels, group_width = weight.shape[2] // 2, weight.shape[0], weight.shape[1]

    def gate(z: Tensor) -> Tensor:
        windows = pad(z, (half, half)).unfold(2, weight.shape[2], 1)  # batch, channels, length, taps
        windows = windows.unflatten(1, (channels // group_width, group_width))
        kernels = weight.unflatten(0, (channels // group_width, group_width))
        a = torch.einsum("bgilk,goik->bgol", windows, kernels).flatten(1, 2)
        parts = a.unflatten(1, (groups, -1))
        mean, var = parts.mean((2, 3), keepdim=True), parts.var((2, 3), correction=0, keepdim=True)
        a = ((parts - mean) / (var + 1e-5).sqrt()).flatten(1, 2)
        return (a * state["gn.weight"][:, None] + state["gn.bias"][:, None]).sigmoid()

    return x * gate(x.mean(3))[..., None] * gate(x.mean(2))[:, :, None]


def test_the_official_options_are_the_official_function() -> None:
    """In float64, with all weights, on a map that is no square."""
    state, block = official(48), EfficientLocalAttention(48, **OPTIONS).double().eval()
    load_official(block, state)
    x = torch.randn(2, 48, 5, 8, dtype=torch.float64)
    expected = as_official(state, x)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(block.attend(x)[0], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_the_listing_of_its_name(size: str) -> None:
    numbers = SIZES[size]
    state = official(64, numbers["kernel_size"], numbers["group_width"])
    block = EfficientLocalAttention.of_size(64, size).double()
    load_official(block, state)
    x = torch.randn(2, 64, 6, 9, dtype=torch.float64)
    torch.testing.assert_close(block(x), as_official(state, x, numbers["norm_groups"]), rtol=0, atol=1e-9)


def test_every_official_name_has_a_place() -> None:
    assert set(registry.entry("ela").official["names"]) == set(official(16))
    with pytest.raises(ValueError, match=r"conv_columns.weight, .* are not given"):
        load_official(EfficientLocalAttention(16, shared=False), official(16))


@pytest.mark.parametrize(("size", "parameters"), [("T", 1_792), ("B", 2_304), ("S", 10_752), ("L", 14_848)])
def test_what_a_size_costs(size: str, parameters: int) -> None:
    """k·C·d + 2C at C = 256, d channels mixed by each tap."""
    block = EfficientLocalAttention.of_size(256, size)
    assert sum(p.numel() for p in block.parameters()) == parameters
    assert formulas.evaluate("ela", channels=256, **SIZES[size]) == parameters
    cost.check("ela", block, torch.randn(1, 256, 14, 10), **SIZES[size])


@pytest.mark.parametrize(("size", "added"), [("T", 105_728), ("B", 135_936), ("S", 634_368), ("L", 876_032)])
def test_what_a_size_adds_to_resnet_50(size: str, added: int) -> None:
    """At the ends of its sixteen units, which have 15,104 channels together."""
    network = cost.on_paper(
        lambda: resnet50(attention=lambda c: EfficientLocalAttention.of_size(c, size)), (3, 224, 224)
    )
    plain = cost.on_paper(resnet50, (3, 224, 224))
    assert network.parameters - plain.parameters == added
    numbers = SIZES[size]
    assert added == 15_104 * (numbers["kernel_size"] * numbers["group_width"] + 2)
