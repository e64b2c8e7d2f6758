"""Polarized self-attention against the functions of the official code, written anew with plain torch."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attention import registry
from attention.hybrid.polarized import PolarizedSelfAttention
from attention.official import load_official
from tests.hybrid.test_polarized import PSA_P, PSA_S

Weights = dict[str, Tensor]


def made_up(shapes: dict[str, tuple[int, ...]]) -> Weights:
    torch.manual_seed(3)
    return {
        name: torch.randn(shape, dtype=torch.float64) / max(1, shape[-3:][0]) ** 0.5 for name, shape in shapes.items()
    }


def shapes_of(channels: int, sequential: bool) -> dict[str, tuple[int, ...]]:
    """The official names and shapes, for inplanes = planes = channels."""
    half, narrow = channels // 2, channels // 8
    up: dict[str, tuple[int, ...]] = {"conv_up.weight": (channels, half, 1, 1)}
    if sequential:
        up = {
            "conv_up.0.weight": (narrow, half, 1, 1),
            "conv_up.0.bias": (narrow,),
            "conv_up.1.weight": (narrow, 1, 1),
            "conv_up.1.bias": (narrow, 1, 1),
            "conv_up.3.weight": (channels, narrow, 1, 1),
            "conv_up.3.bias": (channels,),
        }
    return {
        "conv_q_right.weight": (1, channels, 1, 1),
        "conv_v_right.weight": (half, channels, 1, 1),
        **up,
        "conv_q_left.weight": (half, channels, 1, 1),
        "conv_v_left.weight": (half, channels, 1, 1),
    }


def mix(x: Tensor, weight: Tensor) -> Tensor:
    """A 1 × 1 convolution, as a matrix on flattened maps."""
    return torch.einsum("oc,bcn->bon", weight.flatten(1), x)


def channels_official(x: Tensor, w: Weights) -> Tensor:
    a = torch.softmax(mix(x, w["conv_q_right.weight"]), dim=2)
    z = (mix(x, w["conv_v_right.weight"]) * a).sum(2, keepdim=True)
    if "conv_up.weight" in w:
        z = mix(z, w["conv_up.weight"])
    else:
        z = mix(z, w["conv_up.0.weight"]) + w["conv_up.0.bias"][:, None]
        mean, variance = z.mean(1, keepdim=True), z.var(1, unbiased=False, keepdim=True)
        z = (z - mean) / torch.sqrt(variance + 1e-5) * w["conv_up.1.weight"][..., 0] + w["conv_up.1.bias"][..., 0]
        z = mix(F.relu(z), w["conv_up.3.weight"]) + w["conv_up.3.bias"][:, None]
    return x * torch.sigmoid(z)


def places_official(x: Tensor, w: Weights, sequential: bool) -> Tensor:
    q = mix(x, w["conv_q_left.weight"]).mean(2)
    v = mix(x, w["conv_v_left.weight"])
    if sequential:
        s = torch.einsum("bd,bdn->bn", q, torch.softmax(v, dim=2))
    else:
        s = torch.softmax(torch.einsum("bd,bdn->bn", q, v), dim=1)
    return x * torch.sigmoid(s)[:, None]


def official(x: Tensor, w: Weights, sequential: bool) -> Tensor:
    flat = x.flatten(2)
    if sequential:
        y = places_official(channels_official(flat, w), w, sequential)
    else:
        y = places_official(flat, w, sequential) + channels_official(flat, w)
    return y.view_as(x)


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("channels", [16, 32])
def test_official_weights_give_the_official_output(channels: int, sequential: bool) -> None:
    options: dict[str, Any] = PSA_S if sequential else PSA_P
    block, weights = PolarizedSelfAttention(channels, **options).double(), made_up(shapes_of(channels, sequential))
    load_official(block, weights)
    x = torch.randn(2, channels, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights, sequential), rtol=1e-9, atol=1e-9)


def test_the_options_in_the_table_are_those_of_the_parallel_code() -> None:
    assert registry.entry("polarized").official["options"] == PSA_P


def test_the_sequential_weights_do_not_go_into_the_parallel_block() -> None:
    with pytest.raises(ValueError, match=r"up.weight are not given"):
        load_official(PolarizedSelfAttention(16, **PSA_P), made_up(shapes_of(16, sequential=True)))
