"""GAM against a well-known port, as the authors published no code, and against the sizes that they printed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, linear, pad

from attention import formulas, registry
from attention.backbones.resnet import ResNet, resnet50
from attention.hybrid.gam import GlobalAttention
from attention.lab import cost
from attention.official import load_official

OPTIONS = registry.entry("gam").official["options"]


def official(channels: int, rate: int = 4) -> dict[str, Tensor]:
    """Make up weights under the names of the port, with its shapes."""
    generator, width = torch.Generator().manual_seed(3), channels // rate

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64) / max(1.0, shape[-1] ** 0.5)

    state = {
        "linear1.weight": normal(width, channels),
        "linear1.bias": normal(width),
        "linear2.weight": normal(channels, width),
        "linear2.bias": normal(channels),
        "conv1.weight": normal(width, channels, 7, 7) / 7,
        "conv1.bias": normal(width),
        "conv2.weight": normal(channels, width, 7, 7) / 7,
        "conv2.bias": normal(channels),
    }
    for name, size in (("norm1", width), ("norm2", channels)):
        state[f"{name}.weight"], state[f"{name}.bias"] = normal(size), normal(size)
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = normal(size), 0.5 + normal(size).abs()
        state[f"{name}.num_batches_tracked"] = torch.tensor(5)
    return state


def as_official(state: dict[str, Tensor], x: Tensor, mode: str = "replicate") -> Tensor:
    """The function of the port: no sigmoid on the first gate, the border repeated."""

    def layer(name: str) -> tuple[Tensor, Tensor]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def normed(number: int, value: Tensor) -> Tensor:
        padded = pad(value, (3, 3, 3, 3), mode="replicate" if mode == "replicate" else "constant")
        name = f"norm{number}"
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return batch_norm(conv2d(padded, *layer(f"conv{number}")), mean, var, *layer(name), eps=1e-5)

    hidden = linear(x.flatten(2).mT, *layer("linear1")).clamp(min=0)  # batch, positions, channels
    x = x * linear(hidden, *layer("linear2")).mT.reshape(x.shape)
    return x * torch.sigmoid(normed(2, normed(1, x).clamp(min=0)))


@pytest.mark.parametrize("mode", ["replicate", "zeros"])
def test_the_official_options_are_the_official_function(mode: str) -> None:
    """In float64, with all weights, on a map that is no square; the other port is the same with zeros."""
    state, block = official(16), GlobalAttention(16, **OPTIONS | {"padding": mode}).double().eval()
    load_official(block, state)
    x = torch.randn(2, 16, 5, 8, dtype=torch.float64)
    expected = as_official(state, x, mode)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(block.attend(x)[0], expected, rtol=0, atol=1e-9)


def test_with_its_sigmoid_it_is_another_function() -> None:
    state, block = official(16), GlobalAttention(16, **OPTIONS | {"channel_sigmoid": True}).double().eval()
    load_official(block, state)
    x = torch.randn(2, 16, 5, 8, dtype=torch.float64)
    assert not torch.allclose(block(x), as_official(state, x))


def test_every_official_name_has_a_place() -> None:
    names = registry.entry("gam").official["names"]
    assert {name for name in official(16) if not name.endswith("num_batches_tracked")} <= set(names)
    with pytest.raises(ValueError, match=r"conv1\.weight \(4, 16, 7, 7\), .* do not fit"):
        load_official(GlobalAttention(16, **OPTIONS | {"reduction": 8}), official(16))


def test_the_number_of_parameters_of_one_block() -> None:
    """1,639,680 at C = 256 with r = 4, as counted on the port."""
    block = GlobalAttention(256, **OPTIONS)
    assert sum(p.numel() for p in block.parameters()) == 1_639_680
    assert formulas.evaluate("gam", channels=256, **OPTIONS) == 1_639_680
    for options in (OPTIONS, {}, {"groups": 4}):
        with torch.device("meta"):
            cost.check("gam", GlobalAttention(256, **options).eval(), torch.empty(1, 256, 14, 10), **options)


def resnet18(**options: Any) -> ResNet:
    return ResNet((2, 2, 2, 2), "basic", **options)


def size(build: Callable[..., ResNet], *, reduction: int = 16, groups: int = 1, **options: Any) -> cost.Cost:
    def attention(channels: int) -> nn.Module:
        return GlobalAttention(channels, reduction, groups=groups)

    return cost.on_paper(lambda: build(attention=attention, **options).eval(), (3, 224, 224))


def cut(number: int, digits: int) -> str:
    """Write a number of millions with so many digits, the others cut off."""
    return f"{number // 10 ** (6 - digits) / 10**digits:.{digits}f}"


def test_the_sizes_of_the_published_networks() -> None:
    """On ImageNet 16.04 and 151.3 million, on CIFAR-100 149.5: with r = 16, and the digits that follow cut off."""
    assert cut(size(resnet18).parameters, 2) == "16.04"
    assert cut(size(resnet50).parameters, 1) == "151.3"
    small = {"classes": 100, "stem": "small"}
    assert size(resnet50, **small).parameters == 149_516_644
    assert cut(size(resnet50, groups=4, **small).parameters, 0) == "57"
    assert {cut(size(resnet50, groups=g, **small).parameters, 0) for g in (2, 1)}.isdisjoint({"57"})
    assert cut(size(resnet50, reduction=4).parameters, 1) == "528.6"


def test_the_printed_operations_are_more_than_those_of_its_layers() -> None:
    """24.66 G in print for ResNet-50; convolutions and linear layers have 24.64."""
    assert f"{size(resnet50).macs / 1e9:.2f}" == "24.64"
