"""SCSA against the function of the official code, written anew with plain torch."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attention import registry
from attention.hybrid.scsa import SpatialChannelSynergisticAttention
from attention.official import load_official

PARTS = ("local_dwc", "global_dwc_s", "global_dwc_m", "global_dwc_l")


def shapes_of(channels: int, bias: bool) -> dict[str, tuple[int, ...]]:
    quarter = channels // 4
    shapes: dict[str, tuple[int, ...]] = {}
    for name, k in zip(PARTS, (3, 5, 7, 9), strict=True):
        shapes |= {f"{name}.weight": (quarter, 1, k), f"{name}.bias": (quarter,)}
    for name in ("norm_h", "norm_w", "norm"):
        shapes |= {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
    for name in "qkv":
        shapes[f"{name}.weight"] = (channels, 1, 1, 1)
        if bias:
            shapes[f"{name}.bias"] = (channels,)
    return shapes


def normalised(x: Tensor, groups: int, weight: Tensor, bias: Tensor) -> Tensor:
    each = x.reshape(len(x), groups, -1)
    variance, mean = torch.var_mean(each, dim=2, unbiased=False, keepdim=True)
    x = ((each - mean) / torch.sqrt(variance + 1e-5)).reshape(x.shape)
    place = (1, -1) + (1,) * (x.ndim - 2)
    return x * weight.view(place) + bias.view(place)


def strips(z: Tensor, w: dict[str, Tensor], norm: str, softmax: bool) -> Tensor:
    """Each quarter under its strip, as a product with the neighbours of each place."""
    parts = []
    for part, name in zip(z.chunk(4, 1), PARTS, strict=True):
        kernel = w[f"{name}.weight"][:, 0]
        near = F.pad(part, (kernel.shape[1] // 2,) * 2).unfold(2, kernel.shape[1], 1)
        parts.append((near * kernel[:, None]).sum(3) + w[f"{name}.bias"][:, None])
    moved = normalised(torch.cat(parts, 1), 4, w[f"{norm}.weight"], w[f"{norm}.bias"])
    return torch.softmax(moved, 2) if softmax else torch.sigmoid(moved)


def official(
    x: Tensor, w: dict[str, Tensor], heads: int = 1, window: int = 7, maximum: bool = False, softmax: bool = False
) -> Tensor:
    b, c, height, width = x.shape
    rows, columns = strips(x.mean(3), w, "norm_h", softmax), strips(x.mean(2), w, "norm_w", softmax)
    x = x * rows[..., None] * columns[:, :, None]
    if window == -1:
        y = x.mean((2, 3))[..., None]
    else:
        n, m = height // window, width // window
        inside = x[:, :, : n * window, : m * window].reshape(b, c, n, window, m, window)
        y = (inside.amax((3, 5)) if maximum else inside.mean((3, 5))).flatten(2)
    y = normalised(y, 1, w["norm.weight"], w["norm.bias"])
    q, k, v = (
        (y * w[f"{name}.weight"].view(1, -1, 1) + w.get(f"{name}.bias", torch.zeros(c)).view(1, -1, 1)).view(
            b, heads, c // heads, -1
        )
        for name in "qkv"
    )
    a = torch.softmax(torch.einsum("bmin,bmjn->bmij", q, k) / (c // heads) ** 0.5, dim=3)
    mean = torch.einsum("bmij,bmjn->bmin", a, v).mean(3).reshape(b, c, 1, 1)
    return (torch.softmax(mean, 1) if softmax else torch.sigmoid(mean)) * x


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"heads": 4, "bias": True}, {"heads": 4}),
        ({"window": 3, "pool": "maximum"}, {"window": 3, "maximum": True}),
        ({"window": None, "gate": "softmax"}, {"window": -1, "softmax": True}),
    ],
)
def test_official_weights_give_the_official_output(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    torch.manual_seed(1)
    shapes = shapes_of(16, bias=ours.get("bias", False))
    weights = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    block = SpatialChannelSynergisticAttention(16, **ours).double()
    load_official(block, weights)
    x = torch.randn(2, 16, 15, 9, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights, **theirs), rtol=1e-9, atol=1e-9)


def test_the_defaults_are_the_official_options() -> None:
    assert registry.entry("scsa").official["options"] == {}


def test_the_matrix_of_a_recombination_is_loaded_too() -> None:
    weights = {name: torch.randn(shape) for name, shape in shapes_of(8, bias=False).items()}
    weights["conv_d.weight"] = torch.randn(8, 8 * 9, 1, 1)
    block = SpatialChannelSynergisticAttention(8, window=3, pool="recombination")
    load_official(block, weights)
    assert torch.equal(block.recombine.weight.flatten(1), weights["conv_d.weight"].flatten(1))
