"""Global second-order pooling: the authors' code, its weights and its function."""

import pytest
import torch
from torch import Tensor

import attention
from attention import registry
from tests.channel.test_gsop import OFFICIAL


def shapes(channels: int, reduced: int) -> dict[str, tuple[int, ...]]:
    """The official names and shapes, batch normalisations included."""
    d = reduced
    found = {
        "conv_for_DR.weight": (d, channels, 1, 1),
        "conv_for_DR.bias": (d,),
        "row_conv_group.weight": (4 * d, 1, d, 1),
        "row_conv_group.bias": (4 * d,),
        "fc_adapt_channels.weight": (channels, 4 * d, 1, 1),
        "fc_adapt_channels.bias": (channels,),
    }
    for norm in ("bn_for_DR", "row_bn"):
        found |= {f"{norm}.{name}": (d,) for name in ("weight", "bias", "running_mean", "running_var")}
    return found


def made_up(channels: int, reduced: int) -> dict[str, Tensor]:
    """Weights of the official shapes; variances are positive."""
    found = {}
    for name, shape in shapes(channels, reduced).items():
        value = torch.randn(shape, dtype=torch.float64)
        fan_in = value[0].numel()
        found[name] = value.abs() + 0.5 if name.endswith("var") else value / fan_in**0.5
    return found


def normalise(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    """Batch normalisation in eval mode over axis 1 of three."""
    mean, var, weight, bias = (
        w[f"{name}.{each}"][:, None] for each in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) * (var + 1e-5).rsqrt() * weight + bias


def official(x: Tensor, w: dict[str, Tensor], stride: int) -> Tensor:
    """The function of the authors' channel branch, in plain torch: with Ī as a matrix, and rows one by one."""
    seen = x[:, :, ::stride, ::stride].relu().flatten(2)
    reduced = torch.einsum("dc,bcm->bdm", w["conv_for_DR.weight"].flatten(1), seen) + w["conv_for_DR.bias"][:, None]
    reduced = normalise(reduced, w, "bn_for_DR").relu()
    m = reduced.shape[2]
    bar = torch.eye(m, dtype=x.dtype) / m - torch.ones(m, m, dtype=x.dtype) / m**2
    rows = normalise(reduced @ bar @ reduced.mT, w, "row_bn")
    filters, d = w["row_conv_group.weight"].flatten(1), rows.shape[1]
    numbers = [rows[:, o // 4] @ filters[o] + w["row_conv_group.bias"][o] for o in range(4 * d)]
    logits = torch.stack(numbers, 1) @ w["fc_adapt_channels.weight"].flatten(1).T + w["fc_adapt_channels.bias"]
    return x * logits.sigmoid()[:, :, None, None]


@pytest.mark.parametrize(("channels", "reduced", "stride"), [(8, 4, 1), (16, 5, 2), (256, 128, 2)])
def test_official_weights_load_and_give_the_official_function(channels: int, reduced: int, stride: int) -> None:
    found, weights = registry.entry("gsop").official, made_up(channels, reduced)
    assert found["options"] == OFFICIAL | {"stride": "auto"}
    block = attention.create("gsop", channels, reduced=reduced, stride=stride, **OFFICIAL).double().eval()
    attention.load_official(block, weights)
    x = torch.randn(3, channels, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights, stride), rtol=0, atol=1e-11)
    assert set(found["names"]) == set(weights)
    counters = {name for name in block.state_dict() if name.endswith("num_batches_tracked")}
    assert set(found["names"].values()) == set(block.state_dict()) - counters


@pytest.mark.parametrize(("channels", "stride"), [(64, 2), (256, 2), (260, 1), (512, 1)])
def test_the_stride_of_the_authors_code(channels: int, stride: int) -> None:
    block = attention.create("gsop", channels, reduced=8, **registry.entry("gsop").official["options"]).double().eval()
    assert block.stride == stride
    weights = made_up(channels, 8)
    attention.load_official(block, weights)
    x = torch.randn(2, channels, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights, stride), rtol=0, atol=1e-11)


def test_weights_come_out_of_a_whole_bottleneck() -> None:
    """The authors' block is part of their bottleneck; its other layers are left where they are."""
    weights = made_up(256, 8)
    others = {"conv2.weight": torch.randn(64, 64, 3, 3), "bn3.running_var": torch.rand(256)}
    state = {f"layer1.2.{name}": value for name, value in {**weights, **others}.items()}
    block = attention.create("gsop", 256, reduced=8, stride=2, **OFFICIAL).double().eval()
    attention.load_official(block, state, prefix="layer1.2.")
    x = torch.randn(1, 256, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights, 2), rtol=0, atol=1e-11)


def test_the_papers_block_is_another_function() -> None:
    weights = made_up(16, 4)
    block = attention.create("gsop", 16, reduced=4).double().eval()
    attention.load_official(block, weights)
    x = torch.randn(2, 16, 5, 6, dtype=torch.float64)
    assert not torch.allclose(block(x), official(x, weights, 1), atol=1e-4)
